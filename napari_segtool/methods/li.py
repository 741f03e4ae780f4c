"""Li's threshold: the least cross-entropy."""

from __future__ import annotations

import numpy as np

from napari_segtool.core.planes import PlaneRule
from napari_segtool.core.progress import Steps
from napari_segtool.core.registry import METHODS
from napari_segtool.core.stack import Stack
from napari_segtool.methods._histogram import Histogram
from napari_segtool.methods._thresholds import SingleThresholdParams, split_sums, threshold_rule_steps


class LiParams(SingleThresholdParams):
    """Settings of Li's method."""


@METHODS.register(
    "li",
    title="Li",
    summary="Finds a low threshold that keeps dim objects too; good for fluorescence on a dark background.",
    params=LiParams,
    family="threshold",
    reference="Li & Lee 1993, Minimum cross entropy thresholding, doi:10.1016/0031-3203(93)90115-D; "
    "Li & Tam 1998, An iterative algorithm for minimum cross entropy thresholding, doi:10.1016/S0167-8655(98)00057-9",
    phantom="levels",
)
def li(stack: Stack, params: LiParams) -> Steps[PlaneRule]:
    """Part grey values where the cross-entropy between the picture and the means of its two classes is least.

    Every threshold is tried (the usual iteration may end in a lesser minimum), exactly for 8 and 16 bit, and in 65,536 bins for fractions.
    Brightness counts from the darkest pixel.

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
    return (yield from threshold_rule_steps(stack, params, _least_cross_entropy))


def _least_cross_entropy(histogram: Histogram) -> float:
    levels = histogram.levels()
    below, mean_below, above, mean_above = split_sums(levels - levels[0], histogram.counts[levels])
    # the mean below is 0 where only the darkest value is below, and 0·log 0 is 0 there
    entropy = below * mean_below * np.log(np.where(mean_below > 0, mean_below, 1)) + above * mean_above * np.log(mean_above)
    return float(levels[np.argmax(entropy)])
