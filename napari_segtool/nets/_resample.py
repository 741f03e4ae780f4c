"""Pictures on the grid of pixels that a model learned at, and its answers back on the grid of the picture, part by part."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_segtool.nets._neighbours import mirrored
from napari_segtool.nets._pixel_size import SAME, Zoom
from napari_segtool.nets._soften import radius_px, softened
from napari_segtool.nets._tiling import Box

_STRIP_PX = 1 << 22
"""Pixels of a picture that are resampled at once, so that the float copies stay small."""
_REACH = 3
"""Pixels that cubic interpolation looks at on either side, mirrored ones included."""

Taps = tuple[NDArray[np.int64], NDArray[np.float32]]
"""``(n, t)`` indices along an axis, and their weights, for each of n places."""


class Grid:
    """The pixels that a model is shown of a picture.

    Both grids cover the picture from edge to edge. The model's has a whole number of pixels, so that the true factor may
    differ from ``zoom`` by half a pixel in the length of an axis. What is read or given back does not depend on the parts
    it is read or given back in.

    Parameters
    ----------
    size
        Pixels of the picture along y and x.
    zoom
        Pixels of the picture that make one of the model's.
    stride
        Along y and x, of a network that must be asked about parts that begin at a multiple of its stride.

    Attributes
    ----------
    shape : tuple of int
        Pixels of the model's grid along y and x.
    same : bool
        Whether the two grids are one.
    margin : tuple of int
        What `back` needs to know around a part, in the model's pixels along y and x.

    Examples
    --------
    >>> Grid((100, 90), (0.5, 2.0)).shape
    (200, 45)
    """

    def __init__(self, size: tuple[int, int], zoom: Zoom = SAME, stride: Sequence[int] = (1, 1)) -> None:
        self.size, self.same = size, tuple(zoom) == SAME
        height, width = (max(1, round(n / factor)) for n, factor in zip(size, zoom, strict=True))
        self.shape = (height, width)
        self._step = (size[0] / height, size[1] / width)
        margin = [0 if self.same else math.ceil(max(1.0, 1 / step) + 0.5) for step in self._step]
        self.margin = (-(-margin[0] // stride[0]) * stride[0], -(-margin[1] // stride[1]) * stride[1])

    def read(self, plane: NDArray[Any], rows: slice, columns: slice) -> NDArray[np.float32]:
        """Return a part of a plane on the model's grid.

        Where the model's pixels are the larger, the picture is blurred as if it had been recorded with them; then it is
        interpolated by the cubic convolution of Keys (a = −0.75; doi:10.1109/TASSP.1981.1163711), as patches are in training.

        Parameters
        ----------
        plane
            ``(C, Y, X)``, any real dtype, without NaN.
        rows, columns
            The part, in the model's pixels.

        Returns
        -------
        ndarray
            float32, ``(C, rows, columns)``.
        """
        if self.same:
            return plane[:, rows, columns].astype(np.float32)
        part = np.empty((len(plane), rows.stop - rows.start, columns.stop - columns.start), np.float32)
        wide = (columns.stop - columns.start) * self._step[1] * self._step[0]
        for strip in _strips(rows, max(1, int(_STRIP_PX / wide))):
            part[:, strip.start - rows.start : strip.stop - rows.start] = self._strip(plane, strip, columns)
        return part

    def decided(self, core: Box, outer: Box) -> Box:
        """Return the part of a tile that must be decided so that ``core`` can be given `back`, counted from the corner of ``outer``."""
        grown = self.grown(core, outer)
        return tuple(slice(g.start - o.start, g.stop - o.start) for g, o in zip(grown, outer, strict=True))

    def grown(self, core: Box, outer: Box) -> Box:
        """Return ``core`` and the `margin` around it, within ``outer``."""
        margins = (*[0] * (len(core) - 2), *self.margin)
        return tuple(slice(max(o.start, c.start - m), min(o.stop, c.stop + m)) for c, o, m in zip(core, outer, margins, strict=True))

    def back(self, core: Box, known: Box, values: Tensor) -> tuple[Box, Tensor]:
        """Return the pixels of the picture whose centres lie in ``core``, and the values there.

        Linear interpolation, over a wider triangle where the model's pixels are the smaller. Every pixel of the picture lies
        in one of the cores that cover the model's grid.

        Parameters
        ----------
        core
            ``([z,] y, x)`` in the model's pixels.
        known
            Where ``values`` lie; at least `grown`.
        values
            ``(K, [Z,] Y, X)``.

        Returns
        -------
        box, values
            In pixels of the picture; ``(K, [Z,] Y, X)`` of that size. It may be empty.
        """
        if self.same:
            inner = tuple(slice(c.start - k.start, c.stop - k.start) for c, k in zip(core, known, strict=True))
            return core, values[(slice(None), *inner)]
        if len(core) == 3:
            values = values[:, core[0].start - known[0].start : core[0].stop - known[0].start]
        ends: list[slice] = []
        for axis in (0, 1):
            n, shown = self.size[axis], self.shape[axis]
            part = slice(*(-((shown - 2 * edge * n) // (2 * shown)) for edge in (core[axis - 2].start, core[axis - 2].stop)))
            places = (np.arange(part.start, part.stop) + 0.5) / self._step[axis] - 0.5
            indices, weights = _linear(places, shown, max(1.0, 1 / self._step[axis]))
            indices = np.clip(indices, known[axis - 2].start, known[axis - 2].stop - 1) - known[axis - 2].start  # those outside weigh nothing
            values = _weighed(values, axis - 2, (indices, weights))
            ends.append(part)
        return (*core[:-2], *ends), values

    def _strip(self, plane: NDArray[Any], rows: slice, columns: slice) -> NDArray[np.float32]:
        starts: list[slice] = []
        tables: list[Taps] = []
        for axis, part in enumerate((rows, columns)):
            n, places = self.size[axis], (np.arange(part.start, part.stop) + 0.5) * self._step[axis] - 0.5
            reach = _REACH + radius_px(self._step[axis])
            first, last = max(0, math.floor(places[0]) - reach), min(n, math.floor(places[-1]) + reach + 2)
            indices, weights = _cubic(places, n)
            starts.append(slice(first, last))
            tables.append((indices - first, weights))
        window = torch.from_numpy(softened(plane[:, starts[0], starts[1]].astype(np.float32), self._step))
        result: NDArray[np.float32] = _weighed(_weighed(window, -2, tables[0]), -1, tables[1]).numpy()
        return result


def _cubic(places: NDArray[np.float64], length: int) -> Taps:
    """Weights of cubic convolution, mirrored at the ends."""
    a = -0.75
    indices = np.floor(places).astype(np.int64)[:, None] + np.arange(-1, 3)
    away = np.abs(indices - places[:, None])
    near, far = ((a + 2) * away - (a + 3)) * away**2 + 1, ((a * away - 5 * a) * away + 8 * a) * away - 4 * a
    low, high = int(indices.min()), int(indices.max())
    folded = np.array([mirrored(index, length) for index in range(low, high + 1)])
    return folded[indices - low], np.where(away <= 1, near, far).astype(np.float32)


def _linear(places: NDArray[np.float64], length: int, reach: float) -> Taps:
    """Weights of a triangle that ends ``reach`` from a place; what lies outside weighs nothing."""
    indices = np.floor(places - reach).astype(np.int64)[:, None] + np.arange(1, math.ceil(2 * reach) + 1)
    weights = np.clip(1 - np.abs(indices - places[:, None]) / reach, 0, None) * ((indices >= 0) & (indices < length))
    return indices, (weights / weights.sum(1, keepdims=True)).astype(np.float32)


def _weighed(values: Tensor, axis: int, taps: Taps) -> Tensor:
    indices, weights = (torch.from_numpy(each).to(values.device) for each in taps)
    shape = [-1, *[1] * (-axis - 1)]
    total = torch.zeros(())
    for tap in range(indices.shape[1]):
        part = values.index_select(axis, indices[:, tap]).mul_(weights[:, tap].reshape(shape))
        total = part if tap == 0 else total.add_(part)
    return total


def _strips(rows: slice, most: int) -> Iterator[slice]:
    for start in range(rows.start, rows.stop, most):
        yield slice(start, min(rows.stop, start + most))
