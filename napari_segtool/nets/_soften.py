"""Blur that makes pixels larger: alike for patches in training and for planes in prediction. Light: loads no torch."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from napari_segtool.nets._pixel_size import Zoom


def softened(planes: NDArray[np.float32], zoom: Zoom) -> NDArray[np.float32]:
    """Return planes ``(C, Y, X)`` blurred as if their pixels had been ``zoom`` times as large, along y and x; themselves where these would be smaller.

    A pixel adds up what falls on it: its variance along an axis is a twelfth of the square of its width. The Gaussian makes
    up for the difference. Mirrored at the borders, without repeating them.
    """
    sigma = [_blur_px(factor) for factor in zoom]
    if not any(sigma):
        return planes
    import cv2

    size = (2 * radius_px(zoom[1]) + 1, 2 * radius_px(zoom[0]) + 1)
    return np.stack([cv2.GaussianBlur(plane, size, sigma[1], sigmaY=sigma[0], borderType=cv2.BORDER_REFLECT_101) for plane in planes])


def radius_px(factor: float) -> int:
    """Return how far `softened` looks along an axis, in pixels of the picture."""
    return math.ceil(3 * _blur_px(factor))


def _blur_px(factor: float) -> float:
    return math.sqrt((factor * factor - 1) / 12) if factor > 1 else 0.0
