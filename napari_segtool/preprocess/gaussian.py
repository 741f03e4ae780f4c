"""Gaussian smoothing, in each slice or through the volume."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_segtool.core.errors import AxesError, SpacingError
from napari_segtool.core.params import Params, param
from napari_segtool.core.planes import PlaneRule
from napari_segtool.core.progress import Progress, Steps
from napari_segtool.core.registry import FILTERS
from napari_segtool.core.stack import Stack
from napari_segtool.preprocess._channels import each_channel_steps
from napari_segtool.preprocess._smooth import TRUNCATE, WIDE_PX, float_plane, restored, smooth_plane, wide_blur

_ROWS_BYTES = 1 << 26


class GaussianParams(Params):
    """Settings of Gaussian smoothing."""

    sigma_px: float = param(
        2.0, "Width (standard deviation) in pixels along X; where the spacing is known, as wide in µm along the other axes.", unit="px", ge=0, le=50
    )
    sigma_um: float = param(0.0, "Width in µm, used in place of pixels when above 0; needs the spacing.", unit="µm", ge=0, le=1000, advanced=True)
    volume: bool = param(False, "Smooth through the slices too, not only within each.")


@FILTERS.register(
    "gaussian",
    title="Gaussian",
    summary="Smooths with a Gaussian: less noise, softer edges.",
    params=GaussianParams,
    family="denoise",
    phantom="impulse",
)
def gaussian(stack: Stack, params: GaussianParams) -> Steps[PlaneRule | NDArray[Any]]:
    """Smooth a stack with a Gaussian, mirrored at the borders.

    Parameters
    ----------
    stack
        Any axes; every channel is smoothed on its own.
    params
        Settings. With ``volume``, the width along Z is that along X in µm (in pixels where the spacing is unknown).

    Returns
    -------
    PlaneRule or ndarray
        The type of the stack in native byte order, whole numbers rounded; a whole array for stacks with channels and for ``volume``. ``nan``
        stays ``nan``, and its neighbours are averaged without it.

    Raises
    ------
    SpacingError
        If a width in µm is asked for and the spacing is unknown.
    AxesError
        If ``volume`` is asked for and the stack has no slices.
    """
    if params.sigma_um > 0 and not stack.spacing_um:
        raise SpacingError(
            f"{stack.name or 'The image'} has no spacing, so {params.sigma_um:g} µm cannot be told in pixels.",
            hint="Give the spacing, or the width in pixels.",
        )
    width_um = params.sigma_um or params.sigma_px * stack.spacing_of("X")
    sigma_y, sigma_x = (width_um / stack.spacing_of(axis) for axis in "YX")
    if not params.volume:
        return (yield from each_channel_steps(stack, lambda plane: smooth_plane(plane, sigma_y, sigma_x)))
    depth = next((axis for axis in "ZIQ" if axis in stack.axes), "")
    if not depth:
        raise AxesError(f"{stack.name or 'The image'} has the axes {stack.axes}: there are no slices to smooth through.", hint="Switch the volume off.")
    sigma_z = width_um / stack.spacing_of(depth) if depth == "Z" and stack.spacing_um else params.sigma_px
    return (yield from _volume_steps(stack, depth, (sigma_z, sigma_y, sigma_x)))


def _volume_steps(stack: Stack, depth: str, sigmas: tuple[float, float, float]) -> Steps[NDArray[Any]]:
    """Smooth every volume (of each channel and time) along depth, Y and X."""
    free = depth + "YX"
    counts = [1 if axis in free else n for axis, n in zip(stack.axes, stack.shape, strict=True)]
    order = [axis for axis in stack.axes if axis in free]
    result = np.empty(stack.shape, np.dtype(stack.data.dtype).newbyteorder("="))
    places = list(itertools.product(*(range(n) for n in counts)))
    for done, place in enumerate(places):
        key = tuple(slice(None) if axis in free else i for axis, i in zip(stack.axes, place, strict=True))
        volume = np.asarray(stack.data[key]).transpose([order.index(axis) for axis in free])
        target = result[key].transpose([order.index(axis) for axis in free])
        for part in _smooth_volume(volume, target, sigmas):
            yield Progress(done + part, len(places), "volume")
    return result


def _smooth_volume(volume: NDArray[Any], target: NDArray[Any], sigmas: tuple[float, float, float]) -> Iterator[float]:
    """Write the smoothed ``(depth, Y, X)`` volume into ``target``; yields the finished fraction."""
    values = np.stack([float_plane(plane) for plane in volume])
    known = np.isfinite(values) if volume.dtype.kind == "f" else np.ones((1, 1, 1), bool)
    whole = bool(known.all())
    weights = np.ones((1, 1, 1), values.dtype) if whole else known.astype(values.dtype)
    original = values if whole else values.copy()
    if not whole:
        values[~known] = 0
    for done, z in enumerate(range(len(values)), start=1):
        values[z] = smooth_plane(values[z], sigmas[1], sigmas[2])
        if not whole:
            weights[z] = smooth_plane(weights[z], sigmas[1], sigmas[2])
        yield 0.7 * done / len(values)
    rows = max(1, _ROWS_BYTES // max(1, values[:, :1].nbytes))
    for start in range(0, values.shape[1], rows):
        part = slice(start, start + rows)
        smooth = _smooth_depth(values[:, part], sigmas[0])
        if not whole:
            with np.errstate(invalid="ignore", divide="ignore"):
                smooth = np.where(known[:, part], smooth / _smooth_depth(weights[:, part], sigmas[0]), original[:, part])
        target[:, part] = restored(smooth, target.dtype)
        yield 0.7 + 0.3 * min(1.0, (start + rows) / values.shape[1])


def _smooth_depth(values: NDArray[Any], sigma: float) -> NDArray[Any]:
    from scipy.ndimage import gaussian_filter1d

    if sigma <= 0 or math.floor(TRUNCATE * sigma + 0.5) == 0:
        return values
    if sigma > WIDE_PX:
        return wide_blur(values, {0: sigma})
    smooth: NDArray[Any] = gaussian_filter1d(values, sigma, axis=0, mode="reflect", truncate=TRUNCATE)
    return smooth
