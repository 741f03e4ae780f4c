"""Stretch contrast between two percentiles."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_segtool.core.params import Params, param
from napari_segtool.core.planes import PlaneRule
from napari_segtool.core.progress import Steps
from napari_segtool.core.registry import FILTERS
from napari_segtool.core.stack import Stack
from napari_segtool.preprocess._channels import own_channel_steps
from napari_segtool.preprocess._curve import along_curve
from napari_segtool.preprocess._statistics import Statistics, plane_statistics, scale_of, statistics_steps


class ContrastStretchParams(Params):
    """Settings of contrast stretching."""

    low: float = param(1.0, "Percentile that becomes black.", unit="%", ge=0, le=49)
    high: float = param(99.0, "Percentile that becomes white.", unit="%", ge=51, le=100)
    per_slice: bool = param(False, "Stretch each slice on its own, for stacks whose brightness changes from slice to slice.")


@FILTERS.register(
    "contrast-stretch",
    title="Contrast stretch",
    summary="Spreads the grey values that matter over the whole scale; a few very dark or bright pixels no longer flatten the rest.",
    params=ContrastStretchParams,
    family="intensity",
    phantom="ramp",
    traits=("keeps-type", "keeps-constant"),
)
def contrast_stretch(stack: Stack, params: ContrastStretchParams) -> Steps[PlaneRule | NDArray[Any]]:
    """Stretch grey values linearly between two percentiles to black and white; what lies beyond becomes black or white.

    Black and white are the limits of 8-bit types, and the darkest and brightest value of the stack (or slice) for others, whose limits
    are seldom reached.

    Parameters
    ----------
    stack
        Any axes; every channel is stretched on its own.
    params
        Settings.

    Returns
    -------
    PlaneRule or ndarray
        The type of the stack in native byte order. A picture whose two percentiles are equal stays as it is. ``nan`` and infinite values
        stay as they are and are not counted.
    """

    def learn(channel: Stack) -> Steps[PlaneRule | NDArray[Any]]:
        if params.per_slice:
            return lambda plane: stretched(plane, plane_statistics(plane), params.low, params.high)
        found = yield from statistics_steps(channel)
        return lambda plane: stretched(plane, found, params.low, params.high)

    return (yield from own_channel_steps(stack, learn))


def stretched(plane: NDArray[Any], statistics: Statistics, low: float, high: float) -> NDArray[Any]:
    """Stretch one plane between two percentiles of a picture."""
    black, white = scale_of(plane.dtype, statistics)
    first, last = statistics.percentile(low), statistics.percentile(high)
    if not first < last:
        return along_curve(plane, lambda values: values)
    return along_curve(plane, lambda values: black + (white - black) * np.clip((values - first) / (last - first), 0, 1))
