"""Canny edges, closed into regions."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_segtool.core.errors import DataError, ParameterError
from napari_segtool.core.params import Params, param
from napari_segtool.core.planes import PlaneRule
from napari_segtool.core.progress import Steps
from napari_segtool.core.registry import METHODS
from napari_segtool.core.stack import Stack
from napari_segtool.methods._edges import enclosed_regions
from napari_segtool.methods._grey import Grey
from napari_segtool.preprocess._canny import edges, strengths
from napari_segtool.preprocess._strongest import FAINTEST, strongest_of, strongest_steps


class CannyParams(Params):
    """Settings of Canny's method."""

    smoothing_px: float = param(2.0, "Width of the Gaussian before edges are sought: larger finds fewer, coarser edges.", unit="px", ge=0, le=20)
    high: float = param(40.0, "An edge must somewhere be this strong, in percent of the strongest edge.", unit="%", ge=0, le=100)
    low: float = param(20.0, "An edge goes on while it is this strong, in percent of the strongest edge.", unit="%", ge=0, le=100)
    output: Literal["regions", "edges"] = param("regions", "Numbered regions that closed edges enclose, or the edges themselves.")
    gap_px: int = param(3, "Widest gap in an edge that is closed.", unit="px", ge=0, le=30)
    smallest_px: int = param(30, "Smallest region kept.", unit="px²", ge=1, le=100_000, advanced=True)
    cut_regions: bool = param(False, "Also keep regions that the border of the picture cuts.", advanced=True)
    per_slice: bool = param(False, "Measure the strongest edge in each slice on its own.", advanced=True)
    strongest: float = param(0.0, "Gradient that counts as 100 %, in grey values as Sobel's operator gives it; 0 measures it.", ge=0, le=1e9, advanced=True)


@METHODS.register(
    "canny",
    title="Canny",
    summary="Finds edges and fills what they enclose; good for objects with clear outlines.",
    params=CannyParams,
    family="edges",
    dimensions=(2,),
    reference="Canny 1986, A computational approach to edge detection, doi:10.1109/TPAMI.1986.4767851",
    phantom="discs",
)
def canny(stack: Stack, params: CannyParams) -> Steps[PlaneRule]:
    """Find edges slice by slice, close their gaps, and number the regions they enclose.

    Parameters
    ----------
    stack
        Any axes; colours are taken as luminance, other channels as their mean.
    params
        Settings.

    Returns
    -------
    PlaneRule
        ``regions``: smallest unsigned type, 0 outside, regions numbered from 1 in each slice anew. ``edges``: uint8, 1 on edges. An image
        without edges (a constant one, say) has no regions. Pixels beside ``nan`` are no edges, and ``nan`` becomes 0.

    Raises
    ------
    ParameterError
        If ``low`` is above ``high``.
    DataError
        If no pixel has a finite value.
    """
    if params.low > params.high:
        raise ParameterError(f"low = {params.low:g} % lies above high = {params.high:g} %.", hint="Choose low below high, for example 20 and 40.")
    grey, sigma = Grey.of(stack), params.smoothing_px
    measured = params.per_slice and not params.strongest
    shared = 0.0 if measured else params.strongest or (yield from strongest_steps(stack, lambda index: grey.read(stack, index), sigma, grey))
    if math.isnan(shared):
        raise DataError(f"{stack.name or 'The image'} has no pixel with a value.", hint="Check that the file is whole and not all NaN.")

    def regions(plane: NDArray[Any]) -> NDArray[Any]:
        values = grey(plane)
        strongest = strongest_of([strengths(values, sigma)]) if measured else shared
        if not strongest:
            return np.zeros(values.shape, np.uint8)
        low, high = (strongest * max(percent / 100, FAINTEST) for percent in (params.low, params.high))
        lines = edges(values, sigma, low, high)
        if params.output == "edges":
            found: NDArray[Any] = lines.view(np.uint8)
        else:
            found = enclosed_regions(lines, gap_px=params.gap_px, smallest_px=params.smallest_px, cut_regions=params.cut_regions)
        return np.where(np.isnan(values), found.dtype.type(0), found) if values.dtype.kind == "f" else found

    return regions
