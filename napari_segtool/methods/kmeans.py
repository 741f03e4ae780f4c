"""k-means clusters of grey values or colours."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_segtool.core.errors import DataError
from napari_segtool.core.params import Params, param
from napari_segtool.core.planes import PlaneRule
from napari_segtool.core.progress import Steps, drain
from napari_segtool.core.registry import METHODS
from napari_segtool.core.stack import Stack
from napari_segtool.methods._colours import Channels, best_scoring, cluster_centres, sample_steps
from napari_segtool.methods._grey import Grey
from napari_segtool.methods._levels import split_rule_steps

_MEMO, _KEPT = "centres", 8


class KMeansParams(Params):
    """Settings of k-means."""

    clusters: int = param(4, "Number of clusters, from dark to bright.", ge=2, le=16)
    smoothing_px: float = param(0.0, "Width of a Gaussian in each slice before clustering; 0 smooths nothing.", unit="px", ge=0, le=20)
    seed: int = param(0, "Seed of the random starts; used for colours and channels only, grey values need none.", ge=0, le=2**31 - 1, advanced=True)
    per_slice: bool = param(False, "Cluster each slice on its own, for stacks whose brightness changes from slice to slice.", advanced=True)


@METHODS.register(
    "kmeans",
    title="k-means",
    summary="Groups pixels of similar brightness or colour into the number of clusters you choose.",
    params=KMeansParams,
    family="clustering",
    reference="Lloyd 1982, Least squares quantization in PCM, doi:10.1109/TIT.1982.1056489; Wang & Song 2011, Ckmeans.1d.dp, doi:10.32614/RJ-2011-015",
    phantom="levels",
)
def kmeans(stack: Stack, params: KMeansParams) -> Steps[PlaneRule]:
    """Group pixels into clusters, numbered from dark to bright.

    A stack of one channel is clustered exactly: the partition of its histogram with the least squared error of all (8 and 16
    bit value by value, other types in 65,536 bins between their smallest and largest value). Colours and other channels are
    clustered by Lloyd's algorithm with k-means++ starts on at most 100,000 pixels spread evenly over the stack.

    Parameters
    ----------
    stack
        Any axes; alpha is ignored.
    params
        Settings.

    Returns
    -------
    PlaneRule
        uint8 clusters from 0 (darkest, or least mean over the channels) to ``clusters - 1``; 0 where a pixel is ``nan``. Infinite grey
        values count as darkest or brightest.

    Raises
    ------
    DataError
        If the stack has fewer grey values or colours than clusters (a constant image, say). With ``per_slice``, a slice that has
        fewer gets one cluster for each of its grey values, or only 0 for its colours.
    """
    channels = Channels("S" in stack.axes, params.smoothing_px)
    several = stack.channel_axis >= 0 and stack.shape[stack.channel_axis] > (2 if channels.colours else 1)
    if not several:
        return (yield from split_rule_steps(stack, Grey.of(stack, params.smoothing_px), params.clusters, per_slice=params.per_slice, what="clusters"))
    if params.per_slice:

        def own_clusters(plane: NDArray[Any]) -> NDArray[Any]:
            alone = Stack(plane, "CYX") if not channels.colours else Stack(plane.transpose(1, 2, 0), "YXS")
            try:
                centres = drain(_centres_steps(alone, channels, params))
            except DataError:
                return np.zeros(plane.shape[1:], np.uint8)
            return _assign(channels(plane), centres)

        return own_clusters

    centres = yield from _centres_steps(stack, channels, params)
    return lambda plane: _assign(channels(plane), centres)


def _centres_steps(stack: Stack, channels: Channels, params: KMeansParams) -> Steps[NDArray[np.float64]]:
    """Cluster the colours of a stack, and remember the last few centres with it."""
    kept: dict[tuple[Channels, int, int], NDArray[np.float64]] = stack.memo.setdefault(_MEMO, {})
    key = (channels, params.clusters, params.seed)
    if key not in kept:
        sample = yield from sample_steps(stack, channels)
        if not len(sample):
            raise DataError(f"{stack.name or 'The image'} has no pixel with a value.", hint="Check that the file is whole and not all NaN.")
        centres = cluster_centres(sample, params.clusters, params.seed)
        if len(kept) >= _KEPT:
            kept.pop(next(iter(kept)))
        kept[key] = centres
    return kept[key]


def _assign(values: NDArray[np.float32], centres: NDArray[np.float64]) -> NDArray[np.uint8]:
    middle = centres.mean(axis=0)
    weights = (centres - middle).astype(np.float32)
    half = 0.5 * (weights**2).sum(axis=1, keepdims=True)
    return best_scoring(values, lambda block: weights @ (block - middle.astype(np.float32)[:, None]) - half)
