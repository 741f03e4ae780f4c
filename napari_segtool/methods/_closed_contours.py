"""Contours that close: a boundary that is faint in one place is drawn there too, as strong as it is on the whole."""

from __future__ import annotations

import heapq
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from napari_segtool.core.neighbours import pairs_at
from napari_segtool.methods._basins import basins_steps, passes_steps
from napari_segtool.methods._overflow import overflowed_steps
from napari_segtool.preprocess._portions import portion

_MERGERS = 20_000  # between two steps
_WAYS = ((0, 1), (1, 0), (1, 1), (1, -1))
"""From a pixel to half of its eight neighbours."""


@dataclass(frozen=True, eq=False)
class _Meetings:
    """Where two regions touch.

    Parameters
    ----------
    ridge
        Flat index of the higher pixel of each two neighbours that lie in different regions.
    number
        Which pair of regions those two belong to, from 0.
    pairs
        ``(P, 2)``: the regions of each pair.
    total, count
        Of each pair: sum of the heights of its ridge, and how many there are.
    """

    ridge: NDArray[np.intp]
    number: NDArray[np.intp]
    pairs: NDArray[np.int64]
    total: NDArray[np.float64]
    count: NDArray[np.int64]


def closed_contours_steps(boundary: NDArray[np.float32], *, smoothing_px: float = 1.0, depth: float = 0.02) -> Generator[float, None, NDArray[np.float32]]:
    """Raise a map of boundaries along one-pixel lines, so that at every threshold it consists of closed contours.

    The map is parted into regions by a watershed. The two regions whose common boundary is weakest on average are joined, again and again, until one
    is left; each piece of boundary is as strong as the step at which it vanished. This is the ultrametric contour map of Arbeláez et al. on a boundary
    that was learned, without their oriented watershed. Where the map itself is higher it stays as it is: nothing is ever lowered.

    Parameters
    ----------
    boundary
        Strength or probability of a boundary, float32, shape ``(Y, X)``, 0 to 1.
    smoothing_px
        Standard deviation of a Gaussian over the map in which regions are sought and their boundaries measured.
    depth
        How much lower than its surroundings a region must lie to be one from the beginning.

    Returns
    -------
    ndarray
        float32, shape of ``boundary``. Regions that differ at a threshold touch nowhere, not even at a corner.

    References
    ----------
    .. [1] Arbeláez, Maire, Fowlkes & Malik 2011, Contour detection and hierarchical image segmentation, doi:10.1109/TPAMI.2010.161

    Examples
    --------
    A wall with a gap in its middle parts the picture all the same:

    >>> from napari_segtool.core.progress import drain
    >>> wall = np.zeros((9, 9), np.float32)
    >>> wall[:, 4] = [1, 1, 1, 1, 0.2, 1, 1, 1, 1]
    >>> bool((drain(closed_contours_steps(wall, smoothing_px=0)).max(axis=1) > 0.8).all())
    True
    """
    boundary = np.ascontiguousarray(boundary, np.float32)
    smooth = cv2.GaussianBlur(boundary, (0, 0), smoothing_px, borderType=cv2.BORDER_REFLECT_101) if smoothing_px > 0 else boundary
    basins = yield from portion(basins_steps(smooth, np.ones(smooth.shape, bool)), 0.0, 0.4)
    edges = yield from portion(passes_steps(smooth, basins.labels), 0.4, 0.5)
    ends = yield from portion(overflowed_steps(basins, edges, depth), 0.5, 0.6)
    meetings = _meetings(ends[basins.labels], smooth)
    yield 0.7
    heights = yield from portion(_heights_steps(meetings, int(ends.max(initial=0))), 0.7, 1.0)
    closed = boundary.copy()
    np.maximum.at(closed.reshape(-1), meetings.ridge, heights[meetings.number])
    return closed


def _meetings(regions: NDArray[np.uint32], heights: NDArray[np.float32]) -> _Meetings:
    places = np.arange(regions.size, dtype=np.intp).reshape(regions.shape)
    ridges, keys = [], []
    width = int(regions.max(initial=0)) + 1
    for way in _WAYS:
        here, there = pairs_at(way, regions.shape)
        differ = regions[here] != regions[there]
        one, other = regions[here][differ].astype(np.int64), regions[there][differ].astype(np.int64)
        upper = heights[here][differ] >= heights[there][differ]
        ridges.append(np.where(upper, places[here][differ], places[there][differ]))
        keys.append(np.minimum(one, other) * width + np.maximum(one, other))
    ridge = np.concatenate(ridges)
    kinds, number = np.unique(np.concatenate(keys), return_inverse=True)
    total = np.bincount(number, heights.reshape(-1)[ridge].astype(np.float64), len(kinds)).astype(np.float64)
    return _Meetings(ridge, number, np.stack(np.divmod(kinds, width), axis=1), total, np.bincount(number, minlength=len(kinds)))


def _heights_steps(meetings: _Meetings, regions: int) -> Generator[float, None, NDArray[np.float32]]:
    """At which strength each pair of regions is joined: of all common boundaries, the one that is weakest on average goes first."""
    around: list[dict[int, _Border]] = [{} for _ in range(regions + 1)]
    queue: list[tuple[float, int, int, int]] = []
    for number, ((one, other), total, count) in enumerate(zip(meetings.pairs.tolist(), meetings.total.tolist(), meetings.count.tolist(), strict=True)):
        around[one][other] = around[other][one] = _Border(total, count, [number])
        queue.append((total / count, one, other, count))
    heapq.heapify(queue)
    heights = np.zeros(len(meetings.pairs), np.float32)
    level, looked = 0.0, 0
    while queue:
        looked += 1
        if looked % _MERGERS == 0:
            yield min(0.99, looked / (2 * len(heights)))
        strength, one, other, count = heapq.heappop(queue)
        border = around[one].get(other)
        if border is None or border.count != count:
            continue  # joined with another in the meantime
        level = max(level, strength)
        heights[border.numbers] = level
        if len(around[one]) < len(around[other]):
            one, other = other, one
        del around[one][other], around[other][one]
        for third, theirs in around[other].items():
            del around[third][other]
            ours = around[one].get(third)
            joined = theirs if ours is None else ours.with_(theirs)
            around[one][third] = around[third][one] = joined
            heapq.heappush(queue, (joined.total / joined.count, one, third, joined.count))
        around[other] = {}
    return heights


@dataclass(slots=True)
class _Border:
    """The common boundary of two regions: sum and number of its heights, and the pairs of first regions that it consists of."""

    total: float
    count: int
    numbers: list[Any]

    def with_(self, other: _Border) -> _Border:
        longer, shorter = (self.numbers, other.numbers) if len(self.numbers) >= len(other.numbers) else (other.numbers, self.numbers)
        longer.extend(shorter)
        return _Border(self.total + other.total, self.count + other.count, longer)


def with_closed_contours_steps(chances: NDArray[np.float32], separator: int) -> Generator[float, None, None]:
    """Close the gaps of the class that parts objects, in place.

    Parameters
    ----------
    chances
        Probabilities of the classes, float32, shape ``(K, Y, X)``; they still add up to 1 afterwards, the others in the proportions they had.
    separator
        Index of the class.
    """
    before = chances[separator]
    after = yield from closed_contours_steps(before)
    places = np.nonzero(after > before)
    left = (1 - after[places]) / np.maximum(1 - before[places], np.float32(1e-6))
    for index, chance in enumerate(chances):
        chance[places] = after[places] if index == separator else chance[places] * left
