"""Superpixels of one slice, to paint with: small regions that keep to the edges of the picture."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_segtool.core.errors import DataError, ParameterError
from napari_segtool.core.planes import PlaneIndex, read_plane
from napari_segtool.core.progress import Progress, Steps
from napari_segtool.core.stack import Stack

SMALLEST_PX, LARGEST_PX = 3, 200
_COMPACTNESS = 0.1
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
    """Divide one slice into superpixels by SLIC: clusters of pixels alike in place and brightness, or colour.

    Parameters
    ----------
    stack
        Any axes; colours count as they are seen, other channels by their mean.
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
    from skimage.segmentation import slic

    if not SMALLEST_PX <= size_px <= LARGEST_PX:
        raise ParameterError(f"size_px = {size_px} is not allowed.", hint=f"Give a width from {SMALLEST_PX} to {LARGEST_PX} px.")
    picture, known, colour = _picture(stack, index)
    yield Progress(0, 1, "superpixels")
    count = max(1, round(known.size / size_px**2))
    labels = slic(
        picture,
        n_segments=count,
        compactness=100 * _COMPACTNESS if colour else _COMPACTNESS,  # CIELAB runs to 100, grey to 1
        sigma=_SMOOTHING_PX,
        start_label=1,
        channel_axis=-1 if colour else None,
    )
    yield Progress(1, 1, "superpixels")
    return Superpixels(np.where(known, labels, 0).astype(np.int32), index, size_px)


def _picture(stack: Stack, index: PlaneIndex) -> tuple[NDArray[Any], NDArray[np.bool_], bool]:
    """Return a slice from 0 to 1, where it has values, and whether it is in colour."""
    from napari_segtool.methods._grey import Grey

    plane = read_plane(stack, index)
    colour = bool("S" in stack.axes and plane.shape[0] >= 3)
    values = np.moveaxis(plane[:3], 0, -1).astype(np.float32) if colour else Grey.of(stack)(plane).astype(np.float32)
    finite = np.isfinite(values)
    known: NDArray[np.bool_] = np.asarray(finite.all(axis=-1) if colour else finite)
    if not known.any():
        raise DataError(f"This slice of {stack.name or 'the image'} has no pixel with a value.", hint="Choose another slice.")
    low, high = np.percentile(values[known], (_DARKEST, _BRIGHTEST))
    filled = np.where(finite, values, np.float32(low))
    return ((filled - low) / ((high - low) or 1)).clip(0, 1), known, colour
