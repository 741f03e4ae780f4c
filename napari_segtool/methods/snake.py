"""Snakes: a drawn outline that moves to the edges near it and stays smooth."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_segtool.core.given import Given
from napari_segtool.core.params import Params, param
from napari_segtool.core.planes import Fractions, PlaceRule
from napari_segtool.core.progress import Sketches, Steps
from napari_segtool.core.registry import METHODS
from napari_segtool.core.stack import Stack
from napari_segtool.methods._contours import contour_steps, unknown_in
from napari_segtool.methods._grey import Grey
from napari_segtool.methods._slopes import plane_slopes, strongest_slope_steps

Points = NDArray[np.float64]
"""Places along a closed contour, shape ``(n, 2)``: y and x in pixels."""

_LEAST_POINTS, _POINT_PX = 12, 2.0  # points of a contour at least, and how far apart they are
_VISCOSITY = 0.01  # how much a snake resists being moved; only ratios to tension, stiffness and edge matter
_FARTHEST_PX = 1.0  # that a point moves in one step
_AT_A_TIME, _AT_REST_PX = 10, 0.02  # steps between two looks at whether a snake still moves, and what counts as moving
_STEEPEST = 2.0  # slopes beyond that many times the strongest edge pull no more


class SnakeParams(Params):
    """Settings of snakes."""

    iterations: int = param(500, "Steps at most, each up to a pixel; a snake that has come to rest ends earlier.", ge=1, le=5000)
    smoothing_px: float = param(
        3.0,
        "Width of the Gaussian before edges are sought: larger attracts from farther away, smaller follows edges closer.",
        unit="px",
        ge=0,
        le=20,
    )
    tension: float = param(0.01, "How strongly the outline contracts: larger pulls it tight.", ge=0, le=10)
    stiffness: float = param(0.1, "How strongly the outline resists bending: larger keeps it smoother.", ge=0, le=100)
    edge: float = param(1.0, "How strongly edges attract the outline; below 0 they push it away.", ge=-10, le=10, advanced=True)


@METHODS.register(
    "snake",
    title="Snake",
    summary="Moves the outline of each shape you draw to the edges near it and keeps it smooth; good for single objects with weak outlines.",
    params=SnakeParams,
    family="contours",
    dimensions=(2,),
    reference="Kass, Witkin & Terzopoulos 1988, Snakes: Active contour models, doi:10.1007/BF00133570",
    phantom="drawn",
    traits=("labels",),
    aliases=("active-contour",),
)
def snake(stack: Stack, params: SnakeParams, given: Given) -> Steps[PlaceRule | NDArray[Any]]:
    """Let the outline of each region of each label move to where edges are strongest.

    Every connected region (by its sides) has one closed outline; holes in it are filled. The outlines of a slice move one after the other and do not
    know of each other; a pixel inside several belongs to the region with the lowest label.

    Parameters
    ----------
    stack
        Any axes; colours are taken as luminance, other channels as their mean.
    params
        Settings. An outline has a point about every two pixels, and tension and stiffness act between those.
    given
        ``labels``: shapes drawn near the objects.

    Returns
    -------
    PlaceRule
        Labels of the type of those given. 0 where a pixel is ``nan`` or infinite, which makes no edge. A region that has contracted to less than a
        pixel is gone.

    Raises
    ------
    DataError
        If no pixel has a finite value, or all have the same.
    """
    grey = Grey.of(stack, 0.0, whole=False)
    strongest = yield from strongest_slope_steps(stack, grey, params.smoothing_px)

    def contour(values: NDArray[Any], start: NDArray[Any] | None) -> Fractions:
        assert start is not None
        slopes = np.minimum(plane_slopes(values, params.smoothing_px) / strongest, _STEEPEST)
        return crawl_steps(slopes, start, unknown_in(values), params)

    return (yield from contour_steps(stack, grey, given, contour, volume=False))


def crawl_steps(slopes: NDArray[Any], start: NDArray[Any], unknown: NDArray[np.bool_] | None, params: SnakeParams) -> Fractions:
    """Let the outlines of all regions of a plane move; yields the finished part, now and then as a `Sketch`.

    Parameters
    ----------
    slopes
        What attracts them, ``(Y, X)``.
    start
        Labels of that shape.
    unknown
        Pixels that belong to nobody; None for none.
    params
        Settings.
    """
    outlines = outlines_of(start)
    attraction = params.edge * np.pad(slopes.astype(np.float64), 1, mode="edge")
    pulls: list[Points] = [np.gradient(attraction, axis=axis) for axis in range(2)]
    sketch, made, result = Sketches(), start.copy(), np.zeros_like(start)

    def shown(outline: Outline, points: Points) -> NDArray[Any]:
        now = made.copy()
        now[outline.region] = 0
        _fill(now, points, outline.label)
        return now

    for done, outline in enumerate(outlines):
        points = outline.points
        for steps, moved in _positions(points, pulls, params):
            points = moved
            yield sketch((done + steps / params.iterations) / len(outlines), lambda o=outline, p=points: shown(o, p))  # type: ignore[misc]
        _fill(result, points, outline.label)
        made = shown(outline, points)
    yield 1.0
    if unknown is not None:
        result[unknown] = 0
    return result


@dataclass(frozen=True, eq=False)
class Outline:
    """The outer contour of one connected region.

    Parameters
    ----------
    label
        The region's label.
    points
        Evenly spread along it, half a pixel outside its outermost pixels' centres.
    region
        Index of the region's pixels.
    """

    label: int
    points: Points
    region: tuple[NDArray[np.intp], ...]


def outlines_of(labels: NDArray[Any]) -> list[Outline]:
    """Return the outer contour of each region of each label, in the order of labels, and of reading within one."""
    import cc3d
    from scipy.ndimage import find_objects

    regions = cc3d.connected_components(np.require(labels, requirements=["C", "W"]), connectivity=4)
    found = []
    for number, box in enumerate(find_objects(regions.astype(np.int32)), start=1):
        if box is None:
            continue
        inside = regions[box] == number
        corner = np.array([part.start for part in box])
        at = np.nonzero(inside)
        region = tuple(place + first for place, first in zip(at, corner, strict=True))
        found.append(Outline(int(labels[region][0]), _even(_outer(inside)) + corner, region))
    return sorted(found, key=lambda outline: outline.label)


def _outer(inside: NDArray[np.bool_]) -> Points:
    from skimage.measure import find_contours

    contours = find_contours(np.pad(inside, 1).astype(np.float64), 0.5)
    longest: Points = max(contours, key=lambda contour: float(np.prod(np.ptp(contour, axis=0))))
    return longest - 1


def _even(contour: Points) -> Points:
    """Spread points evenly along a closed contour, whose last point is its first."""
    along = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(contour, axis=0).T))])
    count = max(_LEAST_POINTS, round(along[-1] / _POINT_PX))
    places = np.linspace(0, along[-1], count, endpoint=False)
    return np.stack([np.interp(places, along, contour[:, axis]) for axis in range(2)], axis=1)


def _positions(points: Points, pulls: list[NDArray[np.float64]], params: SnakeParams) -> Generator[tuple[int, Points], None, None]:
    """Move a closed contour; yields the number of steps and the points every ten steps and at the end.

    The force within the contour is implicit, that of the picture explicit. The matrix of a closed contour is circulant, so it is inverted in the spectrum.
    """
    from scipy.ndimage import map_coordinates

    bend = 2 - 2 * np.cos(2 * np.pi * np.arange(len(points) // 2 + 1) / len(points))
    inner = (_VISCOSITY + params.tension * bend + params.stiffness * bend**2)[:, None]
    before = points
    for step in range(1, params.iterations + 1):
        pull = np.stack([map_coordinates(part, points.T + 1, order=1, mode="nearest") for part in pulls], axis=1)
        wanted = np.fft.irfft(np.fft.rfft(_VISCOSITY * points + pull, axis=0) / inner, n=len(points), axis=0)
        points = points + _FARTHEST_PX * np.tanh((wanted - points) / _FARTHEST_PX)
        if step % _AT_A_TIME == 0 or step == params.iterations:
            yield step, points
            if np.abs(points - before).max() < _AT_REST_PX:
                return
            before = points


def _fill(labels: NDArray[Any], points: Points, label: int) -> None:
    """Give the pixels inside a contour a label, where they have none."""
    from skimage.draw import polygon

    inside = polygon(points[:, 0], points[:, 1], labels.shape)
    free = labels[inside] == 0
    labels[inside[0][free], inside[1][free]] = label
