"""Sums over boxes, at a cost that does not grow with the box along Y and X."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Float = TypeVar("Float", np.float32, np.float64)


def box_sums(volume: NDArray[Float], reach: tuple[int, int, int]) -> NDArray[Float]:
    """Return the sum over the box around each voxel; what lies outside the volume adds nothing.

    Parameters
    ----------
    volume
        Shape ``(Z, Y, X)``, finite.
    reach
        How many voxels a box goes to either side along each axis.

    Examples
    --------
    >>> box_sums(np.array([[[1.0, 2.0, 4.0]]]), (0, 0, 1)).tolist()
    [[[3.0, 7.0, 6.0]]]
    """
    import cv2

    depth, rows, columns = (min(r, max(0, n - 1)) for r, n in zip(reach, volume.shape, strict=True))
    volume = np.ascontiguousarray(volume)
    sums = np.empty(volume.shape, volume.dtype)
    for plane, target in zip(volume, sums, strict=True):
        cv2.boxFilter(plane, -1, (2 * columns + 1, 2 * rows + 1), dst=target, normalize=False, borderType=cv2.BORDER_CONSTANT)
    if not depth:
        return sums
    deep = sums.copy()
    for step in range(1, depth + 1):
        deep[step:] += sums[:-step]
        deep[:-step] += sums[step:]
    return deep


def box_counts(shape: tuple[int, ...], reach: tuple[int, int, int]) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Return how many voxels of a volume lie in the box around each along Z, Y and X, shaped so that their product is the count."""
    counts = []
    for axis, (n, r) in enumerate(zip(shape, reach, strict=True)):
        place = np.arange(n)
        count = (np.minimum(place, r) + np.minimum(n - 1 - place, r) + 1).astype(np.float32)
        counts.append(count.reshape([-1 if i == axis else 1 for i in range(3)]))
    return counts[0], counts[1], counts[2]
