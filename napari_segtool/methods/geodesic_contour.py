"""Morphological geodesic active contours: regions that grow or shrink until they meet edges."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_segtool.core.given import Given
from napari_segtool.core.params import Params, param
from napari_segtool.core.planes import Fractions, PlaceRule
from napari_segtool.core.progress import Sketch, Steps
from napari_segtool.core.registry import METHODS
from napari_segtool.core.slabs import made_steps
from napari_segtool.core.stack import Stack
from napari_segtool.methods._contours import contour_steps, inset_box, unknown_steps
from napari_segtool.methods._curvature import Mask, Ticks
from napari_segtool.methods._evolve import Blocked, Box, border, copied_ticks, evolve_steps, slabs
from napari_segtool.methods._grey import Grey
from napari_segtool.methods._slopes import plane_slopes, strongest_slope_steps, volume_slopes_steps
from napari_segtool.preprocess._portions import portion
from napari_segtool.preprocess._volumes import voxel_size, widths_px

_STOPS = 0.5  # where a slope is that of the setting `edge`, a contour moves half as readily, and no balloon drives it on


class GeodesicContourParams(Params):
    """Settings of morphological geodesic active contours."""

    iterations: int = param(200, "Steps at most, each about a pixel; it ends earlier where nothing changes any more.", ge=1, le=2000)
    balloon: Literal["auto", "grow", "shrink", "none"] = param(
        "auto", "Whether contours grow or shrink where there is no edge; auto grows labels that are given, and else shrinks from the border."
    )
    edge: float = param(25.0, "Slope that stops a contour, in percent of the strongest edge.", unit="%", ge=1, le=100)
    smoothing: int = param(1, "How often the contour is smoothed in each step: more gives rounder regions and closes gaps in edges.", ge=0, le=4)
    smoothing_px: float = param(1.5, "Width of the Gaussian before edges are sought: larger ignores more noise.", unit="px", ge=0, le=20)
    volume: bool = param(False, "Let surfaces evolve through the slices, in place of a contour in each slice.")


@METHODS.register(
    "geodesic-contour",
    title="Geodesic active contour",
    summary="Grows a drawn region (or shrinks a frame) until it meets edges; bridges gaps in outlines that would let region growing leak.",
    params=GeodesicContourParams,
    family="contours",
    reference="Márquez-Neila, Baumela & Alvarez 2014, A morphological approach to curvature-based evolution of curves and surfaces, doi:10.1109/TPAMI.2013.106",
    phantom="drawn",
    traits=("takes-labels",),
    aliases=("morphological-geodesic-active-contour", "gac", "geodesic-active-contour"),
)
def geodesic_contour(stack: Stack, params: GeodesicContourParams, given: Given) -> Steps[PlaceRule | NDArray[Any]]:
    """Let contours move to the nearest edges.

    Regions given as labels take their steps in turn, in the order of their labels, and stop where they meet. Without labels, a frame
    shrinks from the border of the picture; what the border cuts is then outside.

    Parameters
    ----------
    stack
        Any axes; colours are taken as luminance, other channels as their mean.
    params
        Settings. With ``volume``, slopes and their smoothing heed the spacing, while surfaces move and are smoothed voxel by voxel; where slices are so
        thick that the Gaussian is far narrower than a slice, surfaces may leak along Z.
    given
        ``labels`` to start from; each keeps its number.

    Returns
    -------
    PlaceRule or ndarray
        Labels of the type of those given, or uint8 with 1 inside; the whole array with ``volume``. 0 where a pixel is ``nan`` or infinite,
        which no contour enters and which makes no edge.

    Raises
    ------
    DataError
        If no pixel has a finite value, or all have the same.
    AxesError
        If ``volume`` is asked for and the stack has no slices.
    """
    grey = Grey.of(stack, 0.0, whole=False)
    widths = widths_px(stack, params.smoothing_px, 0, params.volume)
    size = voxel_size(stack) if params.volume else (1.0, 1.0, 1.0)
    steep = params.edge / 100 * (yield from strongest_slope_steps(stack, grey, params.smoothing_px))

    def contour(values: NDArray[Any], start: NDArray[Any] | None) -> Fractions:
        if values.ndim == 2:
            slopes = plane_slopes(values, params.smoothing_px)
        else:
            slopes = yield from _portion(volume_slopes_steps(values, widths, size), 0.0, 0.1)
        ease, told = slopes, 0.0 if values.ndim == 2 else 0.1
        for first, last in slabs(len(slopes), slopes[:1].size):
            ease[first:last] = 1 / (1 + (slopes[first:last] / np.float32(steep)) ** 2)
            yield told
        unknown = yield from portion(unknown_steps(values), told, told)
        growth = {"grow": 1, "shrink": -1, "none": 0, "auto": -1 if start is None else 1}[params.balloon]
        force = EdgeForce(ease, growth, _STOPS)
        begin = start
        if begin is None:
            begin = yield from portion(made_steps(values.shape, np.uint8, lambda rows: inset_box(values.shape, rows=rows)), told, told)
        work = evolve_steps(begin, unknown, force, iterations=params.iterations, smoothing=params.smoothing)
        return (yield from work) if values.ndim == 2 else (yield from _portion(work, 0.1, 1.0))

    return (yield from contour_steps(stack, grey, given, contour, volume=params.volume))


class EdgeForce:
    """Pulls a contour to where it moves least easily, and drives it on where it moves easily.

    Parameters
    ----------
    ease
        How easily a contour passes a pixel: near 1 where it is flat, near 0 on edges. float, without ``nan``.
    growth
        1 grows regions, -1 shrinks them, 0 leaves them to the edges.
    free_above
        Ease above which a region grows or shrinks.
    """

    def __init__(self, ease: NDArray[Any], growth: int, free_above: float) -> None:
        self._ease, self._growth, self._free_above = ease, growth, free_above

    def move_ticks(self, inside: Mask, blocked: Blocked | None, box: Box, label: int) -> Ticks:
        """Drive the contour on by a pixel, then let each pixel beside it follow the edge."""
        ease = self._ease[box]
        grown = inside
        if self._growth:
            grown = yield from copied_ticks(inside)
            for first, last in slabs(len(inside), inside[:1].size):
                free = ease[first:last] > self._free_above
                grown[first:last][free] = self._ballooned(inside, blocked, first, last)[free]
                if blocked is not None:
                    grown[first:last][blocked[first:last]] = 0
                yield
        moved = yield from copied_ticks(grown)
        for first, last in slabs(len(inside), inside[:1].size):
            places = np.nonzero(border(grown, blocked, first, last))
            places = (places[0] + first, *places[1:])
            pull = _pull(ease, grown, blocked, places)
            moved[places] = np.where(pull > 0, 1, np.where(pull < 0, 0, moved[places]))
            yield
        return moved

    def took_ticks(self, inside: Mask, box: Box, label: int) -> Generator[None, None, None]:
        """Regions are not remembered."""
        yield from ()

    def _ballooned(self, inside: Mask, blocked: Blocked | None, first: int, last: int) -> Mask:
        """Rows (slices) of the region grown or shrunk by a pixel in all directions; the picture's end counts as outside."""
        import cv2

        over = cv2.dilate if self._growth > 0 else cv2.erode
        square = np.ones((3, 3), np.uint8)
        open_ = inside if blocked is None or self._growth > 0 else inside | blocked.view(np.uint8)
        top = max(first - 1, 0)
        if inside.ndim == 2:
            flat: Mask = over(open_[top : last + 1], square, borderType=cv2.BORDER_CONSTANT, borderValue=0)
            return flat[first - top : last - top]
        part = np.stack([over(plane, square, borderType=cv2.BORDER_CONSTANT, borderValue=0) for plane in open_[top : last + 1]])
        nothing = np.zeros_like(part[:1])
        padded = np.concatenate([nothing[: first == 0], part, nothing[: last == len(inside)]])
        reduce = np.maximum if self._growth > 0 else np.minimum
        grown: Mask = reduce(reduce(padded[:-2], padded[1:-1]), padded[2:])
        return grown


def _pull(ease: NDArray[Any], inside: Mask, blocked: Blocked | None, places: tuple[NDArray[Any], ...]) -> NDArray[np.float64]:
    """Product of the gradients of ease and region at some pixels: above 0 where the region has to grow to come nearer to the edge."""
    own_ease, own_side = ease[places], inside[places]
    pull = np.zeros(len(own_ease))
    for axis, place in enumerate(places):
        steps = []
        for values, own in ((ease, own_ease), (inside, own_side)):
            ends = []
            for end in (np.minimum(place + 1, inside.shape[axis] - 1), np.maximum(place - 1, 0)):
                at = (*places[:axis], end, *places[axis + 1 :])
                found = values[at].astype(np.float64)
                ends.append(found if blocked is None else np.where(blocked[at], own, found))
            steps.append(ends[0] - ends[1])
        span = np.minimum(place + 1, inside.shape[axis] - 1) - np.maximum(place - 1, 0)
        pull += steps[0] * steps[1] / np.maximum(span, 1) ** 2
    return pull


def _portion(work: Fractions, start: float, stop: float) -> Fractions:
    try:
        while True:
            part = next(work)
            told = start + (stop - start) * part
            yield Sketch(told, part.labels) if isinstance(part, Sketch) else told
    except StopIteration as end:
        return np.asarray(end.value)
    finally:
        work.close()
