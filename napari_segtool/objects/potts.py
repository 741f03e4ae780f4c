"""Potts graph cuts: smooth labels whose boundaries lie on edges."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_segtool.core.given import Given
from napari_segtool.core.params import Params, param
from napari_segtool.core.planes import Fractions, PlaceRule
from napari_segtool.core.progress import Steps
from napari_segtool.core.registry import METHODS
from napari_segtool.core.stack import Stack
from napari_segtool.methods._cuts import potts_labels_steps
from napari_segtool.methods._grey import Grey
from napari_segtool.methods._histogram import stack_histogram_steps
from napari_segtool.objects._likely import weighed_steps
from napari_segtool.objects._pieces import slabs
from napari_segtool.objects._walk import sample_size

_LEAST_SHARE = 1e-5  # probabilities below count as this one, so that no class is ruled out


class PottsParams(Params):
    """Settings of Potts graph cuts."""

    smoothness: float = param(1.5, "What a boundary costs: larger removes more specks and straightens more.", ge=0, le=50)
    contrast: float = param(10.0, "Difference of grey values across which a boundary costs less, in percent of the range of the stack.", unit="%", ge=1, le=100)
    ignore_edges: bool = param(False, "Let a boundary cost the same everywhere, whatever the picture shows.", advanced=True)
    confidence: float = param(0.7, "How likely a label is to be right, where labels are given and no probabilities.", ge=0.05, le=0.99)
    volume: bool = param(False, "Join pixels through the slices too: surfaces are smooth, in place of outlines.")


@METHODS.register(
    "potts",
    title="Potts graph cut",
    summary="Finds smooth regions that fit probabilities or rough labels best, with the shortest boundaries, drawn to the edges of the picture.",
    params=PottsParams,
    family="refine",
    reference="Boykov, Veksler & Zabih 2001, Fast approximate energy minimization via graph cuts, doi:10.1109/34.969114",
    phantom="crumbs",
    traits=("takes-labels", "takes-probabilities"),
)
def potts(stack: Stack, params: PottsParams, given: Given) -> Steps[PlaceRule | NDArray[Any]]:
    """Find the labels of least energy: unlikely classes cost, and so do boundaries, less where grey values differ.

    A boundary between neighbours costs ``smoothness · exp(−difference² / (2 · contrast²))``, times the area of the face between them by their
    distance, so that thick slices hold together less than the pixels within one. Two classes have the exact answer; more come near to it.

    Parameters
    ----------
    stack
        Any axes; colours are taken as luminance, other channels as their mean.
    params
        Settings.
    given
        ``probabilities`` with the class axis first, or ``labels`` of at most 64 classes, each taken for right with the given confidence. With
        probabilities classes are numbered from 0, or from 1 where labels are given too that run from 1 up to their number.

    Returns
    -------
    PlaceRule or ndarray
        A class for each pixel; the whole array with ``volume``. 0 where a pixel is ``nan`` or infinite, which changes no other.

    Raises
    ------
    ParameterError
        If neither probabilities nor labels are given.
    DataError
        If no pixel has a finite value, or there are more than 64 classes.
    AxesError
        If ``volume`` is asked for and the stack has no slices.
    """
    grey = Grey.of(stack)
    histogram = yield from stack_histogram_steps(stack, grey)
    scale = params.contrast / 100 * (histogram.highest - histogram.lowest) or 1.0
    size = sample_size(stack, volume=params.volume)
    costs = tuple(params.smoothness * (size[-1] / step) ** 2 for step in size)

    def weigh(values: NDArray[Any], shares: NDArray[np.float32], unknown: NDArray[np.bool_] | None) -> Fractions:
        for rows, _ in slabs(values.shape):
            shares[:, rows] = -np.log(np.maximum(shares[:, rows], np.float32(_LEAST_SHARE)))
            if unknown is not None:
                shares[:, rows][:, unknown[rows]] = np.nan
            yield 0.0
        weights: list[NDArray[Any] | float] = list(costs)
        if not params.ignore_edges:
            weights = []
            for axis, cost in enumerate(costs):
                weights.append((yield from _edge_weights_steps(values, axis, scale, cost)))
        return (yield from potts_labels_steps(shares, weights))

    return (yield from weighed_steps(stack, grey, given, params.confidence, weigh, volume=params.volume))


def _edge_weights_steps(values: NDArray[Any], axis: int, scale: float, cost: float) -> Fractions:
    """Return what a boundary costs between each pixel and the next along ``axis``."""
    weights = np.empty([n - (i == axis) for i, n in enumerate(values.shape)], np.float32)
    for rows, _ in slabs(weights.shape):
        part = values[rows.start : rows.stop + (axis == 0)]
        finite = np.where(np.isfinite(part), part, 0).astype(np.float32)
        with np.errstate(under="ignore"):
            weights[rows] = cost * np.exp(-((np.diff(finite, axis=axis) / scale) ** 2) / 2)
        yield 0.0
    return weights
