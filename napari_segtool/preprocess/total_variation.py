"""Total variation, in each slice or through the volume."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_segtool.core.params import Params, param
from napari_segtool.core.planes import Fractions, PlaneRule
from napari_segtool.core.progress import Steps
from napari_segtool.core.registry import FILTERS
from napari_segtool.core.slabs import finite_steps, made_steps
from napari_segtool.core.stack import Stack
from napari_segtool.preprocess._channels import own_channel_steps
from napari_segtool.preprocess._portions import portion
from napari_segtool.preprocess._statistics import scale_steps
from napari_segtool.preprocess._unit import plane_rule, volume_rule
from napari_segtool.preprocess._volumes import each_volume_steps, widths_px

TOLERANCE = 2e-4
"""Iterations end when the energy changes by less than this part of its first value, as in scikit-image."""

_SLAB_VOXELS = 1 << 20


class TotalVariationParams(Params):
    """Settings of total variation."""

    strength: float = param(
        8.0,
        "Strength, in percent of the scale from black to white: noise of about that height goes, and with it detail that is fainter.",
        unit="%",
        ge=0.1,
        le=100,
    )
    iterations: int = param(200, "Most iterations; they end earlier when nothing changes any more.", ge=1, le=2000, advanced=True)
    volume: bool = param(False, "Smooth through the slices too, not only within each.")


@FILTERS.register(
    "total-variation",
    title="Total variation",
    summary="Flattens regions and keeps their outlines: strong noise in pictures of few, uniform greys.",
    params=TotalVariationParams,
    family="denoise",
    reference="Rudin, Osher & Fatemi 1992, Nonlinear total variation based noise removal algorithms, doi:10.1016/0167-2789(92)90242-F; "
    "Chambolle 2004, An algorithm for total variation minimization and applications, doi:10.1023/B:JMIV.0000011325.36760.1e",
    phantom="noise",
    traits=("keeps-type", "keeps-range", "keeps-constant"),
    aliases=("tv",),
)
def total_variation(stack: Stack, params: TotalVariationParams) -> Steps[PlaneRule | NDArray[Any]]:
    """Find the picture near the given one whose grey values change least in sum, by Chambolle's projections.

    Black and white are the limits of 8-bit types, and the darkest and brightest value of the stack for others.

    Parameters
    ----------
    stack
        Any axes; every channel is filtered on its own.
    params
        Settings. Where the spacing is known, a step between two slices or rows counts by its height in µm.

    Returns
    -------
    PlaneRule or ndarray
        The type of the stack in native byte order, whole numbers rounded; a whole array for stacks with channels and for ``volume``. ``nan``
        and infinite values stay as they are, and nothing passes through them.

    Raises
    ------
    AxesError
        If ``volume`` is asked for and the stack has no slices.
    """
    steepness = widths_px(stack, 1, 0, params.volume)  # of a step along each axis, that along X being 1

    def learn(channel: Stack) -> Steps[PlaneRule | NDArray[Any]]:
        scale = yield from scale_steps(channel)

        def smooth(values: NDArray[np.float32]) -> Fractions:
            return total_variation_steps(values, params.strength / 100, steepness, params.iterations)

        if not params.volume:
            return plane_rule(scale, smooth)
        return (yield from each_volume_steps(channel, volume_rule(scale, smooth)))

    return (yield from own_channel_steps(stack, learn))


def total_variation_steps(values: NDArray[np.float32], weight: float, steepness: tuple[float, float, float], iterations: int) -> Fractions:
    """Minimise total variation plus the squared distance to ``values`` over twice the weight.

    Parameters
    ----------
    values
        float32, shape ``(Z, Y, X)``; ``nan`` is no value: there is no step to it, and it comes out as 0.
    weight
        Of total variation, in units of ``values``.
    steepness
        How much a step between neighbours counts along each axis; an axis of 0 is left alone.
    iterations
        Most iterations.
    """
    known = yield from portion(finite_steps(values), 0.0, 0.0)
    grey = values
    if known is not None:
        mask = known
        grey = yield from portion(made_steps(values.shape, np.float32, lambda part: np.where(mask[part], values[part], np.float32(0))), 0.0, 0.0)
    axes = [axis for axis in range(3) if steepness[axis] > 0 and values.shape[axis] > 1]
    if not axes:
        return grey
    dual = {axis: np.zeros(values.shape, np.float32) for axis in axes}
    smooth = yield from portion(made_steps(grey.shape, grey.dtype, lambda part: grey[part]), 0.0, 0.0)
    pace = 1 / (2 * sum(steepness[axis] ** 2 for axis in axes))
    slab = max(1, _SLAB_VOXELS // max(1, grey[0].size))
    starts = range(0, len(grey), slab)
    first = last = 0.0
    for iteration in range(iterations):
        energy = 0.0
        if iteration:
            for start in starts:
                part = slice(start, min(start + slab, len(grey)))
                change = _divergence(dual, steepness, part)
                np.add(grey[part], change, out=smooth[part])
                energy += float(np.vdot(change, change))
                yield iteration / iterations
        for start in starts:
            part = slice(start, min(start + slab, len(grey)))
            energy += weight * _ascend(smooth, dual, steepness, part, known, weight, pace)
            yield iteration / iterations
        if iteration and abs(last - energy) < TOLERANCE * first:
            break
        first, last = first or energy, energy
    yield 1.0
    return smooth


def _divergence(dual: dict[int, NDArray[np.float32]], steepness: tuple[float, float, float], part: slice) -> NDArray[np.float32]:
    """Return minus the adjoint of the steps, of some slices."""
    shape = next(iter(dual.values())).shape
    change = np.zeros((part.stop - part.start, *shape[1:]), np.float32)
    for axis, field in dual.items():
        steps = np.float32(steepness[axis])
        change -= steps * field[part]
        if axis:
            ahead, behind = [slice(None)] * 3, [slice(None)] * 3
            ahead[axis], behind[axis] = slice(1, None), slice(None, -1)
            change[tuple(ahead)] += steps * field[part][tuple(behind)]
        else:
            above = max(part.start, 1)
            change[above - part.start :] += steps * field[above - 1 : part.stop - 1]
    return change


def _ascend(
    smooth: NDArray[np.float32],
    dual: dict[int, NDArray[np.float32]],
    steepness: tuple[float, float, float],
    part: slice,
    known: NDArray[np.bool_] | None,
    weight: float,
    pace: float,
) -> float:
    """Move the dual field of some slices up the steps of ``smooth``; returns their total variation."""
    slopes = {axis: _steps_along(smooth, axis, part, known) * np.float32(steepness[axis]) for axis in dual}
    norm = np.zeros(smooth[part].shape, np.float32)
    for slope in slopes.values():
        norm += slope * slope
    np.sqrt(norm, out=norm)
    variation = float(norm.sum(dtype=np.float64))
    norm *= np.float32(pace / weight)
    norm += 1
    for axis, slope in slopes.items():
        field = dual[axis][part]
        field -= np.float32(pace) * slope
        field /= norm
    return variation


def _steps_along(smooth: NDArray[np.float32], axis: int, part: slice, known: NDArray[np.bool_] | None) -> NDArray[np.float32]:
    """Return the step from each voxel to the next along an axis; 0 at the end, and beside voxels without a value."""
    steps = np.zeros(smooth[part].shape, np.float32)
    ahead, here = [slice(None)] * 3, [slice(None)] * 3
    here[0] = part
    if axis:
        ahead[0], ahead[axis], here[axis] = part, slice(1, None), slice(None, -1)
        target = steps[tuple([slice(None)] + [slice(None, -1) if a == axis else slice(None) for a in (1, 2)])]
    else:
        end = min(part.stop, len(smooth) - 1)
        ahead[0], here[0] = slice(part.start + 1, end + 1), slice(part.start, end)
        target = steps[: end - part.start]
    np.subtract(smooth[tuple(ahead)], smooth[tuple(here)], out=target)
    if known is not None:
        target *= known[tuple(ahead)] & known[tuple(here)]
    return steps
