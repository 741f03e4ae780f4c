"""Remove small objects: bright places of small area sink to what lies around them."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_segtool.core.errors import SpacingError
from napari_segtool.core.params import Params, param
from napari_segtool.core.planes import Fractions, PlaneRule, SteppedRule
from napari_segtool.core.progress import Steps
from napari_segtool.core.registry import FILTERS
from napari_segtool.core.slabs import finite_steps
from napari_segtool.core.stack import Stack
from napari_segtool.preprocess._channels import each_channel_steps
from napari_segtool.preprocess._level_sets import known_islands_steps, ladder_steps, lowered_steps
from napari_segtool.preprocess._morphology import as_volume
from napari_segtool.preprocess._portions import portion
from napari_segtool.preprocess._volumes import each_volume_steps, voxel_size


class RemoveSmallParams(Params):
    """Settings of removing small objects."""

    smallest_px: int = param(64, "Objects of fewer pixels (with volume: voxels) are removed.", unit="px²", ge=1, le=1_000_000)
    objects: Literal["bright", "dark"] = param("bright", "Remove small bright objects or small dark ones.")
    volume: bool = param(False, "Count an object through the slices, not in each alone.")
    smallest_um2: float = param(
        0.0, "Smallest area in µm² (with volume: µm³), used in place of pixels when above 0; needs the spacing.", unit="µm²", ge=0, le=1_000_000, advanced=True
    )


@FILTERS.register(
    "remove-small",
    title="Remove small objects",
    summary="Removes bright (or dark) specks by their area, whatever their shape; what is larger keeps its outline, in masks and grey pictures.",
    params=RemoveSmallParams,
    family="morphology",
    reference="Salembier, Oliveras and Garrido 1998, Antiextensive connected operators for image and sequence processing, doi:10.1109/83.663500",
    traits=("keeps-type", "keeps-range", "keeps-constant"),
    aliases=("area-opening", "remove-small-objects"),
)
def remove_small(stack: Stack, params: RemoveSmallParams) -> Steps[PlaneRule | NDArray[Any]]:
    """Lower each pixel to the highest grey value at which the region around it is large enough (an area opening).

    Parameters
    ----------
    stack
        Any axes; every channel is filtered on its own.
    params
        Settings.

    Returns
    -------
    PlaneRule or ndarray
        The type of the stack in native byte order; a whole array for stacks with channels and for ``volume``. Pixels that touch at a corner
        are connected. Values that are not finite stay and belong to no region; a region that they cut off altogether keeps its darkest value.

    Raises
    ------
    SpacingError
        If an area in µm² is asked for and the spacing is unknown.
    AxesError
        If ``volume`` is asked for and the stack has no slices.
    """
    if params.smallest_um2 > 0 and not stack.spacing_um:
        raise SpacingError(
            f"{stack.name or 'The image'} has no spacing, so {params.smallest_um2:g} µm² cannot be told in pixels.",
            hint="Give the spacing, or the area in pixels.",
        )
    pixel = math.prod(voxel_size(stack)) if params.volume else stack.spacing_of("Y") * stack.spacing_of("X")
    smallest = math.ceil(params.smallest_um2 / pixel - 1e-9) if params.smallest_um2 > 0 else params.smallest_px
    bright = params.objects == "bright"
    if params.volume:
        return (yield from each_volume_steps(stack, lambda volume, size: without_small(volume, smallest, bright=bright)))
    return (yield from each_channel_steps(stack, SteppedRule(lambda plane: as_volume(plane, lambda volume: without_small(volume, smallest, bright=bright)))))


def without_small(volume: NDArray[Any], smallest: int, *, bright: bool = True) -> Fractions:
    """Remove bright (or dark) objects of fewer than ``smallest`` voxels from a ``(depth, Y, X)`` volume in native byte order."""
    known = yield from portion(finite_steps(volume), 0.0, 0.0)
    ladder = yield from portion(ladder_steps(volume, known, bright=bright), 0.0, 0.1)
    need: NDArray[Any] | int = min(smallest, volume.size)
    if known is not None:
        need = yield from portion(known_islands_steps(known, smallest), 0.1, 0.2)
    levels = yield from portion(lowered_steps(ladder, None, need, diagonal=True), 0.2, 0.95)
    kept = np.empty_like(volume)
    for z, plane in enumerate(volume):
        grey = ladder.grey(levels[z])
        kept[z] = grey if known is None else np.where(known[z], grey, plane)
        yield 0.95 + 0.05 * (z + 1) / len(volume)
    return kept
