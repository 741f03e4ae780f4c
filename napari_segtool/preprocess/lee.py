"""Lee's filter for speckle, in each slice or through the volume."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_segtool.core.params import Params, param
from napari_segtool.core.planes import Fractions, PlaneRule
from napari_segtool.core.progress import Steps
from napari_segtool.core.registry import FILTERS
from napari_segtool.core.stack import Stack
from napari_segtool.preprocess._boxes import box_sums
from napari_segtool.preprocess._channels import own_channel_steps
from napari_segtool.preprocess._noise import speckle_steps
from napari_segtool.preprocess._statistics import scale_steps
from napari_segtool.preprocess._unit import plane_rule, volume_rule
from napari_segtool.preprocess._volumes import blocks_steps, each_volume_steps, whole_px, widths_px

_BLOCK_VOXELS = 1 << 20


class LeeParams(Params):
    """Settings of Lee's filter."""

    radius_px: float = param(
        3.0, "Reach of the window in pixels along X: 3 looks at 7×7; where the spacing is known, as far in µm along the other axes.", unit="px", ge=1, le=25
    )
    radius_um: float = param(0.0, "Reach in µm, used in place of pixels when above 0; needs the spacing.", unit="µm", ge=0, le=1000, advanced=True)
    noise: float = param(
        0.0, "Strength of the speckle: standard deviation through mean where nothing is to be seen; 0 measures it in the stack.", ge=0, le=2, advanced=True
    )
    volume: bool = param(False, "Look through the slices too, not only within each.")


@FILTERS.register(
    "lee",
    title="Lee",
    summary="Takes speckle off ultrasound and radar-like pictures: means in even parts, untouched where there is an edge.",
    params=LeeParams,
    family="speckle",
    reference="Lee 1980, Digital image enhancement and noise filtering by use of local statistics, doi:10.1109/TPAMI.1980.4766994",
    phantom="speckle",
    traits=("keeps-type", "keeps-range", "keeps-constant"),
)
def lee(stack: Stack, params: LeeParams) -> Steps[PlaneRule | NDArray[Any]]:
    """Move each pixel towards the mean of its window, the further the more the window varies as speckle alone would.

    Speckle multiplies: its standard deviation is a fixed part of the brightness. Grey values count from 0, so they should not have been
    shifted, nor compressed by a logarithm; for pictures that were, set the strength by eye.

    Parameters
    ----------
    stack
        Any axes; every channel is filtered on its own.
    params
        Settings. The window is a rectangle or a box and ends at the border.

    Returns
    -------
    PlaneRule or ndarray
        The type of the stack in native byte order, whole numbers rounded; a whole array for stacks with channels and for ``volume``. ``nan``
        and infinite values stay as they are and are not counted.

    Raises
    ------
    SpacingError
        If a reach in µm is asked for and the spacing is unknown.
    AxesError
        If ``volume`` is asked for and the stack has no slices.
    """
    reach = whole_px(widths_px(stack, params.radius_px, params.radius_um, params.volume))

    def learn(channel: Stack) -> Steps[PlaneRule | NDArray[Any]]:
        black, white = yield from scale_steps(channel)
        scale = (0.0, max(abs(black), abs(white)))  # multiplied noise is so only where 0 stays 0
        noise = params.noise or (yield from speckle_steps(channel))
        if not params.volume:
            return plane_rule(scale, lambda plane: lee_steps(plane, reach, noise))
        whole = volume_rule(scale, lambda volume: blocks_steps(volume, lambda block: lee_steps(block, reach, noise), reach, _BLOCK_VOXELS))
        return (yield from each_volume_steps(channel, whole))

    return (yield from own_channel_steps(stack, learn))


def lee_steps(values: NDArray[np.float32], reach: tuple[int, int, int], noise: float) -> Fractions:
    """Filter a ``(Z, Y, X)`` volume.

    Parameters
    ----------
    values
        float32, 0 where there is no signal; ``nan`` is no value.
    reach
        Of the window along each axis.
    noise
        Standard deviation of the speckle through its mean.
    """
    known = np.isfinite(values)
    grey = np.where(known, values, 0).astype(np.float64)
    count = np.maximum(box_sums(known.astype(np.float64), reach), 1)
    yield 0.2
    mean = box_sums(grey, reach) / count
    yield 0.5
    variance = np.maximum(box_sums(grey * grey, reach) / count - mean * mean, 0)
    yield 0.8
    signal = np.maximum((variance + mean * mean) / (1 + noise**2) - mean * mean, 0)  # variance of what the speckle multiplies
    whole = signal + mean * mean * noise**2
    share = np.divide(signal, whole, out=np.zeros_like(whole), where=whole > 0)
    return (mean + share * (grey - mean)).astype(np.float32)
