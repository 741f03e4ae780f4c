"""Classes between the valleys of the histogram."""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

from napari_segtool.core.errors import DataError
from napari_segtool.core.params import Params, param
from napari_segtool.core.planes import PlaneRule
from napari_segtool.core.progress import Steps
from napari_segtool.core.registry import METHODS
from napari_segtool.core.stack import Stack
from napari_segtool.methods._grey import Grey
from napari_segtool.methods._histogram import Histogram
from napari_segtool.methods._levels import Table, level_rule_steps
from napari_segtool.preprocess._smooth import wide_blur

_USUAL = (0.001, 0.999)
"""Part of the pixels below which the range that widths refer to starts and ends: a few hot pixels must not stretch it."""

_NOTHING = 1e-9  # of the highest peak: what the transform leaves where no pixel is


class HistogramValleysParams(Params):
    """Settings of histogram valleys."""

    modes: int = param(6, "Most modes (peaks of the histogram) to find, each a class; fewer where there are fewer.", ge=2, le=16)
    width: float = param(2.0, "Width of the Gaussian that smooths the histogram, in percent of the range of grey values.", unit="%", ge=0, le=20)
    depth: float = param(
        5.0, "How far a mode must rise from its valley, in percent of the highest mode; on square roots, so that small modes count.", unit="%", ge=0, le=100
    )
    smoothing_px: float = param(0.0, "Width of a Gaussian in each slice before the histogram is made; 0 smooths nothing.", unit="px", ge=0, le=20)
    per_slice: bool = param(False, "Find the modes of each slice on its own, for stacks whose brightness changes from slice to slice.", advanced=True)


@METHODS.register(
    "histogram-valleys",
    title="Histogram valleys",
    summary="Finds how many peaks the histogram has and cuts between them; good where you do not know how many classes there are.",
    params=HistogramValleysParams,
    family="threshold",
    reference="Prewitt & Mendelsohn 1966, The analysis of cell images, doi:10.1111/j.1749-6632.1965.tb11715.x",
    phantom="levels",
    aliases=("valleys", "modes"),
)
def histogram_valleys(stack: Stack, params: HistogramValleysParams) -> Steps[PlaneRule]:
    """Smooth the histogram, find its modes, and part them at the lowest places between.

    Modes are compared on the square root of the counts, on which chance makes the same ripple everywhere. Of more than ``modes``,
    those that rise most from their valleys are kept.

    Parameters
    ----------
    stack
        Any axes; colours are taken as luminance, other channels as their mean.
    params
        Settings; ``width`` refers to the range without the darkest and the brightest 0.1 % of the pixels.

    Returns
    -------
    PlaneRule
        uint8 classes 0 (darkest) to at most ``modes - 1``; 0 where a pixel is ``nan``. Infinite pixels count as darkest or brightest.

    Raises
    ------
    DataError
        If the histogram has one mode only (a constant image, say). With ``per_slice``, such a slice becomes 0.
    """

    def table_of(histogram: Histogram) -> Table:
        valleys = find_valleys(histogram, params.modes, params.width / 100, params.depth / 100)
        if not valleys.size and not params.per_slice:
            few = "1 grey value only" if len(histogram.levels()) < 2 else "grey values around a single mode only"
            raise DataError(
                f"{stack.name or 'The image'} holds {few}, so there is no valley to cut at.",
                hint="Make the width or the depth smaller, or use a method that needs no valley, such as otsu.",
            )
        return np.searchsorted(valleys, np.arange(len(histogram.counts)), side="left").astype(np.uint8)

    return (yield from level_rule_steps(stack, Grey.of(stack, params.smoothing_px), table_of, per_slice=params.per_slice))


def find_valleys(histogram: Histogram, modes: int, width: float, depth: float) -> NDArray[np.int64]:
    """Return the bins at which the valleys between the modes of a histogram lie.

    Parameters
    ----------
    histogram
        Of a stack or a plane.
    modes
        Most modes to find.
    width
        Width of the Gaussian, as a part of the usual range of grey values.
    depth
        How far a mode must rise from its valley towards the next higher mode, as a part of the highest, on square roots.

    Returns
    -------
    ndarray
        One bin less than there are modes, in increasing order; the middle of the lowest bins between two modes.
    """
    from scipy.signal import find_peaks

    levels = histogram.levels()
    first, last = int(levels[0]), int(levels[-1])
    passed = np.cumsum(histogram.counts[levels]) / histogram.counts.sum()
    darkest, brightest = levels[np.minimum(np.searchsorted(passed, _USUAL), len(levels) - 1)]
    sigma = width * (brightest - darkest)
    margin = int(4 * sigma) + 1  # nothing lies beyond the ends, so a mode may stand at one
    counts = np.pad(histogram.counts[first : last + 1].astype(np.float64), margin)
    if sigma > 0:
        counts = wide_blur(counts, {0: sigma})
    counts[counts < _NOTHING * counts.max()] = 0
    heights = np.sqrt(counts)
    peaks, found = find_peaks(heights, prominence=max(depth, _NOTHING) * heights.max())
    kept = np.sort(peaks[np.argsort(-found["prominences"], kind="stable")[:modes]])
    return np.array([_lowest(heights, int(one), int(other)) for one, other in itertools.pairwise(kept)], np.int64) + first - margin


def _lowest(heights: NDArray[np.float64], start: int, end: int) -> int:
    """Return the middle of the first stretch of lowest values between two places."""
    between = heights[start:end]
    lowest = np.flatnonzero(between == between.min())
    run = int(np.argmax(np.append(np.diff(lowest) > 1, True)))
    return start + int(lowest[run // 2])
