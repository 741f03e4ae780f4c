"""Median filter, slice by slice."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_segtool.core.params import Params, param
from napari_segtool.core.planes import PlaneRule
from napari_segtool.core.progress import Steps
from napari_segtool.core.registry import FILTERS
from napari_segtool.core.stack import Stack
from napari_segtool.preprocess._channels import each_channel_steps
from napari_segtool.preprocess._smooth import native


class MedianParams(Params):
    """Settings of the median filter."""

    radius_px: int = param(1, "Reach of the square window: 1 looks at 3×3 pixels, 2 at 5×5.", unit="px", ge=1, le=10)


@FILTERS.register(
    "median",
    title="Median",
    summary="Takes the median of each neighbourhood: removes speckle and single bad pixels, keeps edges.",
    params=MedianParams,
    family="denoise",
    dimensions=(2,),
    phantom="impulse",
    traits=("keeps-type", "keeps-range", "keeps-constant"),
)
def median(stack: Stack, params: MedianParams) -> Steps[PlaneRule | NDArray[Any]]:
    """Replace each pixel by the median of the square window around it, slice by slice; border pixels are repeated outwards.

    Parameters
    ----------
    stack
        Any axes; every channel is filtered on its own.
    params
        Settings.

    Returns
    -------
    PlaneRule or ndarray
        The type of the stack in native byte order; a whole array for stacks with channels. ``nan`` stays ``nan``, and counts as the median
        of its slice for its neighbours.
    """
    return (yield from each_channel_steps(stack, lambda plane: median_plane(plane, params.radius_px)))


def median_plane(plane: NDArray[Any], radius_px: int) -> NDArray[Any]:
    """Return the median of the window of each pixel of a ``(Y, X)`` plane.

    Examples
    --------
    >>> median_plane(np.array([[1, 1, 9, 1, 1]], np.uint8), 1).tolist()
    [[1, 1, 1, 1, 1]]
    """
    values = native(plane)
    if values.dtype.kind != "f":
        return _median(values, 2 * radius_px + 1)
    unknown = np.isnan(values)
    if not unknown.any():
        return _median(values, 2 * radius_px + 1)
    filled = np.where(unknown, np.median(values[~unknown]) if not unknown.all() else 0, values).astype(values.dtype)
    filtered = _median(filled, 2 * radius_px + 1)
    filtered[unknown] = np.nan
    return filtered


def _median(values: NDArray[Any], window: int) -> NDArray[Any]:
    """Use OpenCV for the types and windows it takes, SciPy for the others."""
    if values.dtype == np.uint8 or (window <= 5 and values.dtype in (np.uint16, np.float32)):
        import cv2

        quick: NDArray[Any] = cv2.medianBlur(values, window)
        return quick
    from scipy.ndimage import median_filter

    wide = values.astype(np.float32) if values.dtype == np.float16 else values
    filtered: NDArray[Any] = median_filter(wide.astype(np.uint8) if wide.dtype == bool else wide, window, mode="nearest").astype(values.dtype)
    return filtered
