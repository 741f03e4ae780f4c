"""Which pixels belong to objects: by Otsu's threshold, by a range of grey values, or by being brighter than what lies around."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_segtool.core.planes import Fractions
from napari_segtool.core.progress import Steps
from napari_segtool.core.stack import Stack
from napari_segtool.methods._contours import check_values_steps
from napari_segtool.methods._distance import plane_distance
from napari_segtool.methods._grey import Grey
from napari_segtool.methods._histogram import Histogram, plane_histogram, stack_histogram_steps
from napari_segtool.methods._thresholds import one_value_only
from napari_segtool.methods.threshold import parse_range
from napari_segtool.preprocess._smooth import float_plane, smooth_plane

Mask = NDArray[np.bool_]
Foreground = Callable[[NDArray[Any]], Mask]
"""Tells which pixels of a plane of grey values belong to objects."""

FLOOR = 0.6
"""Part of the way from the background to Otsu's threshold below which nothing is an object, however dark its surroundings."""

AROUND = 0.8
"""Width of the surroundings in typical radii of objects: a disc is brighter than its surroundings up to a width of 0.85."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Grey values that part objects from the background.

    Parameters
    ----------
    threshold
        Objects are brighter (or darker, for dark ones) than this.
    floor
        The same for objects that must also be brighter than what lies around.
    """

    threshold: float
    floor: float


def foreground_steps(
    stack: Stack, grey: Grey, *, bright: bool = True, around: bool = False, grey_values: str = "", per_slice: bool = False
) -> Steps[Foreground]:
    """Learn a threshold and return what parts objects from the background in a plane.

    Parameters
    ----------
    stack
        Any axes.
    grey
        Makes its grey values.
    bright
        Whether objects are brighter than the background.
    around
        Whether objects must also be brighter than the mean of their surroundings, and in turn may lie a little below the threshold: for
        objects of unequal brightness, or dense ones. The surroundings are as wide as objects typically are in that plane.
    grey_values
        ``lower:upper`` of objects, in place of a threshold.
    per_slice
        Whether each plane gets a threshold of its own.

    Raises
    ------
    DataError
        If the stack has no finite value, or one grey value only. With ``per_slice``, a plane that has one only has no objects.
    """
    if grey_values.strip():
        low, high = parse_range(grey_values)
        yield from check_values_steps(stack, grey)
        return lambda values: np.logical_and(values >= low, values <= high)
    if per_slice:
        yield from check_values_steps(stack, grey)

        def own(values: NDArray[Any]) -> Mask:
            histogram = plane_histogram(values)
            if histogram is None or len(histogram.levels()) < 2:
                return np.zeros(values.shape, bool)
            return _objects(values, _limits(histogram, bright), bright, around)

        return own
    histogram = yield from stack_histogram_steps(stack, grey)
    if len(histogram.levels()) < 2:
        raise one_value_only(stack)
    limits = _limits(histogram, bright)
    return lambda values: _objects(values, limits, bright, around)


def objects_steps(foreground: Foreground, grey: NDArray[Any]) -> Fractions:
    """Return what belongs to objects in a plane or, plane by plane, in a volume."""
    if grey.ndim == 2:
        yield 0.0
        return foreground(grey)
    found = np.zeros(grey.shape, bool)
    for z, plane in enumerate(grey):
        found[z] = foreground(plane)
        yield (z + 1) / len(grey)
    return found


def _limits(histogram: Histogram, bright: bool) -> Limits:
    values = histogram.first + histogram.step * np.arange(len(histogram.counts), dtype=np.float64)
    split = _first_bright(histogram.counts, values)
    threshold = float(values[split]) - histogram.step / 2
    background = slice(0, split) if bright else slice(split, None)
    counts = histogram.counts[background]
    mean = float((counts * values[background]).sum() / max(1, int(counts.sum())))
    return Limits(threshold, mean + FLOOR * (threshold - mean))


def _first_bright(counts: NDArray[np.int64], values: NDArray[Any]) -> int:
    """Return the first bin of the bright class where Otsu's two classes lie farthest apart; of equally good ones the lowest."""
    dark = np.cumsum(counts)[:-1].astype(np.float64)
    bright = counts.sum() - dark
    total = np.cumsum(counts * (values - values[0]))
    with np.errstate(invalid="ignore", divide="ignore"):
        between = dark * bright * (total[:-1] / dark - (total[-1] - total[:-1]) / bright) ** 2
    return int(np.argmax(np.nan_to_num(between, nan=-1.0))) + 1


def _objects(values: NDArray[Any], limits: Limits, bright: bool, around: bool) -> Mask:
    sign = 1 if bright else -1
    level = float_plane(values) * sign
    with np.errstate(invalid="ignore"):
        found = level > limits.threshold * sign
        found &= np.isfinite(level)
        if not around or not found.any():
            return found
        radius = 3 * float(plane_distance(found)[found].mean())  # the mean distance to the edge of a disc is a third of its radius
        mean = smooth_plane(level, AROUND * radius, AROUND * radius)
        near: Mask = (level > limits.floor * sign) & (level > mean) & np.isfinite(level)
    return near
