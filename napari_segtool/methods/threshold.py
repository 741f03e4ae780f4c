"""A range of grey values chosen by hand."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_segtool.core.errors import ParameterError
from napari_segtool.core.params import Params, param
from napari_segtool.core.planes import PlaneRule
from napari_segtool.core.progress import Steps
from napari_segtool.core.registry import METHODS
from napari_segtool.core.stack import Stack
from napari_segtool.methods._grey import Grey
from napari_segtool.methods._histogram import Histogram
from napari_segtool.methods._levels import Table, level_rule_steps


class ThresholdParams(Params):
    """Settings of a manual threshold."""

    lower: float = param(50.0, "Darkest value inside, in percent of the way from the darkest to the brightest pixel.", unit="%", ge=0, le=100)
    upper: float = param(100.0, "Brightest value inside, in percent of the way from the darkest to the brightest pixel.", unit="%", ge=0, le=100)
    keep: Literal["inside", "outside"] = param("inside", "Which pixels become class 1.")
    smoothing_px: float = param(0.0, "Width of a Gaussian in each slice before the threshold; 0 smooths nothing.", unit="px", ge=0, le=20)
    grey_values: str = param("", "Grey values in place of percent, as lower:upper; either end may be left out, for example 90: or 90:200.", advanced=True)
    per_slice: bool = param(False, "Take percent of the range of each slice on its own.", advanced=True)


@METHODS.register(
    "threshold",
    title="Threshold",
    summary="Keeps the pixels whose grey value lies in a range you choose.",
    params=ThresholdParams,
    family="threshold",
    phantom="levels",
)
def threshold(stack: Stack, params: ThresholdParams) -> Steps[PlaneRule]:
    """Keep the pixels with a grey value from ``lower`` to ``upper``, both ends included.

    Parameters
    ----------
    stack
        Any axes; colours are taken as luminance, other channels as their mean.
    params
        Settings.

    Returns
    -------
    PlaneRule
        uint8, 1 where the pixel is kept, else 0; ``nan`` is never kept. An image of one grey value is all inside where ``lower``
        is 0, else all outside.

    Raises
    ------
    ParameterError
        If the lower end lies above the upper one, or ``grey_values`` is no range.
    DataError
        If no pixel has a finite value.
    """
    exact = parse_range(params.grey_values) if params.grey_values.strip() else None
    if exact is None and params.lower > params.upper:
        raise ParameterError(f"lower = {params.lower:g} lies above upper = {params.upper:g}.", hint="Choose a lower end below the upper one.")
    grey, inside = Grey.of(stack, params.smoothing_px), np.uint8(params.keep == "inside")
    if exact is not None:
        low, high = exact

        def by_value(plane: NDArray[Any]) -> NDArray[Any]:
            values = grey(plane)
            kept = np.logical_and(values >= low, values <= high) == bool(inside)
            found: NDArray[np.uint8] = np.logical_and(kept, values == values).astype(np.uint8)
            return found

        return by_value

    def table_of(histogram: Histogram) -> Table:
        span = histogram.highest - histogram.lowest
        values = histogram.first + np.arange(len(histogram.counts)) * histogram.step
        ends = [histogram.lowest + span * percent / 100 for percent in (params.lower, params.upper)]
        slack = histogram.step * 1e-6 if span else 0.0  # a value on the end itself is inside, whatever its rounding
        kept = (values >= ends[0] - slack) & (values <= ends[1] + slack) if span else np.full(len(values), params.lower == 0)
        return np.where(kept, inside, 1 - inside).astype(np.uint8)

    return (yield from level_rule_steps(stack, grey, table_of, per_slice=params.per_slice))


def parse_range(text: str) -> tuple[float, float]:
    """Read ``lower:upper``; an end that is left out is open.

    Raises
    ------
    ParameterError
        If it is no range, or the lower end lies above the upper one.

    Examples
    --------
    >>> parse_range("90:")
    (90.0, inf)
    """
    try:
        lower, upper = (part.strip() for part in text.split(":"))
        low, high = float(lower or "-inf"), float(upper or "inf")
    except ValueError:
        low, high = 1.0, 0.0
    if not low <= high:
        raise ParameterError(f"grey_values = {text!r} is no range.", hint="Write lower:upper, for example 90:200, or 90: for everything from 90 up.")
    return low, high
