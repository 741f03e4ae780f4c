"""Grey values of a plane or of a whole stack in a few numbers: range, mean, percentiles."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_segtool.core.planes import plane_indices, read_plane
from napari_segtool.core.progress import Progress, Steps
from napari_segtool.core.stack import Stack

_MEMO, _SAMPLE = "grey statistics", 2_000_000


@dataclass(frozen=True, eq=False)
class Statistics:
    """What is known of the finite grey values of a picture.

    Parameters
    ----------
    low, high
        Darkest and brightest; both ``nan`` where no pixel has a finite value.
    mean, std
        Mean and standard deviation.
    levels, counts
        Distinct grey values in order and how often each occurs: all of them for 8 and 16 bit, for other types those of at most
        2,000,000 pixels spread evenly.
    """

    low: float
    high: float
    mean: float
    std: float
    levels: NDArray[np.float64]
    counts: NDArray[np.int64]

    def percentile(self, percent: float) -> float:
        """Return a percentile, interpolated between grey values as by `numpy.percentile`."""
        if percent <= 0 or percent >= 100 or not len(self.levels):
            return self.low if percent <= 50 else self.high
        upto = np.cumsum(self.counts)
        place = percent / 100 * (int(upto[-1]) - 1)
        below, above = (float(self.levels[np.searchsorted(upto, rank, side="right")]) for rank in (math.floor(place), math.ceil(place)))
        return below + (above - below) * (place - math.floor(place))


def statistics_steps(stack: Stack) -> Steps[Statistics]:
    """Look at every plane of a stack without channels; remembered with the stack."""
    if _MEMO not in stack.memo:
        gathered = _Gathered(np.dtype(stack.data.dtype), math.prod(stack.shape) // _SAMPLE | 1)  # odd, so that it does not keep to the same columns
        planes = list(plane_indices(stack))
        for done, index in enumerate(planes, start=1):
            gathered.add(read_plane(stack, index))
            yield Progress(done, len(planes), "grey values")
        stack.memo[_MEMO] = gathered.finish()
    found: Statistics = stack.memo[_MEMO]
    return found


def plane_statistics(plane: NDArray[Any]) -> Statistics:
    """Look at one plane."""
    gathered = _Gathered(plane.dtype, plane.size // _SAMPLE | 1)
    gathered.add(plane)
    return gathered.finish()


def scale_steps(stack: Stack) -> Steps[tuple[float, float]]:
    """Find black and white of a stack without channels, see `scale_of`; looks at its planes only where the type does not say."""
    dtype = np.dtype(stack.data.dtype)
    if dtype.itemsize == 1:
        return scale_of(dtype, _NOTHING)
    return scale_of(dtype, (yield from statistics_steps(stack)))


def scale_of(dtype: np.dtype[Any], statistics: Statistics) -> tuple[float, float]:
    """Return black and white: those of the type for 8 bit and booleans, else the darkest and brightest value there is.

    Wider types are seldom filled (12 bit in 16), so their limits say nothing of the picture.
    """
    if dtype.kind == "b":
        return 0.0, 1.0
    if dtype.kind in "iu" and dtype.itemsize == 1:
        return float(np.iinfo(dtype).min), float(np.iinfo(dtype).max)
    return statistics.low, statistics.high


_NOTHING = Statistics(math.nan, math.nan, math.nan, math.nan, np.zeros(0), np.zeros(0, np.int64))


class _Gathered:
    def __init__(self, dtype: np.dtype[Any], stride: int) -> None:
        self._narrow = dtype.kind == "b" or (dtype.kind in "iu" and dtype.itemsize <= 2)
        self._base = int(np.iinfo(dtype.newbyteorder("=")).min) if dtype.kind == "i" else 0
        self._counts = np.zeros((1 << 8 * dtype.itemsize) if self._narrow else 0, np.int64)
        self._stride = stride
        self._sample: list[NDArray[np.float64]] = []
        self._low, self._high, self._count, self._mean, self._squares = math.inf, -math.inf, 0, 0.0, 0.0

    def add(self, plane: NDArray[Any]) -> None:
        if self._narrow:
            values = plane.ravel() if plane.dtype.kind in "bu" else plane.ravel().astype(np.int64) - self._base
            self._counts += np.bincount(values.astype(np.uint8) if plane.dtype.kind == "b" else values, minlength=len(self._counts))
            return
        known = (plane[np.isfinite(plane)] if plane.dtype.kind == "f" else plane).ravel().astype(np.float64)
        if not known.size:
            return
        self._low, self._high = min(self._low, float(known.min())), max(self._high, float(known.max()))
        mean, count = float(known.mean()), self._count + known.size
        self._squares += float(((known - mean) ** 2).sum()) + (mean - self._mean) ** 2 * self._count * known.size / count
        self._mean += (mean - self._mean) * known.size / count
        self._count = count
        self._sample.append(known[:: self._stride])

    def finish(self) -> Statistics:
        if self._narrow:
            places = np.flatnonzero(self._counts)
            levels, counts = places.astype(np.float64) + self._base, self._counts[places]
            if not len(levels):
                return _NOTHING
            mean = float(np.average(levels, weights=counts))
            return Statistics(float(levels[0]), float(levels[-1]), mean, math.sqrt(float(np.average((levels - mean) ** 2, weights=counts))), levels, counts)
        if not self._count:
            return _NOTHING
        levels, counts = np.unique(np.concatenate(self._sample), return_counts=True)
        return Statistics(self._low, self._high, self._mean, math.sqrt(self._squares / self._count), levels, counts)
