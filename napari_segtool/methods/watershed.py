"""Watersheds from minima, from distances, or from paint."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_segtool.core.errors import ParameterError
from napari_segtool.core.given import Given
from napari_segtool.core.params import Params, param
from napari_segtool.core.planes import AnyRule, Fractions
from napari_segtool.core.progress import Steps
from napari_segtool.core.registry import METHODS
from napari_segtool.core.slabs import made_steps, slabs_along
from napari_segtool.core.stack import Stack
from napari_segtool.methods._basins import Basins, Edges, basins_steps, passes_steps, with_lines_steps
from napari_segtool.methods._components import narrowed_steps
from napari_segtool.methods._distance import distance_steps, filled_steps
from napari_segtool.methods._foreground import foreground_steps, objects_steps
from napari_segtool.methods._grey import Grey
from napari_segtool.methods._histogram import Histogram, stack_histogram_steps
from napari_segtool.methods._overflow import deep_enough_steps, flooded_steps, overflowed_steps
from napari_segtool.methods._pieces import Piece, pieces_steps
from napari_segtool.methods._split import Splitting, numbered_steps, split_steps
from napari_segtool.preprocess._gradients import steepness
from napari_segtool.preprocess._portions import portion
from napari_segtool.preprocess._smooth import float_plane
from napari_segtool.preprocess._volumes import blocks_steps

_TAIL = 0.001  # part of the pixels at either end that does not count for the range of grey values
_SPAN_PX = 2.0  # width of a Gaussian without noise's share of that range
_SIDE = 0.25  # weights of Sobel's gradient
_BLOCK_VOXELS = 1 << 20  # of the gradient, made between two steps
_SURFACE_MEMO, _MEMO, _MARKS_MEMO = "surface of a plane", "watershed of a plane", "markers of a plane"
_KEPT_PIXELS = 1 << 22


class WatershedParams(Params):
    """Settings of the watershed."""

    markers: Literal["minima", "distance", "paint"] = param(
        "minima", "Where regions start: in valleys of the surface, in the middle of objects beyond a threshold, or in what you painted."
    )
    surface: Literal["gradient", "bright", "dark"] = param(
        "gradient", "What parts regions (minima, paint): steep edges, bright borders, or dark borders such as membranes."
    )
    smoothing_px: float = param(2.0, "Width of a Gaussian in each slice before: larger makes fewer regions.", unit="px", ge=0, le=20)
    depth: float = param(
        3.0, "Minima: how deep a valley must be to be a region of its own, in percent of the range of grey values: larger makes fewer.", unit="%", ge=0, le=100
    )
    neck: float = param(7.0, "Distance: how much narrower than the thinner of both halves a neck must be to be cut: larger cuts less.", unit="%", ge=0, le=100)
    compactness: float = param(
        0.0, "How much regions (minima, paint) keep to the places near their marker, in percent of the range of grey values per pixel.", unit="%", ge=0, le=100
    )
    grey_values: str = param("", "Distance: grey values of objects, as lower:upper, in place of Otsu's threshold, for example 90:.", advanced=True)
    objects: Literal["bright", "dark"] = param("bright", "Distance: whether objects are brighter or darker than the background.", advanced=True)
    lines: bool = param(False, "Part touching regions by a line of background.", advanced=True)
    volume: bool = param(False, "Flood through the slices, not within each.")


@METHODS.register(
    "watershed",
    title="Watershed",
    summary="Fills the picture from starting points until the regions meet, at edges or borders; good for cells that fill the picture.",
    params=WatershedParams,
    family="watershed",
    reference="Meyer 1994, Topographic distance and watershed lines, doi:10.1016/0165-1684(94)90060-4; "
    "Vincent & Soille 1991, Watersheds in digital spaces, doi:10.1109/34.87344",
    phantom="discs",
    traits=("takes-paint",),
)
def watershed(stack: Stack, params: WatershedParams, given: Given) -> Steps[AnyRule | NDArray[Any]]:
    """Part a stack into the catchment basins of its gradient, of its grey values, or of the distance to the background.

    Regions grow over faces from pixel to pixel. Water runs down the steepest way, and a basin that is not marked (or, with ``minima``, not
    deep enough) overflows over its lowest pass, so that every pixel belongs to the marker from which it is reached at the lowest level.

    Parameters
    ----------
    stack
        Any axes; colours are taken as luminance, other channels as their mean.
    params
        Settings.
    given
        Paint, for ``markers="paint"``: connected strokes of one class start one region of that label; strokes in a slice count for that slice.

    Returns
    -------
    PlaneRule or ndarray
        Smallest unsigned type. ``minima``: regions from 1 cover everything. ``distance``: 0 outside of objects, which are numbered from 1.
        ``paint``: the painted labels; 0 in a slice (or volume) without paint. A pixel without a value is 0 and is never crossed.

    Raises
    ------
    ParameterError
        If paint is to be the marker and there is none.
    DataError
        If no pixel has a finite value; with ``distance`` also if all have the same.
    AxesError
        If ``volume`` is asked for and the stack has no slices.
    """
    grey = Grey.of(stack, params.smoothing_px, whole=False)
    if params.markers == "paint" and (given.paint is None or not given.paint.any()):
        raise ParameterError("The watershed is to start from paint, and there is none.", hint="Paint a stroke in each region, or choose other markers.")
    if params.markers == "distance":
        foreground = yield from foreground_steps(stack, grey, bright=params.objects == "bright", grey_values=params.grey_values)

        def from_distance(piece: Piece) -> Fractions:
            objects = yield from portion(objects_steps(foreground, piece.grey), 0.0, 0.1)
            known = yield from portion(piece.known_steps(), 0.1, 0.1)
            objects = yield from portion(filled_steps(objects, known), 0.1, 0.3)
            labels = yield from portion(split_steps(objects, piece.size, Splitting(params.neck / 100, 1.0)), 0.3, 0.9)
            return (yield from portion(with_lines_steps(labels, piece.grey), 0.9, 1.0)) if params.lines else labels

        return (yield from pieces_steps(stack, grey, from_distance, volume=params.volume))
    # of one smoothing, whatever is chosen: percentages then mean the same while it is moved, and the histogram is counted once
    span = _span((yield from stack_histogram_steps(stack, Grey.of(stack, _SPAN_PX, whole=False))))

    def work(piece: Piece) -> Fractions:
        return (yield from _flood_steps(piece, params, span, stack.memo))

    return (yield from pieces_steps(stack, grey, work, given if params.markers == "paint" else None, volume=params.volume))


def _span(histogram: Histogram) -> float:
    """Return the range of grey values but for the ends; 1 where there is none."""
    share = np.cumsum(histogram.counts) / histogram.counts.sum()
    first, last = np.searchsorted(share, (_TAIL, 1 - _TAIL))
    return float((last - first) * histogram.step) or float(histogram.highest - histogram.lowest) or 1.0


def _flood_steps(piece: Piece, params: WatershedParams, span: float, memo: dict[str, Any]) -> Fractions:
    known = yield from piece.known_steps()
    paint = piece.given.paint
    if not known.any() or (params.markers == "paint" and (paint is None or not (yield from _painted_steps(paint, known)))):
        yield 1.0
        return np.zeros(piece.grey.shape, np.uint8)
    surface = yield from portion(_remembered_surface_steps(piece, params.surface, span, memo), 0.0, 0.2)
    marks = paint if params.markers == "paint" else None
    compact = params.compactness > 0
    if marks is None:
        basins, edges = yield from portion(_remembered_steps(surface, known, memo), 0.2, 0.5 if compact else 0.8)
    if compact:
        if marks is None:
            marks, away = yield from portion(_remembered_marks_steps(basins, edges, params.depth, piece.size, memo), 0.5, 0.6)
        else:
            strokes = marks
            bare = yield from portion(made_steps(strokes.shape, bool, lambda part: strokes[part] == 0), 0.5, 0.5)
            away = yield from portion(distance_steps(bare, piece.size), 0.5, 0.6)
        flat = surface
        raised = made_steps(flat.shape, np.float32, lambda part: flat[part] + np.float32(params.compactness) * away[part])
        surface = yield from portion(raised, 0.6, 0.6)
    if marks is None:
        parts = yield from portion(overflowed_steps(basins, edges, params.depth), 0.8, 0.85)
    else:
        basins = yield from portion(basins_steps(surface, known, marks), 0.6, 0.7)
        edges = yield from portion(passes_steps(surface, basins.labels), 0.7, 0.8)
        owner = np.zeros(basins.count + 1, np.uint32)
        owner[1:] = marks.reshape(-1)[basins.place[1:]]
        parts = yield from portion(flooded_steps(basins.count, edges, owner), 0.8, 0.85)
    yield 0.85
    if params.markers == "paint":
        owned = yield from portion(made_steps(surface.shape, parts.dtype, lambda part: parts[basins.labels[part]]), 0.85, 0.9)
        labels = yield from portion(narrowed_steps(owned), 0.9, 1.0)
    else:
        labels = yield from portion(numbered_steps(basins.labels, parts, smallest=1), 0.85, 1.0)
    return (yield from portion(with_lines_steps(labels, surface), 1.0, 1.0)) if params.lines else labels


def _painted_steps(paint: NDArray[Any], known: NDArray[np.bool_]) -> Generator[float, None, bool]:
    """Tell whether any pixel with a value is painted."""
    for part in slabs_along(paint.shape):
        if (paint[part][known[part]] > 0).any():
            return True
        yield 0.0
    return False


def _remembered_surface_steps(piece: Piece, kind: str, span: float, memo: dict[str, Any]) -> Fractions:
    """Return the surface of a piece; that of the last plane is kept, as long as it is the same."""
    kept = memo.get(_SURFACE_MEMO)
    if kept is not None and kept[1:4] == (kind, span, piece.size) and np.array_equal(kept[0], piece.grey):
        yield 1.0
        remembered: NDArray[np.float32] = kept[4]
        return remembered
    surface = yield from _surface_steps(piece, kind, span)
    if surface.ndim == 2 and surface.size <= _KEPT_PIXELS:
        memo[_SURFACE_MEMO] = (piece.grey, kind, span, piece.size, surface)
    return surface


def _remembered_steps(surface: NDArray[np.float32], known: NDArray[np.bool_], memo: dict[str, Any]) -> Generator[float, None, tuple[Basins, Edges]]:
    """Return the basins of a surface and their passes; those of the last plane are kept, as long as it is the same."""
    kept = memo.get(_MEMO)
    if kept is not None and (kept[0] is surface or np.array_equal(kept[0], surface)) and np.array_equal(kept[1], known):
        yield 1.0
        return kept[2], kept[3]
    basins = yield from portion(basins_steps(surface, known), 0.0, 0.7)
    edges = yield from portion(passes_steps(surface, basins.labels), 0.7, 1.0)
    if surface.ndim == 2 and surface.size <= _KEPT_PIXELS:
        memo[_MEMO] = (surface, known, basins, edges)
    return basins, edges


def _is_kept(basins: Basins, memo: dict[str, Any]) -> bool:
    return _MEMO in memo and memo[_MEMO][2] is basins


def _remembered_marks_steps(
    basins: Basins, edges: Edges, depth: float, size: tuple[float, ...], memo: dict[str, Any]
) -> Generator[float, None, tuple[NDArray[Any], NDArray[np.float32]]]:
    """Return the numbered minima that are deep enough, and how far every pixel is from one; those of the last plane are kept, as its basins are."""
    kept = memo.get(_MARKS_MEMO)
    if kept is not None and kept[0] is basins and kept[1] == depth:
        yield 1.0
        return kept[2], kept[3]
    deep = np.flatnonzero((yield from portion(deep_enough_steps(basins, edges, depth), 0.0, 0.2)))
    marks = np.zeros(basins.labels.shape, np.uint32)
    marks.reshape(-1)[basins.place[deep]] = np.arange(1, deep.size + 1)
    bare = yield from portion(made_steps(marks.shape, bool, lambda part: marks[part] == 0), 0.2, 0.2)
    away = yield from portion(distance_steps(bare, size), 0.2, 1.0)
    if _is_kept(basins, memo):
        memo[_MARKS_MEMO] = (basins, depth, marks, away)
    return marks, away


def _surface_steps(piece: Piece, kind: str, span: float) -> Fractions:
    """Return what regions are parted by, in percent of the range of grey values, so that water runs away from it; float32, 0 where unknown."""
    planes = piece.grey if piece.grey.ndim == 3 else piece.grey[None]
    scale = (-100 if kind == "dark" else 100) / span
    surface = np.empty(planes.shape, np.float32)
    for z, plane in enumerate(planes):
        surface[z] = float_plane(plane) * scale
        yield 0.4 * (z + 1) / len(planes)
    if kind == "gradient" and piece.grey.ndim == 3:
        surface = yield from portion(blocks_steps(surface, lambda block: _steepness(block, piece.size), (1, 1, 1), _BLOCK_VOXELS), 0.4, 1.0)
    surface = surface.reshape(piece.grey.shape)
    if kind == "gradient" and piece.grey.ndim == 2:
        surface = _steepness(surface, piece.size)
    if piece.grey.dtype.kind == "f":
        for part in slabs_along(surface.shape):
            surface[part][~np.isfinite(surface[part])] = 0
            yield 1.0
    return surface


def _steepness(values: NDArray[np.float32], size: tuple[float, ...]) -> NDArray[np.float32]:
    """Return the gradient magnitude for each pixel along X."""
    known = np.isfinite(values)
    if known.all():
        return steepness(values, None, size, _SIDE)
    return steepness(np.where(known, values, np.float32(0)), known, size, _SIDE)
