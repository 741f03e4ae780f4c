"""Which weak voxels hang together with a strong one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

WEAK, STRONG = 1, 2
"""Marks of what may belong to an object, and of what surely does."""

_SLAB_VOXELS = 1 << 23  # labelled at once: a tenth of a second


def keep_linked(marks: NDArray[np.uint8], corners: bool) -> NDArray[np.uint8]:
    """Return 1 where a plane is strong, or weak and linked to what is strong.

    Parameters
    ----------
    marks
        Shape ``(Y, X)``: 0, `WEAK` or `STRONG`.
    corners
        Whether pixels that touch by a corner are linked.

    Examples
    --------
    >>> keep_linked(np.array([[1, 2, 0, 1]], np.uint8), corners=False).tolist()
    [[1, 1, 0, 0]]
    """
    import cv2

    count, parts = cv2.connectedComponents((marks > 0).view(np.uint8), connectivity=8 if corners else 4, ltype=cv2.CV_32S)
    kept = np.zeros(count, np.uint8)
    kept[parts[marks == STRONG]] = 1
    return np.asarray(kept[parts])


def keep_linked_steps(marks: NDArray[np.uint8], corners: bool, slab_voxels: int = _SLAB_VOXELS) -> Iterator[float]:
    """Do the same in place in a volume, slab by slab; yields the finished part.

    Parameters
    ----------
    marks
        Shape ``(depth, Y, X)``: 0, `WEAK` or `STRONG`; becomes 0 or 1.
    corners
        Whether voxels that touch by a corner or an edge only are linked.
    slab_voxels
        About how many voxels are labelled at once.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    thick = max(1, slab_voxels // max(1, marks[0].size))
    starts = range(0, len(marks), thick)
    offsets, strong, pairs, before = [0], [np.zeros(1, bool)], [], None
    for done, start in enumerate(starts, start=1):
        slab = marks[start : start + thick]
        parts, count = _parts(slab, corners)
        own = np.zeros(count + 1, bool)
        own[parts[slab == STRONG]] = True
        strong.append(own[1:])
        if before is not None:
            pairs.append(_touching(before, np.where(parts[0], parts[0].astype(np.int64) + offsets[-1], 0), corners))
        before = np.where(parts[-1], parts[-1].astype(np.int64) + offsets[-1], 0)
        offsets.append(offsets[-1] + count)
        yield done / len(starts) / 2
    links = np.concatenate([np.zeros((2, 0), np.int64), *pairs], axis=1)
    count, group = connected_components(coo_array((np.ones(links.shape[1], bool), tuple(links)), shape=(offsets[-1] + 1,) * 2), directed=False)
    kept_group = np.zeros(count, bool)
    kept_group[group[np.concatenate(strong)]] = True
    kept = kept_group[group]
    kept[0] = False
    for done, (start, offset) in enumerate(zip(starts, offsets, strict=False), start=1):
        slab = marks[start : start + thick]
        parts, count = _parts(slab, corners)  # once more, which costs less than keeping the numbers of the whole volume
        slab[...] = np.concatenate([[False], kept[offset + 1 : offset + count + 1]])[parts]
        yield 0.5 + done / len(starts) / 2


def _parts(slab: NDArray[np.uint8], corners: bool) -> tuple[NDArray[Any], int]:
    import cc3d

    # as bytes: cc3d 4.1 takes short cuts with masks, and fails in thin volumes where corners count
    parts, count = cc3d.connected_components((slab > 0).view(np.uint8), connectivity=26 if corners else 6, return_N=True)
    return parts, int(count)


def _touching(lower: NDArray[np.int64], upper: NDArray[np.int64], corners: bool) -> NDArray[np.int64]:
    """Pairs of part numbers on two planes that lie face to face, shape ``(2, n)``."""
    reach = (-1, 0, 1) if corners else (0,)
    found = []
    for dy in reach:
        for dx in reach:
            rows, columns = lower.shape
            one = lower[max(0, dy) : rows + min(0, dy), max(0, dx) : columns + min(0, dx)]
            other = upper[max(0, -dy) : rows + min(0, -dy), max(0, -dx) : columns + min(0, -dx)]
            both = (one > 0) & (other > 0)
            found.append(np.unique(np.stack([one[both], other[both]]), axis=1))
    return np.concatenate(found, axis=1)
