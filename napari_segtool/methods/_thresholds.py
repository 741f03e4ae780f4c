"""One threshold: found on a histogram, applied as a look-up table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_segtool.core.errors import DataError
from napari_segtool.core.params import Params, param
from napari_segtool.core.planes import PlaneRule
from napari_segtool.core.progress import Steps
from napari_segtool.core.stack import Stack
from napari_segtool.methods._grey import Grey
from napari_segtool.methods._histogram import Histogram
from napari_segtool.methods._levels import Table, level_rule_steps

COARSE = 256
"""Bins at most of a histogram whose shape is looked at: finer ones are ragged, since few pixels fall into each."""


class SingleThresholdParams(Params):
    """Settings that all methods with one threshold share."""

    objects: Literal["bright", "dark"] = param("bright", "Which pixels become class 1: those above the threshold, or those up to it.")
    smoothing_px: float = param(0.0, "Width of a Gaussian in each slice before the histogram is made; 0 smooths nothing.", unit="px", ge=0, le=20)
    per_slice: bool = param(False, "Find a threshold for each slice on its own, for stacks whose brightness changes from slice to slice.", advanced=True)


def threshold_rule_steps(stack: Stack, params: SingleThresholdParams, threshold_of: Callable[[Histogram], float]) -> Steps[PlaneRule]:
    """Return a rule that parts pixels at one threshold.

    Parameters
    ----------
    stack
        Any axes.
    params
        Settings.
    threshold_of
        Finds the threshold on a histogram of at least two grey values, as a place among its bins: bins above it are bright.

    Raises
    ------
    DataError
        If the stack has one grey value only. With ``per_slice``, a plane that has one only becomes 0.
    """

    def table_of(histogram: Histogram) -> Table:
        if len(histogram.levels()) > 1:
            above = np.arange(len(histogram.counts)) > threshold_of(histogram)
            return np.asarray(above == (params.objects == "bright"), np.uint8)
        if params.per_slice:
            return np.zeros(len(histogram.counts), np.uint8)
        raise one_value_only(stack)

    return (yield from level_rule_steps(stack, Grey.of(stack, params.smoothing_px), table_of, per_slice=params.per_slice))


def one_value_only(stack: Stack) -> DataError:
    """Return the refusal of a stack in which every pixel is equally bright."""
    return DataError(f"{stack.name or 'The image'} holds 1 grey value only, so there is no threshold.", hint="Nothing can be told apart in it.")


@dataclass(frozen=True, eq=False)
class Coarse:
    """A histogram of at most `COARSE` bins, each of equally many grey values.

    Parameters
    ----------
    counts
        Pixels in each bin, float64; the first and the last are not empty.
    last
        Bin of the fine histogram in which each of these ends.
    """

    counts: NDArray[np.float64]
    last: NDArray[np.int64]


def coarsened(histogram: Histogram) -> Coarse:
    """Join the bins of a histogram until at most `COARSE` are left.

    Values that lie on a grid (8 bit stretched to 16, or divided by 255) get bins of whole grid steps, so that no bin is empty for want of
    values that could fall into it.
    """
    levels = histogram.levels()
    places = grid_places(levels)
    groups = places // -(-(int(places[-1]) + 1) // COARSE)
    counts = np.bincount(groups, histogram.counts[levels]).astype(np.float64)
    return Coarse(counts, levels[np.searchsorted(groups, np.arange(len(counts)), side="right") - 1])


def grid_places(levels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return which step of the widest even grid each level lies on, from 0; the distance from the first where there is no such grid."""
    offsets: NDArray[np.int64] = levels - levels[0]
    gaps = np.diff(levels)
    least = int(gaps.min()) if gaps.size else 1
    if least < 2:
        return offsets
    places = np.concatenate([[0], np.cumsum(np.rint(gaps / least).astype(np.int64))])
    on_grid = np.abs(offsets - places * (offsets[-1] / places[-1])) <= 1  # a bin to either side is rounding
    return places if bool(on_grid.all()) else offsets


def split_sums(values: NDArray[Any], counts: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return weight and mean below, then weight and mean above, of every split of sorted values after the first, second, …."""
    weight, total = np.cumsum(counts, dtype=np.float64), np.cumsum(values * counts, dtype=np.float64)
    below, above = weight[:-1], weight[-1] - weight[:-1]
    return below, total[:-1] / below, above, (total[-1] - total[:-1]) / above
