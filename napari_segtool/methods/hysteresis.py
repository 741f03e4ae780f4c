"""Two thresholds: regions start above the one and go on above the other."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_segtool.core.errors import ParameterError
from napari_segtool.core.params import Params, param
from napari_segtool.core.planes import PlaneRule, map_planes
from napari_segtool.core.progress import Progress, Steps
from napari_segtool.core.registry import METHODS
from napari_segtool.core.stack import Stack
from napari_segtool.methods._grey import Grey
from napari_segtool.methods._histogram import Histogram, plane_histogram, stack_histogram_steps
from napari_segtool.methods._linked import keep_linked, keep_linked_steps
from napari_segtool.methods.threshold import parse_range
from napari_segtool.preprocess._volumes import depth_axis


class HysteresisParams(Params):
    """Settings of a hysteresis threshold."""

    low: float = param(40.0, "Lower threshold, in percent of the way from the darkest to the brightest pixel.", unit="%", ge=0, le=100)
    high: float = param(60.0, "Upper threshold, in percent of the way from the darkest to the brightest pixel.", unit="%", ge=0, le=100)
    objects: Literal["bright", "dark"] = param(
        "bright", "Bright objects hold a pixel above the upper threshold and go on above the lower one; dark objects the other way round."
    )
    volume: bool = param(False, "Let objects go on from slice to slice.")
    smoothing_px: float = param(0.0, "Width of a Gaussian in each slice before the thresholds; 0 smooths nothing.", unit="px", ge=0, le=20)
    grey_values: str = param("", "Grey values in place of percent, as low:high, for example 90:200.", advanced=True)
    corners: bool = param(False, "Let objects go on over pixels that touch by a corner or an edge only, too.", advanced=True)
    per_slice: bool = param(False, "Take percent of the range of each slice on its own.", advanced=True)


@METHODS.register(
    "hysteresis",
    title="Hysteresis",
    summary="Keeps regions that are certain somewhere and likely elsewhere; good for vessels and membranes that fade in places.",
    params=HysteresisParams,
    family="threshold",
    reference="Canny 1986, A computational approach to edge detection, doi:10.1109/TPAMI.1986.4767851",
    phantom="levels",
    aliases=("double-threshold",),
)
def hysteresis(stack: Stack, params: HysteresisParams) -> Steps[PlaneRule | NDArray[Any]]:
    """Keep the connected regions of pixels from ``low`` up that hold a pixel of ``high`` or more.

    For dark objects, those of pixels up to ``high`` that hold one of ``low`` or less. Both thresholds belong to the objects.

    Parameters
    ----------
    stack
        Any axes; colours are taken as luminance, other channels as their mean.
    params
        Settings; ``volume`` goes along Z, or along pages of unknown meaning, and never along time.

    Returns
    -------
    PlaneRule or ndarray
        uint8, 1 for the objects; the whole array with ``volume``. 0 where a pixel is ``nan``. An image of one grey value is 0.

    Raises
    ------
    ParameterError
        If ``low`` lies above ``high``, or ``grey_values`` is no range.
    DataError
        If no pixel has a finite value.
    AxesError
        If ``volume`` is asked for and the stack has no slices.
    """
    if params.low > params.high and not params.grey_values.strip():
        raise ParameterError(f"low = {params.low:g} lies above high = {params.high:g}.", hint="Choose low below high, for example 40 and 60.")
    grey = Grey.of(stack, params.smoothing_px)
    exact = parse_range(params.grey_values) if params.grey_values.strip() else None
    if params.volume:
        depth_axis(stack)
    histogram = yield from stack_histogram_steps(stack, grey)
    shared = exact or _ends(histogram, params)

    def marks(plane: NDArray[Any]) -> NDArray[np.uint8]:
        values = grey(plane)
        own = plane_histogram(values) if params.per_slice and exact is None else None
        low, high = _ends(own, params) if own is not None else shared
        weak, strong = (values >= low, values >= high) if params.objects == "bright" else (values <= high, values <= low)
        return np.add(weak, strong, dtype=np.uint8)  # 0, WEAK or STRONG

    if not params.volume:
        return lambda plane: keep_linked(marks(plane), params.corners)
    labels = yield from map_planes(stack, marks)
    return (yield from _through_volumes(stack, labels, params.corners))


def _ends(histogram: Histogram, params: HysteresisParams) -> tuple[float, float]:
    """Grey values of the thresholds; nothing is an object where all pixels are equal."""
    span = histogram.highest - histogram.lowest
    if not span:
        return (np.inf, np.inf) if params.objects == "bright" else (-np.inf, -np.inf)
    slack = span * 1e-9 * (-1 if params.objects == "bright" else 1)  # a value on a threshold is inside, whatever its rounding
    low, high = (histogram.lowest + span * percent / 100 + slack for percent in (params.low, params.high))
    return low, high


def _through_volumes(stack: Stack, marks: NDArray[np.uint8], corners: bool) -> Steps[NDArray[Any]]:
    free = [stack.label_axes.index(axis) for axis in (depth_axis(stack), "Y", "X")]
    volumes = np.moveaxis(marks, free, (-3, -2, -1))
    places = list(np.ndindex(volumes.shape[:-3]))
    for done, place in enumerate(places):
        for part in keep_linked_steps(volumes[place], corners):
            yield Progress(done + part, len(places), "linking")
    return marks
