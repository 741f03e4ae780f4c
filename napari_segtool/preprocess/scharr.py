"""Scharr: gradient magnitude with the average that depends least on direction."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from napari_segtool.core.planes import PlaneRule
from napari_segtool.core.progress import Steps
from napari_segtool.core.registry import FILTERS
from napari_segtool.core.stack import Stack
from napari_segtool.preprocess._gradients import GradientParams, gradient_steps


class ScharrParams(GradientParams):
    """Settings of Scharr's gradient."""


@FILTERS.register(
    "scharr",
    title="Scharr",
    summary="Shows edges as steepness, equally in every direction: when faint slanting edges matter.",
    params=ScharrParams,
    family="edges",
    reference="Scharr 2000, Optimale Operatoren in der digitalen Bildverarbeitung, doi:10.11588/heidok.00000962",
)
def scharr(stack: Stack, params: ScharrParams) -> Steps[PlaneRule | NDArray[Any]]:
    """Measure how steeply grey values rise: neighbours across the rise are averaged with the weights 3, 10, 3.

    Parameters
    ----------
    stack
        Any axes; every channel is measured on its own.
    params
        Settings. With ``volume``, the rise through the slices counts too.

    Returns
    -------
    PlaneRule or ndarray
        float32: grey values per pixel along X, in whatever direction the rise goes; where the spacing is known, differences along the other
        axes are divided by their true distance. A whole array for stacks with channels and for ``volume``. ``nan`` stays ``nan`` and counts
        like the border, where the outermost pixel is repeated.

    Raises
    ------
    AxesError
        If ``volume`` is asked for and the stack has no slices.
    """
    return (yield from gradient_steps(stack, params, 3 / 16))
