"""The connected pixels around a place in a volume, found slice by slice: only where the region gets to, and several slices at a time."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_segtool.core.labels import smallest_dtype
from napari_segtool.core.parallel import in_order

Mask = NDArray[np.bool_]
Numbers = NDArray[Any]
_Pairs = tuple[Numbers, Numbers]


@dataclass(eq=False)
class _Slice:
    """The connected parts of one slice.

    Parameters
    ----------
    z
        Which slice.
    numbers
        Which part a pixel belongs to, from 1; 0 where it belongs to none; shape ``(Y, X)``.
    kept
        Whether the part of each number is known to belong to the region.
    """

    z: int
    numbers: Numbers
    kept: Mask


class Growth:
    """Grows a region from one place over the pixels of a volume that are alike.

    The connected parts of each slice are numbered on their own; where parts of neighbouring slices touch, they are linked. The region is what
    can be reached over links from the part that holds the place. Slices are looked at outward from the place, as far as the region gets.

    Parameters
    ----------
    alike
        Returns the work on one slice, not begun: which of its pixels are alike, bool of shape ``(Y, X)``.
    count
        Number of slices.
    place
        Slice, row and column to grow from; that pixel belongs to the region in any case.
    corners
        Whether pixels that touch by a corner or an edge only are connected too.

    References
    ----------
    .. [1] Adams & Bischof 1994, Seeded region growing, doi:10.1109/34.295913
    """

    def __init__(self, alike: Callable[[int], Callable[[], Mask]], count: int, place: tuple[int, int, int], corners: bool) -> None:
        self._alike, self._count, self._place, self._corners = alike, count, place, corners
        self._slices: dict[int, _Slice] = {}
        self._links: dict[int, _Pairs] = {}  # numbers of parts that touch, in a slice and in the next, while neither is known to be kept
        self._lowest = self._highest = place[0]  # slices asked for lie between these

    def steps(self, put: Callable[[int, Mask], None]) -> Generator[float, None, None]:
        """Find the region, and hand over its pixels in each slice it gets to, in order; yields the finished part."""
        while True:
            before = len(self._slices)
            with closing(in_order(self._works(), self._add, self._count - before, "slice")) as looking:
                for part in looking:
                    yield 0.8 * (before + part.done) / self._count
            if len(self._slices) == before:
                break
            self._settle()
        reached = [part for _, part in sorted(self._slices.items()) if part.kept.any()]
        slices = iter(reached)
        with closing(in_order(map(_mask, reached), lambda mask: put(next(slices).z, mask), len(reached), "slice")) as writing:
            for part in writing:
                yield 0.8 + 0.2 * part.fraction

    def _works(self) -> Iterator[Generator[float, None, _Slice]]:
        """Work on slices outward from those that the region is known to get to, while it gets on."""
        if not self._slices:
            yield _numbered(self._place[0], self._alike(self._place[0]), self._corners, self._place[1:])
        while True:
            before = self._lowest, self._highest
            if self._highest + 1 < self._count and self._reaches(max(self._slices)):
                self._highest += 1
                yield _numbered(self._highest, self._alike(self._highest), self._corners)
            if self._lowest > 0 and self._reaches(min(self._slices)):
                self._lowest -= 1
                yield _numbered(self._lowest, self._alike(self._lowest), self._corners)
            if before == (self._lowest, self._highest):
                return

    def _reaches(self, z: int) -> bool:
        return bool(self._slices[z].kept.any())

    def _add(self, made: _Slice) -> None:
        self._slices[made.z] = made
        for lower in (made.z - 1, made.z):
            if lower in self._slices and lower + 1 in self._slices:
                self._links[lower] = _touching(self._slices[lower].numbers, self._slices[lower + 1].numbers, self._corners)
                self._pass_on(lower)

    def _pass_on(self, z: int) -> None:
        """Follow the links between a slice and the next, and forget those that have been followed."""
        mine, theirs = self._links[z]
        here, there = self._slices[z].kept, self._slices[z + 1].kept
        self._links[z] = _followed(here, mine, there, theirs)

    def _settle(self) -> None:
        """Follow the links of all slices, up and down, until nothing more is reached."""
        for z in (*sorted(self._links, reverse=True), *sorted(self._links)):  # which leaves few
            self._pass_on(z)
        order = sorted(self._slices)
        offsets = dict(zip(order, np.cumsum([0, *(len(self._slices[z].kept) for z in order)]).tolist(), strict=False))
        kept = np.concatenate([self._slices[z].kept for z in order])
        mine = np.concatenate([np.zeros(0, np.int64), *(pairs[0] + np.int64(offsets[z]) for z, pairs in self._links.items())])
        theirs = np.concatenate([np.zeros(0, np.int64), *(pairs[1] + np.int64(offsets[z + 1]) for z, pairs in self._links.items())])
        left = -1
        while len(mine) != left:
            left = len(mine)
            mine, theirs = _followed(kept, mine, kept, theirs)
        for z in order:
            self._slices[z].kept = kept[offsets[z] : offsets[z] + len(self._slices[z].kept)]


def _followed(here: Mask, mine: Numbers, there: Mask, theirs: Numbers) -> _Pairs:
    """Keep the parts that are linked to one that is kept, and return the links of which neither end was."""
    reached, reached_there = here[mine], there[theirs]
    there[theirs[reached]] = True
    here[mine[reached_there]] = True
    rest = ~(reached | reached_there)
    return mine[rest], theirs[rest]


def _numbered(z: int, alike: Callable[[], Mask], corners: bool, place: tuple[int, int] | None = None) -> Generator[float, None, _Slice]:
    import cv2

    mask = alike()
    if place is not None:
        mask[place] = True
    yield 0.2
    count, numbers = cv2.connectedComponents(mask.view(np.uint8), connectivity=8 if corners else 4, ltype=cv2.CV_32S)
    kept = np.zeros(count, np.bool_)
    if place is not None:
        kept[numbers[place]] = True
    return _Slice(z, numbers.astype(smallest_dtype(count)), kept)


def _mask(part: _Slice) -> Generator[float, None, Mask]:
    mask: Mask = part.kept.take(part.numbers)
    yield 1.0
    return mask


def _touching(first: Numbers, second: Numbers, corners: bool) -> _Pairs:
    """Return the numbers of parts of two neighbouring slices that touch; the same pair may come more than once."""
    found = [_overlapping(first, second)]
    if corners:
        height, width = first.shape
        for down, right in itertools.product((-1, 0, 1), repeat=2):
            if (down, right) != (0, 0):
                one = first[max(0, down) : height + min(0, down), max(0, right) : width + min(0, right)]
                other = second[max(0, -down) : height + min(0, -down), max(0, -right) : width + min(0, -right)]
                found.append(_overlapping(one, other))
    return np.concatenate([mine for mine, _ in found]), np.concatenate([theirs for _, theirs in found])


def _overlapping(first: Numbers, second: Numbers) -> _Pairs:
    both = np.logical_and(first != 0, second != 0)
    news = both.copy()  # pixels side by side lie in one and the same part of either slice, so one of them tells all
    news[:, 1:] &= ~both[:, :-1]
    news[1:] &= ~both[:-1]
    places = np.flatnonzero(news)
    return first.ravel()[places], second.ravel()[places]
