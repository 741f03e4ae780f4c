"""Yen's threshold: the most correlation of entropies."""

from __future__ import annotations

import numpy as np

from napari_segtool.core.planes import PlaneRule
from napari_segtool.core.progress import Steps
from napari_segtool.core.registry import METHODS
from napari_segtool.core.stack import Stack
from napari_segtool.methods._histogram import Histogram
from napari_segtool.methods._thresholds import SingleThresholdParams, coarsened, threshold_rule_steps


class YenParams(SingleThresholdParams):
    """Settings of Yen's method."""


@METHODS.register(
    "yen",
    title="Yen",
    summary="Puts the threshold just above an even background; good for objects of very uneven brightness.",
    params=YenParams,
    family="threshold",
    reference="Yen, Chang & Chang 1995, A new criterion for automatic multilevel thresholding, doi:10.1109/83.366472",
    phantom="spots",
)
def yen(stack: Stack, params: YenParams) -> Steps[PlaneRule]:
    """Part grey values where the entropic correlation of both classes is largest.

    Found on a histogram of at most 256 bins, which is how finely the threshold of 16 bit and of fractions is known.

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
    return (yield from threshold_rule_steps(stack, params, _most_correlation))


def _most_correlation(histogram: Histogram) -> float:
    coarse = coarsened(histogram)
    # counts stand for probabilities here: their sum makes no difference to the place of the maximum
    below, above = np.cumsum(coarse.counts)[:-1], np.cumsum(coarse.counts[::-1])[-2::-1]
    squares_below, squares_above = np.cumsum(coarse.counts**2)[:-1], np.cumsum(coarse.counts[::-1] ** 2)[-2::-1]
    correlation = 2 * (np.log(below) + np.log(above)) - np.log(squares_below) - np.log(squares_above)
    return float(coarse.last[np.argmax(correlation)])
