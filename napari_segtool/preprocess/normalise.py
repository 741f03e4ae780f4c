"""Bring grey values to a common scale."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_segtool.core.params import Params, param
from napari_segtool.core.planes import PlaneRule
from napari_segtool.core.progress import Steps
from napari_segtool.core.registry import FILTERS
from napari_segtool.core.stack import Stack
from napari_segtool.preprocess._channels import own_channel_steps
from napari_segtool.preprocess._statistics import Statistics, plane_statistics, statistics_steps


class NormaliseParams(Params):
    """Settings of normalisation."""

    by: Literal["percentile", "min-max", "z-score"] = param(
        "percentile", "What becomes 0 and 1: two percentiles, the darkest and brightest value; or mean 0 and standard deviation 1 (z-score)."
    )
    low: float = param(1.0, "Percentile that becomes 0.", unit="%", ge=0, le=49)
    high: float = param(99.0, "Percentile that becomes 1.", unit="%", ge=51, le=100)
    clip: bool = param(True, "Cut values beyond the two percentiles to 0 and 1.", advanced=True)
    per_slice: bool = param(False, "Scale each slice on its own, for stacks whose brightness changes from slice to slice.")


@FILTERS.register(
    "normalise",
    title="Normalise",
    summary="Brings pictures to one scale of grey, 0 to 1 or mean 0: makes stacks of different microscopes comparable.",
    params=NormaliseParams,
    family="intensity",
    phantom="ramp",
    aliases=("normalize",),
)
def normalise(stack: Stack, params: NormaliseParams) -> Steps[PlaneRule | NDArray[Any]]:
    """Scale grey values linearly by statistics of the stack, or of each slice.

    Parameters
    ----------
    stack
        Any axes; every channel is scaled on its own.
    params
        Settings.

    Returns
    -------
    PlaneRule or ndarray
        float32; 0 everywhere for a constant picture. ``nan`` stays ``nan``; infinite values stay as they are, and neither is counted.
    """

    def learn(channel: Stack) -> Steps[PlaneRule | NDArray[Any]]:
        if params.per_slice:
            return lambda plane: scaled_plane(plane, *zero_and_width(plane_statistics(plane), params), clip=clip)
        zero, width = zero_and_width((yield from statistics_steps(channel)), params)
        return lambda plane: scaled_plane(plane, zero, width, clip=clip)

    clip = params.clip and params.by == "percentile"
    return (yield from own_channel_steps(stack, learn))


def zero_and_width(statistics: Statistics, params: NormaliseParams) -> tuple[float, float]:
    """Return the grey value that becomes 0, and how far above it lies what becomes 1; a width of 0 where there is no contrast."""
    if params.by == "z-score":
        rounding = 1e-12 * abs(statistics.mean)  # what is left of a constant picture
        return statistics.mean, statistics.std if statistics.std > rounding else 0.0
    low, high = (params.low, params.high) if params.by == "percentile" else (0.0, 100.0)
    zero = statistics.percentile(low)
    return zero, statistics.percentile(high) - zero


def scaled_plane(plane: NDArray[Any], zero: float, width: float, *, clip: bool) -> NDArray[np.float32]:
    """Scale one plane.

    Examples
    --------
    >>> scaled_plane(np.array([[10, 20, 50, 90]], np.uint8), 10, 40, clip=True).tolist()
    [[0.0, 0.25, 1.0, 1.0]]
    """
    scaled = (plane.astype(np.float64) - zero) / width if width > 0 else np.zeros(plane.shape)
    if clip:
        scaled = np.clip(scaled, 0, 1)
    return (np.where(np.isfinite(plane), scaled, plane) if plane.dtype.kind == "f" else scaled).astype(np.float32)
