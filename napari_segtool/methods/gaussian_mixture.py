"""A mixture of Gaussians over grey values or colours."""

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
from napari_segtool.methods._colours import Channels, sample_steps
from napari_segtool.methods._grey import Grey
from napari_segtool.methods._histogram import Histogram
from napari_segtool.methods._levels import Table, level_rule_steps
from napari_segtool.methods._mixture import ColourMixture, fit_colours_steps, grey_components

SAMPLE = 20_000
"""Pixels that a mixture of colours is fitted to, spread evenly over the stack."""

_MEMO, _KEPT = "mixtures", 8


class GaussianMixtureParams(Params):
    """Settings of a Gaussian mixture."""

    clusters: int = param(3, "Number of Gaussians, from dark to bright.", ge=2, le=16)
    smoothing_px: float = param(0.0, "Width of a Gaussian in each slice before the mixture is fitted; 0 smooths nothing.", unit="px", ge=0, le=20)
    seed: int = param(0, "Seed of the random starts; used for colours and channels only, grey values need none.", ge=0, le=2**31 - 1, advanced=True)
    per_slice: bool = param(False, "Fit each slice on its own, for stacks whose brightness changes from slice to slice.", advanced=True)


@METHODS.register(
    "gaussian-mixture",
    title="Gaussian mixture",
    summary="Groups pixels into clusters of their own size and spread; good where a broad and a narrow class overlap, or classes differ in size.",
    params=GaussianMixtureParams,
    family="clustering",
    reference="Dempster, Laird & Rubin 1977, Maximum likelihood from incomplete data via the EM algorithm, doi:10.1111/j.2517-6161.1977.tb01600.x",
    phantom="levels",
    aliases=("gmm",),
)
def gaussian_mixture(stack: Stack, params: GaussianMixtureParams) -> Steps[PlaneRule]:
    """Give each pixel to the Gaussian it most likely comes from, numbered from dark to bright.

    A stack of one channel is fitted on its histogram (8 and 16 bit value by value, fractions in 65,536 bins). Colours and other channels are
    fitted on at most 20,000 pixels spread evenly over the stack, with a covariance of its own for each Gaussian.
    A wide Gaussian may win on both sides of a narrow one, so a cluster need not be one range of grey values.

    Parameters
    ----------
    stack
        Any axes; alpha is ignored.
    params
        Settings.

    Returns
    -------
    PlaneRule
        uint8 clusters from 0 (darkest mean, or least mean over the channels) to ``clusters - 1``; 0 where a pixel is ``nan``. Infinite grey
        values count as darkest or brightest.

    Raises
    ------
    DataError
        If the stack has fewer grey values or colours than clusters (a constant image, say). With ``per_slice``, a slice that has
        fewer gets one cluster for each of its grey values, or only 0 for its colours.
    """
    channels = Channels("S" in stack.axes, params.smoothing_px)
    if stack.channel_axis >= 0 and stack.shape[stack.channel_axis] > (2 if channels.colours else 1):
        return (yield from _colour_rule_steps(stack, channels, params))

    def table_of(histogram: Histogram) -> Table:
        found = len(histogram.levels())
        if found < params.clusters and not params.per_slice:
            hint = "Nothing can be told apart in it." if found == 1 else f"Ask for at most {found}."
            raise DataError(f"{stack.name or 'The image'} holds {found} grey value(s), but {params.clusters} clusters are wanted.", hint=hint)
        return grey_components(histogram, min(found, params.clusters))

    return (yield from level_rule_steps(stack, Grey.of(stack, params.smoothing_px), table_of, per_slice=params.per_slice))


def _colour_rule_steps(stack: Stack, channels: Channels, params: GaussianMixtureParams) -> Steps[PlaneRule]:
    if params.per_slice:

        def own_mixture(plane: NDArray[Any]) -> NDArray[Any]:
            alone = Stack(plane.transpose(1, 2, 0), "YXS") if channels.colours else Stack(plane, "CYX")
            try:
                fitted = drain(_fitted_steps(alone, channels, params))
            except DataError:
                return np.zeros(plane.shape[1:], np.uint8)
            return fitted.components(channels(plane))

        return own_mixture

    mixture = yield from _fitted_steps(stack, channels, params)
    return lambda plane: mixture.components(channels(plane))


def _fitted_steps(stack: Stack, channels: Channels, params: GaussianMixtureParams) -> Steps[ColourMixture]:
    """Fit the colours of a stack, and remember the last few mixtures with it."""
    kept: dict[tuple[Channels, int, int], ColourMixture] = stack.memo.setdefault(_MEMO, {})
    key = (channels, params.clusters, params.seed)
    if key not in kept:
        sample = yield from sample_steps(stack, channels, SAMPLE)
        if not len(sample):
            raise DataError(f"{stack.name or 'The image'} has no pixel with a value.", hint="Check that the file is whole and not all NaN.")
        mixture = yield from fit_colours_steps(sample, params.clusters, params.seed)
        if len(kept) >= _KEPT:
            kept.pop(next(iter(kept)))
        kept[key] = mixture
    return kept[key]
