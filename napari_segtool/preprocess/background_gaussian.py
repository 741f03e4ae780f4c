"""Uneven illumination, taken off as what a very wide Gaussian leaves."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_segtool.core.params import Params, param
from napari_segtool.core.planes import Fractions, PlaneRule
from napari_segtool.core.progress import Steps
from napari_segtool.core.registry import FILTERS
from napari_segtool.core.stack import Stack
from napari_segtool.preprocess._background import How, mean_where, without_background
from napari_segtool.preprocess._channels import each_channel_steps
from napari_segtool.preprocess._smooth import float_plane, smooth_plane
from napari_segtool.preprocess._volumes import each_volume_steps, widths_px
from napari_segtool.preprocess.gaussian import smooth_volume


class BackgroundGaussianParams(Params):
    """Settings of the Gaussian background."""

    sigma_px: float = param(50.0, "Width of the Gaussian in pixels along X: several times as wide as the objects.", unit="px", ge=1, le=1000)
    sigma_um: float = param(0.0, "Width in µm, used in place of pixels when above 0; needs the spacing.", unit="µm", ge=0, le=10_000, advanced=True)
    how: Literal["subtract", "divide"] = param("subtract", "Subtract a background of added light, or divide by an uneven illumination.")
    volume: bool = param(False, "Smooth the background through the slices too, not only within each.")


@FILTERS.register(
    "background-gaussian",
    title="Background: Gaussian",
    summary="Evens out illumination that changes slowly over the picture, and keeps everything small.",
    params=BackgroundGaussianParams,
    family="intensity",
    phantom="shading",
    traits=("keeps-type", "keeps-constant"),
)
def background_gaussian(stack: Stack, params: BackgroundGaussianParams) -> Steps[PlaneRule | NDArray[Any]]:
    """Subtract or divide by the picture smoothed with a wide Gaussian; the mean of that background is kept.

    Parameters
    ----------
    stack
        Any axes; every channel is corrected on its own.
    params
        Settings.

    Returns
    -------
    PlaneRule or ndarray
        The type of the stack in native byte order, whole numbers rounded and cut at the limits of their type. ``nan`` and infinite values stay
        as they are, and the background is made without them.

    Raises
    ------
    SpacingError
        If a width in µm is asked for and the spacing is unknown.
    AxesError
        If ``volume`` is asked for and the stack has no slices.
    """
    widths = widths_px(stack, params.sigma_px, params.sigma_um, params.volume)
    if not params.volume:
        return (yield from each_channel_steps(stack, lambda plane: _even_plane(plane, widths[1], widths[2], params.how)))
    return (yield from each_volume_steps(stack, lambda volume, size: _even_volume(volume, widths, params.how)))


def _even_plane(plane: NDArray[Any], sigma_y: float, sigma_x: float, how: How) -> NDArray[Any]:
    background = smooth_plane(float_plane(plane), sigma_y, sigma_x)
    return without_background(plane, background, how, mean_where(background, plane))


def _even_volume(volume: NDArray[Any], widths: tuple[float, float, float], how: How) -> Fractions:
    background = np.empty(volume.shape, float_plane(volume[0, :0]).dtype)
    for z, plane in enumerate(volume):
        background[z] = float_plane(plane)
        yield 0.1 * z / len(volume)
    smoothing = smooth_volume(background, widths)
    try:
        while True:
            yield 0.1 + 0.7 * next(smoothing)
    except StopIteration as stop:
        background = stop.value
    finally:
        smoothing.close()
    means, counts = [], []
    for z, plane in enumerate(volume):
        means.append(mean_where(background[z], plane))
        counts.append(np.isfinite(plane).sum() if plane.dtype.kind == "f" else plane.size)
        yield 0.8
    level = float(np.average(means, weights=counts)) if sum(counts) else 0.0
    result = np.empty(volume.shape, volume.dtype)
    for z in range(len(volume)):
        result[z] = without_background(volume[z], background[z], how, level)
        yield 0.8 + 0.2 * (z + 1) / len(volume)
    return result
