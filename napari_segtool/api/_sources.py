"""What the verbs take: images and marks in any form, as stacks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_segtool import __version__
from napari_segtool.api._files import read
from napari_segtool.core.errors import DataError
from napari_segtool.core.labels import Labels, Paint
from napari_segtool.core.registry import Entry
from napari_segtool.core.result import Prediction, Segmentation, Step, data_sha
from napari_segtool.core.stack import Stack, cut, parse_slices

Image = Stack | str | Path
Marks = Labels | Paint | Segmentation | Stack | NDArray[Any] | str | Path


def stack_of(image: Image, slices: str) -> Stack:
    """Return an image of any form as a stack, cut to ``slices``."""
    stack = image if isinstance(image, Stack) else read(image)
    return cut(stack, *parse_slices(slices)) if slices else stack


def marks_of(marks: Prediction | Marks) -> Stack:
    """Return labels of any form as a stack of label values."""
    if isinstance(marks, str | Path):
        return read(marks)
    if isinstance(marks, Stack):
        return marks
    if isinstance(marks, Prediction):
        marks = marks.segmentation
    if isinstance(marks, Segmentation):
        return Stack(marks.labels.data, marks.labels.axes, marks.spacing_um, marks.name)
    if isinstance(marks, Labels | Paint):
        return Stack(marks.data, marks.axes)
    array = np.asarray(marks)
    if array.ndim not in (2, 3, 4):
        raise DataError(f"Labels need 2 to 4 dimensions, got an array of shape {array.shape}.")
    return Stack(array, "TZYX"[-array.ndim :])


def check_pixels(stack: Stack) -> None:
    """Refuse a stack that has no pixels, or none of numbers."""
    if 0 in stack.shape:
        raise DataError(f"{stack.name or 'The image'} has no pixels: its shape is {stack.shape}.")
    if np.dtype(stack.data.dtype).kind not in "buif":
        raise DataError(
            f"{stack.name or 'The image'} holds {stack.data.dtype} values, wanted whole numbers or floats.", hint="Convert it to 8 or 16 bit, or 32-bit float."
        )


def step_of(kind: str, entry: Entry, params: dict[str, Any], stack: Stack) -> Step:
    """Return the step of a recipe that an entry makes of a stack."""
    values = entry.params.build(**params).model_dump(mode="json")
    return Step(f"{kind}:{entry.name}", values, __version__, data_sha(stack.data), int(values.get("seed", -1)))
