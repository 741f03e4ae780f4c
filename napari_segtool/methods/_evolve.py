"""Regions whose contours move step by step, several beside each other."""

from __future__ import annotations

from collections.abc import Callable, Generator
from functools import partial
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from napari_segtool.core.planes import Fractions
from napari_segtool.core.progress import Sketches
from napari_segtool.methods._curvature import Mask, Ticks, smooth_ticks

T = TypeVar("T")
Box = tuple[slice, ...]
Blocked = NDArray[np.bool_]

SLAB_PIXELS = 1 << 20
"""Pixels that are worked on between two steps: a few hundredths of a second."""


class Force(Protocol):
    """What moves contours: it looks at the picture and at the regions as they are."""

    def move_ticks(self, inside: Mask, blocked: Blocked | None, box: Box, label: int) -> Ticks:
        """Return the region after one step, as a new mask.

        Parameters
        ----------
        inside
            The region in its box: 1 inside.
        blocked
            Pixels in the box that the region cannot enter and that must not count: other regions, and pixels without a value.
        box
            Where that is in the picture.
        label
            The region's label.
        """

    def took_ticks(self, inside: Mask, box: Box, label: int) -> Generator[None, None, None]:
        """Hear what a region looks like after a step."""


def evolve_steps(
    start: NDArray[Any],
    unknown: Blocked | None,
    force: Force,
    *,
    iterations: int,
    smoothing: int,
    shown: Callable[[NDArray[Any]], NDArray[Any]] = np.copy,
) -> Fractions:
    """Let regions evolve.

    In each iteration every region takes one step, in the order of the labels; regions never overlap, and none enters a pixel without a
    value. Where regions come back to what they were two iterations before, they would only go on to and fro, and the rest is left out.

    Parameters
    ----------
    start
        Labels to start from, ``(Y, X)`` or ``(depth, Y, X)``.
    unknown
        Pixels without a value; None where there are none.
    force
        What moves the contours.
    iterations
        Number of steps.
    smoothing
        How often each contour is smoothed in every step.
    shown
        Makes the labels to show of those that evolve; must copy.

    Yields
    ------
    float
        The finished part, now and then as a `Sketch`.

    Returns
    -------
    ndarray
        Labels of the type of ``start``.
    """
    owners = start.copy()
    if unknown is not None:
        owners[unknown] = 0
    boxes = _boxes(owners)
    sketch, margin = Sketches(), smoothing + 2
    earlier: tuple[NDArray[Any] | None, NDArray[Any] | None] = (None, None)  # after the last iteration, and after the one before
    for done in range(iterations):
        part = done / iterations
        yield sketch(part, partial(shown, owners))
        for label in list(boxes):
            box = _grown(boxes[label], margin, owners.shape)
            inside = yield from _paced(part, _step_ticks(owners, unknown, force, box, label, smoothing, done))
            found = _bounds(inside, box)
            if found is None:
                del boxes[label]
            else:
                boxes[label] = found
        if earlier[1] is not None and np.array_equal(earlier[1], owners):
            settled = earlier[0] if (iterations - done) % 2 == 0 else owners
            owners = owners if settled is None else settled
            break
        earlier = (owners.copy(), earlier[0])
    yield 1.0
    return shown(owners)


def slabs(count: int, pixels: int) -> list[tuple[int, int]]:
    """Return parts of ``count`` rows or slices of ``pixels`` pixels each, small enough to be worked on between two steps."""
    rows = max(1, SLAB_PIXELS // max(1, pixels))
    return [(first, min(first + rows, count)) for first in range(0, count, rows)]


def border(inside: Mask, blocked: Blocked | None, first: int, last: int) -> NDArray[np.bool_]:
    """Return where the region's mask has a slope in rows (slices) ``first`` to ``last``: its neighbours before and after differ.

    The picture goes on beyond its end, and where it is blocked, as it is at the pixel itself.
    """
    top = max(first - 1, 0)
    part = inside[top : last + 1]
    closed = None if blocked is None else blocked[top : last + 1]
    found = np.zeros(part.shape, bool)
    for axis in range(part.ndim):
        before, after = _neighbours(part, closed, axis)
        found |= before != after
    if closed is not None:
        found &= ~closed
    return found[first - top : first - top + last - first]


def _neighbours(part: Mask, closed: Blocked | None, axis: int) -> tuple[Mask, Mask]:
    """The pixel before and the pixel after along an axis, for each pixel."""
    low, high, first, last = (_along(part.ndim, axis, at) for at in (slice(None, -1), slice(1, None), slice(0, 1), slice(-1, None)))
    before, after = np.empty_like(part), np.empty_like(part)
    before[first], before[high] = part[first], part[low]
    after[last], after[low] = part[last], part[high]
    if closed is not None:
        before[high] |= part[high] & closed[low]
        after[low] |= part[low] & closed[high]
    return before, after


def _along(dimensions: int, axis: int, at: slice) -> tuple[slice, ...]:
    return tuple(at if i == axis else slice(None) for i in range(dimensions))


def _step_ticks(owners: NDArray[Any], unknown: Blocked | None, force: Force, box: Box, label: int, smoothing: int, done: int) -> Ticks:
    """One step of one region, written into ``owners``."""
    here = owners[box]
    before = here == label
    blocked = (here != 0) & ~before
    if unknown is not None:
        blocked |= unknown[box]
    walls = blocked if blocked.any() else None
    inside = yield from force.move_ticks(before.view(np.uint8), walls, box, label)
    for turn in range(smoothing):
        inside = yield from smooth_ticks(inside, walls, done * smoothing + turn)
    yield
    now = inside.view(bool)
    np.copyto(here, here.dtype.type(0), where=before & ~now)
    np.copyto(here, here.dtype.type(label), where=now)
    yield
    yield from force.took_ticks(inside, box, label)
    return inside


def _paced(part: float, work: Generator[Any, None, T]) -> Generator[float, None, T]:
    """Yield the same finished part at each step of some work."""
    try:
        while True:
            next(work)
            yield part
    except StopIteration as stop:
        result: T = stop.value
        return result
    finally:
        work.close()


def _boxes(owners: NDArray[Any]) -> dict[int, Box]:
    from scipy.ndimage import find_objects

    found = find_objects(owners) if owners.max(initial=0) else []
    return {label: box for label, box in enumerate(found, start=1) if box is not None}


def _grown(box: Box, margin: int, shape: tuple[int, ...]) -> Box:
    return tuple(slice(max(0, part.start - margin), min(count, part.stop + margin)) for part, count in zip(box, shape, strict=True))


def _bounds(inside: Mask, box: Box) -> Box | None:
    """Where the region lies now, in the picture; None where nothing is left of it."""
    part = []
    for axis, outer in enumerate(box):
        places = np.flatnonzero(inside.view(bool).any(axis=tuple(i for i in range(inside.ndim) if i != axis)))
        if not places.size:
            return None
        part.append(slice(outer.start + int(places[0]), outer.start + int(places[-1]) + 1))
    return tuple(part)
