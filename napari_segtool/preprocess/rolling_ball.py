"""Uneven background, taken off by a ball that rolls below the picture."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_segtool.core.params import Params, param
from napari_segtool.core.planes import PlaneRule
from napari_segtool.core.progress import Steps
from napari_segtool.core.registry import FILTERS
from napari_segtool.core.stack import Stack
from napari_segtool.preprocess._background import without_background
from napari_segtool.preprocess._boxes import box_sums
from napari_segtool.preprocess._channels import own_channel_steps
from napari_segtool.preprocess._statistics import scale_steps
from napari_segtool.preprocess._volumes import widths_px

_GREYS = 255.0
"""Height of the grey scale, in pixels, that the ball rolls below: that of 8 bit, for every type."""


class RollingBallParams(Params):
    """Settings of the rolling ball."""

    radius_px: float = param(50.0, "Radius of the ball in pixels along X: larger than the largest object.", unit="px", ge=2, le=500)
    radius_um: float = param(0.0, "Radius in µm, used in place of pixels when above 0; needs the spacing.", unit="µm", ge=0, le=10_000, advanced=True)
    background: Literal["dark", "bright"] = param("dark", "Bright objects on a dark background, or dark objects on a bright one.")
    smooth_first: bool = param(True, "Find the background in the picture averaged over 3×3 pixels: noise does not pull it down.", advanced=True)


@FILTERS.register(
    "rolling-ball",
    title="Rolling ball",
    summary="Takes off a smooth, uneven background below (or above) objects, as Fiji's Subtract Background does.",
    params=RollingBallParams,
    family="intensity",
    dimensions=(2,),
    reference="Sternberg 1983, Biomedical image processing, doi:10.1109/MC.1983.1654163",
    phantom="shading",
    traits=("keeps-type",),
)
def rolling_ball(stack: Stack, params: RollingBallParams) -> Steps[PlaneRule | NDArray[Any]]:
    """Subtract from each slice the surface that a ball reaches which rolls below it (grey opening by a ball).

    Grey values count as heights: 255 steps of one pixel from black to white, which are the limits of 8-bit types and the darkest and
    brightest value of the stack for others. Balls of more than 10 pixels roll below a picture shrunken two to eight times.

    Parameters
    ----------
    stack
        Any axes; every channel is corrected on its own.
    params
        Settings.

    Returns
    -------
    PlaneRule or ndarray
        The type of the stack in native byte order. A dark background becomes 0, a bright one the brightest value it had in its slice. ``nan``
        and infinite values stay as they are, and the ball does not feel them.

    Raises
    ------
    SpacingError
        If a radius in µm is asked for and the spacing is unknown.
    """
    _, *radii = widths_px(stack, params.radius_px, params.radius_um, volume=False)

    def learn(channel: Stack) -> Steps[PlaneRule | NDArray[Any]]:
        black, white = yield from scale_steps(channel)
        height = (white - black) / _GREYS if white > black else 1.0
        bright = params.background == "bright"

        def even(plane: NDArray[Any]) -> NDArray[Any]:
            known = np.isfinite(plane)
            if not known.any():
                return without_background(plane, np.zeros(plane.shape), "subtract", 0.0)
            sign = -1.0 if bright else 1.0
            heights = np.where(known, sign * (plane.astype(np.float64) - black) / height, np.nan)
            surface = sign * ball_surface(heights, radii[0], radii[1], smooth_first=params.smooth_first) * height + black
            if params.smooth_first:  # an averaged pixel may lie above (below) its own
                surface = np.maximum(surface, plane, where=known, out=surface) if bright else np.minimum(surface, plane, where=known, out=surface)
            return without_background(plane, surface, "subtract", float(surface[known].max()) if bright else 0.0)

        return even

    return (yield from own_channel_steps(stack, learn))


def ball_surface(heights: NDArray[np.float64], radius_y: float, radius_x: float, *, smooth_first: bool = False) -> NDArray[np.float64]:
    """Return the surface that a ball rolling below a picture reaches: its grey opening by a ball.

    Parameters
    ----------
    heights
        Shape ``(Y, X)``, heights in pixels; ``nan`` is no obstacle. At least one is finite.
    radius_y, radius_x
        Radius of the ball in pixels; it is ``radius_x`` pixels high. Above 10 pixels the ball rolls below the picture's lowest pixels in
        blocks of up to 8×8, and the surface is interpolated.
    smooth_first
        Whether the ball rolls below the mean of 3×3 pixels.

    Returns
    -------
    ndarray
        Nowhere above ``heights`` (without ``smooth_first``); ``inf`` where the ball does not reach, far within ``nan``.
    """
    ground = _mean_3x3(heights) if smooth_first else np.where(np.isnan(heights), np.inf, heights)
    shrink = _shrinking(min(radius_y, radius_x))
    low = _lowest_in_blocks(ground, shrink)
    opened = _opened(low, radius_y / shrink, radius_x / shrink, radius_x)
    surface = _enlarged(opened, shrink, ground.shape)
    return np.minimum(surface, ground, out=surface, where=np.isfinite(ground))


def _shrinking(radius: float) -> int:
    return next((shrink for limit, shrink in ((10, 1), (30, 2), (100, 4)) if radius <= limit), 8)


def _mean_3x3(heights: NDArray[np.float64]) -> NDArray[np.float64]:
    known = ~np.isnan(heights)
    total, count = (box_sums(values[None], (0, 1, 1))[0] for values in (np.where(known, heights, 0), known.astype(np.float64)))
    return np.where(known, total / np.maximum(count, 1), np.inf)


def _lowest_in_blocks(ground: NDArray[np.float64], shrink: int) -> NDArray[np.float64]:
    if shrink == 1:
        return ground
    padded = np.pad(ground, [(0, -n % shrink) for n in ground.shape], constant_values=np.inf)
    lowest: NDArray[np.float64] = padded.reshape(padded.shape[0] // shrink, shrink, padded.shape[1] // shrink, shrink).min(axis=(1, 3))
    return lowest


def _opened(low: NDArray[np.float64], radius_y: float, radius_x: float, height: float) -> NDArray[np.float64]:
    """Press the ball up against the picture at every place (erosion), and keep the highest it reaches over each pixel (dilation)."""
    reach_y, reach_x = (min(math.floor(radius), n - 1) for radius, n in zip((radius_y, radius_x), low.shape, strict=True))
    top = np.full(low.shape, np.inf)  # where the ball's topmost point stands
    places = []
    for y in range(-reach_y, reach_y + 1):
        for x in range(-reach_x, reach_x + 1):
            inside = 1 - (y / radius_y) ** 2 - (x / radius_x) ** 2
            if inside >= -1e-9:  # 3, 4 lies on a ball of 5
                places.append((y, x, height * (1 - math.sqrt(max(inside, 0)))))
    for y, x, drop in places:
        here, there = _overlap(low.shape, y, x)
        np.minimum(top[here], low[there] + drop, out=top[here])
    opened = np.full(low.shape, -np.inf)
    top[np.isinf(top)] = -np.inf
    for y, x, drop in places:
        here, there = _overlap(low.shape, y, x)
        np.maximum(opened[here], top[there] - drop, out=opened[here])
    opened[np.isinf(opened)] = np.inf
    return opened


def _overlap(shape: tuple[int, ...], y: int, x: int) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Part of a picture, and the same part shifted by ``y, x``, both inside."""
    here = tuple(slice(max(0, -shift), n - max(0, shift)) for shift, n in zip((y, x), shape, strict=True))
    there = tuple(slice(max(0, shift), n + min(0, shift)) for shift, n in zip((y, x), shape, strict=True))
    return (here[0], here[1]), (there[0], there[1])


def _enlarged(opened: NDArray[np.float64], shrink: int, shape: tuple[int, ...]) -> NDArray[np.float64]:
    import cv2

    if shrink == 1:
        return opened
    size = (opened.shape[1] * shrink, opened.shape[0] * shrink)
    reached = np.isfinite(opened)
    # beside a block that the ball does not reach, only the blocks that it does reach are interpolated between
    share = cv2.resize(reached.astype(np.float64), size, interpolation=cv2.INTER_LINEAR)
    total = cv2.resize(np.where(reached, opened, 0), size, interpolation=cv2.INTER_LINEAR)
    surface = np.full(total.shape, np.inf)
    np.divide(total, share, out=surface, where=share > 0)
    return surface[: shape[0], : shape[1]]
