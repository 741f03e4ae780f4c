"""Show what augmentation makes of an image, before training. torch is loaded by the verb."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from napari_segtool.api._pairs import pair_of
from napari_segtool.api._sources import Image, Marks, check_pixels
from napari_segtool.core.errors import ParameterError
from napari_segtool.core.progress import Progress, Steps, drain

if TYPE_CHECKING:
    from napari_segtool.training.before._examples import Example


def preview_augmentation_steps(
    image: Image,
    labels: Marks,
    *,
    labels_are: Literal["mask", "paint"],
    learner: str = "unet",
    count: int = 8,
    seed: int = 0,
    device: str = "auto",
    others: Iterable[Sequence[Any]] = (),
    slices: str = "",
    model: str | Path = "",
    **params: Any,
) -> Steps[tuple[Example, ...]]:
    """Generator form of `preview_augmentation`."""
    from napari_segtool.core.registry import LEARNERS

    if not 1 <= count <= 1000:
        raise ParameterError(f"{count} examples cannot be made.", hint="Ask for 1 to 1000.")
    values = LEARNERS.get(learner).params.build(**params)
    yield Progress(0, count, "reading images and labels")
    pairs = [pair_of(each[0], each[1], labels_are, slices) for each in ((image, labels), *others)]
    check_pixels(pairs[0][0])
    from napari_segtool.training.before._examples import example_steps
    from napari_segtool.training.configure._planning import propose
    from napari_segtool.training.survey._evidence import evidence_of_pairs

    evidence = evidence_of_pairs(pairs, labels_are)
    plan = propose(values, evidence, learner, device, model)[1]
    return (yield from example_steps(*pairs[0], evidence, plan, count=count, seed=seed))


def preview_augmentation(
    image: Image,
    labels: Marks,
    *,
    labels_are: Literal["mask", "paint"],
    learner: str = "unet",
    count: int = 8,
    seed: int = 0,
    device: str = "auto",
    **params: Any,
) -> tuple[Example, ...]:
    """Cut patches out of an image as a training would, and show them before and after they are varied.

    Parameters
    ----------
    image, labels
        Stack and its labels or paint, or paths.
    labels_are
        ``"mask"`` or ``"paint"``, as for `train`.
    learner
        Name from ``segtool list learners``.
    count
        Number of patches.
    seed
        Of all random numbers.
    device
        As for `train`: it decides what is chosen.
    **params
        The learner's parameters; those left out are chosen as in training. And ``slices="A:B"``, ``model=…`` to go on from, and ``others=[…]``, further
        pairs that would be learned from together with this one.

    Returns
    -------
    tuple of Example
        ``before`` and ``image`` ``(C, Y, X)`` float32, ``labels_before`` and ``labels`` ``(Y, X)`` in the numbering of the model (0 also where nothing is
        labelled), ``labelled`` ``(Y, X)`` bool.

    Raises
    ------
    PaintError, ShapeError, DataError, ParameterError, ModelError
        As `train`.
    """
    return drain(preview_augmentation_steps(image, labels, labels_are=labels_are, learner=learner, count=count, seed=seed, device=device, **params))
