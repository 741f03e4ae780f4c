"""Augmentation: everything that moves pixels is composed into one map, and image and labels are resampled by it once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_segtool.training._pairs import IGNORED


@dataclass(frozen=True)
class Augmentation:
    """How much patches are varied.

    Parameters
    ----------
    flip_x, flip_y, flip_z
        Whether to mirror along the axis, half of the time.
    rotation_deg
        Largest angle in the plane.
    scale
        Largest change of size: 0.2 is from 1/1.2 to 1.2.
    elastic_px
        Standard deviation of a smooth random displacement.
    intensity
        Strength of brightness, contrast, gamma, noise and blur; 0 switches them off, 1 is usual.
    """

    flip_x: bool = True
    flip_y: bool = True
    flip_z: bool = True
    rotation_deg: float = 180.0
    scale: float = 0.2
    elastic_px: float = 4.0
    intensity: float = 1.0


STILL = Augmentation(False, False, False, 0.0, 0.0, 0.0, 0.0)
"""No variation at all."""


def draw_map(rng: np.random.Generator, shape_px: tuple[int, int], settings: Augmentation) -> NDArray[np.float32]:
    """Draw one spatial map: flip, rotation, scale and elastic deformation in one.

    Parameters
    ----------
    rng
        Source of randomness.
    shape_px
        Height and width of the patch.
    settings
        How much to vary.

    Returns
    -------
    ndarray
        ``(2, Y, X)`` float32: for each pixel of the patch, the row and column it comes from, relative to the patch's centre.
    """
    height, width = shape_px
    rows = np.arange(height, dtype=np.float32) - np.float32((height - 1) / 2)
    columns = np.arange(width, dtype=np.float32) - np.float32((width - 1) / 2)
    angle = np.deg2rad(rng.uniform(-settings.rotation_deg, settings.rotation_deg))
    zoom = np.exp(rng.uniform(-1, 1) * np.log1p(settings.scale))
    flips = np.where(rng.random(2) < 0.5, -1.0, 1.0)
    flip_y, flip_x = (flips[0] if settings.flip_y else 1.0), (flips[1] if settings.flip_x else 1.0)
    cos, sin = np.float32(np.cos(angle) * zoom), np.float32(np.sin(angle) * zoom)
    y, x = rows[:, None] * np.float32(flip_y), columns[None, :] * np.float32(flip_x)
    field = np.stack([cos * y - sin * x, sin * y + cos * x])
    if settings.elastic_px > 0:
        field += _elastic(rng, shape_px, settings.elastic_px)
    return field


def _elastic(rng: np.random.Generator, shape_px: tuple[int, int], deviation_px: float) -> NDArray[np.float32]:
    """A smooth displacement: random numbers every 32 pixels, joined by cubic interpolation; cut at two deviations, lest the picture folds over."""
    import cv2

    height, width = shape_px
    coarse = rng.standard_normal((2, max(3, height // 32), max(3, width // 32))).astype(np.float32).clip(-2, 2) * np.float32(deviation_px * rng.random())
    return np.stack([cv2.resize(part, (width, height), interpolation=cv2.INTER_CUBIC) for part in coarse])


def cut(
    image: NDArray[np.generic], marks: NDArray[np.uint8], centre: tuple[int, float, float], depth: int, field: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Cut a patch by a map: the image by cubic interpolation, the labels by their nearest pixel.

    Parameters
    ----------
    image
        ``(Z, C, Y, X)``, any real dtype; only the part that is needed is read.
    marks
        ``(Z, Y, X)`` uint8 class indices.
    centre
        First plane, and row and column of the patch's centre; the first plane may be negative.
    depth
        Planes of the patch.
    field
        Map from `draw_map`.

    Returns
    -------
    patch, classes
        ``(C, depth, y, x)`` float32, mirrored beyond the image's edge, and ``(depth, y, x)`` uint8, unlabelled there.
    """
    import cv2

    first, row, column = centre
    rows, columns = field[0] + np.float32(row), field[1] + np.float32(column)
    top, left = max(0, int(rows.min()) - 3), max(0, int(columns.min()) - 3)
    bottom, right = min(marks.shape[1], int(rows.max()) + 4), min(marks.shape[2], int(columns.max()) + 4)
    top, left = min(top, marks.shape[1] - 1), min(left, marks.shape[2] - 1)
    bottom, right = max(bottom, top + 1), max(right, left + 1)
    rows, columns = rows - np.float32(top), columns - np.float32(left)
    planes = [_mirrored(z, len(image)) for z in range(first, first + depth)]
    patch = np.empty((image.shape[1], depth, *rows.shape), np.float32)
    classes = np.full((depth, *rows.shape), IGNORED, np.uint8)
    for place, z in enumerate(planes):
        for channel in range(image.shape[1]):
            source = np.asarray(image[z, channel, top:bottom, left:right], dtype=np.float32)
            patch[channel, place] = cv2.remap(source, columns, rows, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101)
        if 0 <= first + place < len(marks):
            source = np.ascontiguousarray(marks[z, top:bottom, left:right])
            classes[place] = cv2.remap(source, columns, rows, cv2.INTER_NEAREST, borderMode=cv2.BORDER_CONSTANT, borderValue=IGNORED)
    return patch, classes


def vary_intensity(patch: NDArray[np.float32], rng: np.random.Generator, strength: float) -> NDArray[np.float32]:
    """Vary contrast, brightness, gamma, noise and blur of a normalised patch ``(C, Z, Y, X)``, in place where it can."""
    import cv2

    if strength <= 0:
        return patch
    patch *= np.float32(np.exp(strength * rng.uniform(-0.25, 0.25)))
    patch += np.float32(strength * rng.uniform(-0.25, 0.25))
    if rng.random() < 0.3:
        low, high = patch.min(), patch.max()
        if high > low:
            gamma = float(np.exp(strength * rng.uniform(-0.35, 0.35)))
            patch = cv2.pow((patch - low).reshape(-1) / (high - low), gamma).reshape(patch.shape) * (high - low) + low
    if rng.random() < 0.2:
        sigma = strength * rng.uniform(0.3, 1.2)
        for channel in patch:
            for plane in channel:
                cv2.GaussianBlur(plane, (0, 0), sigma, dst=plane)
    if rng.random() < 0.3:
        patch += rng.standard_normal(patch.shape, dtype=np.float32) * np.float32(strength * rng.uniform(0, 0.25))
    return patch


def _mirrored(index: int, length: int) -> int:
    if length == 1:
        return 0
    index %= 2 * (length - 1)
    return index if index < length else 2 * (length - 1) - index
