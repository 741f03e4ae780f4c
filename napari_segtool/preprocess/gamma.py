"""Gamma correction."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_segtool.core.params import Params, param
from napari_segtool.core.planes import PlaneRule
from napari_segtool.core.progress import Steps
from napari_segtool.core.registry import FILTERS
from napari_segtool.core.stack import Stack
from napari_segtool.preprocess._channels import own_channel_steps
from napari_segtool.preprocess._curve import along_curve
from napari_segtool.preprocess._statistics import scale_steps


class GammaParams(Params):
    """Settings of gamma correction."""

    gamma: float = param(0.7, "Exponent: below 1 brightens dark parts, above 1 darkens them; black and white stay.", ge=0.1, le=10)


@FILTERS.register(
    "gamma",
    title="Gamma",
    summary="Brightens or darkens the middle greys and leaves black and white: shows structure in dark parts.",
    params=GammaParams,
    family="intensity",
    phantom="ramp",
    traits=("keeps-type",),
)
def gamma(stack: Stack, params: GammaParams) -> Steps[PlaneRule | NDArray[Any]]:
    """Raise grey values to a power, on a scale from black (0) to white (1).

    Black and white are the limits of 8-bit types, and the darkest and brightest value of the stack for others.

    Parameters
    ----------
    stack
        Any axes; every channel has its own black and white.
    params
        Settings.

    Returns
    -------
    PlaneRule or ndarray
        The type of the stack in native byte order, whole numbers rounded. ``nan`` and infinite values stay as they are.
    """

    def learn(channel: Stack) -> Steps[PlaneRule | NDArray[Any]]:
        black, white = yield from scale_steps(channel)
        return lambda plane: raised(plane, black, white, params.gamma)

    return (yield from own_channel_steps(stack, learn))


def raised(plane: NDArray[Any], black: float, white: float, exponent: float) -> NDArray[Any]:
    """Raise one plane to a power on the scale from black to white.

    Examples
    --------
    >>> raised(np.array([[0.0, 0.25, 1.0]]), 0, 1, 0.5).tolist()
    [[0.0, 0.5, 1.0]]
    """
    if not black < white:
        return along_curve(plane, lambda values: values)
    return along_curve(plane, lambda values: black + (white - black) * np.clip((values - black) / (white - black), 0, 1) ** exponent)
