"""The weight map of a whole stack of labels, as a training would use it: to be looked at before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_segtool.core.labels import Labels, Paint
from napari_segtool.core.progress import Steps, as_progress
from napari_segtool.core.stack import Stack
from napari_segtool.training.data._weights import border_steps
from napari_segtool.training.runs._pairs import IGNORED, LabelsAre, check_pair, count_values, find_classes


def weight_map_steps(
    stack: Stack,
    labels: Labels | Paint | NDArray[Any],
    *,
    labels_are: LabelsAre,
    border_weight: float,
    border_sigma_px: float,
    class_weights: Sequence[float] | None = None,
    class_balance: float = 0.0,
    volumes: bool = False,
) -> Steps[Stack]:
    """Weigh the pixels of labels as `training.data._weights.border_weights` does, plane by plane or volume by volume; yields a `Progress` for each.

    Parameters
    ----------
    stack
        The image of the labels; only its axes, shape and spacing count.
    labels
        As `training.runs._run.create_run` takes them.
    labels_are
        ``"mask"`` or ``"paint"``.
    border_weight, border_sigma_px
        w₀ and σ.
    class_weights
        One for each class, in order; where not given they are made of ``class_balance``.
    class_balance
        Exponent of the rarity of a class, 0 to 1, as in the training.
    volumes
        Whether distances go through the slices of a volume, in its spacing; otherwise each slice is by itself.

    Returns
    -------
    Stack
        float32, with the label axes and spacing of the stack.

    Raises
    ------
    PaintError, ShapeError, DataError
        If a training would refuse the labels.
    """
    pair = check_pair(stack, labels, stack.name or "the image")
    census = count_values([pair])
    values = np.asarray(find_classes(census, labels_are))
    if class_weights is None:
        counts = dict(zip(census.values, census.counts, strict=True))
        class_weights = _balanced([counts[int(value)] for value in values], class_balance)
    deep = volumes and bool(pair.counts)
    pieces = list(np.ndindex(*(pair.counts[:-1] if deep else pair.counts)))
    sampling = None
    if deep and len(stack.spacing_um) == 3:
        steps = [stack.spacing_of(letter) for letter in "ZYX"]
        sampling = tuple(step / min(steps) for step in steps)
    shape = tuple(int(n) for n in pair.labels.shape)
    weights = np.empty(shape, np.float32)
    for done, index in enumerate(pieces):
        marks = np.asarray(pair.labels[index])
        classes = np.searchsorted(values, marks).clip(max=len(values) - 1).astype(np.uint8)
        if labels_are == "paint":
            classes[marks == 0] = IGNORED
        work = border_steps(classes, w0=border_weight, sigma_px=border_sigma_px, class_weights=class_weights, sampling=sampling)
        weights[index] = yield from as_progress(work, done, len(pieces), "weights")
    axes = pair.order + "YX"
    laid = weights.transpose([axes.index(letter) for letter in stack.label_axes])
    return replace(stack, data=laid, axes=stack.label_axes, name=f"{stack.name} weights".strip(), memo={})


def _balanced(pixels: Sequence[int], balance: float) -> tuple[float, ...]:
    import torch

    from napari_segtool.training.losses._class_weights import class_weights

    return tuple(class_weights(torch.tensor(pixels), balance).tolist())
