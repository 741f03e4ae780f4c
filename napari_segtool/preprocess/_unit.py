"""Run a filter of float volumes on planes and volumes of any type: to a scale from 0 to 1, and back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_segtool.core.planes import Fractions, SteppedRule
from napari_segtool.preprocess._curve import cut
from napari_segtool.preprocess._smooth import native
from napari_segtool.preprocess._volumes import VolumeRule

Work = Callable[[NDArray[np.float32]], Fractions]
"""Filters a float32 ``(Z, Y, X)`` volume on a scale of 0 to 1, in which ``nan`` has no value; what it makes of ``nan`` does not matter."""

_THERE = 0.05  # part of the time that it takes to the scale, or back


def plane_rule(scale: tuple[float, float], work: Work) -> SteppedRule:
    """Make a rule that filters a plane as a volume of one slice.

    Parameters
    ----------
    scale
        Grey values that become 0 and 1.
    work
        The filter; what it returns is cut at the darkest and brightest value of the plane.
    """

    def steps(plane: NDArray[Any]) -> Fractions:
        found = yield from _steps(plane[None], scale, work)
        return np.asarray(found[0])

    return SteppedRule(steps)


def volume_rule(scale: tuple[float, float], work: Work) -> VolumeRule:
    """Make a rule that filters a volume; see `plane_rule`."""
    return lambda volume, size: _steps(volume, scale, work)


def _steps(volume: NDArray[Any], scale: tuple[float, float], work: Work) -> Fractions:
    black, width = (scale[0], scale[1] - scale[0]) if scale[0] < scale[1] else (0.0 if np.isnan(scale[0]) else scale[0], 1.0)
    unit = np.empty(volume.shape, np.float32)
    low, high = np.inf, -np.inf
    several = len(volume) > 1
    for z, (plane, target) in enumerate(zip(volume, unit, strict=True)):
        values = (plane.astype(np.float64) - black) / width
        known = np.isfinite(values)
        target[:] = np.where(known, values, np.nan)
        if known.any():
            low, high = min(low, float(target[known].min())), max(high, float(target[known].max()))
        if several:
            yield _THERE * z / len(volume)
    if not low <= high:
        return native(volume)
    found = yield from _between(work(unit), _THERE, 1 - _THERE)
    result = np.empty(volume.shape, volume.dtype.newbyteorder("="))
    for z, (plane, made, missing, target) in enumerate(zip(volume, found, unit, result, strict=True)):
        values = black + width * np.clip(made.astype(np.float64), low, high)
        target[:] = cut(np.where(np.isnan(missing), plane, values) if plane.dtype.kind == "f" else values, result.dtype)
        if several:
            yield 1 - _THERE + _THERE * (z + 1) / len(volume)
    return result


def _between(work: Fractions, first: float, last: float) -> Fractions:
    """Let work count from ``first`` to ``last``."""
    try:
        while True:
            yield first + (last - first) * next(work)
    except StopIteration as stop:
        return np.asarray(stop.value)
    finally:
        work.close()
