"""Superpixels of one slice, to paint with: small regions that keep to the edges of the picture."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_segtool.core.errors import DataError, ParameterError
from napari_segtool.core.planes import PlaneIndex
from napari_segtool.core.progress import Steps, as_progress
from napari_segtool.core.stack import Stack

SMALLEST_PX, LARGEST_PX = 3, 200
_COMPACTNESS = 15.0
_ROUNDS = 10
_SMOOTHING_PX = 1.0
_DARKEST, _BRIGHTEST = 1, 99


@dataclass(frozen=True, eq=False)
class Superpixels:
    """The superpixels of one slice.

    Parameters
    ----------
    labels
        int32, ``(Y, X)``: numbered from 1; 0 where the picture has no value.
    index
        The slice, along `core.planes.plane_axes`.
    size_px
        Width that was asked for.
    """

    labels: NDArray[np.int32]
    index: PlaneIndex
    size_px: int

    @property
    def count(self) -> int:
        """How many there are."""
        return int(self.labels.max(initial=0))

    def under(self, start: tuple[float, float], end: tuple[float, float]) -> NDArray[np.bool_]:
        """Return the pixels of all superpixels that a straight stroke touches.

        Parameters
        ----------
        start, end
            ``(y, x)`` in pixels; what lies outside the slice touches nothing.

        Returns
        -------
        ndarray
            bool, ``(Y, X)``.

        Examples
        --------
        >>> quarters = Superpixels(np.array([[1, 1, 2, 2], [3, 3, 4, 4]], np.int32), (), 2)
        >>> quarters.under((0, 0), (0, 3)).astype(int).tolist()
        [[1, 1, 1, 1], [0, 0, 0, 0]]
        """
        height, width = self.labels.shape
        steps = 1 + 2 * math.ceil(max(abs(end[0] - start[0]), abs(end[1] - start[1])))
        rows, columns = (np.floor(np.linspace(a, b, steps) + 0.5).astype(int) for a, b in zip(start, end, strict=True))
        inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
        touched = np.zeros(self.count + 1, bool)
        touched[self.labels[rows[inside], columns[inside]]] = True
        touched[0] = False
        return touched[self.labels]

    def outlines(self) -> NDArray[np.bool_]:
        """Return the lines between superpixels, one pixel wide: bool, ``(Y, X)``."""
        lines = np.zeros(self.labels.shape, bool)
        lines[:, 1:] |= self.labels[:, 1:] != self.labels[:, :-1]
        lines[1:] |= self.labels[1:] != self.labels[:-1]
        return lines


def superpixel_steps(stack: Stack, index: PlaneIndex, size_px: int) -> Steps[Superpixels]:
    """Divide one slice into superpixels by SLIC, as the method ``slic`` does, but on the grey values of this slice alone.

    Parameters
    ----------
    stack
        Any axes; colours are taken as luminance, other channels as their mean.
    index
        The slice.
    size_px
        Width of a superpixel in pixels, 3 to 200.

    Returns
    -------
    Superpixels
        Each in one piece.

    Raises
    ------
    ParameterError
        If the size is out of bounds.
    DataError
        If no pixel of the slice has a finite value.

    References
    ----------
    .. [1] Achanta et al. 2012, SLIC superpixels compared to state-of-the-art superpixel methods, doi:10.1109/TPAMI.2012.120
    """
    from napari_segtool.methods._grey import Grey
    from napari_segtool.methods._superpixels import superpixel_steps as slic_steps

    if not SMALLEST_PX <= size_px <= LARGEST_PX:
        raise ParameterError(f"size_px = {size_px} is not allowed.", hint=f"Give a width from {SMALLEST_PX} to {LARGEST_PX} px.")
    values = Grey.of(stack, _SMOOTHING_PX, whole=False).read(stack, index).astype(np.float32)
    known = np.isfinite(values)
    if not known.any():
        raise DataError(f"This slice of {stack.name or 'the image'} has no pixel with a value.", hint="Choose another slice.")
    low, high = np.percentile(values[known], (_DARKEST, _BRIGHTEST))
    percent = (np.where(known, values, low) - low) * (100 / ((high - low) or 1))
    work = slic_steps(percent.clip(0, 100).astype(np.float32), known, (float(size_px), float(size_px)), _COMPACTNESS, _ROUNDS)
    labels = yield from as_progress(work, 0, 1, "superpixels")
    return Superpixels(np.asarray(labels, np.int32), index, size_px)
