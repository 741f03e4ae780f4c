"""Canny's edges as a picture of 0 and 1."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_segtool.core.params import Params, param
from napari_segtool.core.planes import PlaneRule, read_plane
from napari_segtool.core.progress import Steps
from napari_segtool.core.registry import FILTERS
from napari_segtool.core.stack import Stack
from napari_segtool.preprocess._canny import edges, strengths
from napari_segtool.preprocess._channels import own_channel_steps
from napari_segtool.preprocess._scale import known_pixels, without_unknown
from napari_segtool.preprocess._smooth import WIDE_PX, float_plane, smooth_plane
from napari_segtool.preprocess._strongest import FAINTEST, strongest_of, strongest_steps
from napari_segtool.preprocess._volumes import widths_px


class CannyEdgesParams(Params):
    """Settings of Canny's edges."""

    smoothing_px: float = param(
        2.0,
        "Width of the Gaussian before edges are sought, in pixels along X; as wide in µm along Y. Larger finds fewer, coarser edges.",
        unit="px",
        ge=0,
        le=20,
    )
    high: float = param(40.0, "An edge must somewhere be this strong, in percent of the strongest edge.", unit="%", ge=0, le=100)
    low: float = param(20.0, "An edge goes on while it is this strong, in percent of the strongest edge; no more than the limit above.", unit="%", ge=0, le=100)
    smoothing_um: float = param(0.0, "Width in µm, used in place of pixels when above 0; needs the spacing.", unit="µm", ge=0, le=1000, advanced=True)
    per_slice: bool = param(False, "Measure the strongest edge in each slice on its own.", advanced=True)
    strongest: float = param(0.0, "Gradient that counts as 100 %, in grey values as Sobel's operator gives it; 0 measures it.", ge=0, le=1e9, advanced=True)


@FILTERS.register(
    "canny",
    title="Canny edges",
    summary="Draws the outlines of objects as thin lines, without gaps where they fade.",
    params=CannyEdgesParams,
    family="edges",
    dimensions=(2,),
    reference="Canny 1986, A computational approach to edge detection, doi:10.1109/TPAMI.1986.4767851",
)
def canny(stack: Stack, params: CannyEdgesParams) -> Steps[PlaneRule | NDArray[Any]]:
    """Find edges slice by slice: where grey values rise most steeply.

    Parameters
    ----------
    stack
        Any axes; every channel is searched on its own.
    params
        Settings. The edges are those of the method ``canny`` with the same settings.

    Returns
    -------
    PlaneRule or ndarray
        float32: 1 on edges, which are one pixel wide, 0 elsewhere; a whole array for stacks with channels. ``nan`` stays ``nan``, and no edge
        lies beside it.

    Raises
    ------
    SpacingError
        If a width in µm is asked for and the spacing is unknown.
    """
    _, sigma_y, sigma_x = widths_px(stack, params.smoothing_px, params.smoothing_um, volume=False)
    # kernels of Canny's own smoothing are as wide along both axes, and grow with the width
    apart = sigma_y != sigma_x or sigma_x > WIDE_PX
    sigma = 0.0 if apart else sigma_x

    def grey(plane: NDArray[Any]) -> NDArray[Any]:
        values = plane.astype(np.uint8) if plane.dtype.kind == "b" else plane
        return smooth_plane(float_plane(values), sigma_y, sigma_x) if apart else values

    def learn(alone: Stack) -> Steps[PlaneRule | NDArray[Any]]:
        measured = params.per_slice and not params.strongest
        name = ("filter", sigma_y, sigma_x)
        shared = 0.0 if measured else params.strongest or (yield from strongest_steps(alone, lambda index: grey(read_plane(alone, index)), sigma, name))

        def lines(plane: NDArray[Any]) -> NDArray[np.float32]:
            values = grey(plane)
            strongest = strongest_of([strengths(values, sigma)]) if measured else shared
            if not strongest > 0:
                return without_unknown(np.zeros(plane.shape, np.float32), known_pixels(plane))
            high, low = (strongest * max(percent / 100, FAINTEST) for percent in (params.high, min(params.low, params.high)))
            return without_unknown(edges(values, sigma, low, high), known_pixels(plane))

        return lines

    return (yield from own_channel_steps(stack, learn))
