"""The histogram of a stack: what thresholds and clusters are learned from, instead of its pixels."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_segtool.core.errors import DataError
from napari_segtool.core.planes import over_planes
from napari_segtool.core.progress import Progress, Steps, drain
from napari_segtool.core.stack import Stack
from napari_segtool.methods._grey import Grey

BINS = 65_536
"""Bins of a histogram of values that cannot be counted one by one (fractions, or whole numbers over a wider range)."""

_MEMO, _KEPT = "histograms", 4
_PIECE, _ROW = 1 << 23, 1 << 12  # pixels counted at once, and in each row of them
_ROUNDING = 8
_TURNS, _BYTE_TURNS = 16, 2  # changes of class up to which comparing is quicker than looking up, at all and for 8 bit


@dataclass(frozen=True, eq=False)
class Histogram:
    """How often each grey value occurs.

    Parameters
    ----------
    counts
        Pixels in each bin, int64; ``nan`` and infinite pixels are not counted.
    first
        Grey value of bin 0: exactly for whole numbers, else the centre of the bin.
    step
        Width of a bin: 1 where every whole number has its own.
    lowest, highest
        Smallest and largest finite grey value.
    """

    counts: NDArray[np.int64]
    first: float
    step: float
    lowest: float
    highest: float

    def levels(self) -> NDArray[np.int64]:
        """Bins that are not empty, in increasing order."""
        return np.flatnonzero(self.counts)

    def bins(self, grey: NDArray[Any]) -> NDArray[Any]:
        """Return the bin of each pixel; values outside fall into the first or last, and ``nan`` into the first."""
        if grey.dtype.kind == "u" and self.first == 0 and self.step == 1 and len(self.counts) > np.iinfo(grey.dtype).max:
            return grey
        place = (grey.astype(np.float64) - self.first) / self.step
        return np.rint(np.clip(np.nan_to_num(place, nan=0.0, posinf=len(self.counts), neginf=0), 0, len(self.counts) - 1)).astype(np.int32)

    def look_up(self, table: NDArray[Any], grey: NDArray[Any]) -> NDArray[Any]:
        """Return ``table[bin]`` for each pixel, and 0 where it is ``nan``."""
        return self.sorter(table)(grey)

    def sorter(self, table: NDArray[Any]) -> Callable[[NDArray[Any]], NDArray[Any]]:
        """Return what looks up ``table`` for the pixels of any picture; what there is to learn from the table is learned once."""
        levels = self.levels()
        classes = table[levels]
        turns = np.flatnonzero(np.diff(classes))
        jumps = np.diff(classes)[turns]  # downwards too, by going round
        # in the middle of the gaps between values that occur, so that rounding cannot move a value across
        cuts = self.first + self.step * (levels[turns] + levels[turns + 1]) / 2
        bytewise = table.dtype == np.uint8 and self.first == 0 and len(self.counts) > 255

        def sort(grey: NDArray[Any]) -> NDArray[Any]:
            import cv2

            if bytewise and grey.dtype == np.uint8 and len(turns) > _BYTE_TURNS:
                found: NDArray[Any] = cv2.LUT(grey, table[:256])
            elif len(turns) > _TURNS:
                found = table[self.bins(grey)]
            else:
                found = np.full(grey.shape, classes[0])
                for cut, jump in zip(cuts, jumps, strict=True):
                    above = grey > (math.floor(cut) if grey.dtype.kind in "iu" else grey.dtype.type(cut))
                    if len(turns) == 1 and (classes[0], jump) == (0, 1) and table.dtype == np.uint8:
                        found = above.view(np.uint8)
                    else:
                        found += above * jump
            if grey.dtype.kind == "f":
                found[np.isnan(grey)] = 0
            return found

        return sort


def stack_histogram_steps(stack: Stack, grey: Grey) -> Steps[Histogram]:
    """Count the grey values of a whole stack, plane by plane, and remember them with the stack.

    Raises
    ------
    DataError
        If no pixel has a finite value.
    """
    kept: dict[Grey, Histogram] = stack.memo.setdefault(_MEMO, {})
    if grey in kept:
        return kept[grey]
    histogram = yield from _counted(stack, grey)
    if len(kept) >= _KEPT:
        kept.pop(next(iter(kept)))
    kept[grey] = histogram
    return histogram


def stack_ends_steps(stack: Stack, grey: Grey) -> Steps[tuple[float, float]]:
    """Find the smallest and largest grey value of a stack: those of its histogram, which need not be counted for whole numbers.

    Raises
    ------
    DataError
        If no pixel has a finite value.
    """
    known = stack.memo.get(_MEMO, {}).get(grey)
    if known is None and _is_narrow(np.dtype(stack.data.dtype)) and 0 not in stack.shape:
        lowest, highest, _ = yield from _extent(stack, grey)
        return lowest, highest
    histogram = yield from stack_histogram_steps(stack, grey)
    return histogram.lowest, histogram.highest


def plane_histogram(grey: NDArray[Any]) -> Histogram | None:
    """Count the grey values of one plane; None where no pixel has a finite value."""
    try:
        return drain(_counted(Stack(grey, "YX"), Grey(colours=False)))
    except DataError:
        return None


def _is_narrow(dtype: np.dtype[Any]) -> bool:
    return dtype.kind == "b" or (dtype.kind in "iu" and dtype.itemsize <= 2)


def _counted(stack: Stack, grey: Grey) -> Steps[Histogram]:
    dtype = np.dtype(stack.data.dtype)
    narrow = _is_narrow(dtype)
    whole = dtype.kind != "f"
    if narrow:
        limits = np.iinfo(np.uint8 if dtype.kind == "b" else dtype.newbyteorder("="))
        lowest, highest = float(limits.min), float(limits.max)
    else:
        lowest, highest, whole = yield from _extent(stack, grey)
    if 0 in stack.shape or not lowest <= highest:
        raise DataError(f"{stack.name or 'The image'} has no pixel with a value.", hint="Check that the file is whole and not all NaN.")
    if dtype.kind == "f" and highest - lowest <= _ROUNDING * np.finfo(dtype).eps * max(abs(lowest), abs(highest)):
        highest = lowest  # what smoothing leaves of a constant picture is no contrast
    each = whole and highest - lowest < BINS
    bins = int(highest - lowest) + 1 if each else BINS
    step = 1.0 if each else (highest - lowest) / (BINS - 1) or 1.0
    counts = np.zeros(bins, np.int64)
    if grey.changes_nothing(stack) and isinstance(stack.data, np.ndarray) and dtype in (np.uint8, np.uint16) and stack.data.flags.c_contiguous:
        yield from _count_pieces(stack.data.reshape(-1), counts)
    else:
        yield from over_planes(stack, lambda plane, _: _count(grey(plane), lowest, step, bins), lambda found: np.add(counts, found, out=counts), "histogram")
    if narrow:
        levels = np.flatnonzero(counts)
        return Histogram(counts, lowest, 1.0, lowest + float(levels[0]), lowest + float(levels[-1]))
    return Histogram(counts, lowest, step, lowest, highest)


def _extent(stack: Stack, grey: Grey) -> Steps[tuple[float, float, bool]]:
    """Find the smallest and largest finite value, and whether all are whole: masked whole numbers are floats, for ``nan`` outside."""
    found: list[tuple[float, float, bool]] = []

    def ends(plane: NDArray[Any], _: int) -> tuple[float, float, bool]:
        values = grey(plane)
        values = values[np.isfinite(values)] if values.dtype.kind == "f" else values
        if not values.size:
            return np.inf, -np.inf, True
        return float(values.min()), float(values.max()), values.dtype.kind != "f" or bool((np.rint(values) == values).all())

    yield from over_planes(stack, ends, found.append, "range")
    lows, highs, wholes = zip(*found, strict=True) if found else ((np.inf,), (-np.inf,), (True,))
    return min(lows), max(highs), all(wholes)


def _count_pieces(values: NDArray[Any], counts: NDArray[np.int64]) -> Steps[None]:
    """Add how often each value occurs in a flat array: OpenCV shares out large pieces among the cores, and each has a table to clear and add."""
    total = -(-len(values) // _PIECE)
    for done in range(total):
        piece = values[done * _PIECE : (done + 1) * _PIECE]
        whole = len(piece) // _ROW * _ROW
        for part in (piece[:whole].reshape(-1, _ROW), piece[whole:]):
            if part.size:
                counts += _count(part, 0, 1.0, len(counts))
        yield Progress(done + 1, total, "histogram")


def _count(grey: NDArray[Any], lowest: float, step: float, bins: int) -> NDArray[np.int64]:
    import cv2

    if grey.dtype in (np.uint8, np.uint16) and grey.size < 2**24:  # OpenCV counts in float32, exact up to there
        counted: NDArray[Any] = cv2.calcHist([grey], [0], None, [bins], [0, bins])
        return counted.ravel().astype(np.int64)
    if grey.dtype.kind != "f" and step == 1.0:
        values = grey.ravel() if lowest == 0 else grey.ravel().astype(np.int64) - int(lowest)
    else:
        finite = np.isfinite(grey)
        places = (grey.ravel() if finite.all() else grey[finite]).astype(np.float64)
        places -= lowest
        places /= step
        values = np.rint(places, out=places).astype(np.int32)
    return np.bincount(values, minlength=bins)
