"""Eigenvalues of the Hessian: how strongly grey values bend along the directions in which they bend most and least."""

from __future__ import annotations

from collections.abc import Generator

import numpy as np
from numpy.typing import NDArray

from napari_segtool.preprocess._derivatives import SmoothPlane, through_slices

Parts = tuple[NDArray[np.float32], ...]
"""Second derivatives of a plane: yy, yx, xx, or zz, zy, zx, yy, yx, xx; or eigenvalues, the largest first."""


def plane_hessian(values: NDArray[np.float32], sigmas: tuple[float, float]) -> Parts:
    """Return yy, yx, xx of a plane, each times the widths along its two axes: as large in µm as in pixels."""
    plane = SmoothPlane(values, *sigmas)
    return plane.derivative(2, 0), plane.derivative(1, 1), plane.derivative(0, 2)


def slice_hessian(volume: NDArray[np.float32], z: int, sigmas: tuple[float, float, float]) -> Generator[None, None, Parts]:
    """Return zz, zy, zx, yy, yx, xx of slice ``z`` of a volume, each times the widths along its two axes; yields between."""
    smooth, rising, bent = through_slices(volume, z, sigmas[0])
    yield
    zz = SmoothPlane(bent, *sigmas[1:]).derivative(0, 0)
    plane = SmoothPlane(rising, *sigmas[1:])
    zy, zx = plane.derivative(1, 0), plane.derivative(0, 1)
    yield
    plane = SmoothPlane(smooth, *sigmas[1:])
    return zz, zy, zx, plane.derivative(2, 0), plane.derivative(1, 1), plane.derivative(0, 2)


def size_of(parts: Parts) -> NDArray[np.float32]:
    """Return the Frobenius norm of a Hessian: the root of the sum of the squares of its eigenvalues."""
    crossed = {1} if len(parts) == 3 else {1, 2, 4}
    squares = np.zeros_like(parts[0])
    for i, part in enumerate(parts):
        squares += part * part * np.float32(2 if i in crossed else 1)
    return np.sqrt(squares, out=squares)


def eigenvalues(parts: Parts) -> Parts:
    """Return the eigenvalues of symmetric 2×2 or 3×3 matrices, the largest first.

    In closed form; for 3×3 after Smith 1961, Eigenvalues of a symmetric 3 × 3 matrix, doi:10.1145/355578.366316.

    Parameters
    ----------
    parts
        The upper triangle, row by row: 3 or 6 arrays of one shape.

    Returns
    -------
    tuple of ndarray
        2 or 3 arrays of that shape; right to about a ten-thousandth of the largest.

    Examples
    --------
    >>> one = np.ones(1, np.float32)
    >>> [float(value[0]) for value in eigenvalues((2 * one, one, 2 * one))]
    [3.0, 1.0]
    """
    if len(parts) == 3:
        yy, yx, xx = parts
        mean, root = (yy + xx) * np.float32(0.5), np.hypot((yy - xx) * np.float32(0.5), yx)
        return mean + root, mean - root
    zz, zy, zx, yy, yx, xx = parts
    middle = (zz + yy + xx) / np.float32(3)
    a, b, c = zz - middle, yy - middle, xx - middle
    crossed = zy * zy + zx * zx + yx * yx
    spread = np.sqrt((a * a + b * b + c * c + 2 * crossed) / np.float32(6))
    half = (a * (b * c - yx * yx) - zy * (zy * c - yx * zx) + zx * (zy * yx - b * zx)) / 2
    cube = spread * spread * spread
    turn = np.divide(half, cube, out=np.ones_like(half), where=cube > 0)
    angle = np.arccos(np.clip(turn, -1, 1, out=turn)) / np.float32(3)
    first = middle + 2 * spread * np.cos(angle)
    last = middle + 2 * spread * np.cos(angle + np.float32(2 * np.pi / 3))
    return first, 3 * middle - first - last, last
