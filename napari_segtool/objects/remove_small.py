"""Remove small pieces of labels."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from napari_segtool.core.given import Given
from napari_segtool.core.params import Params, param
from napari_segtool.core.planes import Fractions, PlaceRule
from napari_segtool.core.progress import Steps
from napari_segtool.core.registry import METHODS
from napari_segtool.core.stack import Stack
from napari_segtool.objects._pieces import pieces_steps
from napari_segtool.objects._walk import pixels_of, refine_steps
from napari_segtool.preprocess._portions import portion


class RemoveSmallParams(Params):
    """Settings of removing small pieces."""

    smallest_px: int = param(30, "Smallest piece that is kept, in pixels; with volume, in voxels.", unit="px", ge=0, le=1_000_000_000)
    smallest_um: float = param(
        0.0, "Smallest piece that is kept in µm² (with volume, in µm³), used in place of pixels when above 0; needs the spacing.", ge=0, le=1e12, advanced=True
    )
    corners: bool = param(False, "Take what touches by a corner or an edge only for one piece, too.", advanced=True)
    volume: bool = param(False, "Look for pieces through the slices, in place of each slice on its own.")


@METHODS.register(
    "remove-small",
    title="Remove small pieces",
    summary="Removes connected pieces of each label that are smaller than the size you give: dust, and crumbs of a threshold.",
    params=RemoveSmallParams,
    family="refine",
    phantom="crumbs",
    traits=("labels", "ignores-image"),
)
def remove_small(stack: Stack, params: RemoveSmallParams, given: Given) -> Steps[PlaceRule | NDArray[Any]]:
    """Set to 0 each connected piece of a label that has fewer pixels than the smallest to be kept.

    Parameters
    ----------
    stack
        What the labels lie over; only its axes and spacing matter.
    params
        Settings.
    given
        ``labels``, classes or objects.

    Returns
    -------
    PlaceRule or ndarray
        Labels of the same type; the whole array with ``volume``.

    Raises
    ------
    SpacingError
        If a size in µm is given and the spacing is unknown.
    AxesError
        If ``volume`` is asked for and the stack has no slices.
    """
    smallest = pixels_of(stack, params.smallest_px, params.smallest_um, volume=params.volume)

    def refine(labels: NDArray[Any]) -> Fractions:
        pieces = yield from portion(pieces_steps(labels, corners=params.corners), 0.0, 0.9)
        return (yield from portion(pieces.kept_steps(pieces.sizes >= smallest), 0.9, 1.0))

    return (yield from refine_steps(stack, given, refine, volume=params.volume))
