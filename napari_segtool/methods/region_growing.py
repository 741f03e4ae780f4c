"""Regions that grow from clicked seeds over pixels of similar grey value."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_segtool.core.errors import ParameterError
from napari_segtool.core.labels import smallest_dtype
from napari_segtool.core.params import Params, param
from napari_segtool.core.planes import plane_axes, plane_indices, read_plane
from napari_segtool.core.progress import Progress, Steps
from napari_segtool.core.registry import METHODS
from napari_segtool.core.stack import Stack
from napari_segtool.methods._grey import Grey
from napari_segtool.methods._histogram import stack_histogram_steps
from napari_segtool.methods._points import Seed, check_seeds, parse_points


class RegionGrowingParams(Params):
    """Settings of region growing."""

    seeds: str = param("", "Places to grow from, written z,y,x:label; … in the order of the picture's axes.", kind="points")
    tolerance: float = param(10.0, "How far a grey value may lie from that of the seed, in percent of the range of the stack.", unit="%", ge=0, le=100)
    grow_in: Literal["slice", "volume"] = param("slice", "Grow in the slice of the seed only, or through the slices too.")
    smoothing_px: float = param(1.0, "Width of a Gaussian in each slice before growing: keeps noise from stopping it.", unit="px", ge=0, le=20)
    corners: bool = param(False, "Grow over pixels that touch by a corner or an edge only, too.", advanced=True)


@METHODS.register(
    "region-growing",
    title="Region growing",
    summary="Grows a region from each place you click, over pixels of similar grey value.",
    params=RegionGrowingParams,
    family="regions",
    reference="Adams & Bischof 1994, Seeded region growing, doi:10.1109/34.295913",
    phantom="levels",
    traits=("seeds",),
)
def region_growing(stack: Stack, params: RegionGrowingParams) -> Steps[NDArray[Any]]:
    """Grow a region from each seed: the connected pixels whose grey value is that of the seed, give or take the tolerance.

    Regions of one label are joined. A pixel that regions of several labels reach goes to the seed whose grey value is nearest to its own,
    and between equally near ones to the seed named first. Time points are never joined.

    Parameters
    ----------
    stack
        Any axes; colours are taken as luminance, other channels as their mean.
    params
        Settings; ``grow_in="volume"`` grows along Z, or along pages of unknown meaning.

    Returns
    -------
    ndarray
        The smallest unsigned type, of `Stack.label_shape`: 0 where nothing grew, else the seeds' labels. A pixel without a value is 0.

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
    histogram = yield from stack_histogram_steps(stack, grey)
    rounding = 1e-6 * max(abs(histogram.lowest), abs(histogram.highest))  # smoothing leaves equal floats a little unequal
    reach = (histogram.highest - histogram.lowest) * params.tolerance / 100 + rounding
    labels = np.zeros(stack.label_shape, smallest_dtype(max(seed.label for seed in seeds)))
    groups = _by_volume(seeds, stack, params.grow_in == "volume")
    for done, (key, members) in enumerate(groups.items()):
        values = yield from _volume_steps(stack, grey, key)
        target = labels[tuple(slice(None) if index is None else index for index in key)]  # a view, with the axes in their own order
        for step in _grow_steps(values, target, _order(stack, key), members, reach, params.corners):
            yield Progress(done + step, len(groups), "seed")
    return labels


Key = tuple[int | None, ...]
"""A part of the labels: an index along each axis, None where the whole axis belongs to it."""


def _by_volume(seeds: tuple[Seed, ...], stack: Stack, through: bool) -> dict[Key, list[Seed]]:
    """Group seeds by the slice or volume they grow in."""
    free = {"Y", "X"}
    if through:
        free |= {next((axis for axis in "ZIQ" if axis in stack.label_axes), "Z")}
    groups: dict[Key, list[Seed]] = {}
    for seed in seeds:
        key = tuple(None if axis in free else index for axis, index in zip(stack.label_axes, seed.place, strict=True))
        groups.setdefault(key, []).append(seed)
    return groups


def _order(stack: Stack, key: Key) -> tuple[int, ...]:
    """Places of the free axes of ``key`` among the label axes, in the order depth, Y, X."""
    free = [i for i, part in enumerate(key) if part is None]
    return tuple(sorted(free, key=lambda i: "YX".find(stack.label_axes[i])))


def _volume_steps(stack: Stack, grey: Grey, key: Key) -> Steps[NDArray[Any]]:
    """Grey values ``(Y, X)`` or ``(depth, Y, X)`` of the part of the stack that ``key`` names; read plane by plane."""
    along = plane_axes(stack)
    fixed = {axis: part for axis, part in zip(stack.label_axes, key, strict=True) if axis in along}
    wanted = [index for index in plane_indices(stack) if all(fixed[axis] in (None, i) for axis, i in zip(along, index, strict=True))]
    first = grey(read_plane(stack, wanted[0]))
    if None not in fixed.values():
        return first
    values = np.empty((len(wanted), *first.shape), first.dtype)
    for done, index in enumerate(wanted):
        values[done] = grey(read_plane(stack, index)) if done else first
        yield Progress(done + 1, len(wanted), "slice")
    return values


def _grow_steps(values: NDArray[Any], target: NDArray[Any], order: tuple[int, ...], seeds: list[Seed], reach: float, corners: bool) -> Iterator[float]:
    """Write the regions of ``seeds`` into ``target``; yields the finished fraction."""
    owners = np.zeros(values.shape, smallest_dtype(len(seeds)))  # which seed has the pixel, from 1
    owned, centres = owners.reshape(-1), np.zeros(len(seeds) + 1)
    for number, seed in enumerate(seeds, start=1):
        place = tuple(seed.place[i] for i in order)
        centres[number] = values[place]
        if not np.isfinite(centres[number]):
            raise ParameterError(f"The seed {','.join(map(str, seed.place))} stands on a pixel without a value.", hint="Click on a pixel that has one.")
        region = _region(values, place, float(centres[number]), reach, corners)
        if number == 1:
            owners[...] = region
        else:
            contested = np.flatnonzero(np.logical_and(region, owners))
            owners[np.logical_and(region, owners == 0)] = number
            grey = values.reshape(-1)[contested].astype(np.float64)
            won = np.abs(grey - centres[number]) < np.abs(grey - centres[owned[contested]])
            owned[contested[won]] = number
        yield number / len(seeds)
    label_of = np.array([0, *(seed.label for seed in seeds)], target.dtype)
    target[...] = label_of[owners].transpose(sorted(range(len(order)), key=lambda i: order[i]))


def _region(values: NDArray[Any], place: tuple[int, ...], centre: float, reach: float, corners: bool) -> NDArray[np.bool_]:
    """The connected pixels around ``place`` with a value within ``reach`` of ``centre``."""
    import cc3d

    low, high = centre - reach, centre + reach
    if values.dtype.kind in "iu":  # compared as whole numbers, several times quicker
        limits = np.iinfo(values.dtype)
        low, high = max(math.ceil(low), limits.min), min(math.floor(high), limits.max)
    similar = np.logical_and(values >= low, values <= high)
    similar[place] = True  # rounding must not lose the seed itself
    connectivity = {(2, False): 4, (2, True): 8, (3, False): 6, (3, True): 26}[values.ndim, corners]
    parts = cc3d.connected_components(similar, connectivity=connectivity, binary_image=True)
    region: NDArray[np.bool_] = parts == parts[place]
    return region
