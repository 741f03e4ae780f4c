"""Estimate how strong the noise of a picture is."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_segtool.core.planes import plane_indices, read_plane
from napari_segtool.core.progress import Progress, Steps
from napari_segtool.core.stack import Stack

TILE_PX = 7
"""Side of the tiles in which speckle is measured."""

_MEMO, _PLANES = "speckle", 16
_MASK = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)
_GAIN, _MEDIAN = 6.0, 0.6745  # of the mask for white noise; median of the absolute value of a standard normal number


def white_noise(plane: NDArray[Any]) -> float:
    """Estimate the standard deviation of white noise in a ``(Y, X)`` plane, of which ``nan`` is left out.

    The mask of Immerkær (doi:10.1006/cviu.1996.0060) answers neither to flat parts nor to slopes; the median of its answers, not their
    mean, so that edges do not count. Parts without any noise (cut off at black, say) are left out.

    Returns
    -------
    float
        0 for a picture without noise, or of fewer than 3×3 pixels.
    """
    if min(plane.shape) < 3:
        return 0.0
    import cv2

    known = np.isfinite(plane)
    answer = np.abs(cv2.filter2D(np.where(known, plane, 0).astype(np.float32), -1, _MASK))[1:-1, 1:-1]
    if not known.all():
        answer = answer[cv2.erode(known.astype(np.uint8), np.ones((3, 3), np.uint8))[1:-1, 1:-1] > 0]
    answer = answer[answer > 0]
    return float(np.median(answer)) / _MEDIAN / _GAIN if answer.size else 0.0


def speckle_steps(stack: Stack) -> Steps[float]:
    """Estimate the coefficient of variation of speckle, standard deviation through mean, of a stack without channels.

    It is measured in tiles of 7×7 pixels of up to 16 slices spread evenly. Tiles with an edge or texture vary more than speckle alone, so the
    lower quartile of all tiles counts as that of homogeneous ones. Tiles that are black or do not vary at all (cut off) are left out.
    Remembered with the stack.

    Returns
    -------
    float
        0 where no tile is left.
    """
    if _MEMO not in stack.memo:
        planes = list(plane_indices(stack))
        planes = planes[:: -(-len(planes) // _PLANES)]
        found: list[NDArray[np.float64]] = []
        for done, index in enumerate(planes, start=1):
            found.append(_variations(read_plane(stack, index)))
            yield Progress(done, len(planes), "speckle")
        joined = np.concatenate(found) if found else np.zeros(0)
        stack.memo[_MEMO] = float(np.percentile(joined, 25)) if joined.size else 0.0
    known: float = stack.memo[_MEMO]
    return known


def _variations(plane: NDArray[Any]) -> NDArray[np.float64]:
    side_y, side_x = (min(TILE_PX, n) for n in plane.shape)
    rows, columns = plane.shape[0] // side_y, plane.shape[1] // side_x
    values = plane[: rows * side_y, : columns * side_x].astype(np.float64)
    values[~np.isfinite(values)] = np.nan
    tiles = values.reshape(rows, side_y, columns, side_x).transpose(0, 2, 1, 3).reshape(rows * columns, -1)
    tiles = tiles[~np.isnan(tiles).any(axis=1)]
    mean, spread = tiles.mean(axis=1), tiles.std(axis=1, ddof=1 if tiles.shape[1] > 1 else 0)
    lit = (mean > 0.01 * mean.max(initial=0)) & (spread > 1e-6 * mean)
    found: NDArray[np.float64] = spread[lit] / mean[lit]
    return found
