"""Regions that grow from clicked seeds over grey values like those found so far."""

from __future__ import annotations

import math
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_segtool.core.errors import ParameterError
from napari_segtool.core.labels import smallest_dtype
from napari_segtool.core.params import Params, param
from napari_segtool.core.planes import Fractions, PlaneIndex, label_key, plane_axes
from napari_segtool.core.progress import Progress, Steps, as_progress
from napari_segtool.core.registry import METHODS
from napari_segtool.core.stack import Stack
from napari_segtool.methods._components import PART, components_steps
from napari_segtool.methods._contours import Volume, check_values_steps, read_volume_steps, volumes_of
from napari_segtool.methods._grey import Grey
from napari_segtool.methods._points import Seed, check_seeds, parse_points
from napari_segtool.preprocess._portions import portion

Place = tuple[int, ...]
_ROUNDING = 1e-6  # smoothing leaves equal floats a little unequal


class ConfidenceConnectedParams(Params):
    """Settings of confidence-connected growing."""

    seeds: str = param("", "Places to grow from, written z,y,x:label; … in the order of the picture's axes.", kind="points")
    multiplier: float = param(2.5, "How many standard deviations a grey value may lie from the mean of the region.", ge=0.1, le=10)
    iterations: int = param(4, "How often mean and deviation are measured anew in the region and it is grown again.", ge=0, le=50)
    radius_px: int = param(2, "Neighbourhood of each seed in which they are measured first.", unit="px", ge=1, le=50)
    grow_in: Literal["slice", "volume"] = param("slice", "Grow in the slice of the seed only, or through the slices too.")
    smoothing_px: float = param(1.0, "Width of a Gaussian in each slice before growing: keeps noise from stopping it.", unit="px", ge=0, le=20)
    corners: bool = param(False, "Grow over pixels that touch by a corner or an edge only, too.", advanced=True)


@METHODS.register(
    "confidence-connected",
    title="Confidence connected",
    summary="Grows a region from each place you click, over grey values like those around it; finds by itself how much they may differ.",
    params=ConfidenceConnectedParams,
    family="regions",
    reference="Johnson, McCormick & Ibáñez 2015, The ITK Software Guide, book 2, section Segmentation: Confidence Connected",
    phantom="levels",
    traits=("seeds",),
)
def confidence_connected(stack: Stack, params: ConfidenceConnectedParams) -> Steps[NDArray[Any]]:
    """Grow a region from the seeds of each label: the connected pixels within some deviations of the mean, which are then measured anew in the region.

    As ITK's ConfidenceConnectedImageFilter, voxel by voxel: all seeds of a label share one mean and deviation; the limits always hold the
    seeds' own grey values; for whole numbers they are cut to whole numbers.

    Parameters
    ----------
    stack
        Any axes; colours are taken as luminance, other channels as their mean.
    params
        Settings; ``grow_in="volume"`` grows along Z, or along pages of unknown meaning.

    Returns
    -------
    ndarray
        The smallest unsigned type, of `Stack.label_shape`: 0 where nothing grew, else the seeds' labels. A pixel that several labels reach
        goes to the one whose mean lies nearest to its grey value, in deviations. A pixel without a value is 0.

    Raises
    ------
    ParameterError
        If there is no seed, or one lies outside the picture, is not written as a place, or stands on a pixel without a value.
    DataError
        If no pixel has a finite value.
    """
    seeds = parse_points(params.seeds)
    check_seeds(seeds, stack)
    grey = Grey.of(stack, params.smoothing_px)
    yield from check_values_steps(stack, grey)
    labels = np.zeros(stack.label_shape, smallest_dtype(max(seed.label for seed in seeds)))
    groups = _groups(seeds, stack, params.grow_in == "volume")
    for done, (where, members) in enumerate(groups):
        if isinstance(where, Volume):
            values = yield from read_volume_steps(stack, grey, where, done, len(groups))
            target = where.of(labels)
        else:
            values = grey.read(stack, where)
            target = labels[label_key(stack, where)]
            target = target.T if stack.label_axes.index("Y") > stack.label_axes.index("X") else target
        target[...] = yield from as_progress(_grow_steps(values, members, params), done, len(groups), "region")
        yield Progress(done + 1, len(groups), "region")
    return labels


def _groups(seeds: tuple[Seed, ...], stack: Stack, through: bool) -> list[tuple[PlaneIndex | Volume, dict[int, list[Place]]]]:
    """Return each slice or volume in which seeds lie, with the places of the seeds of each label there."""
    volumes = {index: volume for volume in volumes_of(stack) for index in volume.planes} if through and set("ZIQ") & set(stack.label_axes) else {}
    found: dict[PlaneIndex, tuple[PlaneIndex | Volume, dict[int, list[Place]]]] = {}
    for seed in seeds:
        at = dict(zip(stack.label_axes, seed.place, strict=True))
        index = tuple(at[axis] for axis in plane_axes(stack))
        volume = volumes.get(index)
        place = (at["Y"], at["X"]) if volume is None else (volume.planes.index(index), at["Y"], at["X"])
        members = found.setdefault(index if volume is None else volume.planes[0], (index if volume is None else volume, {}))[1]
        members.setdefault(seed.label, []).append(place)
    return list(found.values())


@dataclass(frozen=True, slots=True)
class _Spread:
    """Mean and standard deviation of grey values."""

    mean: float
    deviation: float

    @classmethod
    def of(cls, count: int, total: float, squares: float) -> _Spread:
        variance = (squares - total * total / count) / (count - 1) if count > 1 else 0.0
        return cls(total / count, math.sqrt(max(0.0, variance)))


def _grow_steps(values: NDArray[Any], seeds: dict[int, list[Place]], params: ConfidenceConnectedParams) -> Fractions:
    labels = np.zeros(values.shape, smallest_dtype(max(seeds)))
    spreads: dict[int, _Spread] = {}
    for done, (label, places) in enumerate(seeds.items()):
        for place in places:
            if not np.isfinite(values[place]):
                written = ",".join(map(str, place))
                raise ParameterError(f"A seed ({written}) stands on a pixel without a value.", hint="Click on a pixel that has one.")
        low, high = done / len(seeds), (done + 1) / len(seeds)
        region, spreads[label] = yield from portion(_region_steps(values, places, params), low, high)
        contested = np.flatnonzero(region & (labels > 0))
        labels[region & (labels == 0)] = label
        flat, grey = labels.reshape(-1), values.reshape(-1)[contested].astype(np.float64)
        for other in np.unique(flat[contested]).tolist():
            theirs = flat[contested] == other
            nearer = _away(grey[theirs], spreads[label]) < _away(grey[theirs], spreads[other])
            flat[contested[theirs][nearer]] = label
    return labels


def _away(grey: NDArray[np.float64], spread: _Spread) -> NDArray[np.float64]:
    return np.abs(grey - spread.mean) / (spread.deviation or 1e-12)


def _region_steps(values: NDArray[Any], places: list[Place], params: ConfidenceConnectedParams) -> Generator[float, None, tuple[NDArray[np.bool_], _Spread]]:
    own = np.array([values[place] for place in places], np.float64)
    spread = _around(values, places, params.radius_px)
    rounding = _ROUNDING * float(np.abs(own).max()) if params.smoothing_px else 0.0
    rounds = params.iterations + 1
    limits: tuple[Any, Any] | None = None
    region = np.zeros(values.shape, bool)
    for done in range(rounds):
        reached = _limits(values, spread, params.multiplier, own, rounding)
        if reached == limits:  # nothing would change any more
            break
        limits = reached
        region = yield from portion(_connected_steps(values, limits, places, params.corners), done / rounds, (done + 0.8) / rounds)
        if done < params.iterations:
            again = yield from portion(_measured_steps(values, region), (done + 0.8) / rounds, (done + 1) / rounds)
            if again.deviation < 1e-9 * max(1.0, abs(again.mean)):
                break
            spread = again
    return region, spread


def _around(values: NDArray[Any], places: list[Place], radius: int) -> _Spread:
    """Measure the square neighbourhoods of the seeds together; beyond the border the outermost pixels are counted again."""
    parts = []
    for place in places:
        around = [np.clip(np.arange(at - radius, at + radius + 1), 0, n - 1) for at, n in zip(place, values.shape, strict=True)]
        part = values[np.ix_(*around)].astype(np.float64).ravel()
        parts.append(part[np.isfinite(part)])
    every = np.concatenate(parts)
    centre = float(every.mean())
    return _Spread.of(every.size, every.size * centre, float((every**2).sum())) if every.size > 1 else _Spread(centre, 0.0)


def _limits(values: NDArray[Any], spread: _Spread, multiplier: float, own: NDArray[np.float64], rounding: float) -> tuple[Any, Any]:
    """Return the darkest and brightest value inside, in the type of the values."""
    low = min(spread.mean - multiplier * spread.deviation, float(own.min()))
    high = max(spread.mean + multiplier * spread.deviation, float(own.max()))
    if values.dtype.kind == "f":
        return values.dtype.type(low - rounding), values.dtype.type(high + rounding)
    ends = np.iinfo(values.dtype)
    return math.trunc(max(low, ends.min)), math.trunc(min(high, ends.max))


def _connected_steps(values: NDArray[Any], limits: tuple[Any, Any], places: list[Place], corners: bool) -> Generator[float, None, NDArray[np.bool_]]:
    rows = max(1, PART // max(1, values[:1].size))
    similar = np.zeros(values.shape, bool)
    for start in range(0, len(values), rows):
        part = values[start : start + rows]
        similar[start : start + rows] = (part >= limits[0]) & (part <= limits[1])
        yield 0.2 * min(1.0, (start + rows) / len(values))
    for place in places:
        similar[place] = True  # rounding must not lose a seed
    parts = yield from portion(components_steps(similar, corners=corners), 0.2, 0.9)
    wanted = np.zeros(int(parts.max()) + 1, bool)
    wanted[[int(parts[place]) for place in places]] = True
    for start in range(0, len(values), rows):
        similar[start : start + rows] = wanted[parts[start : start + rows]]
        yield 0.9 + 0.1 * min(1.0, (start + rows) / len(values))
    return similar


def _measured_steps(values: NDArray[Any], region: NDArray[np.bool_]) -> Generator[float, None, _Spread]:
    rows = max(1, PART // max(1, values[:1].size))
    count, total, squares = 0, 0.0, 0.0
    for start in range(0, len(values), rows):
        part = values[start : start + rows][region[start : start + rows]].astype(np.float64)
        count, total, squares = count + part.size, total + float(part.sum()), squares + float(part @ part)
        yield min(1.0, (start + rows) / len(values))
    return _Spread.of(count, total, squares)
