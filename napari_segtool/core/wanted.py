"""Work on some planes of a stack: the visible slice, or the slice of a question."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_segtool.core.errors import AxesError
from napari_segtool.core.planes import PlaneIndex, plane_axes, plane_shape
from napari_segtool.core.stack import Stack
from napari_segtool.core.target import Region, Target


class Wanted:
    """Which planes of a stack are asked for: all, or a grid of them.

    Parameters
    ----------
    stack
        Where the planes lie.
    planes
        Indices along `core.planes.plane_axes`; ``None`` takes all. Together they must form a grid: with the axes ``TZ``,
        each time that is named with each Z that is named.

    Attributes
    ----------
    shape : tuple of int
        Shape of labels of these planes alone: the stack's label shape, shortened along the plane axes.

    Raises
    ------
    AxesError
        If a plane is not in the stack, or they form no grid.

    Examples
    --------
    >>> stack = Stack(np.zeros((5, 4, 6)), "ZYX")
    >>> Wanted(stack, [(1,), (3,)]).shape
    (2, 4, 6)
    """

    def __init__(self, stack: Stack, planes: Iterable[Sequence[int]] | None = None) -> None:
        axes, counts = plane_axes(stack), plane_shape(stack)
        if planes is None:
            along = [tuple(range(n)) for n in counts]
        else:
            asked = [check_plane(stack, plane) for plane in planes]
            along = [tuple(sorted({plane[i] for plane in asked})) for i in range(len(counts))]
            if not asked or set(itertools.product(*along)) != set(asked):
                raise AxesError(f"The planes {asked} do not form a grid along {axes or 'no axis'}.", hint="Ask for them one after the other.")
        self.everything = planes is None
        self._stack, self._axes = stack, axes
        self._along = dict(zip(axes, along, strict=True))
        self._place = {axis: {index: i for i, index in enumerate(indices)} for axis, indices in self._along.items()}
        self.shape = self._short(stack.label_axes, stack.label_shape)

    def __len__(self) -> int:
        return math.prod(len(indices) for indices in self._along.values())

    def along(self, axis: str) -> tuple[int, ...]:
        """The indices asked for along one axis."""
        return self._along[axis]

    def indices(self, axes: str | None = None) -> Iterator[PlaneIndex]:
        """Every asked-for position along ``axes``, in storage order; by default along all plane axes."""
        return itertools.product(*(self._along[axis] for axis in (self._axes if axes is None else axes)))

    def put(self, target: Any, plane: PlaneIndex, values: NDArray[Any], rows: slice = slice(None), columns: slice = slice(None)) -> None:
        """Write ``(…, Y, X)`` values of a part of one plane into an array of `shape`, with the same axes before it."""
        axes = self._stack.label_axes
        place: dict[str, Any] = {axis: self._place[axis][index] for axis, index in zip(self._axes, plane, strict=True)}
        place |= {"Y": rows, "X": columns}
        flip = axes.index("Y") > axes.index("X")
        target[(Ellipsis, *(place[axis] for axis in axes))] = np.swapaxes(values, -1, -2) if flip else values

    @property
    def facts(self) -> dict[str, Any]:
        """What a recipe says of it: nothing where all planes are asked for, a range of slices where it is one, else each plane."""
        if self.everything:
            return {}
        letter = self._stack.axes[self._stack.slice_axis]
        taken = self._along.get(letter, ())
        others = all(len(indices) == n for axis, indices, n in zip(self._axes, self._along.values(), plane_shape(self._stack), strict=True) if axis != letter)
        if others and len(taken) > 1 and _is_run(taken):
            return {"slices": f"{taken[0]}:{taken[-1] + 1}"}
        return {"planes": [list(plane) for plane in self.indices()]}

    @property
    def data(self) -> Any:
        """The pixels of these planes alone, as `cut` has them, read when they are indexed along the first axis; for what walks through them once."""
        return self._stack.data if self.everything else _Part(self._stack, self._along)

    def cut(self) -> Stack:
        """Return the stack of these planes alone, in memory; the stack itself where all are asked for."""
        if self.everything:
            return self._stack
        stack = self._stack
        part = np.empty(self._short(stack.axes, stack.shape), np.dtype(stack.data.dtype))
        for plane in self.indices():
            index = dict(zip(self._axes, plane, strict=True))
            source = tuple(index.get(axis, slice(None)) for axis in stack.axes)
            target = tuple(self._place[axis][index[axis]] if axis in index else slice(None) for axis in stack.axes)
            part[target] = np.asarray(stack.data[source])
        return replace(stack, data=part, memo={})

    def _short(self, axes: str, shape: Sequence[int]) -> tuple[int, ...]:
        return tuple(len(self._along[axis]) if axis in self._along else n for axis, n in zip(axes, shape, strict=True))


class _Part:
    """Some planes of an array, read one index of the first axis at a time."""

    def __init__(self, stack: Stack, along: Mapping[str, tuple[int, ...]]) -> None:
        self._data = stack.data
        self._indices = [along.get(axis, range(n)) for axis, n in zip(stack.axes, stack.shape, strict=True)]
        self.shape = tuple(len(indices) for indices in self._indices)
        self.dtype, self.ndim = np.dtype(stack.data.dtype), len(self.shape)

    def __getitem__(self, index: int) -> NDArray[Any]:
        first, *others = self._indices
        block = np.asarray(self._data[(first[index], *(slice(indices[0], indices[-1] + 1) for indices in others))])
        for axis, indices in enumerate(others):
            if not _is_run(indices):
                block = block.take([place - indices[0] for place in indices], axis)
        return block


def _is_run(indices: Sequence[int]) -> bool:
    """Whether ascending indices leave none out."""
    return indices[-1] - indices[0] + 1 == len(indices)


def check_plane(stack: Stack, plane: Sequence[int]) -> PlaneIndex:
    """Return a plane's index if the stack has it, or raise `AxesError`."""
    axes, counts = plane_axes(stack), plane_shape(stack)
    index = tuple(int(i) for i in plane)
    if len(index) != len(counts):
        raise AxesError(f"The plane {index} has {len(index)} number(s), but planes are counted along {axes or 'no axis'}.", hint=f"Give {len(counts)}.")
    for i, n, axis in zip(index, counts, axes, strict=True):
        if not 0 <= i < n:
            raise AxesError(f"There is no plane {i} along {axis}: the image has {n}.", hint=f"Choose from 0 to {n - 1}.")
    return index


def locate(stack: Stack, target: Target) -> tuple[PlaneIndex, tuple[int, int] | None]:
    """Return the plane that is asked about, and the pixel in it as ``(y, x)``, None for none.

    Without pixel, region and plane it is the first plane; of a region the plane with most of it. A pixel may leave out the
    plane's axes where the plane is given.

    Raises
    ------
    AxesError
        If pixel, region or plane lie outside the stack or contradict each other.

    Examples
    --------
    >>> locate(Stack(np.zeros((5, 4, 6)), "ZYX"), Target(1, point=(3, 2, 5)))
    ((3,), (2, 5))
    """
    axes, point = stack.label_axes, tuple(int(i) for i in target.point)
    if point and target.region is not None:
        raise AxesError("Both a pixel and a region are asked about.", hint="Give one of them.")
    if point and len(point) == 2 and target.plane:
        order = axes if len(axes) == 2 else "".join(axis for axis in axes if axis in "YX")
        known = dict(zip(order, point, strict=True)) | dict(zip(plane_axes(stack), target.plane, strict=False))
    elif point and len(point) != len(axes):
        raise AxesError(f"The pixel {point} has {len(point)} number(s), but the image has the axes {axes}.", hint=f"Give {','.join(axes)}.")
    else:
        known = dict(zip(axes, point, strict=False))
    if target.plane:
        plane = check_plane(stack, target.plane)
    elif point:
        plane = check_plane(stack, [known[axis] for axis in plane_axes(stack)])
    elif target.region is not None:
        plane = _fullest_plane(stack, target.region)
    else:
        plane = check_plane(stack, [0] * len(plane_axes(stack)))
    if not point:
        return plane, None
    if any(known.get(axis) != i for axis, i in zip(plane_axes(stack), plane, strict=True)):
        raise AxesError(f"The pixel {point} does not lie in the plane {plane}.", hint="Give the pixel or the plane, not both.")
    size = dict(zip(stack.axes, stack.shape, strict=True))
    for axis in "YX":
        if not 0 <= known[axis] < size[axis]:
            raise AxesError(
                f"The pixel {point} is outside the image: {axis} runs from 0 to {size[axis] - 1}.", hint=f"The image is {stack.label_shape} ({axes})."
            )
    return plane, (known["Y"], known["X"])


def place_region(stack: Stack, region: Region, plane: PlaneIndex, order: str) -> tuple[tuple[int, ...], NDArray[np.bool_]]:
    """Return where a region lies in the picture (``order`` "YX") or volume ("ZYX") that a plane belongs to, and its pixels there.

    Parameters
    ----------
    region
        With one dimension for each axis of the labels, or those of Y and X alone: then it lies in ``plane``.

    Returns
    -------
    start, mask
        Index of the first pixel, and a bool array, both in ``order``.

    Raises
    ------
    AxesError
        If it is not inside the stack, or has no pixel there.

    Examples
    --------
    >>> stack = Stack(np.zeros((5, 4, 6)), "ZYX")
    >>> place_region(stack, Region.of_pixels([(3, 2, 5), (4, 1, 5)]), (3,), "YX")
    ((2, 5), array([[ True]]))
    """
    fixed = dict(zip(plane_axes(stack), plane, strict=True))
    axes, shape = stack.label_axes, stack.label_shape
    mask, start = region.mask, dict(zip(axes, region.start, strict=False))
    if mask.ndim == 2 < len(axes):
        flat = [axis for axis in axes if axis in "YX"]
        start = dict(zip(flat, region.start, strict=True)) | fixed
        mask = mask.reshape([mask.shape[flat.index(axis)] if axis in flat else 1 for axis in axes])
    elif mask.ndim != len(axes):
        raise AxesError(f"The region has {mask.ndim} dimensions, but the image has the axes {axes}.", hint=f"Draw it on labels with the axes {axes}.")
    if any(start[axis] + n > there for axis, n, there in zip(axes, mask.shape, shape, strict=True)):
        raise AxesError(f"The region reaches beyond the image, which is {shape} ({axes}).", hint="Choose labels that belong to this image.")
    places = {axis: fixed[axis] - start[axis] for axis in axes if axis not in order}
    if all(0 <= place < mask.shape[axes.index(axis)] for axis, place in places.items()):
        cut = mask[tuple(places.get(axis, slice(None)) for axis in axes)]
        left = [axis for axis in axes if axis in order]
        cut = cut.transpose([left.index(axis) for axis in order])
        if cut.any():
            inside = Region(cut, tuple(start[axis] for axis in order))
            return inside.start, inside.mask
    raise AxesError(f"The region has no pixel in the plane {plane}.", hint="Choose a plane that it crosses.")


def _fullest_plane(stack: Stack, region: Region) -> PlaneIndex:
    axes = stack.label_axes
    if region.mask.ndim != len(axes):
        raise AxesError(f"The region has {region.mask.ndim} dimensions, but the image has the axes {axes}.", hint="Say which plane it lies in.")
    counts = np.count_nonzero(region.mask, axis=(axes.index("Y"), axes.index("X")))
    place = np.unravel_index(int(np.argmax(counts)), counts.shape) if counts.ndim else ()
    first = [start for axis, start in zip(axes, region.start, strict=True) if axis not in "YX"]
    return check_plane(stack, [start + int(i) for start, i in zip(first, place, strict=True)])
