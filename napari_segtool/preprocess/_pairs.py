"""Average every pixel with those around it, weighted by how alike the two are; each pair of pixels is looked at once."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from napari_segtool.core.neighbours import pairs_at
from napari_segtool.core.planes import Fractions

Offset = tuple[int, int, int]
Weigh = Callable[[NDArray[np.float32], NDArray[np.bool_] | None, Offset], NDArray[np.float32]]
"""Gets the squared differences of all pairs an offset apart, and which pairs both have values (None: all); returns their weights.

The differences are 0 where a pair lacks a value, and may be overwritten; the weights there do not matter."""

LEAST_EXPONENT = -80.0
"""Weights below exp(-80) would be numbers so small that processors slow down."""


def half_offsets(reach: tuple[float, float, float]) -> list[Offset]:
    """Return one of each two opposite offsets inside a box of that reach, in order, without the offset 0."""
    depth, rows, columns = (range(-math.floor(r), math.floor(r) + 1) for r in reach)
    return [offset for offset in itertools.product(depth, rows, columns) if offset > (0, 0, 0)]


def alike_average_steps(values: NDArray[np.float32], offsets: list[Offset], weigh: Weigh) -> Fractions:
    """Average each voxel with those at the offsets from it and opposite to them; its own weight is 1.

    Parameters
    ----------
    values
        Shape ``(Z, Y, X)``; ``nan`` is neither averaged nor looked at.
    offsets
        From `half_offsets`.
    weigh
        Weight of the pairs an offset apart.
    """
    missing = np.isnan(values)
    known = ~missing if missing.any() else None
    grey = np.where(missing, np.float32(0), values) if known is not None else values
    total, weights = grey.copy(), np.ones(values.shape, np.float32)
    for done, offset in enumerate(offsets, start=1):
        if all(abs(step) < n for step, n in zip(offset, values.shape, strict=True)):
            here, there = pairs_at(offset, values.shape)
            difference = grey[here] - grey[there]
            difference *= difference
            both = None if known is None else known[here] & known[there]
            if both is not None:
                difference *= both
            weight = weigh(difference, both, offset)
            if both is not None:
                weight *= both
            total[here] += weight * grey[there]
            total[there] += weight * grey[here]
            weights[here] += weight
            weights[there] += weight
        yield done / len(offsets)
    total /= weights
    return total
