"""The triangle threshold: where the histogram sags most below a line from its peak to its end."""

from __future__ import annotations

import numpy as np

from napari_segtool.core.planes import PlaneRule
from napari_segtool.core.progress import Steps
from napari_segtool.core.registry import METHODS
from napari_segtool.core.stack import Stack
from napari_segtool.methods._histogram import Histogram
from napari_segtool.methods._thresholds import SingleThresholdParams, coarsened, threshold_rule_steps


class TriangleParams(SingleThresholdParams):
    """Settings of the triangle method."""


@METHODS.register(
    "triangle",
    title="Triangle",
    summary="Puts the threshold at the foot of the background's peak; good where objects are few and fill little of the picture.",
    params=TriangleParams,
    family="threshold",
    reference="Zack, Rogers & Latt 1977, Automatic measurement of sister chromatid exchange frequency, doi:10.1177/25.7.70454",
    phantom="levels",
)
def triangle(stack: Stack, params: TriangleParams) -> Steps[PlaneRule]:
    """Part grey values where the histogram lies farthest below the line from its peak to the farther end.

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
    return (yield from threshold_rule_steps(stack, params, _lowest_below_the_line))


def _lowest_below_the_line(histogram: Histogram) -> float:
    coarse = coarsened(histogram)
    peak, end = int(np.argmax(coarse.counts)), len(coarse.counts) - 1
    mirrored = peak < end - peak
    counts = coarse.counts[::-1] if mirrored else coarse.counts
    width = end - peak if mirrored else peak
    sag = counts[width] * np.arange(width) - width * counts[:width]  # distance from the line, times its length
    place = int(np.argmax(sag))
    return float(coarse.last[min(end - place, end - 1) if mirrored else place])
