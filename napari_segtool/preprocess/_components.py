"""Connected components of a volume, slab by slab, so that it can be left between two."""

from __future__ import annotations

from collections.abc import Generator, Iterator

import numpy as np
from numpy.typing import NDArray

from napari_segtool.core.slabs import slabs_along

SLAB_VOXELS = 1 << 20
"""Voxels that are numbered without yielding: a fraction of a second."""

Numbers = NDArray[np.unsignedinteger]


def slabs_of(shape: tuple[int, ...]) -> list[slice]:
    """Cut a volume into slabs along its first axis.

    Examples
    --------
    >>> slabs_of((2, 1024, 1024))
    [slice(0, 1, None), slice(1, 2, None)]
    """
    return slabs_along(shape, SLAB_VOXELS)


class Components:
    """Numbers for the connected places of equal value in a volume; filled slab by slab.

    Parameters
    ----------
    shape
        Of the volume, ``(depth, Y, X)``.
    diagonal
        Whether voxels that share only an edge or a corner are connected, else only those that share a side.
    """

    def __init__(self, shape: tuple[int, ...], *, diagonal: bool) -> None:
        self.numbers: NDArray[np.uint32] = np.zeros(shape, np.uint32)
        self.diagonal = diagonal
        self._parents = np.zeros(1, np.int64)  # of each number another of the same component, or itself
        self._last: Numbers | None = None

    def add(self, slab: slice, values: Numbers) -> None:
        """Number the next slab; voxels of value 0 belong to no component."""
        import cc3d

        # cc3d reads 64 bits as signed numbers; which they are makes no difference
        same = values.view(np.int64) if values.dtype == np.uint64 else values
        found, count = cc3d.connected_components(same, connectivity=26 if self.diagonal else 6, return_N=True)
        numbers, before = found.astype(np.uint32, copy=False), len(self._parents) - 1
        if before:
            numbers = np.where(numbers > 0, numbers + np.uint32(before), numbers)
        self.numbers[slab] = numbers
        self._parents = np.concatenate([self._parents, np.arange(before + 1, before + 1 + int(count))])
        if self._last is not None:
            self._join(self._last, values[0], self.numbers[slab.start - 1], numbers[0])
        self._last = values[-1].copy()

    def merged(self) -> NDArray[np.int64]:
        """Return, for each number in `numbers` (0 too), a number that all of its component have in common; 0 for 0."""
        self._parents = _roots(self._parents, self._parents)
        return self._parents

    def _join(self, values: Numbers, other_values: Numbers, numbers: NDArray[np.uint32], others: NDArray[np.uint32]) -> None:
        """Note which components of two neighbouring slices belong together."""
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import connected_components

        pairs = []
        for here, there in _overlaps(values.shape) if self.diagonal else [((slice(None),) * 2,) * 2]:
            touching = (values[here] > 0) & (values[here] == other_values[there])
            pair = numbers[here][touching].astype(np.uint64) << np.uint64(32) | others[there][touching]
            pairs.append(pair[np.flatnonzero(np.diff(pair, prepend=np.uint64(0)))])  # neighbours mostly say the same
        codes = np.unique(np.concatenate(pairs))
        if not codes.size:
            return
        joined = np.stack([codes >> np.uint64(32), codes & np.uint64(0xFFFFFFFF)], axis=1).astype(np.int64)
        ends, places = np.unique(_roots(self._parents, joined.ravel()), return_inverse=True)
        places = places.reshape(-1, 2)
        links = coo_array((np.ones(len(places), np.uint8), (places[:, 0], places[:, 1])), shape=(len(ends),) * 2)
        group = connected_components(links, directed=False)[1]
        first = np.unique(group, return_index=True)[1]  # ends are in order, so the first of a group is the lowest
        self._parents[ends] = ends[first[group]]


def _roots(parents: NDArray[np.int64], numbers: NDArray[np.integer]) -> NDArray[np.int64]:
    """Follow parents until they lead no further."""
    found: NDArray[np.int64] = parents[numbers]
    while True:
        above = parents[found]
        if np.array_equal(above, found):
            return found
        found = above


def _overlaps(shape: tuple[int, ...]) -> Iterator[tuple[tuple[slice, slice], tuple[slice, slice]]]:
    """Parts of two slices that lie above each other when one is shifted by up to a pixel."""
    parts = {-1: slice(None, -1), 0: slice(None), 1: slice(1, None)}
    for down in parts:
        for right in parts:
            yield (parts[down], parts[right]), (parts[-down], parts[-right])


def numbered_steps(values: Numbers, *, diagonal: bool) -> Generator[float, None, tuple[NDArray[np.uint32], NDArray[np.int64]]]:
    """Number the connected places of equal value in a volume; yields the finished part.

    Returns
    -------
    tuple
        Numbers of parts, and the number of the whole component for each of them; see `Components.merged`.
    """
    components = Components(values.shape, diagonal=diagonal)
    for slab in slabs_of(values.shape):
        components.add(slab, np.ascontiguousarray(values[slab]))
        yield slab.stop / len(values)
    return components.numbers, components.merged()
