"""Niblack's local threshold."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from napari_segtool.core.params import param
from napari_segtool.core.planes import PlaneRule
from napari_segtool.core.progress import Steps
from napari_segtool.core.registry import METHODS
from napari_segtool.core.stack import Stack
from napari_segtool.methods._local import LocalThresholdParams, local_rule_steps


class NiblackParams(LocalThresholdParams):
    """Settings of Niblack's method."""

    k: float = param(0.2, "How many standard deviations of its neighbourhood a pixel must stand out from the mean around it.", ge=-2, le=2)


@METHODS.register(
    "niblack",
    title="Niblack",
    summary="Compares each pixel with the mean and spread around it; good where objects are everywhere and the light is uneven.",
    params=NiblackParams,
    family="threshold",
    reference="Niblack 1986, An introduction to digital image processing, Prentice-Hall",
    phantom="shaded",
)
def niblack(stack: Stack, params: NiblackParams) -> Steps[PlaneRule | NDArray[Any]]:
    """Keep pixels that stand out from the mean of their neighbourhood by ``k`` of its standard deviations.

    Windows without an object are parted all the same, into noise: smooth, or choose a window wider than the gaps between objects.

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
    return (yield from local_rule_steps(stack, params, lambda around: params.k * around.deviation()))
