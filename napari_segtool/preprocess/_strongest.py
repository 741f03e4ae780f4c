"""The strongest edge of a stack, against which Canny's limits are told."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_segtool.core.planes import PlaneIndex, plane_indices
from napari_segtool.core.progress import Progress, Steps
from napari_segtool.core.stack import Stack
from napari_segtool.preprocess._canny import strengths

STRONGEST = 99.9
"""Percentile of the gradients (those that are not 0) that counts as the strongest edge: a few hot pixels do not set the scale."""

FAINTEST = 1 / 16_000
"""Lowest limit, as a part of the strongest edge: with limits of 0 every flat pixel would be an edge."""

_MEMO, _KEPT = "strongest edges", 8
_LOOKED_AT, _SAMPLE = 4_000_000, 500_000  # pixels whose gradients are worked out for the strongest edge, and how many of them are kept
_BAND = 64  # rows


def strongest_steps(stack: Stack, read: Callable[[PlaneIndex], NDArray[Any]], sigma_px: float, name: Hashable) -> Steps[float]:
    """Measure the gradient of the strongest edge of a whole stack.

    Parameters
    ----------
    stack
        Its memo remembers the answer.
    read
        Returns the grey values ``(Y, X)`` of one plane.
    sigma_px
        Width of the Gaussian that goes before; see `preprocess._canny.strengths`.
    name
        What the answer is remembered by, besides the width.

    Returns
    -------
    float
        0 where every gradient is 0, ``nan`` where no pixel has a value.
    """
    kept: dict[Hashable, float] = stack.memo.setdefault(_MEMO, {})
    if (name, sigma_px) in kept:
        return kept[name, sigma_px]
    planes, parts, known = list(plane_indices(stack)), [], False
    pixels = math.prod(stack.label_shape)
    share = min(1.0, _LOOKED_AT / pixels)
    stride = math.ceil(share * pixels / _SAMPLE) | 1  # odd, so that it does not keep to the same columns
    for done, index in enumerate(planes, start=1):
        values = read(index)
        known = known or bool(np.isfinite(values).any() if values.dtype.kind == "f" else values.size)
        parts += [strengths(values, sigma_px, stride, rows) for rows in _bands(len(values), share, done)]
        yield Progress(done, len(planes), "edges")
    if len(kept) >= _KEPT:
        kept.pop(next(iter(kept)))
    kept[name, sigma_px] = strongest_of(parts) if known else math.nan
    return kept[name, sigma_px]


def strongest_of(parts: list[NDArray[np.float64]]) -> float:
    """Percentile `STRONGEST` of all parts; 0 where every gradient is 0."""
    joined = np.concatenate(parts)
    return float(np.percentile(joined, STRONGEST)) if joined.size else 0.0


def _bands(height: int, share: float, number: int) -> list[slice]:
    """Return bands of rows that hold about ``share`` of a plane, spread over it; in the next plane they are others."""
    count = max(1, round(share * height / _BAND))
    rows = math.ceil(share * height / count)
    room = height / count - rows
    if room <= 0:
        return [slice(0, height)]
    shift = room * (number * 0.618 % 1)  # the golden section: bands of neighbouring planes lie far apart
    starts = [math.floor(height / count * band + shift) for band in range(count)]
    return [slice(start, start + rows) for start in starts]
