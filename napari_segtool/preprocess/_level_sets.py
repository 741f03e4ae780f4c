"""Lower each bright place until the region it belongs to is wanted: what filling holes and removing small objects share."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_segtool.core.slabs import made_steps
from napari_segtool.preprocess._components import Components, numbered_steps, slabs_of
from napari_segtool.preprocess._portions import portion

Levels = NDArray[np.unsignedinteger]
Mask = NDArray[np.bool_]

_SORTED_VOXELS = 1 << 22  # more are not sorted, which cannot be left half way, but told apart bit by bit


@dataclass(frozen=True, slots=True)
class Ladder:
    """Grey values as whole numbers in the same order.

    Parameters
    ----------
    levels
        From 0, shape of the volume; 0 where the volume has no value.
    top
        Largest level there may be.
    values
        Grey value of each level; empty where levels are the bits of the values, counted up or down from ``first``.
    first, bright
        Bits of level 0, and whether they are counted up from there.
    """

    levels: Levels
    top: int
    values: NDArray[Any]
    first: int = 0
    bright: bool = True

    def grey(self, levels: Levels) -> NDArray[Any]:
        """Return the grey values of levels."""
        if self.values.size:
            return np.asarray(self.values[levels])
        unsigned = np.dtype(f"u{self.values.dtype.itemsize}")
        first, steps = unsigned.type(self.first), levels.astype(unsigned)
        return _from_bits(first + steps if self.bright else first - steps, self.values.dtype)


def ladder_steps(volume: NDArray[Any], known: Mask | None, *, bright: bool) -> Generator[float, None, Ladder]:
    """Turn the grey values of a volume into levels, the darkest first (the brightest first where ``bright`` is false)."""
    kind, size = volume.dtype.kind, volume.dtype.itemsize
    if kind in "biu" and size <= 2:
        return (yield from _counted_ladder(volume, bright))
    if volume.size <= _SORTED_VOXELS:
        values, places = np.unique(volume if known is None else np.where(known, volume, volume.dtype.type(0)), return_inverse=True)
        levels: Levels = places.reshape(volume.shape).astype(np.uint32)
        if not bright:
            values, levels = values[::-1], np.uint32(len(values) - 1) - levels
        if known is not None:
            levels[~known] = 0
        return Ladder(levels, len(values) - 1, values)
    return (yield from _bitwise_ladder(volume, known, bright))


def lowered_steps(ladder: Ladder, counted: Mask | None, need: NDArray[Any] | int, *, diagonal: bool) -> Generator[float, None, Levels]:
    """Return the highest level at which the region around each voxel is wanted.

    The region of a voxel at a level are the voxels connected with it whose own level is at least that. It is wanted if it holds at least
    ``need`` counted voxels; at level 0 it always is. The levels are halved again and again, for all voxels at once: at each round, places that
    wait for the same level are connected, and one beside a place that is known to be wanted at a higher level is wanted too. (As regions only
    grow when the level falls, this finds for all voxels what a component tree would tell.)

    Parameters
    ----------
    ladder
        Levels of the voxels.
    counted
        Voxels that count; ``None``: all.
    need
        How many a region must hold, or for each voxel how many its region must hold.
    diagonal
        Whether voxels that share only an edge or a corner are connected.
    """
    levels, slabs = ladder.levels, slabs_of(ladder.levels.shape)
    kind = np.dtype(np.uint16 if ladder.top < (1 << 16) - 1 else np.uint32 if ladder.top < (1 << 32) - 1 else np.uint64)
    wanted = np.zeros(levels.shape, kind)
    unwanted = yield from portion(made_steps(levels.shape, kind, lambda part: ladder.top + 1), 0.0, 0.0)
    asked = np.zeros(levels.shape, kind)
    rounds = max(1, ladder.top.bit_length())
    for turn in range(rounds):
        components = Components(levels.shape, diagonal=diagonal)
        for slab in slabs:
            middle = wanted[slab] + (unwanted[slab] - wanted[slab]) // kind.type(2)
            asked[slab] = np.where(levels[slab] > wanted[slab], middle, kind.type(0))
            components.add(slab, np.where(levels[slab] >= asked[slab], asked[slab], kind.type(0)))
            yield (turn + 0.6 * slab.stop / len(levels)) / rounds
        good = yield from portion(_wanted_components(components, asked, wanted, counted, need), (turn + 0.6) / rounds, (turn + 0.8) / rounds)
        for slab in slabs:
            kept = good[components.numbers[slab]]
            unwanted[slab] = np.where(kept | (asked[slab] == 0), unwanted[slab], asked[slab])
            wanted[slab] = np.where(kept, asked[slab], wanted[slab])
            yield (turn + 0.8 + 0.2 * slab.stop / len(levels)) / rounds
    return wanted


def known_islands_steps(known: Mask, most: int) -> Generator[float, None, NDArray[np.int64]]:
    """Return for each voxel ``most``, or the size of the connected known region around it where that is smaller."""
    numbers, whole = yield from portion(numbered_steps(known.astype(np.uint8), diagonal=True), 0.0, 0.7)
    sizes = np.zeros(int(whole.max(initial=0)) + 1, np.int64)
    slabs = slabs_of(known.shape)
    for slab in slabs:
        np.add(sizes, np.bincount(whole[numbers[slab]].ravel(), minlength=len(sizes)), out=sizes)
        yield 0.7 + 0.15 * slab.stop / len(known)
    need = np.empty(known.shape, np.int64)
    for slab in slabs:
        need[slab] = np.minimum(most, sizes[whole[numbers[slab]]])
        yield 0.85 + 0.15 * slab.stop / len(known)
    return need


def _wanted_components(components: Components, asked: Levels, wanted: Levels, counted: Mask | None, need: NDArray[Any] | int) -> Generator[float, None, Mask]:
    """Tell which numbers of components are wanted: those that hold enough, and those beside a place wanted at a higher level."""
    whole = components.merged()
    size = int(whole.max(initial=0)) + 1
    held, enough, beside = np.zeros(size, np.int64), np.zeros(size, np.int64), np.zeros(size, bool)
    for slab in slabs_of(asked.shape):
        numbers = whole[components.numbers[slab]]
        held += np.bincount(numbers.ravel() if counted is None else numbers[counted[slab]], minlength=size)
        if isinstance(need, np.ndarray):
            enough[numbers] = need[slab]
        near = near_slab(wanted, slab, diagonal=components.diagonal)
        beside[numbers[(numbers > 0) & (near >= asked[slab])]] = True
        yield slab.stop / len(asked)
    good = (held >= (enough if isinstance(need, np.ndarray) else need)) | beside
    good[0] = False
    return np.asarray(good[whole])


def near_slab(values: NDArray[Any], slab: slice, *, diagonal: bool) -> NDArray[Any]:
    """Return the highest value among each voxel of a slab and its neighbours, also those beyond the slab."""
    outer = slice(max(0, slab.start - 1), slab.stop + 1)
    near = _highest_near(values[outer], diagonal)
    return near[slab.start - outer.start :][: slab.stop - slab.start]


def _highest_near(values: NDArray[Any], diagonal: bool) -> NDArray[Any]:
    """Return the highest value among each voxel and its neighbours."""
    highest = values.copy()
    for axis in range(values.ndim):
        source = highest.copy() if diagonal else values
        before = tuple(slice(None, -1) if i == axis else slice(None) for i in range(values.ndim))
        after = tuple(slice(1, None) if i == axis else slice(None) for i in range(values.ndim))
        np.maximum(highest[before], source[after], out=highest[before])
        np.maximum(highest[after], source[before], out=highest[after])
    return highest


def _counted_ladder(volume: NDArray[Any], bright: bool) -> Generator[float, None, Ladder]:
    """Levels of whole numbers of up to 16 bits: those that occur, counted in a histogram."""
    dtype = volume.dtype
    lowest = 0 if dtype.kind == "b" else int(np.iinfo(dtype).min)
    present = np.zeros(1 << (8 * dtype.itemsize), bool)
    for done, plane in enumerate(volume, start=1):
        present[plane.astype(np.int32).ravel() - lowest] = True
        yield 0.5 * done / len(volume)
    values = np.flatnonzero(present)
    table = np.zeros(len(present), np.uint16)
    table[values] = np.arange(len(values)) if bright else np.arange(len(values))[::-1]
    levels = np.empty(volume.shape, np.uint16)
    for z, plane in enumerate(volume):
        levels[z] = table[plane.astype(np.int32) - lowest]
        yield 0.5 + 0.5 * (z + 1) / len(volume)
    return Ladder(levels, len(values) - 1, (values + lowest).astype(dtype)[:: 1 if bright else -1])


def _bitwise_ladder(volume: NDArray[Any], known: Mask | None, bright: bool) -> Generator[float, None, Ladder]:
    """Levels of large volumes of wide numbers: their bits, which are in the order of the numbers."""
    unsigned = np.dtype(f"u{volume.dtype.itemsize}")
    levels: Levels = np.empty(volume.shape, unsigned)
    low, high = np.iinfo(unsigned).max, 0
    for z, plane in enumerate(volume):
        bits = _to_bits(plane)
        seen = bits if known is None else bits[known[z]]
        levels[z] = bits
        low, high = min(low, int(seen.min(initial=low))), max(high, int(seen.max(initial=high)))
        yield 0.5 * (z + 1) / len(volume)
    for z in range(len(levels)):
        levels[z] = levels[z] - unsigned.type(low) if bright else unsigned.type(high) - levels[z]
        if known is not None:
            levels[z][~known[z]] = 0
        yield 0.5 + 0.5 * (z + 1) / len(volume)
    return Ladder(levels, max(0, high - low), np.empty(0, volume.dtype), low if bright else high, bright)


def _to_bits(values: NDArray[Any]) -> Levels:
    unsigned = np.dtype(f"u{values.dtype.itemsize}")
    bits: Levels = np.ascontiguousarray(values).view(unsigned)
    sign = unsigned.type(1 << (8 * unsigned.itemsize - 1))
    if values.dtype.kind == "f":
        return np.where(bits & sign, ~bits, bits | sign)
    return bits ^ sign if values.dtype.kind == "i" else bits.copy()


def _from_bits(bits: Levels, dtype: np.dtype[Any]) -> NDArray[Any]:
    sign = bits.dtype.type(1 << (8 * bits.dtype.itemsize - 1))
    if dtype.kind == "f":
        bits = np.where(bits & sign, bits ^ sign, ~bits)
    elif dtype.kind == "i":
        bits = bits ^ sign
    return bits.view(dtype)
