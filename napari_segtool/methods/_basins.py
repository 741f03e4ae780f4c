"""Watersheds: which way water runs on a surface, where it gathers, and over which passes basins overflow."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_segtool.core.neighbours import next_along
from napari_segtool.core.slabs import made_steps, slabs_along
from napari_segtool.methods._components import PART, components_steps
from napari_segtool.preprocess._portions import portion
from napari_segtool.preprocess._smooth import float_plane

_SIGN = np.uint32(1 << 31)
_JOINED = 1 << 18  # passes that are joined between two steps, about


@dataclass(frozen=True, eq=False)
class Edges:
    """The lowest pass between each two basins that touch.

    Parameters
    ----------
    first, second
        Numbers of the basins, ``first < second``.
    height
        Height of the pass.
    """

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    height: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Basins:
    """The catchment basins of a surface: from every pixel in one, water runs to the same minimum.

    Parameters
    ----------
    labels
        uint32, shape of the surface: basins from 1, 0 where nothing runs.
    bottom
        Height of each minimum, index 0 unused.
    place
        Flat index of the first pixel of each minimum, index 0 unused.
    """

    labels: NDArray[np.uint32]
    bottom: NDArray[np.float64]
    place: NDArray[np.int64]

    @property
    def count(self) -> int:
        """Number of basins."""
        return len(self.bottom) - 1


def basins_steps(
    surface: NDArray[np.float32], inside: NDArray[np.bool_], marks: NDArray[Any] | None = None, walls: NDArray[Any] | None = None
) -> Generator[float, None, Basins]:
    """Let water run downhill from every pixel to its lowest face neighbour.

    On a plateau water runs to the nearest place where it falls; a plateau from which it falls nowhere is a minimum.

    Parameters
    ----------
    surface
        Heights, float32, shape ``(Y, X)`` or ``(Z, Y, X)``.
    inside
        Where water runs at all.
    marks
        Whole numbers: connected pixels of one mark above 0 are made a hole, a minimum deeper than any other.
    walls
        Whole numbers: no water runs between pixels of different numbers.

    Returns
    -------
    Basins
        Numbered in the order of their minima.

    References
    ----------
    .. [1] Meyer 1994, Topographic distance and watershed lines, doi:10.1016/0165-1684(94)90060-4
    """

    def with_holes(part: slice) -> NDArray[np.float32]:
        high = np.where(inside[part], surface[part], np.float32(np.inf))
        if marks is not None:
            high[(marks[part] > 0) & inside[part]] = -np.inf
        return high

    heights = yield from portion(made_steps(surface.shape, np.float32, with_holes), 0.0, 0.0)
    index = np.int32 if heights.size < 2**31 else np.int64
    downhill = np.empty(heights.shape, index)
    rows = max(1, PART // max(1, heights[:1].size))
    for start in range(0, len(heights), rows):
        downhill[start : start + rows] = _downhill(heights, walls, start, min(len(heights), start + rows), index)
        yield 0.4 * min(1.0, (start + rows) / len(heights))
    plane = heights[:1].size

    def stays(part: slice) -> NDArray[np.bool_]:
        own = np.arange(part.start * plane, part.stop * plane, dtype=index).reshape(downhill[part].shape)
        return np.asarray((downhill[part] == own) & inside[part])

    flat: NDArray[np.bool_] = yield from portion(made_steps(heights.shape, bool, stays), 0.4, 0.4)
    kinds: NDArray[Any] = flat
    if walls is not None:
        most = 1 + max(int(walls[part].max(initial=0)) for part in slabs_along(walls.shape))

        def kind(part: slice) -> NDArray[Any]:
            number = 1 + walls[part].astype(np.int64)
            return (number if marks is None else number + marks[part].astype(np.int64) * (most + 1)) * flat[part]

        kinds = yield from portion(made_steps(heights.shape, np.int64, kind), 0.4, 0.4)
    elif marks is not None:
        kinds = yield from portion(made_steps(heights.shape, np.uint32, lambda part: (marks[part].astype(np.uint32) + np.uint32(1)) * flat[part]), 0.4, 0.4)
    minima = yield from portion(components_steps(kinds), 0.4, 0.6)
    del kinds
    most_minima = yield from _drained(heights, downhill, flat, minima, walls, rows)
    flow, bottoms = downhill.reshape(-1), minima.reshape(-1)
    size = rows * heights[:1].size
    first = np.full(most_minima + 1, -1, np.int64)  # flat index of the first pixel of each
    for start in range(0, flow.size, size):
        part = bottoms[start : start + size]
        places = np.flatnonzero(part)[::-1]
        places = places[first[part[places]] < 0]
        first[part[places]] = places + start  # the last written stays, which is the first
        yield 0.6
    number = np.zeros(len(first), np.uint32)
    number[first >= 0] = np.arange(1, int((first >= 0).sum()) + 1)
    for start in range(0, flow.size, size):
        part = bottoms[start : start + size]
        number.take(part, mode="wrap", out=part)
        yield 0.6
    for start in range(0, flow.size, size):  # in place: what was followed before shortens the rest
        ways = flow[start : start + size]
        while True:
            further = flow.take(ways, mode="wrap")  # all are there; looking whether they are takes as long again
            if np.array_equal(further, ways):
                break
            ways[...] = further
            yield 0.6 + 0.4 * start / flow.size
        yield 0.6 + 0.4 * min(1.0, (start + size) / flow.size)
    labels = np.empty(heights.shape, np.uint32)
    filled = labels.reshape(-1)
    everywhere = bool(inside.all())
    for start in range(0, flow.size, size):
        bottoms.take(flow[start : start + size], mode="wrap", out=filled[start : start + size])
        if not everywhere:
            filled[start : start + size] *= inside.reshape(-1)[start : start + size]
        yield 1.0
    where = first[first >= 0]
    heights_there = heights.reshape(-1)[where].astype(np.float64)
    return Basins(labels, np.concatenate([[np.inf], heights_there]), np.concatenate([[-1], where]).astype(np.int64))


def _downhill(heights: NDArray[np.float32], walls: NDArray[Any] | None, start: int, stop: int, index: Any) -> NDArray[Any]:
    """Return for the pixels of some rows or slices the flat index of the lowest of themselves and their face neighbours."""
    import cv2

    low = heights[start:stop].copy()
    way_taken = np.zeros(low.shape, np.uint8)  # which neighbour, in one byte: to choose between bytes is much quicker than between indices
    offsets = [0]
    strides = np.array(heights.strides) // heights.itemsize
    for axis in range(heights.ndim):
        for way in (-1, 1):
            own = [slice(None)] * heights.ndim
            other: list[slice] = [slice(start, stop), *[slice(None)] * (heights.ndim - 1)]
            if axis == 0:
                first, last = max(start, -way if way < 0 else 0), min(stop, len(heights) - max(0, way))
                own[0], other[0] = slice(first - start, last - start), slice(first + way, last + way)
            else:
                own[axis] = slice(1, None) if way < 0 else slice(None, -1)
                other[axis] = slice(None, -1) if way < 0 else slice(1, None)
            neighbour, here, taken = heights[tuple(other)], low[tuple(own)], way_taken[tuple(own)]
            lower = neighbour < here
            if walls is not None:
                lower &= walls[tuple(other)] == walls[start:stop][tuple(own)]
                neighbour = np.where(lower, neighbour, here)
            np.minimum(here, neighbour, out=here)
            taken *= ~lower
            taken += lower * np.uint8(len(offsets))
            offsets.append(int(way * strides[axis]))
    first_index = start * heights[:1].size
    if index == np.int32 and way_taken.size:  # NumPy would make indices of 8 bytes of them first
        table = np.zeros(256, np.int32)
        table[: len(offsets)] = offsets
        downhill: NDArray[Any] = cv2.LUT(way_taken.reshape(len(way_taken), -1), table).reshape(way_taken.shape)
    else:
        downhill = np.array(offsets, index).take(way_taken)
    downhill += np.arange(first_index, first_index + downhill.size, dtype=index).reshape(downhill.shape)
    return downhill


def _drained(
    heights: NDArray[np.float32],
    downhill: NDArray[Any],
    flat: NDArray[np.bool_],
    minima: NDArray[np.uint32],
    walls: NDArray[Any] | None,
    rows: int,
) -> Generator[float, None, int]:
    """Let plateaus that fall somewhere run there; they leave ``minima``, and ``downhill`` is set for them. Returns the largest number of a minimum."""
    falls = np.zeros(max((int(minima[part].max(initial=0)) for part in slabs_along(minima.shape)), default=0) + 1, bool)
    for start in range(0, len(heights), rows):
        part = slice(start, start + rows + 1)
        for axis in range(heights.ndim):
            for here, there in (next_along(axis, heights.ndim), next_along(axis, heights.ndim)[::-1]):
                met = flat[part][here] & ~flat[part][there]
                met &= heights[part][here] == heights[part][there]
                if walls is not None:
                    met &= walls[part][here] == walls[part][there]
                falls[minima[part][here][met]] = True
        yield 0.6
    falls[0] = False
    if not falls.any():
        return len(falls) - 1
    flow, level, bottoms = downhill.reshape(-1), heights.reshape(-1), minima.reshape(-1)
    size, found = rows * heights[:1].size, []
    for start in range(0, flow.size, size):
        found.append(np.flatnonzero(falls[bottoms[start : start + size]]) + start)
        bottoms[found[-1]] = 0
        yield 0.6
    waiting = np.concatenate(found)
    runs = (yield from portion(made_steps(flat.shape, bool, lambda part: ~flat[part]), 0.6, 0.6)).reshape(-1)
    kinds = None if walls is None else walls.reshape(-1)
    strides = np.array(heights.strides) // heights.itemsize
    while waiting.size:
        where = np.unravel_index(waiting, heights.shape)
        target = np.full(waiting.size, -1, np.int64)
        for axis in range(heights.ndim):
            for way in (-1, 1):
                at = where[axis] + way
                valid = (at >= 0) & (at < heights.shape[axis]) & (target < 0)
                beside = np.where(valid, waiting + way * int(strides[axis]), waiting)
                valid &= runs[beside] & (level[beside] == level[waiting])
                if kinds is not None:
                    valid &= kinds[beside] == kinds[waiting]
                target[valid] = beside[valid]
        settled = target >= 0
        flow[waiting[settled]] = target[settled]
        runs[waiting[settled]] = True
        waiting = waiting[~settled]
        yield 0.6
    return len(falls) - 1


def passes_steps(surface: NDArray[np.float32], labels: NDArray[np.uint32], walls: NDArray[Any] | None = None) -> Generator[float, None, Edges]:
    """Find the lowest pass between each two basins: the least, over pairs of face neighbours, of the higher of both; none leads through ``walls``."""
    count = int(labels.max(initial=0)) + 1
    found: list[tuple[NDArray[np.int64], NDArray[np.float32]]] = []
    rows = max(1, PART // 4 // max(1, labels[:1].size))
    for start in range(0, len(labels), rows):
        part = slice(start, start + rows + 1)
        keys, heights = [], []
        for axis in range(labels.ndim):
            low, high = next_along(axis, labels.ndim)
            one, other = labels[part][low], labels[part][high]
            apart = (one != other) & (one > 0) & (other > 0)
            if walls is not None:
                apart &= walls[part][low] == walls[part][high]
            met = np.flatnonzero(apart)
            a, b = one.reshape(-1)[met].astype(np.int64), other.reshape(-1)[met].astype(np.int64)
            keys.append(np.minimum(a, b) * count + np.maximum(a, b))
            heights.append(np.maximum(surface[part][low].reshape(-1)[met], surface[part][high].reshape(-1)[met]))
        found.append(_lowest(np.concatenate(keys), np.concatenate(heights)))
        yield 0.7 * min(1.0, (start + rows) / len(labels))
    return (yield from portion(_joined_steps(found, count), 0.7, 1.0))


def _joined_steps(found: list[tuple[NDArray[np.int64], NDArray[np.float32]]], count: int) -> Generator[float, None, Edges]:
    """Join sorted lists of passes, a range of keys at a time."""
    some = np.sort(np.concatenate([np.zeros(0, np.int64), *(keys[:: _JOINED // 16] for keys, _ in found)]))
    ends = [*np.unique(some[16::16]).tolist(), np.iinfo(np.int64).max]
    places = [np.searchsorted(keys, ends) for keys, _ in found]
    first, second, height = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)], [np.zeros(0)]
    for done in range(len(ends)):
        parts = [slice(int(place[done - 1]) if done else 0, int(place[done])) for place in places]
        keys = np.concatenate([np.zeros(0, np.int64), *(one[part] for (one, _), part in zip(found, parts, strict=True))])
        heights = np.concatenate([np.zeros(0, np.float32), *(one[part] for (_, one), part in zip(found, parts, strict=True))])
        keys, heights = _lowest(keys, heights)
        first.append(keys // count)
        second.append(keys % count)
        height.append(heights.astype(np.float64))
        yield (done + 1) / len(ends)
    low = np.concatenate(first)
    yield 1.0
    high = np.concatenate(second)
    yield 1.0
    return Edges(low, high, np.concatenate(height))


def _lowest(keys: NDArray[np.int64], heights: NDArray[np.float32]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return each key once, with the least height that goes with it."""
    if not keys.size:
        return keys, heights
    if keys.max() < 2**32:  # key and height as one whole number: sorting those is much quicker than sorting by them
        bits = heights.view(np.uint32)
        falling = bits >= _SIGN  # of numbers below 0, the larger bits are the lower number
        packed = keys.astype(np.uint64) << np.uint64(32) | np.where(falling, ~bits, bits | _SIGN)
        packed.sort()
        found = packed >> np.uint64(32)
        first = np.flatnonzero(np.concatenate([[True], found[1:] != found[:-1]]))
        bits = packed[first].astype(np.uint32)
        return found[first].astype(np.int64), np.where(bits < _SIGN, ~bits, bits ^ _SIGN).view(np.float32)
    order = np.argsort(keys)
    keys = keys[order]
    starts = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]]))
    return keys[starts], np.minimum.reduceat(heights[order], starts)


def with_lines_steps(labels: NDArray[Any], surface: NDArray[Any]) -> Generator[float, None, NDArray[Any]]:
    """Return labels with 0 on the higher of each two face neighbours of different regions, so that no two regions touch."""

    def lined(part: slice) -> NDArray[Any]:
        first = max(0, part.start - 1)
        around = slice(first, part.stop + 1)
        lines = _with_lines(labels[around], float_plane(surface[around]).astype(np.float32, copy=False))
        return lines[part.start - first : part.stop - first]

    return (yield from made_steps(labels.shape, labels.dtype, lined))


def _with_lines(labels: NDArray[Any], surface: NDArray[np.float32]) -> NDArray[Any]:
    line = np.zeros(labels.shape, bool)
    for axis in range(labels.ndim):
        low, high = next_along(axis, labels.ndim)
        met = (labels[low] != labels[high]) & (labels[low] > 0) & (labels[high] > 0)
        upper = surface[low] > surface[high]
        line[low] |= met & upper
        line[high] |= met & ~upper
    return np.where(line, labels.dtype.type(0), labels)
