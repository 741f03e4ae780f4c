"""Connected components of pictures of any size, part by part."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from napari_segtool.core.labels import smallest_dtype
from napari_segtool.core.planes import Fractions

T = TypeVar("T")

PART = 1 << 21
"""Pixels labelled at once: a fraction of a second."""


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
        Pixels that are labelled at once.

    Yields
    ------
    float
        The finished fraction.

    Returns
    -------
    ndarray
        uint32, numbered from 1 without gaps in the order in which parts first appear.
    """
    rows = max(1, part // max(1, int(np.prod(image.shape[1:]))))
    labels = np.zeros(image.shape, np.uint32)
    starts = range(0, len(image), rows)
    count, same = 0, []
    for start in starts:
        piece = _labelled(image[start : start + rows], corners)
        found = int(piece.max(initial=0))
        labels[start : start + rows] = np.where(piece, piece + np.uint32(count), 0)
        if start and count:
            same.append(_touching(image[start - 1 : start + 1], labels[start - 1 : start + 1], corners))
        count += found
        yield 0.7 * min(1.0, (start + rows) / len(image))
    joined = _joined(count, same)
    sizes = np.zeros(int(joined.max(initial=0)) + 1, np.int64)
    if smallest > 1:
        own = np.zeros(count + 1, np.int64)
        for start in starts:
            own += np.bincount(labels[start : start + rows].ravel(), minlength=count + 1)
            yield 0.8
        sizes = np.bincount(joined, weights=own, minlength=sizes.size).astype(np.int64)
    final = _numbered(joined, sizes >= smallest if smallest > 1 else np.ones(sizes.size, bool))
    if count and not np.array_equal(final, np.arange(count + 1)):
        for start in starts:
            labels[start : start + rows] = final[labels[start : start + rows]]
            yield 0.8 + 0.2 * min(1.0, (start + rows) / len(image))
    yield 1.0
    return labels


def within(work: Generator[float, None, T], low: float, high: float) -> Generator[float, None, T]:
    """Do a piece of work whose fractions are those from ``low`` to ``high`` of a larger one."""
    try:
        while True:
            yield low + (high - low) * next(work)
    except StopIteration as stop:
        result: T = stop.value
        return result
    finally:
        work.close()


def narrowed_steps(labels: NDArray[Any]) -> Generator[float, None, NDArray[Any]]:
    """Return labels in the smallest unsigned type."""
    largest = max((int(plane.max(initial=0)) for plane in labels), default=0)
    narrow = np.empty(labels.shape, smallest_dtype(largest))
    rows = max(1, PART // max(1, int(np.prod(labels.shape[1:]))))
    for start in range(0, len(labels), rows):
        narrow[start : start + rows] = labels[start : start + rows]
        yield min(1.0, (start + rows) / len(labels))
    return narrow


def _labelled(piece: NDArray[Any], corners: bool) -> NDArray[np.uint32]:
    import cc3d

    if not piece.size:
        return np.zeros(piece.shape, np.uint32)
    connectivity = {(2, False): 4, (2, True): 8, (3, False): 6, (3, True): 26}[piece.ndim, corners]
    found = cc3d.connected_components(np.ascontiguousarray(piece), connectivity=connectivity, out_dtype=np.uint32)
    return np.asarray(found, np.uint32)


def _touching(image: NDArray[Any], labels: NDArray[np.uint32], corners: bool) -> NDArray[np.int64]:
    """Pairs of numbers of parts that touch across the gap between two neighbouring rows or slices, shape ``(n, 2)``."""
    import itertools

    pairs = []
    for shift in itertools.product((-1, 0, 1) if corners else (0,), repeat=image.ndim - 1):
        here = tuple(slice(max(0, -step), n - max(0, step)) for step, n in zip(shift, image.shape[1:], strict=True))
        there = tuple(slice(max(0, step), n - max(0, -step)) for step, n in zip(shift, image.shape[1:], strict=True))
        upper, lower = image[0][here], image[1][there]
        met = (upper == lower) & (upper != 0)
        pairs.append(np.stack([labels[0][here][met], labels[1][there][met]], axis=1).astype(np.int64))
    found = np.concatenate(pairs)
    return np.unique(found, axis=0) if len(found) else found


def _joined(count: int, same: list[NDArray[np.int64]]) -> NDArray[np.int64]:
    """Return for every number 0 … count the group it belongs to; 0 is a group of its own."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    pairs = np.concatenate(same) if same else np.zeros((0, 2), np.int64)
    if not len(pairs):
        return np.arange(count + 1)
    graph = coo_matrix((np.ones(len(pairs), np.int8), (pairs[:, 0], pairs[:, 1])), shape=(count + 1, count + 1))
    return np.asarray(connected_components(graph, directed=False)[1], np.int64)


def _numbered(groups: NDArray[np.int64], kept: NDArray[np.bool_]) -> NDArray[np.uint32]:
    """Number the kept groups from 1 in the order in which they first appear; 0 and the others become 0."""
    first = np.unique(groups, return_index=True)[1]
    order = np.argsort(first, kind="stable")
    wanted = [int(group) for group in order if kept[group] and group != groups[0]]
    number = np.zeros(len(first), np.uint32)
    number[wanted] = np.arange(1, len(wanted) + 1)
    return number[groups]
