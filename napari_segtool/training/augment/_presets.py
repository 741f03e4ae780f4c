"""Which augmentations of grey values suit a modality, and how they are applied to a patch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np

from napari_segtool.core.errors import ParameterError
from napari_segtool.training.augment._patch import Patch

Effects = tuple[tuple[str, float], ...]
"""``(name, strength)`` pairs, applied in this order."""
Modality = Literal["general", "em", "ultrasound", "light"]

GENERAL: Effects = (("contrast", 1.0), ("brightness", 1.0), ("gamma", 1.0), ("blur", 1.0), ("noise", 1.0))
"""The default: what the scores in ``docs/benchmarks.md`` were measured with."""

PRESETS: dict[str, Effects] = {
    "general": GENERAL,
    "em": (
        ("misalignment", 1.0),
        *GENERAL[:3],
        ("contrast-jump", 1.0),
        ("charging", 1.0),
        *GENERAL[3:],
        ("missing-section", 1.0),
    ),
    "ultrasound": (("speckle", 1.0), ("shadow", 1.0), ("gain", 1.0), *GENERAL),
    "light": (("contrast", 1.4), ("brightness", 1.4), ("gamma", 1.4), ("blur", 1.0), ("noise", 1.4)),
}

Prepared = tuple[tuple[Callable[[Patch, np.random.Generator, Any], Patch], Any], ...]
"""Functions with their parameters, ready to be called for every patch."""


def preset(modality: str, strength: float = 1.0) -> Effects:
    """Return the augmentations that suit a modality.

    Parameters
    ----------
    modality
        ``general``, ``em``, ``ultrasound`` or ``light``.
    strength
        What their strengths are multiplied by.

    Raises
    ------
    ParameterError
        If the modality is not known.

    Examples
    --------
    >>> preset("general", 0.5)[0]
    ('contrast', 0.5)
    """
    if modality not in PRESETS:
        raise ParameterError(f"There are no augmentations for {modality!r}.", hint=f"Choose one of: {', '.join(PRESETS)}.")
    return tuple((name, strength * own) for name, own in PRESETS[modality])


def prepare(effects: Sequence[tuple[str, float]], intensity: float) -> Prepared:
    """Look up the augmentations and build their parameters, once for many patches.

    Parameters
    ----------
    effects
        ``(name, strength)`` pairs.
    intensity
        What every strength is multiplied by; strengths above an entry's limit are held to it.

    Raises
    ------
    ParameterError
        If an augmentation is not known or a strength is negative.
    """
    from napari_segtool.core.params import describe
    from napari_segtool.core.registry import AUGMENTATIONS

    prepared = []
    for name, own in effects:
        entry, strength = AUGMENTATIONS.get(name), own * intensity
        most = next(field.maximum for field in describe(entry.params) if field.name == "strength")
        if strength != 0:
            prepared.append((entry.function, entry.params.build(strength=strength if most is None else min(strength, most))))
    return tuple(prepared)


def vary(patch: Patch, rng: np.random.Generator, prepared: Prepared) -> Patch:
    """Apply augmentations in order, each as often as its probability says; the arrays of the patch may be changed."""
    for function, params in prepared:
        if params.probability >= 1 or rng.random() < params.probability:
            patch = function(patch, rng, params)
    return patch
