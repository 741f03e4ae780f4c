"""SLIC superpixels."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_segtool.core.params import Params, param
from napari_segtool.core.planes import AnyRule, Fractions
from napari_segtool.core.progress import Steps
from napari_segtool.core.registry import METHODS
from napari_segtool.core.slabs import made_steps
from napari_segtool.core.stack import Stack
from napari_segtool.methods._grey import Grey
from napari_segtool.methods._histogram import stack_histogram_steps
from napari_segtool.methods._pieces import Piece, pieces_steps
from napari_segtool.methods._superpixels import superpixel_steps
from napari_segtool.methods._thresholds import one_value_only
from napari_segtool.preprocess._portions import portion
from napari_segtool.preprocess._volumes import widths_px


class SlicParams(Params):
    """Settings of SLIC."""

    size_px: float = param(
        20.0, "Width of a superpixel in pixels along X; where the spacing is known, as wide in µm along the other axes.", unit="px", ge=2, le=1000
    )
    compactness: float = param(
        10.0, "Difference in grey value, in percent of the range, that weighs as much as the width: larger is squarer.", unit="%", ge=0.1, le=1000
    )
    smoothing_px: float = param(1.0, "Width of a Gaussian in each slice before.", unit="px", ge=0, le=20)
    size_um: float = param(0.0, "Width in µm, used in place of pixels when above 0; needs the spacing.", unit="µm", ge=0, le=10_000, advanced=True)
    count: int = param(
        0, "About how many superpixels to make of each slice (or volume), in place of a width; 0 goes by the width.", ge=0, le=1_000_000, advanced=True
    )
    rounds: int = param(10, "How often superpixels are moved, at most.", ge=1, le=100, advanced=True)
    volume: bool = param(False, "Make supervoxels through the slices, as deep in µm as they are wide.")


@METHODS.register(
    "slic",
    title="SLIC superpixels",
    summary="Parts the picture into small regions of similar grey value and equal size; a first step to paint or classify by region.",
    params=SlicParams,
    family="clustering",
    reference="Achanta et al. 2012, SLIC superpixels compared to state-of-the-art superpixel methods, doi:10.1109/TPAMI.2012.120",
    phantom="patches",
    aliases=("superpixels",),
)
def slic(stack: Stack, params: SlicParams) -> Steps[AnyRule | NDArray[Any]]:
    """Cluster pixels by place and grey value into superpixels.

    Parameters
    ----------
    stack
        Any axes; colours are taken as luminance, other channels as their mean.
    params
        Settings.

    Returns
    -------
    PlaneRule or ndarray
        Smallest unsigned type: superpixels from 1, in each slice (or time point of volumes) anew, each connected through faces; 0 where a
        pixel has no value.

    Raises
    ------
    DataError
        If no pixel has a finite value, or all have the same.
    AxesError
        If ``volume`` is asked for and the stack has no slices.
    SpacingError
        If a width in µm is asked for and the spacing is unknown.
    """
    width = widths_px(stack, params.size_px, params.size_um, volume=False)[2]
    grey = Grey.of(stack, params.smoothing_px, whole=False)
    histogram = yield from stack_histogram_steps(stack, grey)
    if len(histogram.levels()) < 2:
        raise one_value_only(stack)
    scale = 100 / (histogram.highest - histogram.lowest)

    def work(piece: Piece) -> Fractions:
        known = yield from piece.known_steps()
        in_percent = made_steps(
            known.shape, np.float32, lambda part: np.where(known[part], piece.grey[part], histogram.lowest) * scale - histogram.lowest * scale
        )
        values = yield from portion(in_percent, 0.0, 0.02)
        wide = width
        if params.count:
            pixels = sum(int(np.count_nonzero(plane)) for plane in known)
            wide = max(1.0, (float(pixels) * float(np.prod(piece.size)) / params.count) ** (1 / values.ndim))
        widths = tuple(max(1.0, wide / length) for length in piece.size)
        return (yield from portion(superpixel_steps(values, known, widths, params.compactness, params.rounds), 0.02, 1.0))

    return (yield from pieces_steps(stack, grey, work, volume=params.volume))
