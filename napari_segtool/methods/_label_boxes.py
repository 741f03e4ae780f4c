"""Where each label lies, so that work on it can keep to its box."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_segtool.core.slabs import slabs_along

Box = tuple[slice, ...]

_SLAB_PIXELS = 1 << 20
_COUNTED = 4  # times as many labels as pixels: larger ones are sorted, not listed


@dataclass(frozen=True, eq=False)
class Boxes:
    """The boxes of labels, of which there may be millions.

    Parameters
    ----------
    labels
        In increasing order, shape ``(n,)``.
    starts, stops
        Where their boxes begin and end along each axis, shape ``(n, axes)``.
    """

    labels: NDArray[np.int64]
    starts: NDArray[np.int64]
    stops: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)

    def items(self, order: NDArray[np.int64] | None = None) -> Iterator[tuple[int, Box]]:
        """Every label and its box, one after another: in increasing order, or in another order of their places in ``labels``."""
        for place in range(len(self)) if order is None else order:
            yield int(self.labels[place]), tuple(slice(int(start), int(stop)) for start, stop in zip(self.starts[place], self.stops[place], strict=True))

    def smallest_first(self) -> NDArray[np.int64]:
        """Return the order of the boxes by their number of pixels, and by label where that is the same."""
        return np.argsort((self.stops - self.starts).prod(axis=1), kind="stable")


def boxes_steps(labels: NDArray[Any]) -> Generator[float, None, Boxes]:
    """Find the smallest box around each label but 0.

    Parameters
    ----------
    labels
        Unsigned integers of any number of dimensions.

    Examples
    --------
    >>> steps = boxes_steps(np.array([[0, 7], [7, 7]], np.uint8))
    >>> try:
    ...     while True:
    ...         _ = next(steps)
    ... except StopIteration as stop:
    ...     dict(stop.value.items())
    {7: (slice(0, 2, None), slice(0, 2, None))}
    """
    from scipy.ndimage import find_objects

    numbers, starts, stops = [np.zeros(0, np.int64)], [np.zeros((0, labels.ndim), np.int64)], [np.zeros((0, labels.ndim), np.int64)]
    for part in slabs_along(labels.shape, _SLAB_PIXELS):
        values, slab = _few(labels[part])
        found = find_objects(slab, len(values))
        there = np.array([box is not None for box in found], bool)
        ends = np.array([[side.start for side in box] + [side.stop for side in box] for box in found if box is not None], np.int64).reshape(-1, 2, labels.ndim)
        ends[:, :, 0] += part.start
        numbers.append(values[there])
        starts.append(ends[:, 0])
        stops.append(ends[:, 1])
        yield part.stop / len(labels)
    every = np.concatenate(numbers)
    order = np.argsort(every, kind="stable")
    ordered = every[order]
    heads = np.flatnonzero(np.diff(ordered, prepend=-1))  # 0 is no label, so that the first differs
    if not heads.size:
        return Boxes(every, starts[0], stops[0])
    first, last = np.minimum.reduceat(np.concatenate(starts)[order], heads), np.maximum.reduceat(np.concatenate(stops)[order], heads)
    return Boxes(ordered[heads], first, last)


def _few(slab: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the labels of a slab but 0, and the slab with their numbers from 1 in place of them."""
    largest = int(slab.max(initial=0))
    if largest < 256:
        return np.arange(1, largest + 1), slab
    if largest > _COUNTED * slab.size:
        values, places = np.unique(np.concatenate([np.zeros(1, slab.dtype), slab.ravel()]), return_inverse=True)
        return values[1:].astype(np.int64), places[1:].reshape(slab.shape).astype(np.int32)
    there = np.zeros(largest + 1, bool)
    there[slab] = True
    there[0] = False
    return np.flatnonzero(there), (np.cumsum(there, dtype=np.int32) * there)[slab]


def grown(box: Box, margin: tuple[int, ...], shape: tuple[int, ...]) -> Box:
    """Return a box that is larger by a margin along each axis, as far as the picture goes."""
    return tuple(slice(max(0, part.start - more), min(n, part.stop + more)) for part, more, n in zip(box, margin, shape, strict=True))
