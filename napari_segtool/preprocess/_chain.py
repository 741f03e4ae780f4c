"""Filters applied one after the other, plane by plane, only where somebody looks."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_segtool.core.chain import Link
from napari_segtool.core.planes import PlaneRule, label_key, plane_axes, plane_indices, plane_shape, read_plane
from napari_segtool.core.progress import Steps
from napari_segtool.core.registry import FILTERS
from napari_segtool.core.stack import Stack


def filtered_steps(stack: Stack, links: tuple[Link, ...]) -> Steps[Stack]:
    """Return the stack behind a chain of filters.

    Filters that need no more than one plane are applied when a plane is first read, and the answer is kept; the others run here.

    Parameters
    ----------
    stack
        Any axes.
    links
        Filters in order, from `core.chain.parse_chain`.

    Returns
    -------
    Stack
        Of the same spacing, and of the same axes but for filters that join channels; the stack itself where the chain is empty.
    """
    for link in links:
        entry = FILTERS.get(link.name)
        outcome = yield from entry.function(stack, entry.params.build(**link.params))
        if isinstance(outcome, np.ndarray):
            axes = stack.axes if outcome.ndim == len(stack.axes) else stack.label_axes
            stack = replace(stack, data=outcome, axes=axes, memo={})
        else:
            stack = replace(stack, data=FilteredPlanes(stack, outcome), axes=stack.label_axes, memo={})
    return stack


class FilteredPlanes:
    """An array whose planes are made by a rule when they are first read, and kept.

    Parameters
    ----------
    stack
        Where the planes come from.
    rule
        Turns a plane into its filtered form.
    """

    def __init__(self, stack: Stack, rule: PlaneRule) -> None:
        self._stack, self._rule = stack, rule
        self.shape, self.ndim = stack.label_shape, len(stack.label_shape)
        self._places = np.arange(int(np.prod(plane_shape(stack), dtype=np.int64))).reshape(plane_shape(stack))
        self._indices = list(plane_indices(stack))
        self._made = np.zeros(len(self._indices), bool)
        first = np.asarray(rule(read_plane(stack, self._indices[0])))
        self.dtype = first.dtype
        self._planes: NDArray[Any] = np.empty(self.shape, first.dtype)
        self._keep(0, first)

    def __getitem__(self, key: Any) -> NDArray[Any]:
        parts = _whole_key(key, self.ndim)
        axes = self._stack.label_axes
        along = tuple(parts[axes.index(axis)] for axis in plane_axes(self._stack))
        for place in np.atleast_1d(self._places[along]).ravel():
            if not self._made[place]:
                self._keep(int(place), np.asarray(self._rule(read_plane(self._stack, self._indices[place]))))
        planes: NDArray[Any] = self._planes[key]
        return planes

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.asarray(self[...], dtype=dtype)

    def _keep(self, place: int, plane: NDArray[Any]) -> None:
        axes = self._stack.label_axes
        self._planes[label_key(self._stack, self._indices[place])] = plane.T if axes.index("Y") > axes.index("X") else plane
        self._made[place] = True


def _whole_key(key: Any, ndim: int) -> tuple[Any, ...]:
    """Return an index with one part for each axis."""
    parts = key if isinstance(key, tuple) else (key,)
    if any(part is Ellipsis for part in parts):
        place = next(i for i, part in enumerate(parts) if part is Ellipsis)
        parts = (*parts[:place], *(slice(None),) * (ndim - len(parts) + 1), *parts[place + 1 :])
    return (*parts, *(slice(None),) * (ndim - len(parts)))
