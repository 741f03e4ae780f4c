"""Isodata: a threshold halfway between the means of what it parts."""

from __future__ import annotations

import numpy as np

from napari_segtool.core.planes import PlaneRule
from napari_segtool.core.progress import Steps
from napari_segtool.core.registry import METHODS
from napari_segtool.core.stack import Stack
from napari_segtool.methods._histogram import Histogram
from napari_segtool.methods._thresholds import SingleThresholdParams, split_sums, threshold_rule_steps


class IsodataParams(SingleThresholdParams):
    """Settings of isodata."""


@METHODS.register(
    "isodata",
    title="Isodata",
    summary="Puts the threshold halfway between dark and bright pixels; good for two classes of about the same size.",
    params=IsodataParams,
    family="threshold",
    reference="Ridler & Calvard 1978, Picture thresholding using an iterative selection method, doi:10.1109/TSMC.1978.4310039",
    phantom="levels",
    aliases=("ridler-calvard", "intermeans"),
)
def isodata(stack: Stack, params: IsodataParams) -> Steps[PlaneRule]:
    """Move a threshold to the middle between the mean grey values below and above it until it stays.

    It starts at the mean of all pixels. Exact for 8 and 16 bit; fractions are counted in 65,536 bins.

    Parameters
    ----------
    stack
        Any axes; colours are taken as luminance, other channels as their mean.
    params
        Settings.

    Returns
    -------
    PlaneRule
        uint8, 1 for the objects; 0 where a pixel is ``nan``. Infinite pixels count as darkest or brightest.

    Raises
    ------
    DataError
        If the stack has one grey value only. With ``per_slice``, a slice that has one only becomes 0.
    """
    return (yield from threshold_rule_steps(stack, params, _middle_of_means))


def _middle_of_means(histogram: Histogram) -> float:
    levels = histogram.levels()
    counts = histogram.counts[levels]
    _, mean_below, _, mean_above = split_sums(levels, counts)
    middles = (mean_below + mean_above) / 2
    threshold, split = float(np.average(levels, weights=counts)), -1
    while True:
        moved = int(np.searchsorted(levels, threshold, side="right")) - 1
        if moved == split:
            return threshold
        split = moved
        threshold = float(middles[split])
