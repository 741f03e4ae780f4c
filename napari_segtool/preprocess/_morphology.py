"""Darkest and brightest values within a disc, an ellipse, or an ellipsoid: what erosion, dilation and all that is made of them share."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_segtool.core.params import Params, param
from napari_segtool.core.planes import Fractions, PlaneRule, SteppedRule
from napari_segtool.core.progress import Steps
from napari_segtool.core.slabs import finite_steps, made_steps
from napari_segtool.core.stack import Stack
from napari_segtool.preprocess._channels import each_channel_steps
from napari_segtool.preprocess._portions import portion
from napari_segtool.preprocess._smooth import native
from napari_segtool.preprocess._volumes import each_volume_steps, widths_px

Radii = tuple[float, float, float]
"""Half axes of an ellipsoid in pixels along depth, Y and X."""

VolumeWork = Callable[[NDArray[Any], Radii], Fractions]
"""Works on a volume in native byte order; a plane is a volume of one slice with a radius of 0 along depth."""

_ROUNDING = 1e-9  # a radius in µm that is a whole number of pixels must not lose its last pixel to rounding


class MorphologyParams(Params):
    """Settings of a morphological filter."""

    radius_px: float = param(
        2.0, "Radius of the disc (ball) in pixels along X; where the spacing is known, as far in µm along the other axes.", unit="px", ge=0, le=50
    )
    radius_um: float = param(0.0, "Radius in µm, used in place of pixels when above 0; needs the spacing.", unit="µm", ge=0, le=1000, advanced=True)
    volume: bool = param(False, "Look through the slices too, as far in µm, not only within each.")


def morphology_steps(stack: Stack, params: MorphologyParams, work: VolumeWork) -> Steps[PlaneRule | NDArray[Any]]:
    """Apply ``work`` to every plane, or to every volume, of a stack.

    Raises
    ------
    SpacingError
        If a radius in µm is asked for and the spacing is unknown.
    AxesError
        If ``volume`` is asked for and the stack has no slices.
    """
    radii = widths_px(stack, params.radius_px, params.radius_um, params.volume)
    if params.volume:
        return (yield from each_volume_steps(stack, lambda volume, size: work(volume, radii)))
    return (yield from each_channel_steps(stack, SteppedRule(lambda plane: as_volume(plane, lambda volume: work(volume, radii)))))


def as_volume(plane: NDArray[Any], work: Callable[[NDArray[Any]], Fractions]) -> Fractions:
    """Work on a plane as on a volume of one slice."""
    result: NDArray[Any] = (yield from work(native(plane)[None]))[0]
    return result


def extreme_steps(volume: NDArray[Any], radii: Radii, *, brightest: bool) -> Fractions:
    """Return the darkest or brightest value within an ellipsoid around each voxel.

    Exact at any radius. Rows of the ellipsoid of equal length are made once, each from the one before, so that the work in a plane grows
    with the radius, not with the area.

    Parameters
    ----------
    volume
        Shape ``(depth, Y, X)``, native byte order. Beyond the border lies nothing; values that are not finite stay and are not seen by others.
    radii
        A voxel at ``(z, y, x)`` from the centre belongs to the ellipsoid if ``(z/rz)² + (y/ry)² + (x/rx)² ≤ 1``.
    brightest
        Whether the brightest value is taken, else the darkest.

    Returns
    -------
    ndarray
        Of the shape and type of ``volume``.
    """
    choose = np.maximum if brightest else np.minimum
    neutral = _end(volume.dtype, low=brightest)
    known = yield from portion(finite_steps(volume), 0.0, 0.0)
    rows = rows_of(radii, volume.shape)
    result = yield from portion(made_steps(volume.shape, volume.dtype, lambda part: neutral), 0.0, 0.0)
    for z in range(len(volume)):
        line = volume[z] if known is None else np.where(known[z], volume[z], neutral)
        reach = 0
        for done, (length, places) in enumerate(rows.items(), start=1):
            line, reach = _longer(line, reach, length, choose), length
            for up, down in places:
                for target in {z - up, z + up} & set(range(len(volume))):
                    _choose_rows(result[target], line, down, choose)
            yield (z + done / len(rows)) / len(volume)
    if known is not None:
        for plane, values, there in zip(result, volume, known, strict=True):
            plane[~there] = values[~there]
            yield 1.0
    return result


def opened_steps(volume: NDArray[Any], radii: Radii, *, bright: bool = True) -> Fractions:
    """Take away what is bright (or dark) and narrower than the ellipsoid."""
    shrunk = yield from portion(extreme_steps(volume, radii, brightest=not bright), 0.0, 0.5)
    return (yield from portion(extreme_steps(shrunk, radii, brightest=bright), 0.5, 1.0))


def rows_of(radii: Radii, shape: tuple[int, ...]) -> dict[int, list[tuple[int, int]]]:
    """Return the rows of an ellipsoid, the shortest first.

    Returns
    -------
    dict
        For each reach along X to either side: the distances along depth and Y (0 or above) of the rows that reach as far. Beyond the size of
        the picture there is nothing to reach.

    Examples
    --------
    >>> rows_of((0, 2, 2), (1, 9, 9))
    {0: [(0, 2)], 1: [(0, 1)], 2: [(0, 0)]}
    """
    reaches = [min(math.floor(radius + _ROUNDING), n - 1) for radius, n in zip(radii, shape, strict=True)]
    rows: dict[int, list[tuple[int, int]]] = {}
    for up in range(reaches[0] + 1):
        for down in range(reaches[1] + 1):
            left = 1 - sum((at / radius) ** 2 for at, radius in zip((up, down), radii, strict=False) if at)
            if left >= -_ROUNDING:
                length = min(math.floor(radii[2] * math.sqrt(max(left, 0.0)) + _ROUNDING), shape[2] - 1)
                rows.setdefault(length, []).append((up, down))
    return dict(sorted(rows.items()))


def _longer(line: NDArray[Any], reach: int, wanted: int, choose: Any) -> NDArray[Any]:
    """Return the extreme within ``wanted`` along X, made from that within ``reach``."""
    while reach < wanted:
        step = min(wanted - reach, reach + 1)  # a longer step would miss pixels near the border, whose outer neighbour is not there to carry them
        longer = line.copy()
        choose(longer[:, step:], line[:, :-step], out=longer[:, step:])
        choose(longer[:, :-step], line[:, step:], out=longer[:, :-step])
        line, reach = longer, reach + step
    return line


def _choose_rows(target: NDArray[Any], line: NDArray[Any], down: int, choose: Any) -> None:
    rows = len(line)
    choose(target[: rows - down], line[down:], out=target[: rows - down])
    if down:
        choose(target[down:], line[: rows - down], out=target[down:])


def _end(dtype: np.dtype[Any], *, low: bool) -> Any:
    """Darkest or brightest value of a type."""
    if dtype.kind == "b":
        return not low
    if dtype.kind == "f":
        return -np.inf if low else np.inf
    return np.iinfo(dtype).min if low else np.iinfo(dtype).max
