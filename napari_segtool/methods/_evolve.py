"""Regions whose contours move step by step, several beside each other."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from napari_segtool.core.planes import Fractions
from napari_segtool.core.progress import Sketch, Sketches
from napari_segtool.core.slabs import made_steps
from napari_segtool.methods._curvature import Mask, Ticks, smooth_ticks
from napari_segtool.methods._label_boxes import boxes_steps, grown
from napari_segtool.preprocess._portions import portion

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
    shown: Callable[[NDArray[Any], slice], NDArray[Any] | int] = lambda labels, part: labels,
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
        Makes the labels to show of those that evolve, of some rows (slices), and which these are.

    Yields
    ------
    float
        The finished part, now and then as a `Sketch`.

    Returns
    -------
    ndarray
        Labels of the type of ``start``.
    """
    owners = yield from portion(made_steps(start.shape, start.dtype, lambda part: start[part] if unknown is None else start[part] * ~unknown[part]), 0.0, 0.0)
    boxes = dict((yield from portion(boxes_steps(owners), 0.0, 0.0)).items())
    sketch, margin = Sketches(), smoothing + 2
    earlier: tuple[NDArray[Any] | None, NDArray[Any] | None] = (None, None)  # after the last iteration, and after the one before
    for done in range(iterations):
        part = done / iterations
        if sketch.due():
            yield Sketch(part, (yield from portion(_shown_steps(owners, shown), part, part)))
        else:
            yield part
        for label in list(boxes):
            box = grown(boxes[label], (margin,) * owners.ndim, owners.shape)
            inside = yield from _paced(part, _step_ticks(owners, unknown, force, box, label, smoothing, done))
            found = yield from _paced(part, _bounds_ticks(inside, box))
            if found is None:
                del boxes[label]
            else:
                boxes[label] = found
        if earlier[1] is not None and (yield from _paced(part, _same_ticks(earlier[1], owners))):
            settled = earlier[0] if (iterations - done) % 2 == 0 else owners
            owners = owners if settled is None else settled
            break
        earlier = (yield from _paced(part, copied_ticks(owners))), earlier[0]
    final = yield from portion(_shown_steps(owners, shown), 1.0, 1.0)
    yield 1.0
    return final


def _shown_steps(owners: NDArray[Any], shown: Callable[[NDArray[Any], slice], NDArray[Any] | int]) -> Fractions:
    return (yield from made_steps(owners.shape, owners.dtype, lambda part: shown(owners[part], part)))


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
    before, blocked = np.zeros(here.shape, bool), np.zeros(here.shape, bool)
    parts, some = slabs(len(here), here[:1].size), False
    for first, last in parts:
        part = slice(first, last)
        np.equal(here[part], label, out=before[part])
        np.logical_and(here[part] != 0, ~before[part], out=blocked[part])
        if unknown is not None:
            blocked[part] |= unknown[box][part]
        some = some or bool(blocked[part].any())
        yield
    walls = blocked if some else None
    inside = yield from force.move_ticks(before.view(np.uint8), walls, box, label)
    for turn in range(smoothing):
        inside = yield from smooth_ticks(inside, walls, done * smoothing + turn)
    now = inside.view(bool)
    for first, last in parts:
        part = slice(first, last)
        np.copyto(here[part], here.dtype.type(0), where=before[part] & ~now[part])
        np.copyto(here[part], here.dtype.type(label), where=now[part])
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


def copied_ticks(values: NDArray[Any]) -> Generator[None, None, NDArray[Any]]:
    """Copy an array, in steps."""
    copied = np.empty_like(values)
    for first, last in slabs(len(values), values[:1].size):
        copied[first:last] = values[first:last]
        yield
    return copied


def _same_ticks(one: NDArray[Any], other: NDArray[Any]) -> Generator[None, None, bool]:
    for first, last in slabs(len(one), one[:1].size):
        if not np.array_equal(one[first:last], other[first:last]):
            return False
        yield
    return True


def _bounds_ticks(inside: Mask, box: Box) -> Generator[None, None, Box | None]:
    """Where the region lies now, in the picture; None where nothing is left of it."""
    along = [np.zeros(n, bool) for n in inside.shape]
    for first, last in slabs(len(inside), inside[:1].size):
        part = inside[first:last].view(bool)
        flat = np.asarray(part.any(axis=0))
        along[0][first:last] = part.reshape(last - first, -1).any(axis=1)
        for axis in range(1, inside.ndim):
            along[axis] |= np.moveaxis(flat, axis - 1, 0).reshape(len(along[axis]), -1).any(axis=1)
        yield
    found = []
    for outer, there in zip(box, along, strict=True):
        places = np.flatnonzero(there)
        if not places.size:
            return None
        found.append(slice(outer.start + int(places[0]), outer.start + int(places[-1]) + 1))
    return tuple(found)
