"""Fully connected conditional random fields: labels follow the edges of the picture."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_segtool.core.given import Given
from napari_segtool.core.params import Params, param
from napari_segtool.core.planes import Fractions, PlaceRule
from napari_segtool.core.progress import Steps
from napari_segtool.core.registry import METHODS
from napari_segtool.core.slabs import made_steps
from napari_segtool.core.stack import Stack
from napari_segtool.methods._grey import Grey
from napari_segtool.methods._histogram import stack_histogram_steps
from napari_segtool.objects._likely import weighed_steps
from napari_segtool.objects._meanfield import Kernel, NearKernel, SimilarKernel, mean_field_steps
from napari_segtool.preprocess._portions import portion
from napari_segtool.preprocess._volumes import widths_px


class DenseCrfParams(Params):
    """Settings of fully connected random fields."""

    smoothness: float = param(3.0, "How strongly near pixels prefer the same class.", ge=0, le=100)
    smoothness_px: float = param(3.0, "How far that reaches: width of a Gaussian; as wide in µm along all axes.", unit="px", ge=0.5, le=50)
    appearance: float = param(10.0, "How strongly pixels of similar grey prefer the same class.", ge=0, le=100)
    appearance_px: float = param(30.0, "How far that reaches: width of a Gaussian; as wide in µm along all axes.", unit="px", ge=5, le=500)
    contrast: float = param(5.0, "How similar grey values are: width of a Gaussian in percent of the range of the stack.", unit="%", ge=2, le=100)
    confidence: float = param(0.7, "How likely a label is to be right, where labels are given and no probabilities.", ge=0.05, le=0.99)
    iterations: int = param(5, "Updates of all pixels.", ge=1, le=50, advanced=True)
    volume: bool = param(False, "Join pixels through the slices, in place of those of a slice.")


@METHODS.register(
    "dense-crf",
    title="Dense CRF",
    summary="Sharpens probabilities or rough labels along the edges of the picture: all pairs of near and similar pixels prefer the same class.",
    params=DenseCrfParams,
    family="refine",
    reference="Krähenbühl & Koltun 2011, Efficient inference in fully connected CRFs with Gaussian edge potentials, arXiv:1210.5644",
    phantom="crumbs",
    traits=("takes-labels", "takes-probabilities"),
    aliases=("crf", "fully-connected-crf"),
)
def dense_crf(stack: Stack, params: DenseCrfParams, given: Given) -> Steps[PlaceRule | NDArray[Any]]:
    """Find likely classes by mean-field inference with a Gaussian kernel of places and one of places and grey values.

    Three things differ from the paper. Sums over all pairs are worked out with a separable Gaussian and on a bilateral grid, not on a permutohedral
    lattice; the grid is nearer to the exact sums, and works with one grey value for each pixel, also for colours. Kernels are normalised
    symmetrically, as in the authors' later code, so weights are not to be compared with those of the paper. And a pixel counts among its own
    neighbours.

    Parameters
    ----------
    stack
        Any axes; colours are taken as luminance, other channels as their mean.
    params
        Settings. ``volume`` holds about six times the probabilities in memory.
    given
        ``probabilities`` with the class axis first, or ``labels`` of at most 64 classes, each taken for right with the given confidence. With
        probabilities classes are numbered from 0, or from 1 where labels are given too that run from 1 up to their number.

    Returns
    -------
    PlaceRule or ndarray
        The most likely class of each pixel; the whole array with ``volume``. 0 where a pixel is ``nan`` or infinite, which changes no other.

    Raises
    ------
    ParameterError
        If neither probabilities nor labels are given.
    DataError
        If no pixel has a finite value, there are more than 64 classes, or a narrow kernel meets too large a volume.
    AxesError
        If ``volume`` is asked for and the stack has no slices.
    """
    grey = Grey.of(stack)
    histogram = yield from stack_histogram_steps(stack, grey)
    sigma_grey = params.contrast / 100 * (histogram.highest - histogram.lowest) or 1.0
    near, similar = (widths_px(stack, px, 0, params.volume)[0 if params.volume else 1 :] for px in (params.smoothness_px, params.appearance_px))

    def weigh(values: NDArray[Any], shares: NDArray[np.float32], unknown: NDArray[np.bool_] | None) -> Fractions:
        all_known = made_steps(values.shape, bool, lambda part: True if unknown is None else ~unknown[part])
        known = yield from portion(all_known, 0.0, 0.0)
        kernels: list[tuple[float, Kernel]] = []
        if params.smoothness:
            kernels.append((params.smoothness, NearKernel(near)))
        if params.appearance:
            kernels.append((params.appearance, SimilarKernel(values, known, similar, sigma_grey)))
        return (yield from mean_field_steps(shares, known, kernels, params.iterations))

    return (yield from weighed_steps(stack, grey, given, params.confidence, weigh, volume=params.volume))
