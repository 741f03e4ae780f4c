"""Edges of one plane, and the regions they enclose."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_segtool.core.labels import smallest_dtype
from napari_segtool.preprocess._smooth import float_plane

Mask = NDArray[np.bool_]
_STEEPEST = 16_000.0  # gradients become int16: steeper ones than the reference still fit, up to twice as steep
_NOISE = 1e-5  # of the largest grey value: gradients that rounding leaves behind in a constant picture


def gradients(grey: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the Sobel gradients along X and Y; 0 beside pixels without a value."""
    import cv2

    values = float_plane(grey)
    known = np.isfinite(values)
    whole = bool(known.all())
    if not whole:
        values = np.where(known, values, 0).astype(values.dtype)
    depth = cv2.CV_64F if values.itemsize == 8 else cv2.CV_32F
    along_x, along_y = (cv2.Sobel(values, depth, *way, borderType=cv2.BORDER_REPLICATE) for way in ((1, 0), (0, 1)))
    if not whole:
        away = cv2.erode(known.astype(np.uint8), np.ones((3, 3), np.uint8), borderType=cv2.BORDER_REPLICATE)
        along_x[away == 0] = along_y[away == 0] = 0
    return along_x, along_y


def strengths(grey: NDArray[Any], every: int = 1) -> NDArray[np.float32]:
    """Return the gradient magnitudes of every n-th pixel, without those that are 0 or rounding noise."""
    along_x, along_y = (part.ravel()[::every] for part in gradients(grey))
    magnitude: NDArray[np.float32] = np.hypot(along_x, along_y).astype(np.float32)
    finite = grey[np.isfinite(grey)]
    return magnitude[magnitude > _NOISE * max(float(finite.max(initial=0)), -float(finite.min(initial=0)))]


def edges(grey: NDArray[Any], strongest: float, low: float, high: float) -> Mask:
    """Return the Canny edges of a plane: one pixel wide, 8-connected.

    Parameters
    ----------
    grey
        Shape ``(Y, X)``, smoothed.
    strongest
        Gradient magnitude that counts as 1.
    low, high
        An edge holds a pixel of at least ``high``, and goes on while it is at least ``low``; fractions of ``strongest``.
    """
    import cv2

    whole_x, whole_y = (cv2.multiply(part, _STEEPEST / strongest, dtype=cv2.CV_16S) for part in gradients(grey))
    # at least 1: with a threshold of 0 every flat pixel would be an edge
    found: NDArray[np.uint8] = cv2.Canny(whole_x, whole_y, max(1.0, low * _STEEPEST), max(1.0, high * _STEEPEST), L2gradient=True)
    return np.asarray(found > 0)


def enclosed_regions(lines: Mask, *, gap_px: int, smallest_px: int, cut_regions: bool) -> NDArray[Any]:
    """Number the regions that lines enclose.

    The lines are thickened until gaps of up to ``gap_px`` are closed; what is left between them are the regions, which then
    grow back to the lines (places narrower than a gap are no region of their own). A line pixel joins the one region it touches,
    so that a region reaches its outline; lines that part two regions stay 0.

    Parameters
    ----------
    lines
        Edges, shape ``(Y, X)``.
    gap_px
        Widest gap to close.
    smallest_px
        Smaller regions become 0.
    cut_regions
        Whether regions that the picture's border cuts are numbered too; otherwise they are outside.

    Returns
    -------
    ndarray
        Smallest unsigned type, shape ``(Y, X)``: 0 outside, regions from 1 in reading order.
    """
    import cv2

    reach = (gap_px + 1) // 2
    thick = lines.astype(np.uint8)
    if reach:
        y, x = np.ogrid[-reach : reach + 1, -reach : reach + 1]
        thick = cv2.dilate(thick, (y * y + x * x <= reach * reach).astype(np.uint8))
    numbered = cv2.connectedComponents((thick == 0).astype(np.uint8), connectivity=4, ltype=cv2.CV_32S)[1]
    grown = _grown_to_lines(numbered.astype(np.float32), lines, 2 * reach).astype(np.int32)
    areas = np.bincount(grown.ravel())
    kept = areas >= smallest_px
    kept[0] = False
    if not cut_regions:
        kept[np.concatenate([grown[0], grown[-1], grown[:, 0], grown[:, -1]])] = False
    regions = (np.cumsum(kept) * kept)[grown].astype(np.float32)
    return _joined_by_lines(regions, grown == 0).astype(smallest_dtype(int(kept.sum())))


def _grown_to_lines(regions: NDArray[np.float32], lines: Mask, steps: int) -> NDArray[np.float32]:
    """Let regions grow by 4-neighbours, which cannot pass an 8-connected line, over what is no line."""
    import cv2

    cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
    for _ in range(steps):
        free = (regions == 0) & ~lines
        if not free.any():
            break
        regions = np.where(free, cv2.dilate(regions, cross, borderType=cv2.BORDER_CONSTANT, borderValue=0), regions)
    return regions


def _joined_by_lines(regions: NDArray[np.float32], line: Mask) -> NDArray[np.float32]:
    """Give each line pixel to the one region among its eight neighbours, if there is only one and it shares a side."""
    import cv2

    square, cross = np.ones((3, 3), np.uint8), cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
    beside = cv2.dilate(regions, cross, borderType=cv2.BORDER_CONSTANT, borderValue=0)
    largest = cv2.dilate(regions, square, borderType=cv2.BORDER_CONSTANT, borderValue=0)
    nothing = np.float32(regions.max(initial=0) + 1)
    least = cv2.erode(np.where(regions > 0, regions, nothing), square, borderType=cv2.BORDER_CONSTANT, borderValue=float(nothing))
    return np.where(line & (beside > 0) & (largest == least), beside, regions)
