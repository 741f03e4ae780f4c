"""Gradients of one plane, and the regions that lines enclose."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_segtool.core.labels import smallest_dtype
from napari_segtool.preprocess._smooth import float_plane

Mask = NDArray[np.bool_]


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
    count, numbered = cv2.connectedComponents((thick == 0).view(np.uint8), connectivity=4, ltype=cv2.CV_32S)
    narrow = np.uint16 if count < np.iinfo(np.uint16).max else np.float32  # what OpenCV grows and shrinks, the narrower the quicker
    grown = _grown_to_lines(numbered.astype(narrow), lines, 2 * reach)
    places = grown if narrow == np.uint16 else grown.astype(np.int32)
    areas = np.bincount(places.ravel(), minlength=count)
    kept = areas >= smallest_px
    kept[0] = False
    if not cut_regions:
        kept[np.concatenate([places[0], places[-1], places[:, 0], places[:, -1]])] = False
    regions = (np.cumsum(kept) * kept).astype(narrow).take(places)
    return _joined_by_lines(regions, places == 0).astype(smallest_dtype(int(kept.sum())))


def _grown_to_lines(regions: NDArray[Any], lines: Mask, steps: int) -> NDArray[Any]:
    """Let regions grow by 4-neighbours, which cannot pass an 8-connected line, over what is no line; in place."""
    import cv2

    for _ in range(steps):
        free = (regions == 0) & ~lines
        if not free.any():
            break
        cv2.copyTo(_beside(regions), free.view(np.uint8), regions)
    return regions


def _joined_by_lines(regions: NDArray[Any], line: Mask) -> NDArray[Any]:
    """Give each line pixel to the one region among its eight neighbours, if there is only one and it shares a side; in place."""
    import cv2

    square = np.ones((3, 3), np.uint8)
    nothing = regions.dtype.type(regions.max(initial=0) + 1)
    beside = _beside(regions)
    largest = cv2.dilate(regions, square, borderType=cv2.BORDER_CONSTANT, borderValue=0)
    least = cv2.erode(regions + (regions == 0) * nothing, square, borderType=cv2.BORDER_CONSTANT, borderValue=float(nothing))
    cv2.copyTo(beside, (line & (beside > 0) & (largest == least)).view(np.uint8), regions)
    return regions


def _beside(regions: NDArray[Any]) -> NDArray[Any]:
    """Return the largest number among each pixel and its four neighbours."""
    import cv2

    across, down = (cv2.dilate(regions, np.ones(shape, np.uint8), borderType=cv2.BORDER_CONSTANT, borderValue=0) for shape in ((1, 3), (3, 1)))
    larger: NDArray[Any] = cv2.max(across, down)
    return larger
