"""Laplacian of Gaussian: blobs of one size, and edges where it passes 0."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_segtool.core.params import Params, param
from napari_segtool.core.planes import Fractions, PlaneRule
from napari_segtool.core.progress import Steps
from napari_segtool.core.registry import FILTERS
from napari_segtool.core.stack import Stack
from napari_segtool.preprocess._channels import each_channel_steps
from napari_segtool.preprocess._derivatives import SmoothPlane, filled_plane, filled_volume, ready_volume, through_slices
from napari_segtool.preprocess._portions import portion
from napari_segtool.preprocess._scale import Scale, known_pixels, without_unknown
from napari_segtool.preprocess._volumes import each_volume_steps, widths_px


class LaplacianOfGaussianParams(Params):
    """Settings of the Laplacian of Gaussian."""

    sigma_px: float = param(
        2.0,
        "Width in pixels along X; where the spacing is known, as wide in µm along the other axes. Spots 2.8 times as wide answer most.",
        unit="px",
        ge=0.5,
        le=50,
    )
    sigma_um: float = param(0.0, "Width in µm, used in place of pixels when above 0; needs the spacing.", unit="µm", ge=0, le=1000, advanced=True)
    volume: bool = param(False, "Look at slices together, with their true distance, not at each alone.")


@FILTERS.register(
    "laplacian-of-gaussian",
    title="Laplacian of Gaussian",
    summary="Shows spots of one size (bright ones negative, dark ones positive), and edges where it passes 0.",
    params=LaplacianOfGaussianParams,
    family="edges",
    reference="Marr and Hildreth 1980, Theory of edge detection, doi:10.1098/rspb.1980.0020",
    aliases=("log", "laplace"),
)
def laplacian_of_gaussian(stack: Stack, params: LaplacianOfGaussianParams) -> Steps[PlaneRule | NDArray[Any]]:
    """Return the Laplacian of the stack smoothed with a Gaussian, mirrored at the borders.

    Parameters
    ----------
    stack
        Any axes; every channel is filtered on its own.
    params
        Settings.

    Returns
    -------
    PlaneRule or ndarray
        float32 in grey values: the sum of the second derivatives, each times the width squared, so that it does not depend on the unit of
        length. A whole array for stacks with channels and for ``volume``. ``nan`` stays ``nan``, and is filled with the mean around it for its
        neighbours.

    Raises
    ------
    SpacingError
        If a width in µm is asked for and the spacing is unknown.
    AxesError
        If ``volume`` is asked for and the stack has no slices.
    """
    widths = widths_px(stack, params.sigma_px, params.sigma_um, params.volume)
    if params.volume:
        return (yield from each_volume_steps(stack, lambda volume, size: _volume_steps(volume, widths)))
    return (yield from each_channel_steps(stack, lambda plane: laplacian_plane(plane, widths[1], widths[2])))


def laplacian_plane(plane: NDArray[Any], sigma_y: float, sigma_x: float) -> NDArray[np.float32]:
    """Return the Laplacian of Gaussian, times the width squared, of a ``(Y, X)`` plane; widths in pixels."""
    scale, known = Scale.of(plane), known_pixels(plane)
    values = scale.unit(plane)
    smooth = SmoothPlane(values if known is None else filled_plane(values, known, sigma_y, sigma_x), sigma_y, sigma_x)
    return _grey(smooth.derivative(2, 0) + smooth.derivative(0, 2), scale, known)


def _volume_steps(volume: NDArray[Any], sigmas: tuple[float, float, float]) -> Fractions:
    scale, values, known = yield from portion(ready_volume(volume), 0.0, 0.1)
    if known is not None:
        values = yield from portion(filled_volume(values, known, sigmas), 0.1, 0.4)
    result = np.empty(volume.shape, np.float32)
    for z in range(len(volume)):
        smooth, _, bent = through_slices(values, z, sigmas[0])
        plane = SmoothPlane(smooth, *sigmas[1:])
        bends = plane.derivative(2, 0) + plane.derivative(0, 2) + SmoothPlane(bent, *sigmas[1:]).derivative(0, 0)
        result[z] = _grey(bends, scale, None if known is None else known[z])
        yield 0.4 + 0.6 * (z + 1) / len(volume)
    return result


def _grey(bends: NDArray[np.float32], scale: Scale, known: NDArray[np.bool_] | None) -> NDArray[np.float32]:
    with np.errstate(over="ignore"):
        return without_unknown(bends * np.float32(scale.half), known)
