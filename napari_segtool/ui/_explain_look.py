"""How an explanation looks: a perceptual map that lets the picture through where little is to be seen."""

from __future__ import annotations

import numpy as np
from napari.utils.colormaps import Colormap, ensure_colormap
from numpy.typing import NDArray

STEPS = 256
_BLUE, _WHITE, _RED = np.array([0.13, 0.40, 0.67]), np.array([0.97, 0.97, 0.97]), np.array([0.70, 0.09, 0.17])


def overlay_colormap(signed: bool, threshold: float) -> Colormap:
    """Return magma, or blue–white–red for maps with a sign, transparent below the threshold.

    Parameters
    ----------
    signed
        Whether the map has values below 0; its middle is then 0.
    threshold
        0 to 1, as a part of the largest strength shown; weaker values are not drawn.
    """
    position = np.linspace(0, 1, STEPS)
    strength = np.abs(2 * position - 1) if signed else position
    rgb = _diverging(position) if signed else np.asarray(ensure_colormap("magma").map(position))[:, :3]
    # Opacity grows with strength, so that the picture stays readable under weak values.
    alpha = np.where(strength < threshold, 0.0, np.clip(0.25 + 1.5 * strength, 0, 1) * np.clip(strength * 20, 0, 1))
    name = f"segtool {'signed' if signed else 'strength'} {threshold:.3f}"
    return Colormap(np.column_stack([rgb, alpha]), name=name, display_name="blue–white–red" if signed else "magma")


def limits_of(values: np.ndarray) -> tuple[bool, tuple[float, float]]:
    """Return whether a map has a sign, and the contrast limits: the 99.5th percentile of its strength, 0 in the middle of a signed one."""
    finite = values[np.isfinite(values)]
    largest = float(np.quantile(np.abs(finite), 0.995)) if finite.size else 0.0
    largest = largest or (float(np.abs(finite).max()) if finite.size else 0.0) or 1.0
    signed = bool(finite.size) and float(finite.min()) < 0
    return signed, (-largest if signed else 0.0, largest)


def _diverging(position: np.ndarray) -> np.ndarray:
    t = position[:, None]
    return np.where(t < 0.5, _BLUE + (_WHITE - _BLUE) * 2 * t, _WHITE + (_RED - _WHITE) * (2 * t - 1))


def painted(picture: NDArray[np.uint8], values: NDArray[np.float32], threshold: float, opacity: float) -> NDArray[np.uint8]:
    """Lay a map over a small picture of its slice, as the overlay lies over the image.

    Parameters
    ----------
    picture
        ``(height, width, 3)``.
    values
        Map of the same part of the slice, ``(Y, X)``.
    threshold, opacity
        0 to 1, as in the window.
    """
    import cv2

    whole = np.nan_to_num(np.ascontiguousarray(values, np.float32))
    speaking, against = (cv2.resize(part.clip(0), picture.shape[1::-1], interpolation=cv2.INTER_AREA) for part in (whole, -whole))
    small = np.where(speaking >= against, speaking, -against)  # a mean of both would be nothing
    signed, (low, high) = limits_of(small)
    colours = np.asarray(overlay_colormap(signed, threshold).colors)[((small - low) / (high - low) * (STEPS - 1)).clip(0, STEPS - 1).astype(np.intp)]
    cover = opacity * colours[..., 3:]
    return np.ascontiguousarray(((1 - cover) * picture + 255 * cover * colours[..., :3]).clip(0, 255).astype(np.uint8))
