"""Roberts' cross: gradient magnitude from the two diagonals of four pixels."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_segtool.core.params import Params
from napari_segtool.core.planes import PlaneRule
from napari_segtool.core.progress import Steps
from napari_segtool.core.registry import FILTERS
from napari_segtool.core.stack import Stack
from napari_segtool.preprocess._channels import each_channel_steps
from napari_segtool.preprocess._scale import Scale, known_pixels, without_unknown


class RobertsParams(Params):
    """Roberts' cross has no settings."""


@FILTERS.register(
    "roberts",
    title="Roberts",
    summary="Shows edges as steepness between neighbouring pixels: the sharpest edges of all, for pictures without noise.",
    params=RobertsParams,
    family="edges",
    dimensions=(2,),
    reference="Roberts 1963, Machine perception of three-dimensional solids, Massachusetts Institute of Technology, hdl.handle.net/1721.1/11589",
)
def roberts(stack: Stack, params: RobertsParams) -> Steps[PlaneRule | NDArray[Any]]:
    """Measure how steeply grey values rise in the square of each pixel with its right, lower, and lower right neighbours.

    Parameters
    ----------
    stack
        Any axes; every channel is measured on its own.
    params
        Settings.

    Returns
    -------
    PlaneRule or ndarray
        float32: grey values per pixel along X; where the spacing is known, differences along Y are divided by their true distance. A whole
        array for stacks with channels. Beyond the right and lower border the outermost pixel is repeated. ``nan`` stays ``nan``, and a
        diagonal that ends on one counts as level.
    """
    length = stack.spacing_of("Y") / stack.spacing_of("X")
    return (yield from each_channel_steps(stack, lambda plane: roberts_plane(plane, length)))


def roberts_plane(plane: NDArray[Any], length_y: float = 1.0) -> NDArray[np.float32]:
    """Return the steepness of a ``(Y, X)`` plane whose rows lie ``length_y`` pixel widths apart.

    Examples
    --------
    >>> roberts_plane(np.array([[0, 4], [0, 4]], np.uint8)).tolist()
    [[4.0, 0.0], [4.0, 0.0]]
    """
    scale, known = Scale.of(plane), known_pixels(plane)
    values = np.pad(scale.unit(plane), ((0, 1), (0, 1)), mode="edge")
    falling, rising = values[1:, 1:] - values[:-1, :-1], values[1:, :-1] - values[:-1, 1:]
    if known is not None:
        there = np.pad(known, ((0, 1), (0, 1)), mode="edge")
        falling *= there[1:, 1:] & there[:-1, :-1]
        rising *= there[1:, :-1] & there[:-1, 1:]
    slope = np.hypot((falling - rising) / 2, (falling + rising) / np.float32(2 * length_y))
    with np.errstate(over="ignore"):
        return without_unknown(slope * np.float32(scale.half), known)
