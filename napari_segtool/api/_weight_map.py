"""What a training would weigh pixels by, to be looked at before it begins. torch is loaded by the verb."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from napari_segtool.api._trial_run import trial_run
from napari_segtool.core.progress import Progress, Steps, drain

if TYPE_CHECKING:
    from napari_segtool.training.before._weight_map import WeightMap


def weight_map_steps(
    pairs: Iterable[Sequence[Any]],
    learner: str = "unet",
    *,
    labels_are: Literal["mask", "paint"],
    most: int = 0,
    preview: bool = False,
    seed: int = 0,
    device: str = "auto",
    slices: str = "",
    model: str | Path = "",
    **params: Any,
) -> Steps[tuple[WeightMap, ...]]:
    """Generator form of `weight_map`."""
    from napari_segtool.core.registry import LEARNERS

    values = LEARNERS.get(learner).params.build(**params)
    yield Progress(0, 0, "reading images and labels")
    with trial_run(pairs, learner, values, labels_are=labels_are, slices=slices, model=model, seed=seed, device=device) as run:
        from napari_segtool.training.before._weight_map import weight_map_steps as steps
        from napari_segtool.training.configure._planning import settle

        proposal, plan = settle(run)
        return (yield from steps(run, plan, proposal, most=most, preview=preview))


def weight_map(
    pairs: Iterable[Sequence[Any]],
    learner: str = "unet",
    *,
    labels_are: Literal["mask", "paint"],
    most: int = 0,
    preview: bool = False,
    seed: int = 0,
    device: str = "auto",
    **params: Any,
) -> tuple[WeightMap, ...]:
    """Show how much each pixel would count in a training: by its class, by the border weight, and by the weights that are given.

    Parameters
    ----------
    pairs
        ``(stack, labels)`` or ``(stack, labels, weights)``, or paths, as for `train`. Classes are counted over all of them.
    learner
        Name from ``segtool list learners``.
    labels_are
        ``"mask"`` or ``"paint"``, as for `train`. Borders of paint are not weighed: it does not say where objects end.
    most
        Maps of so many images, from the first; 0 of all.
    preview
        Whether to show what the border weight of 2015 would do with masks whose borders will not be weighed.
    seed, device
        As for `train`.
    **params
        The learner's parameters, such as ``border_weight``, ``border_sigma_px`` (w₀ and σ of Ronneberger et al. 2015,
        doi:10.1007/978-3-319-24574-4_28) and ``class_balance``; those left out are chosen as in training. And ``slices="A:B"``, ``model=…`` to go on from.

    Returns
    -------
    tuple of WeightMap
        For each image ``weights``, float32 with the axes of labels and 0 where nothing is labelled; ``border_weight`` and ``border_sigma_px``, and ``why``
        where the training will not weigh borders.

    Raises
    ------
    PaintError, ShapeError, DataError
        If a training would refuse the images, labels or weights.
    """
    return drain(weight_map_steps(pairs, learner, labels_are=labels_are, most=most, preview=preview, seed=seed, device=device, **params))
