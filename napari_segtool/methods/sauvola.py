"""Sauvola's local threshold."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from napari_segtool.core.params import param
from napari_segtool.core.planes import PlaneRule
from napari_segtool.core.progress import Steps
from napari_segtool.core.registry import METHODS
from napari_segtool.core.stack import Stack
from napari_segtool.methods._local import LocalThresholdParams, local_rule_steps


class SauvolaParams(LocalThresholdParams):
    """Settings of Sauvola's method."""

    k: float = param(0.2, "How much farther than the mean a pixel must stand out where contrast is low: larger finds less.", ge=0, le=1)


@METHODS.register(
    "sauvola",
    title="Sauvola",
    summary="Follows uneven light and leaves flat background empty; good for stained structures and for text.",
    params=SauvolaParams,
    family="threshold",
    reference="Sauvola & Pietikäinen 2000, Adaptive document image binarization, doi:10.1016/S0031-3203(99)00055-2",
    phantom="shaded",
)
def sauvola(stack: Stack, params: SauvolaParams) -> Steps[PlaneRule | NDArray[Any]]:
    """Keep pixels beyond a threshold that keeps clear of the local mean where there is little contrast.

    For dark objects, with grey values counted from the darkest of the stack, the threshold is ``mean · (1 + k · (deviation / R - 1))``, where ``R``
    is half the range of the stack; for bright ones, the same is done to the negative.

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
    return (
        yield from local_rule_steps(stack, params, lambda around: params.k * (around.half_range - around.mean) * (1 - around.deviation() / around.half_range))
    )
