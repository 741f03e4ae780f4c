"""Apply a filter of one volume to every channel and time of a stack, and tell widths in pixels along every axis."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_segtool.core.errors import AxesError, ParameterError, SpacingError
from napari_segtool.core.planes import Fractions
from napari_segtool.core.progress import Progress, Steps, as_progress
from napari_segtool.core.stack import Stack
from napari_segtool.preprocess._smooth import native

VolumeRule = Callable[[NDArray[Any], tuple[float, float, float]], Fractions | NDArray[Any]]
"""Turns a read-only ``(depth, Y, X)`` volume and the size of its voxels into a volume of that shape, at once or in steps."""

BLOCK_VOXELS = 1 << 21
"""Voxels of a block that a library works on without yielding: a fraction of a second."""


def depth_axis(stack: Stack) -> str:
    """Return the axis that volumes have beside Y and X: Z, else pages of unknown meaning.

    Raises
    ------
    AxesError
        If the stack has no slices.
    """
    depth = next((axis for axis in "ZIQ" if axis in stack.axes), "")
    if not depth:
        raise AxesError(f"{stack.name or 'The image'} has the axes {stack.axes}: there are no slices to filter through.", hint="Switch the volume off.")
    return depth


def voxel_size(stack: Stack) -> tuple[float, float, float]:
    """Return the size of a voxel along depth, Y and X in µm; 1.0 each where the spacing is unknown.

    Pages of unknown meaning, and slices of a stack without a spacing, count as thick as a pixel is wide.
    """
    depth = depth_axis(stack)
    return stack.spacing_of("Z" if depth == "Z" else "X"), stack.spacing_of("Y"), stack.spacing_of("X")


def widths_px(stack: Stack, px: float, um: float, volume: bool, most_px: float = math.inf) -> tuple[float, float, float]:
    """Return a width in pixels along depth, Y and X, equally wide in µm along each where the spacing is known.

    Parameters
    ----------
    stack
        Any axes.
    px
        Width in pixels along X.
    um
        Width in µm, used in place of ``px`` when above 0.
    volume
        Whether the filter goes through the slices; the width along depth is 0 where it does not.
    most_px
        Largest width in pixels that the filter can work with.

    Raises
    ------
    SpacingError
        If ``um`` is above 0 and the spacing is unknown.
    ParameterError
        If the width is more than ``most_px`` along an axis.
    AxesError
        If ``volume`` is asked for and the stack has no slices.

    Examples
    --------
    >>> widths_px(Stack(np.zeros((2, 4, 4)), "ZYX", (0.05, 0.01, 0.01)), 10, 0, volume=True)
    (2.0, 10.0, 10.0)
    """
    if um > 0 and not stack.spacing_um:
        raise SpacingError(
            f"{stack.name or 'The image'} has no spacing, so {um:g} µm cannot be told in pixels.", hint="Give the spacing, or the width in pixels."
        )
    width_um = um or px * stack.spacing_of("X")
    depth = width_um / voxel_size(stack)[0] if volume else 0.0
    widths = depth, width_um / stack.spacing_of("Y"), width_um / stack.spacing_of("X")
    if max(widths) > most_px:
        raise ParameterError(
            f"{width_um:g} µm are {max(widths):.0f} pixels of {stack.name or 'the image'}; this filter takes {most_px:g} at most.",
            hint="Give a smaller width, or shrink the image first.",
        )
    return widths


def whole_px(widths: tuple[float, float, float]) -> tuple[int, int, int]:
    """Round widths to whole pixels, a half up.

    Examples
    --------
    >>> whole_px((0.4, 0.5, 2.5))
    (0, 1, 3)
    """
    depth, rows, columns = (math.floor(width + 0.5 + 1e-9) for width in widths)  # 0.3 µm through 0.2 µm is a little less than 1.5
    return depth, rows, columns


def each_volume_steps(stack: Stack, rule: VolumeRule, label: str = "volume") -> Steps[NDArray[Any]]:
    """Apply ``rule`` to the volume of each channel and time.

    Parameters
    ----------
    stack
        With Z or pages.
    rule
        Gets ``(depth, Y, X)`` in native byte order, contiguous, not to be written to, and `voxel_size`.
    label
        What the progress counts.

    Returns
    -------
    ndarray
        Of the stack's own shape and axes.

    Raises
    ------
    AxesError
        If the stack has no slices.
    """
    free = depth_axis(stack) + "YX"
    size = voxel_size(stack)
    order = [free.index(axis) for axis in stack.axes if axis in free]
    counts = [1 if axis in free else n for axis, n in zip(stack.axes, stack.shape, strict=True)]
    places = list(itertools.product(*(range(n) for n in counts)))
    result: NDArray[Any] | None = None
    for done, place in enumerate(places):
        key = tuple(slice(None) if axis in free else i for axis, i in zip(stack.axes, place, strict=True))
        volume = native(np.asarray(stack.data[key]).transpose(np.argsort(order)))
        outcome = rule(volume, size)
        made = outcome if isinstance(outcome, np.ndarray) else (yield from as_progress(outcome, done, len(places), label))
        filtered = made.transpose(order)
        if len(places) == 1:
            yield Progress(1, 1, label)
            return np.ascontiguousarray(filtered).reshape(stack.shape)
        result = np.empty(stack.shape, filtered.dtype) if result is None else result
        result[key] = filtered
        yield Progress(done + 1, len(places), label)
    return np.empty(stack.shape, np.uint8) if result is None else result


def blocks_steps(
    volume: NDArray[Any],
    rule: Callable[[NDArray[Any]], Fractions | NDArray[Any]],
    reach: tuple[int, int, int],
    voxels: int = BLOCK_VOXELS,
) -> Fractions:
    """Apply a rule with a limited reach to a volume block by block, as if to the whole of it.

    A block lacks nothing its inner voxels look at, and ends where the volume ends, so the rule's own treatment of borders stays.

    Parameters
    ----------
    volume
        Shape ``(depth, Y, X)``.
    rule
        Turns a block into a block of its shape, at once or in steps.
    reach
        How far a voxel of the result looks along each axis.
    voxels
        About how many voxels of the result a block makes.
    """
    inner = _block_shape(volume.shape, reach, voxels)
    starts = [range(0, max(1, n), step) for n, step in zip(volume.shape, inner, strict=True)]
    places = list(itertools.product(*starts))
    result: NDArray[Any] | None = None
    for done, place in enumerate(places):
        outer = tuple(slice(max(0, a - r), a + n + r) for a, n, r in zip(place, inner, reach, strict=True))
        outcome = rule(volume[outer])
        made = outcome if isinstance(outcome, np.ndarray) else (yield from _scaled(outcome, done, len(places)))
        result = np.empty(volume.shape, made.dtype) if result is None else result
        part = tuple(slice(a, a + n) for a, n in zip(place, inner, strict=True))
        own = tuple(slice(a - o.start, a - o.start + n) for a, o, n in zip(place, outer, inner, strict=True))
        result[part] = made[own]
        yield (done + 1) / len(places)
    return np.empty(volume.shape, volume.dtype) if result is None else result


def _scaled(work: Fractions, done: int, total: int) -> Fractions:
    try:
        while True:
            yield (done + next(work)) / total
    except StopIteration as stop:
        return np.asarray(stop.value)


def _block_shape(shape: tuple[int, ...], reach: tuple[int, int, int], voxels: int) -> tuple[int, int, int]:
    """Halve the axis that is longest beside its reach until a block is small enough; never below its reach, which would do the work twice and more."""
    inner = list(shape)
    while np.prod(inner) > voxels:
        splittable = [(n / (r + 1), axis) for axis, (n, r) in enumerate(zip(inner, reach, strict=True)) if n > max(8, 2 * r)]
        if not splittable:
            break
        axis = max(splittable)[1]
        inner[axis] = -(-inner[axis] // 2)
    return inner[0], inner[1], inner[2]
