"""Which augmentations of grey values suit a modality, and how they are applied to a patch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np

from napari_segtool.core.errors import ParameterError
from napari_segtool.core.terms import Term
from napari_segtool.training.augment._patch import Patch

Effects = tuple[Term, ...]
"""Entries of `AUGMENTATIONS`, applied in this order; their weights are their strengths."""
Modality = Literal["general", "em", "ultrasound", "light"]

GENERAL: Effects = (Term("contrast"), Term("brightness"), Term("gamma"), Term("blur"), Term("noise"))
"""The default: what the scores in ``docs/benchmarks.md`` were measured with."""

PRESETS: dict[str, Effects] = {
    "general": GENERAL,
    "em": (Term("misalignment"), *GENERAL[:3], Term("contrast-jump"), Term("charging"), *GENERAL[3:], Term("missing-section")),
    "ultrasound": (Term("speckle"), Term("shadow"), Term("gain"), *GENERAL),
    "light": (Term("contrast", 1.4), Term("brightness", 1.4), Term("gamma", 1.4), Term("blur"), Term("noise", 1.4)),
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
    >>> preset("light", 0.5)[0].weight
    0.7
    """
    if modality not in PRESETS:
        raise ParameterError(f"There are no augmentations for {modality!r}.", hint=f"Choose one of: {', '.join(PRESETS)}.")
    return tuple(replace(effect, weight=strength * effect.weight) for effect in PRESETS[modality])


def prepare(effects: Sequence[Term], intensity: float) -> Prepared:
    """Look up the augmentations and build their parameters, once for many patches.

    Parameters
    ----------
    effects
        Entries with their strengths.
    intensity
        What every strength is multiplied by; strengths above an entry's limit are held to it.

    Raises
    ------
    ParameterError
        If an augmentation is not known or one of its parameters is not allowed.
    """
    from napari_segtool.core.params import describe
    from napari_segtool.core.registry import AUGMENTATIONS

    prepared = []
    for effect in effects:
        entry, strength = AUGMENTATIONS.get(effect.name), effect.weight * intensity
        most = next(field.maximum for field in describe(entry.params) if field.name == "strength")
        if strength != 0:
            prepared.append((entry.function, entry.params.build(**{**effect.params, "strength": strength if most is None else min(strength, most)})))
    return tuple(prepared)


def vary(patch: Patch, rng: np.random.Generator, prepared: Prepared) -> Patch:
    """Apply augmentations in order, each as often as its probability says; the arrays of the patch may be changed."""
    for function, params in prepared:
        if params.probability >= 1 or rng.random() < params.probability:
            patch = function(patch, rng, params)
    return patch
