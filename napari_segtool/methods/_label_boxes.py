"""Where each label lies, so that work on it can keep to its box."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_segtool.core.slabs import slabs_along

Box = tuple[slice, ...]

_COUNTED = 1 << 22  # labels up to that are counted in a list; others are sorted


def boxes_steps(labels: NDArray[Any]) -> Generator[float, None, dict[int, Box]]:
    """Find the smallest box around each label but 0.

    Parameters
    ----------
    labels
        Unsigned integers of any number of dimensions.

    Returns
    -------
    dict
        Box of each label, in increasing order of labels.

    Examples
    --------
    >>> steps = boxes_steps(np.array([[0, 7], [7, 7]], np.uint8))
    >>> try:
    ...     while True:
    ...         _ = next(steps)
    ... except StopIteration as stop:
    ...     stop.value
    {7: (slice(0, 2, None), slice(0, 2, None))}
    """
    from scipy.ndimage import find_objects

    found: dict[int, Box] = {}
    for part in slabs_along(labels.shape):
        values, slab = _few(labels[part])
        for label, box in zip(values.tolist(), find_objects(slab, len(values)), strict=True):
            if box is not None:
                moved = (slice(box[0].start + part.start, box[0].stop + part.start), *box[1:])
                found[label] = _joined(found[label], moved) if label in found else moved
        yield part.stop / len(labels)
    return dict(sorted(found.items()))


def _few(slab: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the labels of a slab but 0, and the slab with their numbers from 1 in place of them."""
    largest = int(slab.max(initial=0))
    if largest < 256:
        return np.arange(1, largest + 1), slab
    if largest > _COUNTED:
        values, places = np.unique(np.concatenate([np.zeros(1, slab.dtype), slab.ravel()]), return_inverse=True)
        return values[1:], places[1:].reshape(slab.shape).astype(np.int32)
    there = np.zeros(largest + 1, bool)
    there[slab] = True
    there[0] = False
    return np.flatnonzero(there), (np.cumsum(there, dtype=np.int32) * there)[slab]


def grown(box: Box, margin: tuple[int, ...], shape: tuple[int, ...]) -> Box:
    """Return a box that is larger by a margin along each axis, as far as the picture goes."""
    return tuple(slice(max(0, part.start - more), min(n, part.stop + more)) for part, more, n in zip(box, margin, shape, strict=True))


def volume_of(box: Box) -> int:
    """Return the number of pixels in a box."""
    return int(np.prod([part.stop - part.start for part in box]))


def _joined(first: Box, second: Box) -> Box:
    return tuple(slice(min(a.start, b.start), max(a.stop, b.stop)) for a, b in zip(first, second, strict=True))
