"""How like two saliency maps are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from napari_segtool.core.trust import Likeness

_SSIM_PX = 7
_TOP = 99.5
"""Percentile that counts as a map's full strength: one glowing pixel must not make all others black."""


def likeness(first: NDArray[np.floating], second: NDArray[np.floating], distance_px: NDArray[np.floating], layers: Sequence[str] = ()) -> Likeness:
    """Compare two maps of one plane.

    Parameters
    ----------
    first, second
        ``(Y, X)``.
    distance_px
        Distance of each pixel from those asked about. Any network looks more at what is near; so both maps are divided by
        their mean strength at each distance before they are ranked, else all maps of one pixel would be alike.

    Returns
    -------
    Likeness
        Over the pixels where either map has a value; ``nan`` where the first is empty, 0 where only the second is.

    Examples
    --------
    >>> drawn = np.random.default_rng(0).normal(size=(9, 9))
    >>> likeness(drawn, 3 * drawn, np.zeros((9, 9))).rank
    1.0
    """
    a, b = np.asarray(first, np.float64), np.asarray(second, np.float64)
    where = (a != 0) | (b != 0)
    if not a.any():
        return Likeness(tuple(layers), np.nan, np.nan, np.nan)
    if not b.any():
        return Likeness(tuple(layers), 0.0, 0.0, 0.0)
    rings = np.round(distance_px[where]).astype(np.int64)
    a, b = _even(a[where], rings), _even(b[where], rings)
    return Likeness(tuple(layers), rank_correlation(np.abs(a), np.abs(b)), rank_correlation(a, b), _ssim(first, second, where))


def rank_correlation(first: NDArray[np.floating], second: NDArray[np.floating]) -> float:
    """Return Spearman's rank correlation of two vectors; ``nan`` where one of them is constant.

    Examples
    --------
    >>> rank_correlation(np.array([1, 2, 3.0]), np.array([10, 20, 1000.0]))
    1.0
    """
    from scipy.stats import rankdata

    if first.size < 3 or np.ptp(first) == 0 or np.ptp(second) == 0:
        return 1.0 if first.size and np.array_equal(first, second) else float("nan")
    return round(float(np.corrcoef(rankdata(first), rankdata(second))[0, 1]), 12)


def _even(values: NDArray[np.float64], rings: NDArray[np.int64]) -> NDArray[np.float64]:
    """Divide by the mean strength in each ring."""
    mean = np.bincount(rings, np.abs(values)) / np.maximum(np.bincount(rings), 1)
    strength = mean[rings]
    return np.divide(values, strength, out=np.zeros_like(values), where=strength > 0)


def _ssim(first: NDArray[np.floating], second: NDArray[np.floating], where: NDArray[np.bool_]) -> float:
    from skimage.metrics import structural_similarity

    rows, columns = np.flatnonzero(where.any(1)), np.flatnonzero(where.any(0))
    box = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    a, b = _scaled(first[box]), _scaled(second[box])
    if min(a.shape) < _SSIM_PX:
        return float("nan")
    return float(structural_similarity(a, b, win_size=_SSIM_PX, data_range=1.0))


def _scaled(drawn: NDArray[np.floating]) -> NDArray[np.float64]:
    strength = np.abs(np.asarray(drawn, np.float64))
    top = float(np.percentile(strength, _TOP)) or float(strength.max())
    return np.clip(strength / top, 0, 1) if top > 0 else strength
