"""How steep grey values are, in planes and volumes: what contours are drawn to."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_segtool.core.errors import DataError
from napari_segtool.core.planes import Fractions, plane_indices
from napari_segtool.core.progress import Progress, Steps
from napari_segtool.core.stack import Stack
from napari_segtool.methods._grey import Grey
from napari_segtool.methods._thresholds import one_value_only
from napari_segtool.preprocess._smooth import float_plane, smooth_plane
from napari_segtool.preprocess.gaussian import smooth_volume

Slopes = NDArray[np.float32]

STRONGEST = 99.5
"""Percentile of the slopes (those that are not 0) that counts as the strongest edge: a few hot pixels do not set the scale."""

_PLANES, _SAMPLE = 32, 500_000  # looked at for the strongest edge, and how many slopes of them are kept
_NOISE = 1e-5  # of the largest grey value: slopes that rounding leaves behind in a constant picture
_MEMO, _KEPT = "strongest slopes", 8
_SLAB_PIXELS = 1 << 20


def strongest_slope_steps(stack: Stack, grey: Grey, sigma_px: float) -> Steps[float]:
    """Return the slope of the strongest edge of a stack, in grey values per pixel, remembered with the stack.

    It is measured in the slices, at most 32 of them, spread over the stack.

    Raises
    ------
    DataError
        If no pixel has a finite value, or all have the same.
    """
    kept: dict[tuple[Grey, float], float] = stack.memo.setdefault(_MEMO, {})
    if (grey, sigma_px) not in kept:
        found = yield from _measured_steps(stack, grey, sigma_px)
        if len(kept) >= _KEPT:
            kept.pop(next(iter(kept)))
        kept[grey, sigma_px] = found
    return kept[grey, sigma_px]


def plane_slopes(grey: NDArray[Any], sigma_px: float) -> Slopes:
    """Return how steep a smoothed plane is at each pixel, in grey values per pixel; 0 beside pixels without a value."""
    return _slopes(smooth_plane(float_plane(grey), sigma_px, sigma_px), (1.0, 1.0))


def volume_slopes_steps(grey: NDArray[Any], sigmas_px: tuple[float, float, float], size: tuple[float, float, float]) -> Fractions:
    """Return how steep a smoothed volume is at each voxel, in grey values per pixel along X.

    Parameters
    ----------
    grey
        Shape ``(depth, Y, X)``.
    sigmas_px
        Width of the Gaussian along each axis, in samples.
    size
        Size of a voxel along each axis.

    Yields
    ------
    float
        The finished part.

    Returns
    -------
    ndarray
        float32.
    """
    smoothing = smooth_volume(np.asarray(grey, np.float32), sigmas_px)
    try:
        while True:
            yield 0.6 * next(smoothing)
    except StopIteration as stop:
        smooth: NDArray[Any] = stop.value
    finally:
        smoothing.close()
    slopes = np.empty(grey.shape, np.float32)
    rows = max(1, _SLAB_PIXELS // max(1, math.prod(grey.shape[1:])))
    steps = tuple(width / size[2] for width in size)
    for first in range(0, len(smooth), rows):
        last, top = min(first + rows, len(smooth)), max(first - 1, 0)
        slopes[first:last] = _slopes(smooth[top : last + 1], steps)[first - top : last - top]
        yield 0.6 + 0.4 * last / len(smooth)
    return slopes


def _slopes(smooth: NDArray[Any], steps: tuple[float, ...]) -> Slopes:
    squares = np.zeros(smooth.shape, smooth.dtype)
    with np.errstate(invalid="ignore", over="ignore"):
        for axis, step in enumerate(steps):
            if smooth.shape[axis] > 1:
                squares += np.gradient(smooth, step, axis=axis) ** 2
        slopes = np.sqrt(squares)
    known = np.isfinite(slopes)
    return np.where(known, slopes, 0).astype(np.float32)


def _measured_steps(stack: Stack, grey: Grey, sigma_px: float) -> Steps[float]:
    planes, parts = list(plane_indices(stack)), []
    every = math.ceil(len(planes) / _PLANES)
    looked = min(len(planes), _PLANES) * math.prod(stack.label_shape) // len(planes)
    stride = math.ceil(looked / _SAMPLE) | 1  # odd, so that it does not keep to the same columns
    known, largest = False, 0.0
    for done, index in enumerate(planes, start=1):
        if known and (done - 1) % every:
            continue
        values = float_plane(grey.read(stack, index))
        finite = np.isfinite(values)
        if finite.any():
            known, largest = True, max(largest, float(np.abs(values[finite]).max()))
            parts.append(plane_slopes(values, sigma_px).ravel()[::stride])
        yield Progress(done, len(planes), "edges")
    yield Progress(1, 1, "edges")
    if not known:
        raise DataError(f"{stack.name or 'The image'} has no pixel with a value.", hint="Check that the file is whole and not all NaN.")
    joined = np.concatenate(parts)
    steep = joined[joined > _NOISE * largest]
    if not steep.size:
        raise one_value_only(stack)
    return float(np.percentile(steep, STRONGEST))
