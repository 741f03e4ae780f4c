"""Work on some planes of a stack: the visible slice, or the slice of a question."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_segtool.core.errors import AxesError
from napari_segtool.core.planes import PlaneIndex, plane_axes, plane_shape
from napari_segtool.core.stack import Stack


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
