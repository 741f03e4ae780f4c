"""Regions that lines of one plane enclose."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_segtool.core.labels import smallest_dtype

Mask = NDArray[np.bool_]


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
