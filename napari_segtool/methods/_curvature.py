"""The morphological operators that smooth a contour: supremum of infima and infimum of suprema over short lines or small planes."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.uint8]
"""0 outside and 1 inside, ``(Y, X)`` or ``(depth, Y, X)``."""

Ticks = Generator[None, None, Mask]
"""Work that can be left at every step, and returns a mask."""

_LINES = {
    "down": np.array([[0, 1, 0], [0, 1, 0], [0, 1, 0]], np.uint8),
    "along": np.array([[0, 0, 0], [1, 1, 1], [0, 0, 0]], np.uint8),
    "falling": np.eye(3, dtype=np.uint8),
    "rising": np.eye(3, dtype=np.uint8)[::-1].copy(),
}
_SQUARE = np.ones((3, 3), np.uint8)
# eight of the nine small planes through a voxel, each as a line within the slice and how it shifts from slice to slice; the ninth is the slice itself
_TILTED = (
    ("down", (0, 0)),
    ("along", (0, 0)),
    ("falling", (0, 0)),
    ("rising", (0, 0)),
    ("down", (0, 1)),
    ("down", (0, -1)),
    ("along", (1, 0)),
    ("along", (-1, 0)),
)
_TICK_PIXELS = 1 << 22


@dataclass(frozen=True, slots=True)
class _Order:
    """Which operator: the supremum of infima (an erosion inside), or the infimum of suprema (a dilation inside)."""

    erodes: bool

    def over(self, mask: Mask, kernel: Mask) -> Mask:
        import cv2

        work = cv2.erode if self.erodes else cv2.dilate
        found: Mask = work(mask, kernel, borderType=cv2.BORDER_CONSTANT, borderValue=0)
        return found

    def inner(self, first: Mask, second: Mask) -> Mask:
        return np.minimum(first, second) if self.erodes else np.maximum(first, second)

    def outer(self, first: Mask, second: Mask) -> Mask:
        return np.maximum(first, second) if self.erodes else np.minimum(first, second)


def smooth_ticks(mask: Mask, blocked: NDArray[np.bool_] | None, turn: int) -> Ticks:
    """Smooth a contour once by its curvature.

    Parameters
    ----------
    mask
        Inside is 1.
    blocked
        Pixels that are neither inside nor outside: no neighbour is changed by them, and they stay 0. None where there are none.
    turn
        Even: first the infimum of suprema, then the supremum of infima. Odd: the other way round. Taking turns keeps the contour in place.

    References
    ----------
    .. [1] Márquez-Neila, Baumela & Alvarez 2014, A morphological approach to curvature-based evolution of curves and surfaces,
       doi:10.1109/TPAMI.2013.106
    """
    first = yield from _operator_ticks(mask, blocked, _Order(erodes=bool(turn % 2)))
    return (yield from _operator_ticks(first, blocked, _Order(erodes=not turn % 2)))


def _operator_ticks(mask: Mask, blocked: NDArray[np.bool_] | None, order: _Order) -> Ticks:
    if mask.ndim == 2:
        found: Mask = _in_plane(mask if blocked is None or not order.erodes else mask | blocked.view(np.uint8), order)
        if blocked is not None:
            found[blocked] = 0
        return found
    return (yield from _in_volume_ticks(mask, blocked, order))


def _in_plane(mask: Mask, order: _Order) -> Mask:
    lines = [order.over(mask, kernel) for kernel in _LINES.values()]
    found = lines[0]
    for line in lines[1:]:
        found = order.outer(found, line)
    return found


def _in_volume_ticks(volume: Mask, blocked: NDArray[np.bool_] | None, order: _Order) -> Ticks:
    """Walk the slices with the lines of the one before and the one after at hand."""

    def open_(z: int) -> Mask:
        plane: Mask = volume[z]
        return plane if blocked is None or not order.erodes else plane | blocked[z].view(np.uint8)

    found = np.empty_like(volume)
    nothing = np.zeros(volume.shape[1:], np.uint8)
    outside = dict.fromkeys(_LINES, nothing)
    every = max(1, _TICK_PIXELS // max(1, nothing.size) // len(_TILTED))
    before, here = outside, _lines(open_(0), order)
    for z in range(len(volume)):
        after = _lines(open_(z + 1), order) if z + 1 < len(volume) else outside
        best = order.over(open_(z), _SQUARE)
        for name, (dy, dx) in _TILTED:
            tilted = order.inner(order.inner(_shifted(before[name], -dy, -dx), here[name]), _shifted(after[name], dy, dx))
            best = order.outer(best, tilted)
        found[z] = best
        if blocked is not None:
            found[z][blocked[z]] = 0
        before, here = here, after
        if z % every == 0:
            yield
    return found


def _lines(plane: Mask, order: _Order) -> dict[str, Mask]:
    return {name: order.over(plane, kernel) for name, kernel in _LINES.items()}


def _shifted(plane: Mask, dy: int, dx: int) -> Mask:
    """Return what lies ``dy`` and ``dx`` further on; 0 beyond the border."""
    if not dy and not dx:
        return plane
    moved = np.zeros_like(plane)
    height, width = plane.shape
    moved[max(0, -dy) : height - max(0, dy), max(0, -dx) : width - max(0, dx)] = plane[max(0, dy) : height - max(0, -dy), max(0, dx) : width - max(0, -dx)]
    return moved


def run(ticks: Generator[Any, None, Mask]) -> Mask:
    """Do the whole work in place."""
    try:
        while True:
            next(ticks)
    except StopIteration as stop:
        result: Mask = stop.value
        return result
