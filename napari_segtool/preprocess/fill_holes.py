"""Fill holes: dark places that are closed in on all sides become as bright as the lowest way out."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_segtool.core.params import Params, param
from napari_segtool.core.planes import Fractions, PlaneRule, SteppedRule
from napari_segtool.core.progress import Steps
from napari_segtool.core.registry import FILTERS
from napari_segtool.core.slabs import finite_steps, made_steps
from napari_segtool.core.stack import Stack
from napari_segtool.preprocess._channels import each_channel_steps
from napari_segtool.preprocess._components import slabs_of
from napari_segtool.preprocess._level_sets import ladder_steps, lowered_steps, near_slab
from napari_segtool.preprocess._morphology import as_volume
from napari_segtool.preprocess._portions import portion
from napari_segtool.preprocess._volumes import each_volume_steps


class FillHolesParams(Params):
    """Settings of filling holes."""

    holes: Literal["dark", "bright"] = param("dark", "Fill dark holes in what is bright, or bright holes in what is dark.")
    volume: bool = param(False, "A hole must be closed through the slices too, not only within its own.")


@FILTERS.register(
    "fill-holes",
    title="Fill holes",
    summary="Fills dark places that something brighter encloses: nuclei with dim middles, holes in masks; grey pictures too.",
    params=FillHolesParams,
    family="morphology",
    reference="Vincent 1993, Morphological grayscale reconstruction in image analysis: applications and efficient algorithms, doi:10.1109/83.217222",
    traits=("keeps-type", "keeps-range", "keeps-constant"),
)
def fill_holes(stack: Stack, params: FillHolesParams) -> Steps[PlaneRule | NDArray[Any]]:
    """Raise each pixel to the lowest grey value over which a way leads from it to the border.

    Parameters
    ----------
    stack
        Any axes; every channel is filtered on its own. In labels, a hole gets the lowest number around it.
    params
        Settings.

    Returns
    -------
    PlaneRule or ndarray
        The type of the stack in native byte order; a whole array for stacks with channels and for ``volume``. Ways lead over sides, not over
        corners, so that a line of pixels that touch at their corners encloses a hole. Values that are not finite stay, and are the outside to
        their neighbours, as what lies beyond the border is. In a volume of a single slice only its four sides are a way out.

    Raises
    ------
    AxesError
        If ``volume`` is asked for and the stack has no slices.
    """
    bright = params.holes == "bright"
    if params.volume:
        return (yield from each_volume_steps(stack, lambda volume, size: filled_holes(volume, bright=bright)))
    return (yield from each_channel_steps(stack, SteppedRule(lambda plane: as_volume(plane, lambda volume: filled_holes(volume, bright=bright)))))


def filled_holes(volume: NDArray[Any], *, bright: bool = False) -> Fractions:
    """Fill the dark (or bright) holes of a ``(depth, Y, X)`` volume in native byte order."""
    known = yield from portion(finite_steps(volume), 0.0, 0.0)
    ladder = yield from portion(ladder_steps(volume, known, bright=bright), 0.0, 0.1)
    outer = np.zeros(volume.shape, bool)
    if len(volume) > 1:
        outer[[0, -1]] = True
    unknown = None if known is None else (yield from portion(made_steps(known.shape, bool, lambda part: ~known[part]), 0.1, 0.1))
    for slab in slabs_of(volume.shape):
        outer[slab, [0, -1], :] = outer[slab, :, [0, -1]] = True
        if unknown is not None:
            outer[slab] |= near_slab(unknown, slab, diagonal=False)
            outer[slab] &= ~unknown[slab]
        yield 0.1
    levels = yield from portion(lowered_steps(ladder, outer, 1, diagonal=False), 0.1, 0.95)
    filled = np.empty_like(volume)
    for z, plane in enumerate(volume):
        grey = ladder.grey(levels[z])
        filled[z] = grey if known is None else np.where(known[z], grey, plane)
        yield 0.95 + 0.05 * (z + 1) / len(volume)
    return filled
