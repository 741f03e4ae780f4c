"""Bilateral filter, in each slice or through the volume."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_segtool.core.params import Params, param
from napari_segtool.core.planes import Fractions, PlaneRule
from napari_segtool.core.progress import Steps
from napari_segtool.core.registry import FILTERS
from napari_segtool.core.stack import Stack
from napari_segtool.preprocess._channels import own_channel_steps
from napari_segtool.preprocess._pairs import LEAST_EXPONENT, Offset, alike_average_steps, half_offsets
from napari_segtool.preprocess._statistics import scale_steps
from napari_segtool.preprocess._unit import plane_rule, volume_rule
from napari_segtool.preprocess._volumes import blocks_steps, each_volume_steps, widths_px

REACH = 2.5
"""Widths of the Gaussian at which the neighbourhood ends."""

WIDEST_PX = 30.0
"""Widest Gaussian: beyond, each pixel would have more than 20,000 neighbours to look at."""


class BilateralParams(Params):
    """Settings of the bilateral filter."""

    sigma_px: float = param(
        2.0, "Width (standard deviation) in pixels along X; where the spacing is known, as wide in µm along the other axes.", unit="px", ge=0.5, le=15
    )
    sigma_um: float = param(0.0, "Width in µm, used in place of pixels when above 0; needs the spacing.", unit="µm", ge=0, le=1000, advanced=True)
    contrast: float = param(
        10.0, "Differences in grey that are smoothed over, in percent of the scale from black to white; edges much higher stay.", unit="%", ge=0.1, le=100
    )
    volume: bool = param(False, "Look through the slices too, not only within each.")


@FILTERS.register(
    "bilateral",
    title="Bilateral",
    summary="Smooths within regions of similar grey and leaves their edges sharp.",
    params=BilateralParams,
    family="denoise",
    reference="Tomasi & Manduchi 1998, Bilateral filtering for gray and color images, doi:10.1109/ICCV.1998.710815",
    phantom="noise",
    traits=("keeps-type", "keeps-range", "keeps-constant"),
)
def bilateral(stack: Stack, params: BilateralParams) -> Steps[PlaneRule | NDArray[Any]]:
    """Average each pixel with its neighbours, weighted by a Gaussian of their distance and a Gaussian of their difference in grey.

    Black and white are the limits of 8-bit types, and the darkest and brightest value of the stack for others.

    Parameters
    ----------
    stack
        Any axes; every channel is filtered on its own.
    params
        Settings.

    Returns
    -------
    PlaneRule or ndarray
        The type of the stack in native byte order, whole numbers rounded; a whole array for stacks with channels and for ``volume``. ``nan``
        and infinite values stay as they are, and their neighbours are averaged without them.

    Raises
    ------
    SpacingError
        If a width in µm is asked for and the spacing is unknown.
    ParameterError
        If the width is more than 30 pixels along an axis.
    AxesError
        If ``volume`` is asked for and the stack has no slices.
    """
    sigmas = widths_px(stack, params.sigma_px, params.sigma_um, params.volume, WIDEST_PX)

    def learn(channel: Stack) -> Steps[PlaneRule | NDArray[Any]]:
        scale = yield from scale_steps(channel)
        if not params.volume:
            return plane_rule(scale, lambda plane: bilateral_steps(plane, sigmas, params.contrast / 100))
        reach = tuple(math.floor(REACH * sigma) for sigma in sigmas)
        whole = volume_rule(
            scale, lambda volume: blocks_steps(volume, lambda block: bilateral_steps(block, sigmas, params.contrast / 100), (reach[0], reach[1], reach[2]))
        )
        return (yield from each_volume_steps(channel, whole))

    return (yield from own_channel_steps(stack, learn))


def bilateral_steps(values: NDArray[np.float32], sigmas: tuple[float, float, float], contrast: float) -> Fractions:
    """Filter a ``(Z, Y, X)`` volume; pixels outside it do not count.

    Parameters
    ----------
    values
        float32; ``nan`` is no value.
    sigmas
        Widths of the Gaussian of distance in pixels; 0 keeps to a plane.
    contrast
        Width of the Gaussian of grey, in units of ``values``.
    """
    near: dict[Offset, float] = {}
    for offset in half_offsets((REACH * sigmas[0], REACH * sigmas[1], REACH * sigmas[2])):
        distance = sum((step / sigma) ** 2 for step, sigma in zip(offset, sigmas, strict=True) if step)
        if distance <= REACH**2 + 1e-9:
            near[offset] = -distance / 2

    def weigh(difference: NDArray[np.float32], both: NDArray[np.bool_] | None, offset: Offset) -> NDArray[np.float32]:
        difference *= np.float32(-0.5 / contrast**2)
        difference += np.float32(near[offset])
        np.maximum(difference, np.float32(LEAST_EXPONENT), out=difference)
        return np.exp(difference, out=difference)

    return alike_average_steps(values, list(near), weigh)
