"""Local mean as a threshold."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from napari_segtool.core.params import param
from napari_segtool.core.planes import PlaneRule
from napari_segtool.core.progress import Steps
from napari_segtool.core.registry import METHODS
from napari_segtool.core.stack import Stack
from napari_segtool.methods._local import LocalThresholdParams, local_rule_steps


class LocalMeanParams(LocalThresholdParams):
    """Settings of local mean as a threshold."""

    offset: float = param(3.0, "How much a pixel must stand out from the mean around it, in percent of the range of the stack.", unit="%", ge=-50, le=50)


@METHODS.register(
    "local-mean",
    title="Local mean",
    summary="Compares each pixel with the mean around it; good for small objects on a background that changes slowly.",
    params=LocalMeanParams,
    family="threshold",
    reference="Sezgin & Sankur 2004, Survey over image thresholding techniques and quantitative performance evaluation, doi:10.1117/1.1631315",
    phantom="shaded",
    aliases=("adaptive-mean",),
)
def local_mean(stack: Stack, params: LocalMeanParams) -> Steps[PlaneRule | NDArray[Any]]:
    """Keep pixels that stand out from the mean of their neighbourhood by a part of the range of grey values.

    Parameters
    ----------
    stack
        Any axes; colours are taken as luminance, other channels as their mean.
    params
        Settings; the window is cut where the picture ends, and an even width is made odd.

    Returns
    -------
    PlaneRule or ndarray
        uint8, 1 for the objects; the whole array with ``volume``. 0 where a pixel is ``nan``, which does not count for its neighbours;
        infinite pixels count neither, and are darkest or brightest themselves.

    Raises
    ------
    DataError
        If the stack has one grey value only, or no pixel with a value.
    SpacingError
        If a width in µm is asked for and the spacing is unknown.
    AxesError
        If ``volume`` is asked for and the stack has no slices.
    """
    return (yield from local_rule_steps(stack, params, lambda around: params.offset / 100 * 2 * around.half_range))
