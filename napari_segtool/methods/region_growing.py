"""Regions that grow from clicked seeds over pixels of similar grey value."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_segtool.core.errors import ParameterError
from napari_segtool.core.labels import smallest_dtype
from napari_segtool.core.params import Params, param
from napari_segtool.core.planes import label_key, plane_axes, plane_indices, read_plane
from napari_segtool.core.progress import Progress, Steps
from napari_segtool.core.registry import METHODS
from napari_segtool.core.stack import Stack
from napari_segtool.methods._grey import Grey
from napari_segtool.methods._growth import Growth
from napari_segtool.methods._histogram import stack_ends_steps
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
    lowest, highest = yield from stack_ends_steps(stack, grey)
    reach = (highest - lowest) * params.tolerance / 100 + 1e-6 * max(abs(lowest), abs(highest))  # smoothing leaves equal floats a little unequal
    labels = np.zeros(stack.label_shape, smallest_dtype(max(seed.label for seed in seeds)))
    groups = _by_volume(seeds, stack, params.grow_in == "volume")
    for done, (key, members) in enumerate(groups.items()):
        volume = _Volume(stack, grey, key)
        for part in _grow_steps(volume, labels, members, reach, params.corners):
            yield Progress(done + part, len(groups), "seed")
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


class _Volume:
    """The part of a stack that a key names, as grey slices; a single picture is one slice.

    Parameters
    ----------
    stack, grey
        Where slices are read from, and what is made of them.
    key
        The part.
    """

    def __init__(self, stack: Stack, grey: Grey, key: Key) -> None:
        self._stack, self._grey = stack, grey
        along = plane_axes(stack)
        fixed = [part for axis, part in zip(stack.label_axes, key, strict=True) if axis in along]
        self._indices = [index for index in plane_indices(stack) if all(part in (None, i) for part, i in zip(fixed, index, strict=True))]
        self._flip = stack.label_axes.index("Y") > stack.label_axes.index("X")

    def __len__(self) -> int:
        return len(self._indices)

    def place(self, seed: Seed) -> tuple[int, int, int]:
        """Return slice, row and column of a seed."""
        at = dict(zip(self._stack.label_axes, seed.place, strict=True))
        return self._indices.index(tuple(at[axis] for axis in plane_axes(self._stack))), at["Y"], at["X"]

    def later(self, z: int) -> Callable[[], NDArray[Any]]:
        """Read a slice now, and return what works out its grey values."""
        return partial(self._grey, read_plane(self._stack, self._indices[z]))

    def slice_of(self, labels: NDArray[Any], z: int) -> NDArray[Any]:
        """Return the ``(Y, X)`` slice of an array of `Stack.label_shape`, to be written to."""
        plane: NDArray[Any] = labels[label_key(self._stack, self._indices[z])]
        return plane.T if self._flip else plane


def _grow_steps(volume: _Volume, labels: NDArray[Any], seeds: list[Seed], reach: float, corners: bool) -> Iterator[float]:
    """Write the regions of ``seeds`` into ``labels``; yields the finished fraction."""
    centres = np.zeros(len(seeds) + 1)
    owners: dict[int, NDArray[Any]] = {}  # which seed has the pixel, from 1; for each slice that a region gets to
    for number, seed in enumerate(seeds, start=1):
        place = volume.place(seed)
        centre = float(volume.later(place[0])()[place[1:]])
        if not np.isfinite(centre):
            raise ParameterError(f"The seed {','.join(map(str, seed.place))} stands on a pixel without a value.", hint="Click on a pixel that has one.")
        centres[number] = centre

        def own(z: int, region: NDArray[np.bool_], number: int = number) -> None:
            if len(seeds) > 1:
                _claim(owners, z, region, number, centres, volume)
            else:
                np.multiply(region, labels.dtype.type(seeds[0].label), out=volume.slice_of(labels, z))

        growth = Growth(partial(_alike, volume, centre, reach), len(volume), place, corners)
        for part in growth.steps(own):
            yield (number - 1 + part) / len(seeds)
    label_of = np.array([0, *(seed.label for seed in seeds)], labels.dtype)
    for z, owned in owners.items():
        volume.slice_of(labels, z)[...] = label_of[owned]
        yield 1.0
    yield 1.0


def _alike(volume: _Volume, centre: float, reach: float, z: int) -> Callable[[], NDArray[np.bool_]]:
    """Read a slice now, and return what works out which of its pixels have a value within ``reach`` of ``centre``."""
    later = volume.later(z)

    def alike() -> NDArray[np.bool_]:
        values = later()
        low, high = centre - reach, centre + reach
        if values.dtype.kind in "iu":  # compared as whole numbers, several times quicker
            limits = np.iinfo(values.dtype)
            low, high = max(math.ceil(low), limits.min), min(math.floor(high), limits.max)
        return np.logical_and(values >= low, values <= high)

    return alike


def _claim(owners: dict[int, NDArray[Any]], z: int, region: NDArray[np.bool_], number: int, centres: NDArray[np.float64], volume: _Volume) -> None:
    """Let a seed have the free pixels of its region in one slice, and of those that others have the ones that are nearer to it in grey."""
    owned = owners.setdefault(z, np.zeros(region.shape, smallest_dtype(len(centres))))
    contested = np.logical_and(region, owned)
    owned[np.logical_and(region, owned == 0)] = number
    if contested.any():
        grey = volume.later(z)()[contested].astype(np.float64)
        holders = owned[contested]
        owned[contested] = np.where(np.abs(grey - centres[number]) < np.abs(grey - centres[holders]), number, holders)
