"""Gaussian smoothing, in each slice or through the volume."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_segtool.core.params import Params, param
from napari_segtool.core.planes import Fractions, PlaneRule
from napari_segtool.core.progress import Steps
from napari_segtool.core.registry import FILTERS
from napari_segtool.core.slabs import made_steps
from napari_segtool.core.stack import Stack
from napari_segtool.preprocess._channels import each_channel_steps
from napari_segtool.preprocess._portions import portion
from napari_segtool.preprocess._smooth import TRUNCATE, WIDE_PX, float_plane, restored, smooth_plane, wide_blur
from napari_segtool.preprocess._volumes import each_volume_steps, widths_px

_ROWS_BYTES = 1 << 22


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
    traits=("keeps-type", "keeps-range", "keeps-constant"),
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
    widths = widths_px(stack, params.sigma_px, params.sigma_um, params.volume)
    if not params.volume:
        return (yield from each_channel_steps(stack, lambda plane: smooth_plane(plane, widths[1], widths[2])))
    return (yield from each_volume_steps(stack, lambda volume, size: smooth_volume(volume, widths)))


def smooth_volume(volume: NDArray[Any], sigmas: tuple[float, float, float]) -> Fractions:
    """Smooth a ``(depth, Y, X)`` volume with a Gaussian of these widths in pixels, as `smooth_plane` does a plane."""
    values = np.empty(volume.shape, float_plane(volume[0, :0]).dtype)
    target = np.empty(volume.shape, volume.dtype.newbyteorder("=")) if volume.dtype.newbyteorder("=") != values.dtype else values
    weights: NDArray[Any] | None = None  # made at the first hole: where there is none, they would be 1 throughout
    for z, plane in enumerate(volume):
        known = np.isfinite(plane) if plane.dtype.kind == "f" else None
        if known is None or known.all():
            values[z] = smooth_plane(float_plane(plane), sigmas[1], sigmas[2])
        else:
            if weights is None:
                begin = 0.7 * z / len(values)
                weights = yield from portion(made_steps(values.shape, values.dtype, lambda part: 1), begin, begin)
            values[z] = smooth_plane(np.where(known, float_plane(plane), 0), sigmas[1], sigmas[2])
            weights[z] = smooth_plane(known.astype(values.dtype), sigmas[1], sigmas[2])
        if target is not values:
            target[z] = 0  # or memory for all of it is fetched with the first of its columns
        yield 0.7 * (z + 1) / len(values)
    rows = max(1, _ROWS_BYTES // max(1, values[:, :1].nbytes))
    for start in range(0, values.shape[1], rows):
        part = slice(start, start + rows)
        smooth = _smooth_depth(values[:, part], sigmas[0])
        if weights is not None:
            with np.errstate(invalid="ignore", divide="ignore"):
                smooth = smooth / _smooth_depth(weights[:, part], sigmas[0])
            smooth = np.where(np.isfinite(volume[:, part]), smooth, volume[:, part])
        target[:, part] = restored(smooth, target.dtype)
        yield 0.7 + 0.3 * min(1.0, (start + rows) / values.shape[1])
    return target


def _smooth_depth(values: NDArray[Any], sigma: float) -> NDArray[Any]:
    from scipy.ndimage import gaussian_filter1d

    if sigma <= 0 or math.floor(TRUNCATE * sigma + 0.5) == 0:
        return values
    if sigma > WIDE_PX:
        return wide_blur(values, {0: sigma})
    smooth: NDArray[Any] = gaussian_filter1d(values, sigma, axis=0, mode="reflect", truncate=TRUNCATE)
    return smooth
