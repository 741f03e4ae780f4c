"""Derivatives of pictures smoothed with a Gaussian, in planes and through slices of any thickness."""

from __future__ import annotations

import math
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_segtool.preprocess._portions import portion
from napari_segtool.preprocess._scale import Scale
from napari_segtool.preprocess._smooth import wide_blur

REACH = 5.0
"""Widths of the Gaussian at which a kernel ends: a second derivative has a longer tail than the Gaussian itself."""

_WIDEST_PX, _REST_PX = 8.0, 4.0  # above the first, all of the width but the second is made in the spectrum
_NARROWEST_PX = 0.3  # narrower kernels do not differ from plain differences, but their numbers vanish
_ROWS = 1 << 18  # pixels of all slices that are worked on in double precision at once


def derivative_kernel(sigma: float, order: int) -> NDArray[np.float64]:
    """Return the weights of neighbours that make the derivative of a Gaussian-smoothed signal.

    Sampled Gaussians, corrected so that constants, slopes and parabolas have exactly their derivatives at any width.

    Parameters
    ----------
    sigma
        Width in pixels; below 0.3 the answer is a plain difference.
    order
        0 (smoothing), 1 or 2.

    Returns
    -------
    ndarray
        Of odd length; weights of the neighbours from left to right.

    Examples
    --------
    >>> derivative_kernel(0.3, 2).round(3).tolist()
    [0.0, 1.0, -2.0, 1.0, 0.0]
    """
    sigma = max(sigma, _NARROWEST_PX)
    reach = max(1, math.ceil(REACH * sigma))
    at = np.arange(-reach, reach + 1, dtype=np.float64)
    bell = np.exp(-0.5 * (at / sigma) ** 2)
    bell /= bell.sum()
    if order == 0:
        return bell
    if order == 1:
        return np.asarray(at * bell / (at * at * bell).sum())
    bent = ((at / sigma) ** 2 - 1) * bell
    bent -= bell * bent.sum()
    return np.asarray(2 * bent / (at * at * bent).sum())


@dataclass(frozen=True, slots=True)
class Width:
    """How a Gaussian of some width along an axis is made: first in the spectrum, the rest with a kernel.

    Parameters
    ----------
    sigma
        Width in pixels.
    spectrum
        The part of it made in the spectrum; 0 for none.
    """

    sigma: float
    spectrum: float

    @classmethod
    def along(cls, sigma: float, count: int) -> Width:
        """Make one for an axis of ``count`` pixels; twice the picture is as wide as endless."""
        sigma = min(sigma, 2.0 * count)
        return cls(sigma, math.sqrt(sigma**2 - _REST_PX**2) if sigma > _WIDEST_PX else 0.0)

    def kernel(self, order: int) -> NDArray[np.float64]:
        """Return the kernel that makes a derivative, times the width to the power of its order, of what the spectrum left."""
        return derivative_kernel(_REST_PX if self.spectrum else self.sigma, order) * self.sigma**order


class SmoothPlane:
    """A plane to take derivatives of, mirrored at its border.

    Parameters
    ----------
    values
        Shape ``(Y, X)``, float32 or float64, finite.
    sigma_y, sigma_x
        Widths of the Gaussian in pixels.
    """

    def __init__(self, values: NDArray[Any], sigma_y: float, sigma_x: float) -> None:
        self._widths = (Width.along(sigma_y, values.shape[0]), Width.along(sigma_x, values.shape[1]))
        wide = {axis: width.spectrum for axis, width in enumerate(self._widths) if width.spectrum}
        # what is left of a picture after very wide smoothing is multiplied by the width squared: rounding must stay below it
        self._values = wide_blur(values.astype(np.float64), wide) if wide else values

    def derivative(self, order_y: int, order_x: int) -> NDArray[np.float32]:
        """Return a derivative times the widths to the power of its orders: of the size of grey values, and free of units."""
        import cv2

        rows, columns = self._widths[0].kernel(order_y), self._widths[1].kernel(order_x)
        found: NDArray[Any] = cv2.sepFilter2D(self._values, -1, columns, rows, borderType=cv2.BORDER_REFLECT)
        return found.astype(np.float32, copy=False)


def through_slices(volume: NDArray[Any], z: int, sigma_z: float) -> NDArray[np.float32]:
    """Return the derivatives along depth, of order 0, 1 and 2, of slice ``z``, times the width to the power of the order.

    Parameters
    ----------
    volume
        Shape ``(depth, Y, X)``, float32 or bool, finite; mirrored beyond its ends.
    z
        The slice.
    sigma_z
        Width of the Gaussian along depth in slices.

    Returns
    -------
    ndarray
        float32, shape ``(3, Y, X)``.
    """
    count = len(volume)
    width = Width.along(sigma_z, count)
    weights = np.zeros((3, count))
    for order in range(3):
        kernel = width.kernel(order)
        at = (z + np.arange(len(kernel)) - len(kernel) // 2) % (2 * count)
        weights[order] = np.bincount(np.where(at < count, at, 2 * count - 1 - at), kernel, minlength=count)
    if width.spectrum:
        weights = wide_blur(weights, {1: width.spectrum})
        return _mixed_precisely(volume, weights)
    used = np.flatnonzero(weights.any(axis=0))
    near = slice(int(used[0]), int(used[-1]) + 1)
    flat = volume[near].reshape(near.stop - near.start, -1).astype(np.float32, copy=False)
    return (weights[:, near].astype(np.float32) @ flat).reshape(3, *volume.shape[1:])


def filled_plane(values: NDArray[np.float32], known: NDArray[np.bool_], sigma_y: float, sigma_x: float) -> NDArray[np.float32]:
    """Give pixels without a value the mean of those around them, weighted with a Gaussian, so that they make no edge; 0 far from any."""
    weight = SmoothPlane(known.astype(np.float32), sigma_y, sigma_x).derivative(0, 0)
    mean = SmoothPlane(np.where(known, values, np.float32(0)), sigma_y, sigma_x).derivative(0, 0)
    return _filled(values, known, mean, weight)


def unit_volume(volume: NDArray[Any], scale: Scale) -> Generator[float, None, NDArray[np.float32]]:
    """Return a volume as float32 from -1 to 1; yields the finished part."""
    values = np.empty(volume.shape, np.float32)
    for z, plane in enumerate(volume):
        values[z] = scale.unit(plane)
        yield (z + 1) / len(volume)
    return values


def filled_volume(values: NDArray[np.float32], known: NDArray[np.bool_], sigmas: tuple[float, float, float]) -> Generator[float, None, NDArray[np.float32]]:
    """Do as `filled_plane` does to a ``(depth, Y, X)`` volume whose unknown voxels are 0; yields the finished part."""
    filled = values.copy()
    for z in range(len(values)):
        if not known[z].all():
            weight = SmoothPlane(through_slices(known, z, sigmas[0])[0], *sigmas[1:]).derivative(0, 0)
            mean = SmoothPlane(through_slices(values, z, sigmas[0])[0], *sigmas[1:]).derivative(0, 0)
            filled[z] = _filled(values[z], known[z], mean, weight)
        yield (z + 1) / len(values)
    return filled


def ready_volume(volume: NDArray[Any]) -> Generator[float, None, tuple[Scale, NDArray[np.float32], NDArray[np.bool_] | None]]:
    """Measure and convert a volume: its scale, its values from -1 to 1, and where they are known (``None``: everywhere)."""
    scale = yield from portion(Scale.steps(volume), 0.0, 0.4)
    values = yield from portion(unit_volume(volume, scale), 0.4, 1.0)
    known = np.isfinite(volume) if volume.dtype.kind == "f" else None
    return scale, values, None if known is None or known.all() else known


def _filled(values: NDArray[np.float32], known: NDArray[np.bool_], mean: NDArray[np.float32], weight: NDArray[np.float32]) -> NDArray[np.float32]:
    near = weight > 1e-6
    return np.where(known, values, np.divide(mean, weight, out=np.zeros_like(mean), where=near))


def _mixed_precisely(volume: NDArray[Any], weights: NDArray[np.float64]) -> NDArray[np.float32]:
    """Mix all slices in double precision, some rows at a time."""
    mixed = np.empty((3, *volume.shape[1:]), np.float32)
    rows = max(1, _ROWS // max(1, volume.shape[0] * volume.shape[2]))
    for start in range(0, volume.shape[1], rows):
        part = volume[:, start : start + rows]
        mixed[:, start : start + rows] = np.tensordot(weights, part.astype(np.float64), axes=1)
    return mixed
