"""What a training would weigh pixels by, to be looked at before it begins."""

from __future__ import annotations

from typing import Literal

from napari_segtool.api._learning import _pair
from napari_segtool.api._sources import Image, Marks
from napari_segtool.core.progress import Steps, drain
from napari_segtool.core.stack import Stack


def weight_map_steps(
    image: Image,
    marks: Marks,
    *,
    labels_are: Literal["mask", "paint"],
    border_weight: float = 10.0,
    border_sigma_px: float = 5.0,
    class_balance: float = 0.5,
    volumes: bool = False,
    slices: str = "",
) -> Steps[Stack]:
    """Generator form of `weight_map`; yields a `Progress` for each slice."""
    from napari_segtool.training.before._weight_map import weight_map_steps as steps

    stack, labels = _pair(image, marks, labels_are, slices)
    weights: Stack = yield from steps(
        stack,
        labels,
        labels_are=labels_are,
        border_weight=border_weight,
        border_sigma_px=border_sigma_px,
        class_balance=class_balance,
        volumes=volumes,
    )
    return weights


def weight_map(
    image: Image,
    marks: Marks,
    *,
    labels_are: Literal["mask", "paint"],
    border_weight: float = 10.0,
    border_sigma_px: float = 5.0,
    class_balance: float = 0.5,
    volumes: bool = False,
    slices: str = "",
) -> Stack:
    """Show how much each pixel counts in a training with a border weight.

    Parameters
    ----------
    image, marks
        Stack and labels, or paths.
    labels_are
        As in `train`.
    border_weight, border_sigma_px, class_balance
        As in the training: w₀ and σ of Ronneberger et al. 2015, doi:10.1007/978-3-319-24574-4_28, and how much rare classes count.
    volumes
        Whether gaps are measured through the slices too, as a 3-D training does.
    slices
        ``A:B`` along the first spatial axis; empty takes all.

    Returns
    -------
    Stack
        float32 weights, with the axes of labels; 1 where nothing is labelled.

    Raises
    ------
    PaintError
        If a training would refuse the labels.
    """
    work = weight_map_steps(
        image,
        marks,
        labels_are=labels_are,
        border_weight=border_weight,
        border_sigma_px=border_sigma_px,
        class_balance=class_balance,
        volumes=volumes,
        slices=slices,
    )
    return drain(work)
