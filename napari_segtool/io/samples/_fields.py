"""Building blocks of the samples: smooth random fields and little pictures stamped at random places."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]


def smooth_noise(random: np.random.Generator, shape: tuple[int, int], step_px: float) -> Array:
    """Return a random field ``(Y, X)`` of mean 0 and variance about 1 that is smooth over ``step_px``."""
    return resampled(random.standard_normal(knots_of(shape, step_px)).astype(np.float32), shape, step_px)


def knots_of(shape: tuple[int, int], step_px: float) -> tuple[int, int]:
    """Size of the coarse grid that `resampled` needs for a picture of ``shape``."""
    return int(np.ceil(shape[0] / step_px)) + 4, int(np.ceil(shape[1] / step_px)) + 4


def resampled(coarse: Array, shape: tuple[int, int], step_px: float) -> Array:
    """Cubic B-spline through the last two axes of ``coarse``, one knot every ``step_px``; of about the same variance."""
    (row, row_weights), (column, column_weights) = (_spline(size, step_px) for size in shape)
    tall = sum(weight[:, None] * coarse[..., row + k, :] for k, weight in enumerate(row_weights))
    wide = sum(weight * tall[..., column + k] for k, weight in enumerate(column_weights))
    return np.asarray(1.9 * wide, np.float32)


def _spline(size: int, step_px: float) -> tuple[NDArray[np.intp], Array]:
    """First of the four knots that each place lies between, and their weights ``(4, size)``."""
    place = np.arange(size) / step_px
    first = place.astype(np.intp)
    t = (place - first).astype(np.float32)
    weights = np.stack([(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, 1 + 3 * t + 3 * t**2 - 3 * t**3, t**3]) / 6
    return first, weights.astype(np.float32)


def ring(radius: float, width: float, core: float = 0.0) -> Array:
    """A ring of unit height, a dot where ``radius`` is 0; ``core`` fills its middle."""
    reach = int(np.ceil(radius + 2.5 * width))
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1].astype(np.float32)
    away = np.hypot(y, x)
    edge, middle = np.exp(-(((away - radius) / width) ** 2)), core * np.exp(-((away / (0.5 * radius + 0.1)) ** 2))
    return np.asarray(np.maximum(edge, middle), np.float32)


def stamped(shape: tuple[int, int], places: NDArray[Any], heights: NDArray[Any], kernel: Array) -> Array:
    """Sum of ``kernel`` times each height, centred at the ``(N, 2)`` places; what sticks out is cut off."""
    reach = kernel.shape[0] // 2
    wide = (shape[0] + 2 * reach, shape[1] + 2 * reach)
    rows, columns = (np.arange(2 * reach + 1)[None] + places[:, axis, None] for axis in (0, 1))
    index = (rows[:, :, None] * wide[1] + columns[:, None, :]).ravel()
    total = np.bincount(index, (heights[:, None, None] * kernel).ravel(), wide[0] * wide[1]).reshape(wide)
    return np.asarray(total[reach : wide[0] - reach, reach : wide[1] - reach], np.float32)
