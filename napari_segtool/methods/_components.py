"""Connected components of pictures of any size, part by part."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from napari_segtool.core.labels import smallest_dtype
from napari_segtool.core.neighbours import pairs_at
from napari_segtool.core.parallel import in_order
from napari_segtool.core.planes import Fractions
from napari_segtool.core.slabs import made_steps, slabs_along

T = TypeVar("T")

PART = 1 << 21
"""Pixels labelled at once: a fraction of a second."""

_SLICES = 4
_Numbered = tuple[slice, NDArray[np.int64], NDArray[np.int64] | None]  # a piece, the sizes of its parts, and which of them meet those of the piece before


def components_steps(image: NDArray[Any], *, corners: bool = False, smallest: int = 1, part: int = PART) -> Fractions:
    """Number the connected parts of equal value, 0 left out.

    Parameters
    ----------
    image
        bool or whole numbers, shape ``(Y, X)`` or ``(Z, Y, X)``: pixels of one part have one value.
    corners
        Whether pixels that touch by an edge or a corner only are connected too.
    smallest
        Parts of fewer pixels become 0.
    part
        About how many pixels are labelled at once.

    Yields
    ------
    float
        The finished fraction.

    Returns
    -------
    ndarray
        uint32, numbered from 1 without gaps in the order in which parts first appear.
    """
    planar = image.ndim == 3 and image.dtype == bool and not corners  # numbered slice by slice: that needs no lock of Python's
    rows = 1 if planar else max(1, part // max(1, int(np.prod(image.shape[1:]))))
    pieces = [slice(start, start + rows) for start in range(0, len(image), rows)]
    together = _SLICES if planar else 1
    groups = [pieces[start : start + together] for start in range(0, len(pieces), together)]
    sizes, pairs, offsets = [np.zeros(1, np.int64)], [np.zeros((2, 0), np.int64)], [0]
    labels = np.empty(image.shape, np.uint32)  # at first each piece has its own numbers

    def meeting(start: int) -> NDArray[np.int64]:
        return _touching(image[start - 1 : start + 1], labels[start - 1], labels[start], corners)

    def numbered(group: list[slice]) -> Generator[float, None, list[_Numbered]]:
        found: list[_Numbered] = []
        for piece in group:
            yield 0.0
            own = _label_slice(image[piece.start], labels[piece.start], smallest > 1) if planar else _label(image[piece], labels[piece], corners, smallest > 1)
            found.append((piece, own, meeting(piece.start) if found else None))
        return found

    def add(found: list[_Numbered]) -> None:
        for piece, own, met in found:
            if piece.start:
                met = meeting(piece.start) if met is None else met
                pairs.append(met + np.array([[offsets[-2]], [offsets[-1]]]))
            sizes.append(own[1:])
            offsets.append(offsets[-1] + len(own) - 1)

    yield from _scaled(map(numbered, groups), add, len(groups), 0.0, 0.7)
    joined = _joined(offsets[-1], np.concatenate(pairs, axis=1))
    yield 0.7
    final = _numbered(joined, np.concatenate(sizes), smallest)
    yield 0.7
    if len(pieces) == 1 and np.array_equal(final, np.arange(len(final))):
        yield 1.0
        return labels

    tables = [np.concatenate([final[:1], final[start + 1 : stop + 1]]) for start, stop in itertools.pairwise(offsets)]

    def renumbered(group: list[slice]) -> Generator[float, None, None]:
        for piece in group:
            yield 0.0
            for line in labels[piece] if labels.ndim == 3 else labels[None, piece]:
                np.take(tables[piece.start // rows], line, out=line, mode="clip")  # every number is in the table; checking it would take a copy

    yield from _scaled(map(renumbered, groups), lambda _: None, len(groups), 0.7, 1.0)
    yield 1.0
    return labels


def slabs_of(shape: tuple[int, ...]) -> list[slice]:
    """Part a picture along its first axis, in even numbers of rows or slices whose work takes a fraction of a second."""
    rows = max(2, PART // 4 // max(1, int(np.prod(shape[1:]))) // 2 * 2)
    return [slice(start, min(start + rows, shape[0])) for start in range(0, shape[0], rows)]


def narrowed_steps(labels: NDArray[Any]) -> Generator[float, None, NDArray[Any]]:
    """Return labels in the smallest unsigned type."""
    largest = 0
    for part in slabs_along(labels.shape):
        largest = max(largest, int(labels[part].max(initial=0)))
        yield 0.0
    return (yield from made_steps(labels.shape, smallest_dtype(largest), lambda part: labels[part]))


def _scaled(works: Iterable[Generator[float, None, T]], take: Callable[[T], object], total: int, low: float, high: float) -> Iterator[float]:
    with closing(in_order(works, take, total, "part")) as steps:
        for step in steps:
            yield low + (high - low) * step.fraction


def _label(piece: NDArray[Any], numbers: NDArray[np.uint32], corners: bool, sized: bool) -> NDArray[np.int64]:
    """Number the parts of one piece; return the size of each, 0 too (only their number counts where sizes are not asked for)."""
    if not piece.size:
        return np.zeros(1, np.int64)
    import cc3d

    connectivity = {(2, False): 4, (2, True): 8, (3, False): 6, (3, True): 26}[piece.ndim, corners]
    # where corners count as bytes: cc3d 4.1 takes short cuts with masks, and errs there (wrong numbers in planes, failure in thin volumes)
    bytewise = piece.view(np.uint8) if corners and piece.dtype == bool else piece
    whole = np.require(bytewise, requirements=["C", "W"])  # what cannot be written to it refuses
    numbers[...] = cc3d.connected_components(whole, connectivity=connectivity)
    return _sizes(numbers, int(numbers.max()) + 1, sized)


def _label_slice(mask: NDArray[np.bool_], numbers: NDArray[np.uint32], sized: bool) -> NDArray[np.int64]:
    """The same for one slice of a mask, in which corners do not count."""
    if not mask.size:
        return np.zeros(1, np.int64)
    import cv2

    count, found = cv2.connectedComponents(mask.view(np.uint8), numbers.view(np.int32), connectivity=4, ltype=cv2.CV_32S)
    if not np.shares_memory(found, numbers):
        numbers[...] = found
    return _sizes(numbers, count, sized)


def _sizes(numbers: NDArray[np.uint32], count: int, sized: bool) -> NDArray[np.int64]:
    return np.bincount(numbers.ravel(), minlength=count) if sized else np.zeros(count, np.int64)


def _touching(image: NDArray[Any], above: NDArray[Any], below: NDArray[Any], corners: bool) -> NDArray[np.int64]:
    """Pairs of numbers of parts that touch across the gap between two rows or slices, shape ``(2, n)``."""
    pairs = []
    for shift in itertools.product((-1, 0, 1) if corners else (0,), repeat=image.ndim - 1):
        here, there = pairs_at(shift, image.shape[1:])
        upper, lower = image[0][here], image[1][there]
        if image.dtype != bool:
            met = (upper == lower) & (upper != 0)
        else:
            met = upper & lower
            if met.ndim == 2:  # pixels side by side lie in one and the same part of either slice: one of them tells all
                beside = met.copy()
                met[:, 1:] &= ~beside[:, :-1]
                met[1:] &= ~beside[:-1]
        places = np.flatnonzero(met)
        pairs.append(above[here].ravel()[places].astype(np.uint64) << np.uint64(32) | below[there].ravel()[places].astype(np.uint64))
    found = np.sort(np.concatenate(pairs))
    found = found[np.flatnonzero(np.diff(found, prepend=found[:1] + np.uint64(1)))]
    return np.stack([found >> np.uint64(32), found & np.uint64(0xFFFFFFFF)]).astype(np.int64)


def _joined(count: int, pairs: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return for every number 0 … count the group it belongs to; 0 is a group of its own. The first number of the pairs never falls."""
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import connected_components

    if not pairs.shape[1]:
        return np.arange(count + 1)
    first, second = pairs
    starts = np.zeros(count + 2, np.int64)
    np.cumsum(np.bincount(first, minlength=count + 1), out=starts[1:])
    graph = csr_array((np.ones(len(second), bool), second, starts), shape=(count + 1, count + 1))
    return np.asarray(connected_components(graph, directed=False)[1], np.int64)


def _numbered(groups: NDArray[np.int64], sizes: NDArray[np.int64], smallest: int) -> NDArray[np.uint32]:
    """Number the groups that are large enough from 1 in the order in which they first appear; 0 and the others become 0.

    Groups are numbered without gaps, in any order.
    """
    first = np.zeros(int(groups.max()) + 1, np.int64)
    first[groups[::-1]] = np.arange(len(groups))[::-1]  # the last written stays, which is the first
    kept = np.bincount(groups, weights=sizes) >= smallest if smallest > 1 else np.ones(len(first), bool)
    kept[groups[0]] = False
    begins = np.zeros(len(groups), bool)
    begins[first[kept]] = True
    number: NDArray[np.uint32] = (np.cumsum(begins)[first] * kept).astype(np.uint32)
    return number[groups]
