"""Keep the largest piece of each label."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_segtool.core.given import Given
from napari_segtool.core.params import Params, param
from napari_segtool.core.planes import Fractions, PlaceRule
from napari_segtool.core.progress import Steps
from napari_segtool.core.registry import METHODS
from napari_segtool.core.stack import Stack
from napari_segtool.objects._pieces import Pieces, pieces_steps
from napari_segtool.objects._walk import refine_steps
from napari_segtool.preprocess._portions import portion


class LargestComponentParams(Params):
    """Settings of keeping the largest piece."""

    volume: bool = param(False, "Look for pieces through the slices, in place of each slice on its own.")
    corners: bool = param(False, "Take what touches by a corner or an edge only for one piece, too.", advanced=True)


@METHODS.register(
    "largest-component",
    title="Largest component",
    summary="Keeps the largest connected piece of each label and removes all others; good where each label is one organ, vessel or cell.",
    params=LargestComponentParams,
    family="refine",
    phantom="crumbs",
    traits=("labels", "ignores-image"),
)
def largest_component(stack: Stack, params: LargestComponentParams, given: Given) -> Steps[PlaceRule | NDArray[Any]]:
    """Set every piece of a label but its largest to 0; of equally large ones the first in reading order stays.

    Parameters
    ----------
    stack
        What the labels lie over; only its axes matter.
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
    AxesError
        If ``volume`` is asked for and the stack has no slices.
    """

    def refine(labels: NDArray[Any]) -> Fractions:
        pieces = yield from portion(pieces_steps(labels, corners=params.corners), 0.0, 0.9)
        return (yield from portion(pieces.kept_steps(_largest(pieces)), 0.9, 1.0))

    return (yield from refine_steps(stack, given, refine, volume=params.volume))


def _largest(pieces: Pieces) -> NDArray[np.bool_]:
    """Which piece of each label is the largest: one for each label."""
    order = np.lexsort((np.arange(len(pieces.sizes)), -pieces.sizes, pieces.label_of))
    _, firsts = np.unique(pieces.label_of[order], return_index=True)
    keep = np.zeros(len(pieces.sizes), bool)
    keep[order[firsts]] = True
    return keep
