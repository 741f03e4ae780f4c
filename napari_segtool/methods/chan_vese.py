"""Morphological Chan–Vese: regions that differ in mean brightness."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_segtool.core.given import Given
from napari_segtool.core.params import Params, param
from napari_segtool.core.planes import Fractions, PlaceRule
from napari_segtool.core.progress import Steps
from napari_segtool.core.registry import METHODS
from napari_segtool.core.slabs import made_steps
from napari_segtool.core.stack import Stack
from napari_segtool.methods._contours import check_values_steps, checkerboard, contour_steps, inset_box, unknown_steps
from napari_segtool.methods._curvature import Mask, Ticks
from napari_segtool.methods._evolve import Blocked, Box, border, copied_ticks, evolve_steps, slabs
from napari_segtool.methods._grey import Grey
from napari_segtool.preprocess._portions import portion
from napari_segtool.preprocess._smooth import float_plane

_FRAME = 0.1  # of the picture, around the box that it may start from
_SUMMED = (np.uint8, np.uint16, np.int16, np.float32, np.float64)
_ROUNDING = 8 * float(np.finfo(np.float32).eps)


class ChanVeseParams(Params):
    """Settings of morphological Chan–Vese."""

    iterations: int = param(100, "Steps at most; it ends earlier where nothing changes any more.", ge=1, le=2000)
    smoothing: int = param(1, "How often the contour is smoothed in each step: more gives rounder regions and ignores more noise.", ge=0, le=4)
    start: Literal["checkerboard", "box"] = param("checkerboard", "What to start from where no labels are given: small squares everywhere, or one large box.")
    objects: Literal["bright", "dark"] = param("bright", "Which regions become label 1 where no labels are given.")
    smoothing_px: float = param(1.0, "Width of a Gaussian in each slice before it begins; 0 smooths nothing.", unit="px", ge=0, le=20)
    volume: bool = param(False, "Let surfaces evolve through the slices, in place of a contour in each slice.")
    inside_weight: float = param(1.0, "How uniform the inside has to be: larger gives smaller regions.", ge=0, le=10, advanced=True)
    outside_weight: float = param(1.0, "How uniform the outside has to be: larger gives larger regions.", ge=0, le=10, advanced=True)


@METHODS.register(
    "chan-vese",
    title="Chan–Vese",
    summary="Moves contours until inside and outside differ most in brightness; needs no sharp edges and smooths over noise.",
    params=ChanVeseParams,
    family="contours",
    reference="Márquez-Neila, Baumela & Alvarez 2014, A morphological approach to curvature-based evolution of curves and surfaces, doi:10.1109/TPAMI.2013.106",
    phantom="spots",
    traits=("takes-labels",),
    aliases=("morphological-chan-vese", "active-contours-without-edges"),
)
def chan_vese(stack: Stack, params: ChanVeseParams, given: Given) -> Steps[PlaceRule | NDArray[Any]]:
    """Let contours evolve towards the split of the picture into regions of least variance.

    Regions given as labels take their steps in turn, in the order of their labels. Each has a mean of its own; the outside, the
    mean of all that belongs to no region. A contour moves by up to a pixel in each step, so a region reaches only what it touches.

    Parameters
    ----------
    stack
        Any axes; colours are taken as luminance, other channels as their mean.
    params
        Settings. With ``volume``, surfaces are smoothed voxel by voxel: as strongly along Z as along X, however thick the slices are.
    given
        ``labels`` to start from; each keeps its number.

    Returns
    -------
    PlaceRule or ndarray
        Labels of the type of those given, or uint8 with 1 in the objects; the whole array with ``volume``. 0 where a pixel is ``nan`` or
        infinite, which no contour enters. A picture (with ``volume``: a volume) of one grey value has no objects; labels stay in it.

    Raises
    ------
    DataError
        If no pixel has a finite value.
    AxesError
        If ``volume`` is asked for and the stack has no slices.
    """
    grey = Grey.of(stack, params.smoothing_px, whole=False)
    yield from check_values_steps(stack, grey)

    def contour(values: NDArray[Any], start: NDArray[Any] | None) -> Fractions:
        return evolved_steps(values, start, params)

    return (yield from contour_steps(stack, grey, given, contour, volume=params.volume))


def evolved_steps(values: NDArray[Any], start: NDArray[Any] | None, params: ChanVeseParams) -> Fractions:
    """Let contours evolve in one plane or volume.

    Parameters
    ----------
    values
        ``(Y, X)`` or ``(depth, Y, X)``, any real type.
    start
        Labels of that shape; None begins with what ``params`` say.
    params
        Settings; the smoothing of the picture has been done.
    """
    unknown = yield from portion(unknown_steps(values), 0.0, 0.0)
    if unknown is not None or values.dtype not in _SUMMED:
        source = values
        known = made_steps(values.shape, _known(values[:0], None).dtype, lambda part: _known(source[part], None if unknown is None else unknown[part]))
        values = yield from portion(known, 0.0, 0.0)
    force = MeanForce(values, unknown, params.inside_weight, params.outside_weight)
    yield from _told(0.0, force.count_ticks())
    if force.constant():
        return np.zeros(values.shape, np.uint8) if start is None else _without(start, unknown)
    begin = start
    if begin is None:
        shape, squares = values.shape, params.start == "checkerboard"

        def at_first(rows: slice) -> NDArray[np.uint8]:
            inside = checkerboard(shape, rows=rows) if squares else inset_box(shape, _FRAME, rows)
            return inside if unknown is None else inside * ~unknown[rows]

        begin = yield from portion(made_steps(shape, np.uint8, at_first), 0.0, 0.0)
    yield from _told(0.0, force.begin_ticks(begin))

    def shown(owners: NDArray[Any], part: slice) -> NDArray[Any] | int:
        if start is not None:
            return owners
        if not force.parted():
            return 0
        inside = owners if force.bright(1) == (params.objects == "bright") else owners ^ np.uint8(1)
        return inside if unknown is None else inside * ~unknown[part]

    return (yield from evolve_steps(begin, unknown, force, iterations=params.iterations, smoothing=params.smoothing, shown=shown))


class MeanForce:
    """Pulls a contour so that each pixel joins the side whose mean grey value is nearer to its own.

    Parameters
    ----------
    values
        Grey values of a type that OpenCV sums up (`_SUMMED`), finite.
    unknown
        Which are not looked at; None for none.
    inside_weight, outside_weight
        What distances from the mean inside and outside count.
    """

    def __init__(self, values: NDArray[Any], unknown: Blocked | None, inside_weight: float, outside_weight: float) -> None:
        self._values = values
        self._unknown = unknown
        self._weights = inside_weight, outside_weight
        self._all = np.zeros(2)  # number and sum of all pixels with a value
        self._owned = np.zeros(2)  # the same of those in a region
        self._regions: dict[int, NDArray[np.float64]] = {}  # the same of each region
        self._lowest, self._highest = np.inf, -np.inf

    def count_ticks(self) -> Generator[None, None, None]:
        """Look at all grey values."""
        whole = tuple(slice(0, n) for n in self._values.shape)
        ones = np.ones(self._values.shape[-2:], np.uint8)
        for values, at in _planes(self._values, whole):
            known = ones if self._unknown is None else (~self._unknown[at]).view(np.uint8)
            self._all += _sum(values, known)
            there = values if self._unknown is None else values[known.view(bool)]
            if there.size:
                self._lowest, self._highest = min(self._lowest, float(there.min())), max(self._highest, float(there.max()))
            yield

    def constant(self) -> bool:
        """Whether all pixels looked at have the same grey value, or none has one; what smoothing leaves of a constant picture is no contrast."""
        return not self._highest - self._lowest > _ROUNDING * max(abs(self._lowest), abs(self._highest))

    def begin_ticks(self, owners: NDArray[Any]) -> Generator[None, None, None]:
        """Look at the regions to start from."""
        whole = tuple(slice(0, n) for n in owners.shape)
        for values, at in _planes(self._values, whole):
            plane = owners[at] if self._unknown is None else np.where(self._unknown[at], 0, owners[at])
            numbers = np.bincount(plane.ravel())
            sums = np.bincount(plane.ravel(), np.where(plane, values, 0).ravel().astype(np.float64))
            for label in np.flatnonzero(numbers):
                if label:
                    self._regions.setdefault(int(label), np.zeros(2))
                    self._regions[int(label)] += (numbers[label], sums[label])
                    self._owned += (numbers[label], sums[label])
            yield

    def parted(self) -> bool:
        """Whether there is an inside and an outside."""
        return bool(0 < self._owned[0] < self._all[0])

    def bright(self, label: int) -> bool:
        """Whether a region is brighter than the outside."""
        inside, outside = self._means(label)
        return inside > outside

    def move_ticks(self, inside: Mask, blocked: Blocked | None, box: Box, label: int) -> Ticks:
        """Let each pixel at the contour choose its side."""
        mean_inside, mean_outside = self._means(label)
        values = self._values[box]
        moved = yield from copied_ticks(inside)
        for first, last in slabs(len(inside), inside[:1].size):
            at = border(inside, blocked, first, last)
            grey = values[first:last][at].astype(np.float64)
            strain_inside, strain_outside = ((grey - mean) ** 2 * weight for mean, weight in zip((mean_inside, mean_outside), self._weights, strict=True))
            part = moved[first:last]
            part[at] = (strain_inside < strain_outside) | (part[at].view(bool) & (strain_inside == strain_outside))
            yield
        return moved

    def took_ticks(self, inside: Mask, box: Box, label: int) -> Generator[None, None, None]:
        """Take the mean of the region anew."""
        total = np.zeros(2)
        for done, (values, at) in enumerate(_planes(self._values[box], tuple(slice(0, n) for n in inside.shape))):
            total += _sum(values, inside[at])
            if done % 64 == 0:
                yield
        self._owned += total - self._regions[label]
        self._regions[label] = total

    def _means(self, label: int) -> tuple[float, float]:
        (inside, inside_sum), (outside, outside_sum) = self._regions[label], self._all - self._owned
        return float(inside_sum / max(inside, 1)), float(outside_sum / max(outside, 1))


def _planes(values: NDArray[Any], box: Box) -> Generator[tuple[NDArray[Any], tuple[int, ...]], None, None]:
    """Every plane of a picture or volume, with its index."""
    if values.ndim == 2:
        yield values, ()
    else:
        for z in range(box[0].start, box[0].stop):
            yield values[z], (z,)


def _sum(values: NDArray[Any], mask: Mask) -> NDArray[np.float64]:
    """Number and sum of the pixels in a mask."""
    import cv2

    number = cv2.countNonZero(mask)
    return np.array([number, cv2.mean(values, mask)[0] * number if number else 0.0])


def _known(values: NDArray[Any], unknown: Blocked | None) -> NDArray[Any]:
    known = values if values.dtype in _SUMMED else float_plane(values)
    return known if unknown is None else np.where(unknown, known.dtype.type(0), known)


def _without(labels: NDArray[Any], unknown: Blocked | None) -> NDArray[Any]:
    if unknown is None:
        return labels.copy()
    return np.where(unknown, labels.dtype.type(0), labels)


def _told(part: float, ticks: Generator[None, None, None]) -> Generator[float, None, None]:
    for _ in ticks:
        yield part
