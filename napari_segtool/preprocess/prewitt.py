"""Prewitt: gradient magnitude with a plain average of three."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from napari_segtool.core.planes import PlaneRule
from napari_segtool.core.progress import Steps
from napari_segtool.core.registry import FILTERS
from napari_segtool.core.stack import Stack
from napari_segtool.preprocess._gradients import GradientParams, gradient_steps


class PrewittParams(GradientParams):
    """Settings of Prewitt's gradient."""


@FILTERS.register(
    "prewitt",
    title="Prewitt",
    summary="Shows edges as steepness, averaged more strongly across than Sobel: for noisier pictures.",
    params=PrewittParams,
    family="edges",
    reference="Prewitt 1970, Object enhancement and extraction, in Picture Processing and Psychopictorics, Academic Press",
)
def prewitt(stack: Stack, params: PrewittParams) -> Steps[PlaneRule | NDArray[Any]]:
    """Measure how steeply grey values rise: neighbours across the rise are averaged with equal weights.

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
    return (yield from gradient_steps(stack, params, 1 / 3))
