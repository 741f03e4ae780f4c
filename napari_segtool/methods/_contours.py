"""What all methods of moving contours share: planes or volumes of grey values, and the labels to start from."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_segtool.core.errors import DataError
from napari_segtool.core.given import Given
from napari_segtool.core.planes import Fractions, PlaceRule, PlaneIndex, SteppedRule, plane_axes, plane_indices, plane_shape
from napari_segtool.core.progress import Progress, Steps, as_progress
from napari_segtool.core.slabs import finite_steps, made_steps, put_steps
from napari_segtool.core.stack import Stack
from napari_segtool.methods._grey import Grey
from napari_segtool.preprocess._volumes import depth_axis

_ALL = slice(None)

Contour = Callable[[NDArray[Any], "NDArray[Any] | None"], Fractions]
"""Work on grey values ``(Y, X)`` or ``(depth, Y, X)`` and the labels to start from, where there are any; returns labels."""


def contour_steps(stack: Stack, grey: Grey, given: Given, contour: Contour, *, volume: bool) -> Steps[PlaceRule | NDArray[Any]]:
    """Return the rule that lets contours evolve in a plane; with ``volume`` the labels of all volumes.

    Raises
    ------
    AxesError
        If ``volume`` is asked for and the stack has no slices.
    """
    if volume:
        return (yield from _volumes_steps(stack, grey, given, contour))

    def at(index: PlaneIndex) -> SteppedRule:
        start = given.at(stack, index).labels
        return SteppedRule(lambda plane: contour(grey(plane), start))

    return PlaceRule(at)


def check_values_steps(stack: Stack, grey: Grey) -> Steps[None]:
    """Refuse a stack without any finite value; reads until the first is found.

    Raises
    ------
    DataError
        If no pixel has a finite value.
    """
    if np.dtype(stack.data.dtype).kind != "f":
        return
    planes = list(plane_indices(stack))
    for done, index in enumerate(planes, start=1):
        if np.isfinite(grey.read(stack, index)).any():
            yield Progress(1, 1, "range")
            return
        yield Progress(done, len(planes), "range")
    raise DataError(f"{stack.name or 'The image'} has no pixel with a value.", hint="Check that the file is whole and not all NaN.")


def unknown_in(values: NDArray[Any]) -> NDArray[np.bool_] | None:
    """Return where pixels have no finite value; None where all have one."""
    if values.dtype.kind != "f":
        return None
    unknown = ~np.isfinite(values)
    return unknown if unknown.any() else None


def unknown_steps(values: NDArray[Any]) -> Generator[float, None, NDArray[np.bool_] | None]:
    """Do what `unknown_in` does, in steps."""
    known = yield from finite_steps(values)
    return None if known is None else (yield from made_steps(values.shape, bool, lambda part: ~known[part]))


@dataclass(frozen=True, slots=True)
class Volume:
    """The slices of one channel and time.

    Parameters
    ----------
    planes
        Index of each slice.
    key
        Index of the volume in an array of `Stack.label_shape`.
    order
        Turns that part into ``(depth, Y, X)``.
    """

    planes: tuple[PlaneIndex, ...]
    key: tuple[int | slice, ...]
    order: tuple[int, ...]

    def of(self, array: NDArray[Any]) -> NDArray[Any]:
        """Return the volume's part of an array, ``(depth, Y, X)``; writing to it writes to the array."""
        return array[self.key].transpose(self.order)


def volumes_of(stack: Stack) -> list[Volume]:
    """Return every volume of a stack, in storage order.

    Raises
    ------
    AxesError
        If the stack has no slices.
    """
    depth, axes = depth_axis(stack), plane_axes(stack)
    at = axes.index(depth)
    counts = plane_shape(stack)
    free = [axis for axis in stack.label_axes if axis in (depth, "Y", "X")]
    order = tuple(free.index(axis) for axis in (depth, "Y", "X"))
    found = []
    for place in itertools.product(*(range(1 if i == at else n) for i, n in enumerate(counts))):
        fixed = dict(zip(axes, place, strict=True))
        key = tuple(slice(None) if axis in free else fixed[axis] for axis in stack.label_axes)
        found.append(Volume(tuple((*place[:at], z, *place[at + 1 :]) for z in range(counts[at])), key, order))
    return found


def read_volume_steps(stack: Stack, grey: Grey, volume: Volume, done: int, total: int) -> Steps[NDArray[Any]]:
    """Read the grey values of a volume plane by plane: the one after ``done`` of ``total`` volumes."""
    values: NDArray[Any] | None = None
    for z, index in enumerate(volume.planes):
        plane = grey.read(stack, index)
        values = np.empty((len(volume.planes), *plane.shape), plane.dtype) if values is None else values
        values[z] = plane
        yield Progress(done * len(volume.planes) + z + 1, total * len(volume.planes), "slice")
    assert values is not None
    return values


def _volumes_steps(stack: Stack, grey: Grey, given: Given, contour: Contour) -> Steps[NDArray[Any]]:
    volumes = volumes_of(stack)
    labels = np.zeros(stack.label_shape, np.uint8 if given.labels is None else given.labels.dtype)
    for done, volume in enumerate(volumes):
        values = yield from read_volume_steps(stack, grey, volume, done, len(volumes))
        start = None if given.labels is None else np.ascontiguousarray(volume.of(given.labels))
        made = yield from as_progress(contour(values, start), done, len(volumes), "contour")
        for _ in put_steps(volume.of(labels), made):
            yield Progress(done + 1, len(volumes), "contour")
        del made
    return labels


def inset_box(shape: tuple[int, ...], frame: float = 0.0, rows: slice = _ALL) -> NDArray[np.uint8]:
    """Return a mask of everything but a frame, whose width is that part of each axis, and at least a pixel; axes of one or two pixels have none.

    Only some rows (slices) of it, where they are asked for.
    """
    along = []
    for count in shape:
        width = max(1, math.floor(count * frame)) if count > 2 else 0
        within = np.ones(count, np.uint8)
        within[:width] = within[count - width :] = 0
        along.append(within)
    return np.asarray(_over(along, rows, np.multiply))


def checkerboard(shape: tuple[int, ...], square_px: int = 5, rows: slice = _ALL) -> NDArray[np.uint8]:
    """Return a mask like a checkerboard: small regions everywhere, so that no object is missed. Only some rows of it, where they are asked for."""
    return np.asarray(_over([(np.arange(count) // square_px % 2).astype(np.uint8) for count in shape], rows, np.bitwise_xor))


def _over(along: list[NDArray[np.uint8]], rows: slice, join: Any) -> NDArray[np.uint8]:
    """Join what is known along each axis into an array over all of them."""
    made = along[0][rows]
    for line in along[1:]:
        made = join(made[..., None], line)
    return made
