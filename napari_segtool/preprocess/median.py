"""Median filter, in each slice or through the volume."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_segtool.core.params import Params, param
from napari_segtool.core.planes import Fractions, PlaneRule, SteppedRule
from napari_segtool.core.progress import Steps
from napari_segtool.core.registry import FILTERS
from napari_segtool.core.stack import Stack
from napari_segtool.preprocess._channels import each_channel_steps
from napari_segtool.preprocess._smooth import native
from napari_segtool.preprocess._volumes import blocks_steps, each_volume_steps, whole_px, widths_px

WIDEST_PX = 25.0
"""Widest reach: beyond, a pixel of a slice takes longer than a hundredth of a millisecond."""

_VALUES_AT_ONCE = 1 << 23


class MedianParams(Params):
    """Settings of the median filter."""

    radius_px: int = param(
        1,
        "Reach of the square window: 1 looks at 3×3 pixels, 2 at 5×5; where the spacing is known, as far in µm along the other axes.",
        unit="px",
        ge=1,
        le=10,
    )
    radius_um: float = param(0.0, "Reach in µm, used in place of pixels when above 0; needs the spacing.", unit="µm", ge=0, le=1000, advanced=True)
    volume: bool = param(False, "Look through the slices too, not only within each.")


@FILTERS.register(
    "median",
    title="Median",
    summary="Takes the median of each neighbourhood: removes speckle and single bad pixels, keeps edges.",
    params=MedianParams,
    family="denoise",
    phantom="impulse",
    traits=("keeps-type", "keeps-range", "keeps-constant"),
)
def median(stack: Stack, params: MedianParams) -> Steps[PlaneRule | NDArray[Any]]:
    """Replace each pixel by the median of the rectangular window around it; border pixels are repeated outwards.

    Parameters
    ----------
    stack
        Any axes; every channel is filtered on its own.
    params
        Settings. Reaches are rounded to whole pixels; with ``volume``, slices thicker than twice the reach are not looked through.

    Returns
    -------
    PlaneRule or ndarray
        The type of the stack in native byte order; a whole array for stacks with channels and for ``volume``. ``nan`` and infinite values stay
        as they are, and their neighbours' medians are taken without them.

    Raises
    ------
    SpacingError
        If a reach in µm is asked for and the spacing is unknown.
    AxesError
        If ``volume`` is asked for and the stack has no slices.
    ParameterError
        If the reach is more than 25 pixels along an axis.
    """
    reach = whole_px(widths_px(stack, params.radius_px, params.radius_um, params.volume, WIDEST_PX))
    if params.volume:
        return (yield from each_volume_steps(stack, lambda volume, size: median_steps(volume, reach)))

    def one_plane(plane: NDArray[Any]) -> Fractions:
        made = yield from median_steps(plane[None], reach)
        return np.asarray(made[0])

    return (yield from each_channel_steps(stack, SteppedRule(one_plane)))


def median_steps(volume: NDArray[Any], reach: tuple[int, int, int]) -> Fractions:
    """Filter a ``(Z, Y, X)`` volume, in blocks where windows are large."""
    window = math.prod(2 * r + 1 for r in reach)
    if len(volume) == 1 and _opencv_takes(volume.dtype, reach):
        return median_box(volume, reach)
    return (yield from blocks_steps(volume, lambda block: median_box(block, reach), reach, max(1 << 13, _VALUES_AT_ONCE // window)))


def median_box(volume: NDArray[Any], reach: tuple[int, int, int]) -> NDArray[Any]:
    """Return the median of the window of each voxel of a ``(Z, Y, X)`` volume; the mean of the middle two where missing values make them even.

    Examples
    --------
    >>> median_box(np.array([[[1, 1, 9, 1, 1]]], np.uint8), (0, 0, 1)).tolist()
    [[[1, 1, 1, 1, 1]]]
    """
    values = native(volume)
    known = np.isfinite(values)
    if values.dtype.kind != "f" or known.all():
        return _median(values, reach)
    filtered = _median(np.where(known, values, values.dtype.type(0)), reach)
    filtered[~known] = values[~known]
    beside = np.argwhere(known & ~_all_known_around(known, reach))
    padded = np.pad(np.where(known, values, np.nan), [(r, r) for r in reach], mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, [2 * r + 1 for r in reach])
    rows = max(1, _VALUES_AT_ONCE // math.prod(windows.shape[3:]))
    for start in range(0, len(beside), rows):
        z, y, x = beside[start : start + rows].T
        sorted_values = np.sort(windows[z, y, x].reshape(len(z), -1), axis=1)  # nan comes last
        count = (~np.isnan(sorted_values)).sum(axis=1)
        each = np.arange(len(z))
        filtered[z, y, x] = (sorted_values[each, (count - 1) // 2] / 2) + (sorted_values[each, count // 2] / 2)
    return filtered


def _all_known_around(known: NDArray[np.bool_], reach: tuple[int, int, int]) -> NDArray[np.bool_]:
    from scipy.ndimage import minimum_filter

    around: NDArray[np.bool_] = minimum_filter(known, [2 * r + 1 for r in reach], mode="nearest")
    return around


def _opencv_takes(dtype: np.dtype[Any], reach: tuple[int, int, int]) -> bool:
    dtype = dtype.newbyteorder("=")
    return reach[0] == 0 and reach[1] == reach[2] > 0 and (dtype == np.uint8 or (reach[1] <= 2 and dtype in (np.uint16, np.float32)))


def _median(values: NDArray[Any], reach: tuple[int, int, int]) -> NDArray[Any]:
    """Use OpenCV for the types and windows it takes, SciPy for the others."""
    if _opencv_takes(values.dtype, reach):
        import cv2

        return np.stack([cv2.medianBlur(np.ascontiguousarray(plane), 2 * reach[1] + 1) for plane in values])
    from scipy.ndimage import median_filter

    wide = values.astype(np.float32) if values.dtype == np.float16 else values.astype(np.uint8) if values.dtype == bool else values
    filtered: NDArray[Any] = median_filter(wide, [2 * r + 1 for r in reach], mode="nearest")
    return filtered.astype(values.dtype, copy=False)
