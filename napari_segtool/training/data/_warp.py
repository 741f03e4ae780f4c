"""Maps: where each pixel of a patch comes from. Flip, rotation, shear, scale, shift and bending are one map, so that pixels are resampled once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from napari_segtool.training.data._augment import Augmentation

Map = NDArray[np.float32]
"""Where a pixel comes from, in pixels of the source, relative to the patch's centre: ``(2, Y, X)`` row and column, the same for every plane;
``(2, Z, Y, X)`` row and column, each plane its own; ``(3, Z, Y, X)`` plane, row and column."""

COARSE_Z = 3.0
"""Where planes lie farther apart than this many pixels, nothing is resampled between them: what lies between is not known
(the limit of nnU-Net, Isensee et al. 2021, doi:10.1038/s41592-020-01008-z)."""
_KNOT_PX, _KNOT_DEVIATIONS = 32, 5
_MOST_DEVIATIONS = 2


def draw_map(
    rng: np.random.Generator,
    patch_px: tuple[int, int, int],
    settings: Augmentation,
    *,
    z_ratio: float = 0.0,
    zoom: tuple[float, float, float] = (1.0, 1.0, 1.0),
) -> Map:
    """Draw one spatial map.

    Parameters
    ----------
    rng
        Source of randomness.
    patch_px
        ``(z, y, x)`` pixels of the patch.
    settings
        How much to vary.
    z_ratio
        Distance of planes in pixels of the plane; 0 where it is not known. Up to `COARSE_Z` volumes are varied in all three dimensions;
        beyond it bending differs from plane to plane but stays within the planes; where it is not known all planes are bent alike.
    zoom
        Pixels of the source for each pixel of the patch along z, y, x: resamples an image of another spacing through the same map.

    Returns
    -------
    ndarray
        See `Map`; float32.
    """
    depth, height, width = patch_px
    rows = np.arange(height, dtype=np.float32) - np.float32((height - 1) / 2)
    columns = np.arange(width, dtype=np.float32) - np.float32((width - 1) / 2)
    linear, size = _in_plane(rng, settings)
    linear = linear.astype(np.float32)
    field = np.stack([linear[i, 0] * rows[:, None] + linear[i, 1] * columns[None, :] for i in range(2)])
    shift = rng.uniform(-settings.shift, settings.shift, 2) * (height, width) if settings.shift else np.zeros(2)
    deep = depth > 1 and 0 < z_ratio <= COARSE_Z
    if deep or (depth > 1 and zoom[0] != 1):
        planes = (np.arange(depth, dtype=np.float32) - np.float32((depth - 1) / 2)) * np.float32((z_ratio or 1.0) * (size if deep else 1.0))
        volume = (depth, height, width)
        field = np.concatenate([np.broadcast_to(planes[:, None, None], (1, *volume)), np.broadcast_to(field[:, None], (2, *volume))])
    if settings.elastic_px > 0 or settings.elastic_sigma_px > 0:
        field = _bent(rng, field, patch_px, settings, z_ratio)
    if deep and settings.tilt_deg:
        field = _tilted(field, *np.deg2rad(rng.uniform(-settings.tilt_deg, settings.tilt_deg, 2)))
    if len(field) == 3:
        field[0] /= np.float32(z_ratio or 1.0)
    field[-2:] += shift.astype(np.float32).reshape(2, *[1] * (field.ndim - 1))
    if zoom != (1.0, 1.0, 1.0):
        field *= np.asarray(zoom[-len(field) :], np.float32).reshape(-1, *[1] * (field.ndim - 1))
    return field


def _in_plane(rng: np.random.Generator, settings: Augmentation) -> tuple[NDArray[np.float64], float]:
    """Rotation × shear × scale × flips, as a matrix of row and column; and the scale."""
    angle = np.deg2rad(rng.uniform(-settings.rotation_deg, settings.rotation_deg))
    size = float(np.exp(rng.uniform(-1, 1) * np.log1p(settings.scale)))
    flips = np.where((rng.random(2) < 0.5) & (settings.flip_y, settings.flip_x), -1.0, 1.0)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    lean = np.deg2rad(rng.uniform(-settings.shear_deg, settings.shear_deg)) if settings.shear_deg else 0.0
    return turn @ np.array([[1.0, 0.0], [np.tan(lean), 1.0]]) @ np.diag(size * flips), size


def _tilted(field: Map, about_y: float, about_x: float) -> Map:
    """Turn places ``(z, y, x)``, all in pixels of the plane, about the two axes in the plane."""
    cy, sy, cx, sx = np.cos(about_y), np.sin(about_y), np.cos(about_x), np.sin(about_x)
    turn = np.array([[cx, -sx, 0], [sx, cx, 0], [0, 0, 1]]) @ np.array([[cy, 0, -sy], [0, 1, 0], [sy, 0, cy]])
    return np.tensordot(turn.astype(np.float32), field, 1)


def _bent(rng: np.random.Generator, field: Map, patch_px: tuple[int, int, int], settings: Augmentation, z_ratio: float) -> Map:
    """Add smooth displacements, in pixels of the plane: along z too where planes lie close, the same in all planes where their distance is not known."""
    each = patch_px[0] > 1 and z_ratio > 0
    samples = patch_px if each else patch_px[1:]
    parts = 3 if each and z_ratio <= COARSE_Z else 2
    moves = np.zeros((parts, *samples), np.float32)
    if settings.elastic_px > 0:
        extent = (round(patch_px[0] * z_ratio), *patch_px[1:])[-len(samples) :]
        apart_px = max(_KNOT_PX, _KNOT_DEVIATIONS * settings.elastic_px)
        knots = [max(3, round(n / apart_px)) for n in extent]
        heights = rng.standard_normal((parts, *knots)).astype(np.float32).clip(-_MOST_DEVIATIONS, _MOST_DEVIATIONS)
        moves += joined(heights * np.float32(settings.elastic_px * rng.random()), samples)
    if settings.elastic_sigma_px > 0:
        heights = rng.standard_normal((parts, *[max(2, settings.elastic_grid)] * len(samples))).astype(np.float32)
        moves += joined(heights * np.float32(settings.elastic_sigma_px), samples)
    if each and field.ndim == 3:
        return field[:, None] + moves
    field[-parts:] += moves if field.ndim == moves.ndim else moves[:, None]
    return field


def joined(heights: NDArray[np.float32], samples: tuple[int, ...]) -> NDArray[np.float32]:
    """Interpolate values on a coarse grid by cubic splines; the outermost knots lie on the outermost samples.

    Parameters
    ----------
    heights
        ``(parts, *knots)`` float32.
    samples
        Number of samples along each axis.

    Returns
    -------
    ndarray
        ``(parts, *samples)`` float32.

    Examples
    --------
    >>> joined(np.array([[1, 3, 2]], np.float32), (5,))[0, ::2].round(5).tolist()
    [1.0, 3.0, 2.0]
    """
    for axis in range(len(samples) - 1, -1, -1):
        weights = _spline(samples[axis], heights.shape[axis + 1])
        heights = np.moveaxis(np.tensordot(weights, heights, (1, axis + 1)), 0, axis + 1)
    return np.ascontiguousarray(heights)


def _spline(samples: int, knots: int) -> NDArray[np.float32]:
    """``(samples, knots)`` weights of cubic B-spline interpolation, mirrored at the ends."""
    at_knots = _basis(np.arange(knots, dtype=np.float64), knots)
    at_samples = _basis(np.linspace(0, knots - 1, samples) if samples > 1 else np.array([(knots - 1) / 2]), knots)
    weights: NDArray[np.float32] = (at_samples @ np.linalg.inv(at_knots)).astype(np.float32)
    return weights


def _basis(places: NDArray[np.float64], knots: int) -> NDArray[np.float64]:
    centres = np.arange(-2, knots + 2)
    away = np.abs(places[:, None] - centres)
    values = np.where(away < 1, 2 / 3 - away**2 + away**3 / 2, np.clip(2 - away, 0, None) ** 3 / 6)
    period = max(1, 2 * (knots - 1))
    folded = np.minimum(centres % period, period - centres % period)
    table = np.zeros((len(places), knots))
    np.add.at(table.T, folded, values.T)
    return table
