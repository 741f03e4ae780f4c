"""Steepness of grey values from the nearest neighbours: what Sobel, Prewitt and Scharr share."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_segtool.core.params import Params, param
from napari_segtool.core.planes import Fractions, PlaneRule
from napari_segtool.core.progress import Steps
from napari_segtool.core.stack import Stack
from napari_segtool.preprocess._channels import each_channel_steps
from napari_segtool.preprocess._portions import portion
from napari_segtool.preprocess._scale import Scale, known_pixels, without_unknown
from napari_segtool.preprocess._volumes import blocks_steps, each_volume_steps

Mask = NDArray[np.bool_]


class GradientParams(Params):
    """Settings of a gradient."""

    volume: bool = param(False, "Also measure through the slices, with their true distance, not only within each.")


def gradient_steps(stack: Stack, params: GradientParams, side: float) -> Steps[PlaneRule | NDArray[Any]]:
    """Measure the steepness of a stack in grey values per pixel along X; see `steepness` for ``side``."""
    across = stack.spacing_of("X")
    if params.volume:
        return (yield from each_volume_steps(stack, lambda volume, size: _volume_steepness(volume, tuple(s / across for s in size), side)))
    lengths = (stack.spacing_of("Y") / across, 1.0)
    return (yield from each_channel_steps(stack, lambda plane: _scaled_steepness(plane, Scale.of(plane), lengths, side)))


def steepness(values: NDArray[np.float32], known: Mask | None, lengths: tuple[float, ...], side: float) -> NDArray[np.float32]:
    """Return the length of the gradient of a plane or volume.

    Along each axis it is half the difference of the two neighbours, averaged over the neighbours along the other axes.

    Parameters
    ----------
    values
        Grey values; 0 where they are not known.
    known
        Where they are known; ``None``: everywhere. A neighbour without a value counts as the pixel itself does, as beyond the border.
    lengths
        Distance of two samples along each axis, in units of the answer.
    side
        Weight of either neighbour in the average, along the axis with the closest samples: 1/4 after Sobel, 1/3 after Prewitt, 3/16 after
        Scharr. Along the others it falls with the square of the distance, so that the average is as wide along each.

    Returns
    -------
    ndarray
        float32, grey values for each unit of ``lengths``.

    Examples
    --------
    >>> ramp = np.tile(np.arange(5, dtype=np.float32) * 6, (3, 1))
    >>> steepness(ramp, None, (1.0, 2.0), 0.25)[1].tolist()
    [1.5, 3.0, 3.0, 3.0, 1.5]
    """
    squares = np.zeros(values.shape, np.float32)
    for axis in range(values.ndim):
        smooth = values
        for other in range(values.ndim):
            if other != axis:
                smooth = _averaged(smooth, known, other, side * (min(lengths) / lengths[other]) ** 2)
        slope = _difference(smooth, known, axis)
        slope *= np.float32(0.5 / lengths[axis])
        slope *= slope
        squares += slope
    return np.sqrt(squares, out=squares)


def _scaled_steepness(pixels: NDArray[Any], scale: Scale, lengths: tuple[float, ...], side: float) -> NDArray[np.float32]:
    known = known_pixels(pixels)
    slope = steepness(scale.unit(pixels), known, lengths, side)
    with np.errstate(over="ignore"):
        slope *= np.float32(scale.half)
    return without_unknown(slope, known)


def _volume_steepness(volume: NDArray[Any], lengths: tuple[float, ...], side: float) -> Fractions:
    scale = yield from portion(Scale.steps(volume), 0.0, 0.1)
    blocks = blocks_steps(volume, lambda block: _scaled_steepness(block, scale, lengths, side), (1, 1, 1))
    return (yield from portion(blocks, 0.1, 1.0))


def _part(ndim: int, axis: int, part: slice) -> tuple[slice, ...]:
    return tuple(part if i == axis else slice(None) for i in range(ndim))


def _neighbours_added(values: NDArray[np.float32], axis: int, side: float) -> NDArray[np.float32]:
    """Weighted mean with both neighbours along an axis; beyond the border lies the border pixel once more."""
    first, last, before, after = (_part(values.ndim, axis, part) for part in (slice(0, 1), slice(-1, None), slice(None, -1), slice(1, None)))
    mean = values * np.float32(1 - 2 * side)
    weighted = values * np.float32(side)
    mean[after] += weighted[before]
    mean[before] += weighted[after]
    mean[first] += weighted[first]
    mean[last] += weighted[last]
    return mean


def _averaged(values: NDArray[np.float32], known: Mask | None, axis: int, side: float) -> NDArray[np.float32]:
    """Average along an axis; a neighbour without a value counts as the pixel itself."""
    mean = _neighbours_added(values, axis, side)
    if known is not None:
        mean += (1 - _neighbours_added(known.astype(np.float32), axis, side)) * values
        mean[~known] = 0
    return mean


def _difference(values: NDArray[np.float32], known: Mask | None, axis: int) -> NDArray[np.float32]:
    """Next neighbour less the one before; where either is missing, the pixel itself takes its place."""
    before, after = (_part(values.ndim, axis, part) for part in (slice(None, -1), slice(1, None)))
    rise = values[after] - values[before]
    if known is not None:
        rise[~(known[after] & known[before])] = 0
    slope = np.zeros(values.shape, np.float32)
    slope[before] += rise
    slope[after] += rise
    return slope
