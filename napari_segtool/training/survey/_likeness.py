"""How much two planes of an image look alike."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

ALIKE = 0.6
"""Neighbouring sections of serial-section EM reach 0.3 to 0.5, those of isotropic FIB-SEM and confocal volumes, and frames of a film, 0.8 to 0.98."""
_BLOCK_PX = 4
_SMALL_PX = 64


def likeness(first: NDArray[np.generic], second: NDArray[np.generic]) -> float:
    """Return the correlation of two planes, averaged over blocks of 4 × 4 pixels so that noise does not hide what they share.

    Parameters
    ----------
    first, second
        ``(C, Y, X)`` of equal shape; channels are averaged.

    Returns
    -------
    float
        -1 to 1; 0 where one of them is constant.

    Examples
    --------
    >>> ramp = np.arange(100.0).reshape(1, 10, 10)
    >>> round(likeness(ramp, 3 * ramp + 5), 6), likeness(ramp, 0 * ramp)
    (1.0, 0.0)
    """
    a, b = _coarse(first), _coarse(second)
    a, b = a - a.mean(), b - b.mean()
    size = float(np.sqrt((a * a).sum() * (b * b).sum()))
    return float((a * b).sum()) / size if size > 0 else 0.0


def _coarse(plane: NDArray[np.generic]) -> NDArray[np.float64]:
    grey: NDArray[np.float64] = np.asarray(plane, dtype=np.float32).mean(axis=0, dtype=np.float64)
    height, width = (n // _BLOCK_PX * _BLOCK_PX for n in grey.shape)
    if min(height, width) < _SMALL_PX:
        return grey
    blocks = grey[:height, :width].reshape(height // _BLOCK_PX, _BLOCK_PX, width // _BLOCK_PX, _BLOCK_PX)
    means: NDArray[np.float64] = blocks.mean(axis=(1, 3))
    return means
