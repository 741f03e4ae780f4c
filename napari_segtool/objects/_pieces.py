"""The connected pieces of labels, found and counted in slabs so that volumes of any size can be left."""

from __future__ import annotations

import itertools
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_segtool.core.neighbours import pairs_at
from napari_segtool.core.planes import Fractions
from napari_segtool.preprocess._portions import portion

SLAB_VOXELS = 1 << 21
"""Pixels that are worked on between two steps."""


@dataclass(frozen=True, eq=False)
class Pieces:
    """Connected pieces of labels.

    Parameters
    ----------
    labels
        ``(Y, X)`` or ``(depth, Y, X)``, unsigned.
    numbers
        Number of the piece at each pixel, from 1; 0 where the label is 0. uint32.
    label_of
        Label of each piece; entry 0 is 0.
    sizes
        Number of pixels of each piece; entry 0 counts those without a label.
    """

    labels: NDArray[Any]
    numbers: NDArray[np.uint32]
    label_of: NDArray[Any]
    sizes: NDArray[np.int64]

    def kept_steps(self, keep: NDArray[np.bool_]) -> Fractions:
        """Return the labels of the pieces that ``keep`` names, one entry for each number; all others become 0."""
        result = np.zeros(self.labels.shape, self.labels.dtype)  # not zeros_like, which writes to all of it at once
        table = keep & (np.arange(len(keep)) > 0)
        for part, finished in slabs(self.labels.shape):
            np.copyto(result[part], self.labels[part], where=table[self.numbers[part]])
            yield finished
        return result

    def on_border(self, margin_px: int = 0, axes: tuple[int, ...] | None = None) -> NDArray[np.bool_]:
        """Return which pieces have a pixel no farther than ``margin_px`` from the first or last place along one of ``axes`` (all of them)."""
        touched = np.zeros(len(self.sizes), bool)
        for axis in range(self.labels.ndim) if axes is None else axes:
            along = np.moveaxis(self.numbers, axis, 0)
            for edge in (along[: margin_px + 1], along[max(0, len(along) - margin_px - 1) :]):
                touched[np.unique(edge)] = True
        return touched


def slabs(shape: tuple[int, ...]) -> Iterator[tuple[slice, float]]:
    """Every part of rows or slices that is small enough to be worked on between two steps, with the part finished behind it."""
    rows = max(1, SLAB_VOXELS // max(1, int(np.prod(shape[1:]))))
    for first in range(0, shape[0], rows):
        yield slice(first, min(first + rows, shape[0])), min(1.0, (first + rows) / shape[0])


def pieces_steps(labels: NDArray[Any], *, corners: bool, whole_labels: bool = False) -> Generator[float, None, Pieces]:
    """Find the connected pieces of each label.

    Parameters
    ----------
    labels
        ``(Y, X)`` or ``(depth, Y, X)``, unsigned.
    corners
        Whether pixels that touch by a corner (or an edge of a voxel) only are connected too.
    whole_labels
        Take all pieces of one label for one.

    Yields
    ------
    float
        The finished part.
    """
    numbers, count = yield from portion(_numbered_steps(labels, corners), 0.0, 0.6)
    label_of = np.zeros(count + 1, labels.dtype)
    for part, finished in slabs(labels.shape):
        label_of[numbers[part]] = labels[part]
        yield 0.6 + 0.2 * finished
    if whole_labels:
        label_of, table = np.unique(label_of, return_inverse=True)  # 0 is among them, and so the first
        table = table.astype(np.uint32)
        for part, _ in slabs(labels.shape):
            numbers[part] = table[numbers[part]]
            yield 0.8
    sizes = np.zeros(len(label_of), np.int64)
    for part, finished in slabs(labels.shape):
        sizes += np.bincount(numbers[part].ravel(), minlength=len(label_of))
        yield 0.8 + 0.2 * finished
    return Pieces(labels, numbers, label_of, sizes)


def _numbered_steps(labels: NDArray[Any], corners: bool) -> Generator[float, None, tuple[NDArray[np.uint32], int]]:
    import cc3d

    connectivity = {(2, False): 4, (2, True): 8, (3, False): 6, (3, True): 26}[labels.ndim, corners]
    numbers = np.zeros(labels.shape, np.uint32)
    count, pairs = 0, []
    for part, finished in slabs(labels.shape):
        slab = np.require(labels[part], requirements=["C", "W"])  # what cannot be written to is copied: the library refuses it
        found, new = cc3d.connected_components(slab, connectivity=connectivity, out_dtype=np.uint32, return_N=True)
        if count:
            found[found > 0] += np.uint32(count)
        numbers[part] = found
        count += int(new)
        if part.start:
            pairs.append(_touching(labels[part.start - 1 : part.start + 1], numbers[part.start - 1 : part.start + 1], corners))
        yield 0.8 * finished
    if pairs:
        table, count = _joined(np.concatenate(pairs), count)
        for part, finished in slabs(labels.shape):
            numbers[part] = table[numbers[part]]
            yield 0.8 + 0.2 * finished
    return numbers, count


def _touching(labels: NDArray[Any], numbers: NDArray[np.uint32], corners: bool) -> NDArray[np.int64]:
    """Pairs of pieces that touch between two neighbouring rows or slices, shape ``(n, 2)``."""
    found = []
    for shift in itertools.product((-1, 0, 1) if corners else (0,), repeat=labels.ndim - 1):
        here, there = pairs_at(shift, labels.shape[1:])
        same = (labels[0][here] == labels[1][there]) & (labels[0][here] != 0)
        pairs = np.stack([numbers[0][here][same], numbers[1][there][same]], axis=1).astype(np.int64)
        found.append(np.unique(pairs, axis=0))
    return np.concatenate(found)


def _joined(pairs: NDArray[np.int64], count: int) -> tuple[NDArray[np.uint32], int]:
    """Return the new number of each piece where pairs are one, and how many are left; 0 stays 0."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    graph = coo_matrix((np.ones(len(pairs), bool), (pairs[:, 0], pairs[:, 1])), shape=(count + 1, count + 1))
    groups, table = connected_components(graph, directed=False)
    return table.astype(np.uint32), int(groups) - 1
