"""Show what augmentation makes of an image, before training. Runs without torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from napari_segtool.api._learning import _pair
from napari_segtool.api._sources import Image, Marks, check_pixels
from napari_segtool.core.errors import ParameterError
from napari_segtool.core.progress import Steps, drain

if TYPE_CHECKING:
    from napari_segtool.training.before._examples import Example


def preview_augmentation_steps(
    image: Image, labels: Marks, *, labels_are: Literal["mask", "paint"], learner: str = "unet", count: int = 8, seed: int = 0, slices: str = "", **params: Any
) -> Steps[tuple[Example, ...]]:
    """Generator form of `preview_augmentation`."""
    from napari_segtool.core.registry import LEARNERS
    from napari_segtool.training.before._examples import example_steps

    if not 1 <= count <= 1000:
        raise ParameterError(f"{count} examples cannot be made.", hint="Ask for 1 to 1000.")
    values = LEARNERS.get(learner).params.build(**params)
    stack, marked = _pair(image, labels, labels_are, slices)
    check_pixels(stack)
    examples: tuple[Example, ...] = yield from example_steps(stack, marked, values, labels_are=labels_are, count=count, seed=seed)
    return examples


def preview_augmentation(
    image: Image, labels: Marks, *, labels_are: Literal["mask", "paint"], learner: str = "unet", count: int = 8, seed: int = 0, slices: str = "", **params: Any
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
    slices
        ``A:B`` along the first spatial axis; empty takes all.
    **params
        The learner's parameters; those left out are chosen from the image, as in training.

    Returns
    -------
    tuple of Example
        ``before`` and ``image`` ``(C, Y, X)`` float32, ``labels_before`` and ``labels`` ``(Y, X)`` in the numbering of the model (0 also where nothing is
        labelled), ``labelled`` ``(Y, X)`` bool.

    Raises
    ------
    PaintError, ShapeError, DataError, ParameterError
        As `train`.
    """
    return drain(preview_augmentation_steps(image, labels, labels_are=labels_are, learner=learner, count=count, seed=seed, slices=slices, **params))
