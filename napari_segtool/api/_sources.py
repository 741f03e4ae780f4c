"""What the verbs take: images and marks in any form, as stacks."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_segtool import __version__
from napari_segtool.api._files import read
from napari_segtool.core.errors import DataError
from napari_segtool.core.labels import Labels, Paint, label_array_steps
from napari_segtool.core.planes import PlaneIndex, plane_axes, plane_shape
from napari_segtool.core.progress import Progress, Steps, as_progress, drain
from napari_segtool.core.registry import Entry
from napari_segtool.core.result import Prediction, Segmentation, Step, data_sha_steps
from napari_segtool.core.stack import Stack, cut, parse_slices, slice_range

Image = Stack | str | Path
Marks = Labels | Paint | Segmentation | Stack | NDArray[Any] | str | Path


def stack_of(image: Image, slices: str) -> Stack:
    """Return an image of any form as a stack, cut to ``slices``."""
    stack = image if isinstance(image, Stack) else read(image)
    return cut(stack, *parse_slices(slices)) if slices else stack


def planes_of(stack: Stack, slices: str) -> list[PlaneIndex]:
    """Return the planes of a stack that lie in ``slices``: its pages, at every time and in every other respect.

    Examples
    --------
    >>> planes_of(Stack(np.zeros((2, 5, 4, 4)), "TZYX"), "3:5")
    [(0, 3), (0, 4), (1, 3), (1, 4)]
    """
    taken, letter = slice_range(stack, *parse_slices(slices)), stack.axes[stack.slice_axis]
    return list(itertools.product(*(taken if axis == letter else range(n) for axis, n in zip(plane_axes(stack), plane_shape(stack), strict=True))))


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


def trimmed(path: Path, stack: Stack, slices: str) -> Stack:
    """Read what lies over an image from a file; of a file of a whole stack the ``slices`` that the image was cut to."""
    marks = read(path)
    return cut(marks, *parse_slices(slices)) if slices and marks.slices != stack.slices else marks


def over_steps(marks: Prediction | Marks, stack: Stack, slices: str, what: str) -> Steps[NDArray[Any]]:
    """Return marks as an unsigned array that lies over ``stack``: of its label shape, in the order of its label axes.

    Parameters
    ----------
    marks
        Labels in any form; one picture may be given for a stack of one slice, and a whole stack for the ``slices`` of it.
    what
        Name of the marks for messages ("mask").

    Raises
    ------
    DataError
        If the shape does not fit, or the values are no labels.
    """
    marked = marks_of(marks)
    if slices and marked.slices != stack.slices:
        marked = cut(marked, *parse_slices(slices))
    array = np.asarray(marked.data)
    if array.ndim == len(stack.label_shape) + 1 and marked.axes.endswith("S") and (array == array[..., :1]).all():
        array = array[..., 0]
    if (
        array.shape != stack.label_shape
        and array.size == int(np.prod(stack.label_shape))
        and array.squeeze().shape == tuple(n for n in stack.label_shape if n > 1)
    ):
        array = array.reshape(stack.label_shape)
    if array.shape != stack.label_shape:
        raise DataError(
            f"The {what} has the shape {array.shape}, but the image needs {stack.label_shape} ({stack.label_axes}).",
            hint="Give one value for each pixel of the same slices.",
        )
    return (yield from as_progress(label_array_steps(array), 0, 1, f"given {what}"))


def check_pixels(stack: Stack) -> None:
    """Refuse a stack that has no pixels, or none of numbers."""
    if 0 in stack.shape:
        raise DataError(f"{stack.name or 'The image'} has no pixels: its shape is {stack.shape}.")
    if np.dtype(stack.data.dtype).kind not in "buif":
        raise DataError(
            f"{stack.name or 'The image'} holds {stack.data.dtype} values, wanted whole numbers or floats.", hint="Convert it to 8 or 16 bit, or 32-bit float."
        )


def step_of(kind: str, entry: Entry, params: Mapping[str, Any], data: Any, **inputs: Any) -> Step:
    """Return the step of a recipe that an entry makes of an array, with the arrays it was given beside it."""
    return drain(step_of_steps(kind, entry, params, data, **inputs))


def step_of_steps(kind: str, entry: Entry, params: Mapping[str, Any], data: Any, **inputs: Any) -> Steps[Step]:
    """Generator form of `step_of`, which reads all of the arrays."""
    values = entry.params.build(**params).model_dump(mode="json")
    arrays = {"": data, **{name: array for name, array in inputs.items() if array is not None}}
    marks = {}
    for done, (name, array) in enumerate(arrays.items()):
        reading = data_sha_steps(array)
        try:
            while True:
                part = next(reading)
                yield Progress(done + part.fraction, len(arrays), part.label)
        except StopIteration as stop:
            marks[name] = stop.value
        finally:
            reading.close()
    return Step(f"{kind}:{entry.name}", values, __version__, marks.pop(""), int(values.get("seed", -1)), marks)
