"""The histogram of one slice, as the method sees it: behind the filters, inside the mask, smoothed as it smooths."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_segtool.core.planes import PlaneIndex
from napari_segtool.core.progress import Steps
from napari_segtool.core.stack import Stack

BINS = 128
_MOST_CLASSES = 16
_MEMO = "bars of a slice"


@dataclass(frozen=True, eq=False)
class Bars:
    """Histogram of one slice, on the scale of the whole stack.

    Parameters
    ----------
    counts
        Pixels in each bin.
    lowest, highest
        Smallest and largest grey value of the stack: the ends of the scale.
    borders
        Smallest grey value of each class but the darkest; empty where classes are not ranges of grey.
    """

    counts: NDArray[np.float64]
    lowest: float
    highest: float
    borders: tuple[float, ...] = ()


def bars_steps(stack: Stack, index: PlaneIndex, labels: NDArray[Any], smoothing_px: float = 0.0) -> Steps[Bars]:
    """Count the grey values of one plane, and find where those of its classes meet.

    Parameters
    ----------
    labels
        What a method made of the plane, ``(Y, X)``.
    smoothing_px
        How wide the method smooths the plane.

    Raises
    ------
    DataError
        If no pixel of the stack has a finite value.
    """
    from napari_segtool.methods._grey import Grey
    from napari_segtool.methods._histogram import stack_histogram_steps

    grey = Grey.of(stack, smoothing_px)
    whole = yield from stack_histogram_steps(stack, grey)
    highest = whole.highest if whole.highest > whole.lowest else whole.lowest + 1.0
    kept = stack.memo.get(_MEMO)
    if kept is None or kept[0] != (index, grey):
        plane = grey.read(stack, index)
        finite = plane[np.isfinite(plane)] if plane.dtype.kind == "f" else plane
        counts = np.histogram(finite, BINS, (whole.lowest, highest))[0].astype(np.float64)
        kept = stack.memo[_MEMO] = ((index, grey), plane, counts)
    return Bars(kept[2], whole.lowest, highest, borders(kept[1], labels))


def borders(grey: NDArray[Any], labels: NDArray[Any]) -> tuple[float, ...]:
    """Return the smallest grey value of each class but the darkest; nothing where classes overlap in grey, or are many.

    Examples
    --------
    >>> borders(np.array([[1, 2, 7, 9]], np.uint8), np.array([[0, 0, 1, 1]]))
    (7.0,)
    >>> borders(np.array([[1, 8, 7, 9]], np.uint8), np.array([[0, 0, 1, 1]]))
    ()
    """
    import cv2

    if labels.max(initial=0) > _MOST_CLASSES:
        return ()
    values = grey if grey.dtype in (np.uint8, np.uint16, np.float32) else grey.astype(np.float64)
    counted = np.isfinite(values) if values.dtype.kind == "f" else np.True_
    ranges = []
    for value in range(int(labels.max(initial=0)) + 1):
        chosen = np.ascontiguousarray((labels == value) & counted)
        if chosen.any():
            low, high, _, _ = cv2.minMaxLoc(np.ascontiguousarray(values), chosen.view(np.uint8))
            ranges.append((low, high))
    ranges.sort()
    apart = all(low[1] < high[0] for low, high in itertools.pairwise(ranges))
    return tuple(float(low) for low, _ in ranges[1:]) if apart else ()
