"""Thresholds that follow the mean and the spread of each pixel's neighbourhood."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_segtool.core.params import Params, param
from napari_segtool.core.planes import PlaneIndex, PlaneRule, label_key, plane_axes, plane_shape
from napari_segtool.core.progress import Progress, Steps
from napari_segtool.core.stack import Stack
from napari_segtool.methods._grey import Grey
from napari_segtool.methods._histogram import stack_histogram_steps
from napari_segtool.methods._thresholds import one_value_only
from napari_segtool.preprocess._smooth import float_plane
from napari_segtool.preprocess._volumes import depth_axis, widths_px

Plane = NDArray[np.float64]
_BAND = 32
_ROUNDING = 1e-6  # of half the range of grey values: where nothing stands out, rounding must not decide


class LocalThresholdParams(Params):
    """Settings that all local thresholds share."""

    objects: Literal["bright", "dark"] = param("bright", "Which pixels become class 1: those brighter than their neighbourhood, or those darker.")
    window_px: int = param(
        51, "Width of the neighbourhood: wider than the objects. In pixels along X; where the spacing is known, as wide in µm along Y.", unit="px", ge=3, le=501
    )
    window_um: float = param(
        0.0, "Width of the neighbourhood in µm, used in place of pixels when above 0; needs the spacing.", unit="µm", ge=0, le=1000, advanced=True
    )
    smoothing_px: float = param(0.0, "Width of a Gaussian in each slice before the threshold; 0 smooths nothing.", unit="px", ge=0, le=20)
    volume: bool = param(False, "Let the neighbourhood reach through the slices too.", advanced=True)


@dataclass(frozen=True, slots=True)
class Around:
    """What lies in the window around each pixel of a plane; values count from the middle of the range, and grow towards the objects.

    Parameters
    ----------
    mean
        Mean of the values in the window, shape ``(Y, X)``.
    squares
        Mean of their squares.
    half_range
        Half the range of grey values of the stack.
    """

    mean: Plane
    squares: Plane
    half_range: float

    def deviation(self) -> Plane:
        """Return the standard deviation in the window."""
        variance = self.squares - self.mean**2
        return np.asarray(np.sqrt(np.maximum(variance, 0, out=variance), out=variance))


Margin = Callable[[Around], Plane | float]
"""By how much a pixel must be brighter (for dark objects: darker) than the mean around it to be an object."""


def local_rule_steps(stack: Stack, params: LocalThresholdParams, margin: Margin) -> Steps[PlaneRule | NDArray[Any]]:
    """Return a rule that compares each pixel with its neighbourhood; with ``volume`` the whole array of labels.

    The window is cut where the picture ends, and pixels without a value do not count in it.

    Raises
    ------
    DataError
        If no pixel has a finite value, or the stack has one grey value only.
    SpacingError
        If a width in µm is asked for and the spacing is unknown.
    AxesError
        If ``volume`` is asked for and the stack has no slices.
    """
    grey = Grey.of(stack, params.smoothing_px)
    depth, rows, columns = (math.floor(width / 2) for width in widths_px(stack, params.window_px, params.window_um, params.volume))
    histogram = yield from stack_histogram_steps(stack, grey)
    if histogram.lowest == histogram.highest:
        raise one_value_only(stack)
    window = _Window(
        (depth, rows, columns), (histogram.lowest + histogram.highest) / 2, (histogram.highest - histogram.lowest) / 2, params.objects == "bright", margin
    )
    if params.volume:
        return (yield from _volume_steps(stack, grey, window))

    def rule(plane: NDArray[Any]) -> NDArray[Any]:
        values = window.values(grey(plane))
        return window.objects(values, window.sums(values))

    return rule


@dataclass(slots=True)
class _Sums:
    """How many values are in the window around each pixel, their sum, and that of their squares."""

    number: Plane
    total: Plane
    squares: Plane

    def add(self, other: _Sums) -> None:
        self.number, self.total, self.squares = self.number + other.number, self.total + other.total, self.squares + other.squares

    def take_away(self, other: _Sums) -> None:
        self.number, self.total, self.squares = self.number - other.number, self.total - other.total, self.squares - other.squares


@dataclass(frozen=True, slots=True)
class _Window:
    """How far the window reaches along depth, Y and X, and how values are compared with what is in it."""

    reach: tuple[int, int, int]
    centre: float
    half_range: float
    bright: bool
    margin: Margin

    def values(self, grey: NDArray[Any]) -> NDArray[Any]:
        values = float_plane(grey)
        centre = values.dtype.type(self.centre)
        return np.asarray(values - centre if self.bright else centre - values)

    def sums(self, values: NDArray[Any]) -> _Sums:
        """Sum over the rows and columns of the window, cut where the picture ends."""
        import cv2

        rows, columns = (min(reach, count) for reach, count in zip(self.reach[1:], values.shape, strict=True))

        def summed(filtered: Callable[..., Any], plane: NDArray[Any]) -> Plane:
            sums: Plane = filtered(plane, cv2.CV_64F, (2 * columns + 1, 2 * rows + 1), normalize=False, borderType=cv2.BORDER_CONSTANT)
            return sums

        known = np.isfinite(values)
        if known.all():
            number = np.outer(_covered(values.shape[0], rows), _covered(values.shape[1], columns))
        else:
            values = np.where(known, values, 0).astype(values.dtype)
            number = summed(cv2.boxFilter, known.astype(np.float32))
        return _Sums(number, summed(cv2.boxFilter, values), summed(cv2.sqrBoxFilter, values))

    def objects(self, values: NDArray[Any], sums: _Sums) -> NDArray[np.uint8]:
        """Return 1 where a value stands out from what is around it."""
        found = np.empty(values.shape, np.uint8)
        for start in range(0, len(values), _BAND):  # a band of rows stays in the processor's cache
            rows = slice(start, start + _BAND)
            number = np.maximum(sums.number[rows], 1)  # where no value is near there is none here either, or it is infinite
            around = Around(sums.total[rows] / number, sums.squares[rows] / number, self.half_range)
            excess = values[rows] - around.mean
            excess -= _ROUNDING * self.half_range
            np.greater(excess, self.margin(around), out=found[rows].view(np.bool_))
        return found


def _covered(count: int, reach: int) -> Plane:
    """How many of ``count`` places in a row lie within ``reach`` of each."""
    place = np.arange(count)
    return (np.minimum(place + reach, count - 1) - np.maximum(place - reach, 0) + 1).astype(np.float64)


def _volume_steps(stack: Stack, grey: Grey, window: _Window) -> Steps[NDArray[Any]]:
    """Let the sums over a window of slices run along the depth: each slice enters once and leaves once."""
    depth, counts = plane_axes(stack).index(depth_axis(stack)), plane_shape(stack)
    flip = stack.label_axes.index("Y") > stack.label_axes.index("X")
    labels = np.zeros(stack.label_shape, np.uint8)
    places = itertools.product(*(range(1 if axis == depth else n) for axis, n in enumerate(counts)))
    for volume, place in enumerate(places):

        def values_at(z: int, place: PlaneIndex = place) -> NDArray[Any]:
            return window.values(grey.read(stack, _at(place, depth, z)))

        running = window.sums(values_at(0))
        for z in range(min(0, 1 - window.reach[0]), counts[depth]):
            entering, leaving = z + window.reach[0], z - window.reach[0] - 1
            if 0 < entering < counts[depth]:
                running.add(window.sums(values_at(entering)))
            if leaving >= 0:
                running.take_away(window.sums(values_at(leaving)))
            if z >= 0:
                found = window.objects(values_at(z), running)
                labels[label_key(stack, _at(place, depth, z))] = found.T if flip else found
            yield Progress(volume * counts[depth] + max(0, z + 1), math.prod(counts), "slice")
    return labels


def _at(index: PlaneIndex, axis: int, place: int) -> PlaneIndex:
    return (*index[:axis], place, *index[axis + 1 :])
