"""Top-hat: what an opening or closing takes away."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_segtool.core.params import param
from napari_segtool.core.planes import Fractions, PlaneRule
from napari_segtool.core.progress import Steps
from napari_segtool.core.registry import FILTERS
from napari_segtool.core.stack import Stack
from napari_segtool.preprocess._morphology import MorphologyParams, Radii, morphology_steps, opened_steps
from napari_segtool.preprocess._portions import portion


class TopHatParams(MorphologyParams):
    """Settings of the top-hat."""

    radius_px: float = param(
        10.0, "Radius of the disc (ball), larger than the spots to keep, in pixels along X; as far in µm along the other axes.", unit="px", ge=0, le=50
    )
    keep: Literal["bright", "dark"] = param("bright", "Keep what is brighter (white top-hat) or darker (black top-hat) than what lies around it.")


@FILTERS.register(
    "top-hat",
    title="Top-hat",
    summary="Keeps bright (or dark) spots and lines narrower than the disc and takes away everything wider, uneven light too.",
    params=TopHatParams,
    family="morphology",
    reference="Meyer 1979, Iterative image transformations for an automatic screening of cervical smears, Journal of Histochemistry and Cytochemistry 27",
    traits=("keeps-type",),
    aliases=("white-top-hat",),
)
def top_hat(stack: Stack, params: TopHatParams) -> Steps[PlaneRule | NDArray[Any]]:
    """Return the stack less its opening, or its closing less the stack.

    Parameters
    ----------
    stack
        Any axes; every channel is filtered on its own.
    params
        Settings. The disc is as large in µm along each axis where the spacing is known, and a ball (ellipsoid) with ``volume``.

    Returns
    -------
    PlaneRule or ndarray
        The type of the stack in native byte order, 0 or above (cut at the largest value of the type); a whole array for stacks with channels
        and for ``volume``. Values that are not finite stay and are not seen by others.

    Raises
    ------
    SpacingError
        If a radius in µm is asked for and the spacing is unknown.
    AxesError
        If ``volume`` is asked for and the stack has no slices.
    """
    return (yield from morphology_steps(stack, params, lambda volume, radii: _top_hat(volume, radii, bright=params.keep == "bright")))


def _top_hat(volume: NDArray[Any], radii: Radii, *, bright: bool) -> Fractions:
    result = yield from portion(opened_steps(volume, radii, bright=bright), 0.0, 0.9)
    for z, plane in enumerate(volume):
        result[z] = _less(plane, result[z]) if bright else _less(result[z], plane)
        yield 0.9 + 0.1 * (z + 1) / len(volume)
    return result


def _less(more: NDArray[Any], less: NDArray[Any]) -> NDArray[Any]:
    """Subtract values that are nowhere larger; values that are not finite stay."""
    result: NDArray[Any]
    if more.dtype.kind == "b":
        result = more & ~less
    elif more.dtype.kind == "f":
        with np.errstate(over="ignore"):
            result = np.subtract(more, less, out=more.copy(), where=np.isfinite(more))
    elif more.dtype.kind == "i":
        # the difference fits the unsigned type of the same size, whatever the signs
        unsigned = np.dtype(f"u{more.dtype.itemsize}")
        rise = more.view(unsigned) - less.view(unsigned)
        result = np.minimum(rise, np.iinfo(more.dtype).max).astype(more.dtype)
    else:
        result = more - less
    return result
