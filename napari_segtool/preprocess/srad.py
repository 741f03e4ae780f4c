"""Speckle-reducing anisotropic diffusion, slice by slice."""

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
from napari_segtool.preprocess._noise import speckle_steps
from napari_segtool.preprocess._statistics import scale_steps
from napari_segtool.preprocess._unit import plane_rule

DECAY = 1 / 6
"""How fast the scale of the speckle falls with time, as in the paper."""

_BLACK = np.float32(1e-3)
"""Least grey that steps are divided by: at black, every step is an edge."""

_LEAST = np.float32(1e-6)
"""Keeps quotients finite where the paper's are not: beside an isolated pixel on black, and at the end of all speckle."""


class SradParams(Params):
    """Settings of speckle-reducing anisotropic diffusion."""

    iterations: int = param(60, "Number of steps in time; more smooths more.", ge=1, le=500)
    noise: float = param(0.0, "Strength of the speckle: standard deviation through mean where nothing is to be seen; 0 measures it in the stack.", ge=0, le=2)
    time_step: float = param(0.2, "Length of a step in time; the paper has 0.05. Shorter is more exact and takes longer.", ge=0.01, le=1, advanced=True)


@FILTERS.register(
    "srad",
    title="Speckle-reducing diffusion",
    summary="Takes speckle off ultrasound by diffusion that stops at edges and sharpens them.",
    params=SradParams,
    family="speckle",
    dimensions=(2,),
    reference="Yu & Acton 2002, Speckle reducing anisotropic diffusion, doi:10.1109/TIP.2002.804276",
    phantom="speckle",
    traits=("keeps-type", "keeps-range", "keeps-constant"),
)
def srad(stack: Stack, params: SradParams) -> Steps[PlaneRule | NDArray[Any]]:
    """Diffuse each slice, least where its instantaneous coefficient of variation is above that of speckle.

    The paper measures the scale of the speckle q0 in an even region that the user draws. Here q0 at the start is ``noise``, or measured
    in small tiles of the stack (see `preprocess._noise.speckle_steps`), and falls with time as q0·exp(-t/6), the paper's own approximation.
    Grey values count from 0; for pictures that a logarithm has compressed, set the strength by eye.

    Parameters
    ----------
    stack
        Any axes; every channel is filtered on its own.
    params
        Settings.

    Returns
    -------
    PlaneRule or ndarray
        The type of the stack in native byte order, whole numbers rounded. ``nan`` and infinite values stay as they are, and nothing flows to
        or from them, as at the border.
    """
    steepness = 1 / stack.spacing_of("Y"), 1 / stack.spacing_of("X")
    heights = steepness[0] / max(steepness), steepness[1] / max(steepness)  # at most 1 each: longer steps in time would not be stable

    def learn(channel: Stack) -> Steps[PlaneRule | NDArray[Any]]:
        black, white = yield from scale_steps(channel)
        noise = params.noise or (yield from speckle_steps(channel))
        return plane_rule((0.0, max(abs(black), abs(white))), lambda plane: srad_steps(plane, noise, params.iterations, params.time_step, heights))

    return (yield from own_channel_steps(stack, learn))


def srad_steps(values: NDArray[np.float32], noise: float, iterations: int, time_step: float, heights: tuple[float, float] = (1.0, 1.0)) -> Fractions:
    """Diffuse a volume of one slice, ``(1, Y, X)``.

    Parameters
    ----------
    values
        float32, 0 where there is no signal; ``nan`` is no value.
    noise
        Scale of the speckle, q0, at time 0; 0 leaves the picture as it is.
    iterations, time_step
        Number and length of the steps in time.
    heights
        How much a step between neighbours counts along Y and along X; at most 1.
    """
    known = np.isfinite(values[0])
    grey = np.where(known, values[0], np.float32(0))
    joined = None if known.all() else [np.logical_and(*_sides(known, axis)) for axis in (0, 1)]
    for step in range(iterations if noise > 0 else 0):
        q0_squared = max(np.float32((noise * math.exp(-DECAY * step * time_step)) ** 2), _LEAST)
        # the step between two neighbours serves both: to the one it is the step ahead, to the other that behind
        between = [_between(grey, axis, None if joined is None else joined[axis]) for axis in (0, 1)]
        flow = _conduction(grey, between, heights, q0_squared)
        for axis, height in enumerate(heights):
            flux = _sides(flow, axis)[1] * between[axis]  # as in the paper: the flow of the pixel ahead
            flux *= np.float32(time_step / 4 * height**2)
            here, ahead = _sides(grey, axis)
            here += flux
            ahead -= flux
        yield (step + 1) / iterations
    return grey[None]


def _between(grey: NDArray[np.float32], axis: int, joined: NDArray[np.bool_] | None) -> NDArray[np.float32]:
    here, ahead = _sides(grey, axis)
    between: NDArray[np.float32] = ahead - here
    if joined is not None:
        between *= joined
    return between


def _conduction(grey: NDArray[np.float32], between: list[NDArray[np.float32]], heights: tuple[float, float], q0_squared: np.float32) -> NDArray[np.float32]:
    """Return how freely grey flows at each pixel, 0 to 1, by its instantaneous coefficient of variation."""
    squares, laplacian = np.zeros_like(grey), np.zeros_like(grey)
    for axis, height in enumerate(heights):
        bend = between[axis] * np.float32(height**2)
        square = between[axis] * bend
        here, ahead = _sides(squares, axis)
        here += square
        ahead += square
        here, ahead = _sides(laplacian, axis)
        here += bend
        ahead -= bend
    lit = np.maximum(np.abs(grey), _BLACK)
    laplacian /= lit
    squares /= lit
    squares /= lit
    varies = squares * np.float32(0.5) - laplacian * laplacian * np.float32(1 / 16)
    laplacian *= np.float32(0.25)
    laplacian += 1
    laplacian *= laplacian
    varies /= np.maximum(laplacian, _LEAST, out=laplacian)
    varies -= q0_squared
    varies /= q0_squared * (1 + q0_squared)
    varies += 1
    flow: NDArray[np.float32] = np.clip(1 / np.maximum(varies, _LEAST), 0, 1)
    return flow


def _sides(plane: NDArray[Any], axis: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """All but the last, and all but the first, along an axis: views."""
    return (plane[:-1], plane[1:]) if axis == 0 else (plane[:, :-1], plane[:, 1:])
