"""Remove what the border of the picture cuts."""

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
from napari_segtool.objects._walk import refine_steps
from napari_segtool.preprocess._portions import portion


class ClearBorderParams(Params):
    """Settings of clearing the border."""

    margin_px: int = param(0, "How near to the border counts as touching it: 0 is the outermost pixel.", unit="px", ge=0, le=1000)
    volume: bool = param(False, "Look for pieces through the slices: what touches the border in one slice is removed from all.")
    ends: bool = param(False, "With volume: the first and the last slice are a border too.")
    whole_labels: bool = param(False, "Remove all pieces of a label when one touches the border; for numbered objects.", advanced=True)
    corners: bool = param(False, "Take what touches by a corner or an edge only for one piece, too.", advanced=True)


@METHODS.register(
    "clear-border",
    title="Clear border",
    summary="Removes objects that the border of the picture cuts, so that only whole ones are counted and measured.",
    params=ClearBorderParams,
    family="refine",
    phantom="cut",
    traits=("labels", "ignores-image"),
)
def clear_border(stack: Stack, params: ClearBorderParams, given: Given) -> Steps[PlaceRule | NDArray[Any]]:
    """Set each connected piece of a label that touches the border to 0.

    Parameters
    ----------
    stack
        What the labels lie over; only its axes matter.
    params
        Settings; ``margin_px`` counts slices along depth where ``ends`` are a border.
    given
        ``labels``, classes or objects.

    Returns
    -------
    PlaceRule or ndarray
        Labels of the same type; the whole array with ``volume``.

    Raises
    ------
    AxesError
        If ``volume`` is asked for and the stack has no slices.
    """

    def refine(labels: NDArray[Any]) -> Fractions:
        pieces = yield from portion(pieces_steps(labels, corners=params.corners, whole_labels=params.whole_labels), 0.0, 0.9)
        axes = tuple(range(labels.ndim)) if labels.ndim == 2 or params.ends else (1, 2)
        return (yield from portion(pieces.kept_steps(~pieces.on_border(params.margin_px, axes)), 0.9, 1.0))

    return (yield from refine_steps(stack, given, refine, volume=params.volume))
