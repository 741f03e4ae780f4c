"""Connected components of a volume, slab by slab, so that it can be left between two."""

from __future__ import annotations

from collections.abc import Generator, Iterator

import numpy as np
from numpy.typing import NDArray

SLAB_VOXELS = 1 << 21
"""Voxels that are numbered without yielding: a fraction of a second."""

Numbers = NDArray[np.unsignedinteger]


def slabs_of(shape: tuple[int, ...]) -> list[slice]:
    """Cut a volume into slabs along its first axis.

    Examples
    --------
    >>> slabs_of((5, 1024, 1024))
    [slice(0, 2, None), slice(2, 4, None), slice(4, 5, None)]
    """
    step = max(1, SLAB_VOXELS // max(1, shape[1] * shape[2]))
    return [slice(start, min(start + step, shape[0])) for start in range(0, shape[0], step)]


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
        self._count = 0
        self._pairs: list[NDArray[np.uint32]] = []
        self._last: Numbers | None = None

    def add(self, slab: slice, values: Numbers) -> None:
        """Number the next slab; voxels of value 0 belong to no component."""
        import cc3d

        # cc3d reads 64 bits as signed numbers; which they are makes no difference
        same = values.view(np.int64) if values.dtype == np.uint64 else values
        found, count = cc3d.connected_components(same, connectivity=26 if self.diagonal else 6, return_N=True)
        numbers = found.astype(np.uint32, copy=False)
        if self._count:
            numbers = np.where(numbers > 0, numbers + np.uint32(self._count), numbers)
        self.numbers[slab] = numbers
        self._count += int(count)
        if self._last is not None:
            self._join(self._last, values[0], self.numbers[slab.start - 1], numbers[0])
        self._last = values[-1].copy()

    def merged(self) -> NDArray[np.int64]:
        """Return, for each number in `numbers` (0 too), the number of the whole component: consecutive, 0 for 0."""
        if not self._pairs:
            return np.arange(self._count + 1)
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import connected_components

        pairs = np.unique(np.concatenate(self._pairs), axis=0)
        links = coo_array((np.ones(len(pairs), np.uint8), (pairs[:, 0], pairs[:, 1])), shape=(self._count + 1,) * 2)
        return np.asarray(connected_components(links, directed=False)[1], np.int64)

    def _join(self, values: Numbers, other_values: Numbers, numbers: NDArray[np.uint32], others: NDArray[np.uint32]) -> None:
        """Note which components of two neighbouring slices belong together."""
        for here, there in _overlaps(values.shape) if self.diagonal else [((slice(None),) * 2,) * 2]:
            touching = (values[here] > 0) & (values[here] == other_values[there])
            pairs = np.stack([numbers[here][touching], others[there][touching]], axis=1)
            if len(pairs):
                self._pairs.append(np.unique(pairs, axis=0))


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
