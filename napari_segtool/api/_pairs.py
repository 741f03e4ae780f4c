"""Images with their labels, and how much each pixel counts, given in any form."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_segtool.api._sources import Image, Marks, marks_of, stack_of
from napari_segtool.core.errors import ParameterError
from napari_segtool.core.labels import Labels, Paint, as_label_array
from napari_segtool.core.result import Prediction, Segmentation
from napari_segtool.core.stack import Stack, cut, parse_slices

Weights = NDArray[Any] | Stack | str | Path | None


def pairs_of(pairs: Iterable[Sequence[Any]], labels_are: str, slices: str) -> list[tuple[Any, ...]]:
    """Read what `train` is given: ``(image, labels)``, with weights of their pixels where there are any, cut to the slices."""
    return [_weighed(pair_of(image, marks, labels_are, slices), weights, slices) for image, marks, *weights in pairs]


def pair_of(image: Image, marks: Marks, labels_are: str, slices: str) -> tuple[Stack, Labels | Paint]:
    """Read one image and its labels, cut to the slices; whether they fit is checked where the run is made."""
    if labels_are not in ("mask", "paint"):
        raise ParameterError(f"labels_are = {labels_are!r} is not known.", hint='Say "mask" (every pixel is labelled) or "paint" (0 is not labelled).')
    stack, marked = stack_of(image, slices), marks_of(marks)
    letter, own = stack.axes[stack.slice_axis], marked.axes[marked.slice_axis]
    if slices and (letter == "Y") == (own == "Y") and marked.shape[marked.slice_axis] != stack.shape[stack.slice_axis]:
        marked = cut(marked, *parse_slices(slices))
    array = np.asarray(marked.data)
    if array.ndim == 3 and marked.axes.endswith("S") and (array == array[..., :1]).all():
        array, marked = array[..., 0], replace(marked, data=array[..., 0], axes=marked.axes[:-1])
    kind = Labels if labels_are == "mask" else Paint
    named = isinstance(marks, Labels | Paint | Segmentation | Prediction | Stack | str | Path) and sorted(marked.axes) == sorted(stack.label_axes)
    axes = stack.label_axes if array.ndim == len(stack.label_axes) and not named else marked.axes
    return stack, kind(as_label_array(array), axes, _class_names(marks, labels_are))


def _class_names(marks: Marks, labels_are: str) -> tuple[str, ...]:
    """Class names that labels carry, from class 0 for masks and from class 1 for paint."""
    marks = marks.labels if isinstance(marks, Segmentation) else marks
    if isinstance(marks, Labels):
        return marks.class_names if labels_are == "mask" else marks.class_names[1:]
    return marks.class_names if isinstance(marks, Paint) and labels_are == "paint" else ()


def _weighed(pair: tuple[Stack, Labels | Paint], given: Sequence[Weights], slices: str) -> tuple[Any, ...]:
    """Add to an image and its labels what else was given, the weights of their pixels: with axes, and cut to the same slices.

    Whether they fit is checked where the run is made.
    """
    stack, loaded = pair[0], []
    for weights in given:
        each: Any = stack_of(weights, "") if isinstance(weights, str | Path) else weights
        data = each.data if isinstance(each, Stack) else each
        if each is not None and np.ndim(data) == len(stack.label_axes):
            named = isinstance(each, Stack) and sorted(each.axes) == sorted(stack.label_axes)
            axes = pair[1].axes if sorted(pair[1].axes) == sorted(stack.label_axes) else stack.label_axes
            each = each if named else Stack(data if hasattr(data, "shape") else np.asarray(data), axes)
            each = cut(each, *parse_slices(slices)) if slices and each.slices != stack.slices else each
        loaded.append(each)
    return (*pair, *loaded)
