"""Fill the holes of labels."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_segtool.core.given import Given
from napari_segtool.core.params import Params, param
from napari_segtool.core.planes import Fractions, PlaceRule
from napari_segtool.core.progress import Steps
from napari_segtool.core.registry import METHODS
from napari_segtool.core.slabs import made_steps
from napari_segtool.core.stack import Stack
from napari_segtool.methods._label_boxes import boxes_steps
from napari_segtool.objects._pieces import pieces_steps, slabs
from napari_segtool.objects._walk import pixels_of, refine_steps
from napari_segtool.preprocess._portions import portion


class FillHolesParams(Params):
    """Settings of filling holes."""

    largest_px: int = param(0, "Largest hole that is filled, in pixels (with volume, in voxels); 0 fills all.", unit="px", ge=0, le=1_000_000_000)
    largest_um: float = param(
        0.0, "Largest hole that is filled in µm² (with volume, in µm³), used in place of pixels when above 0; needs the spacing.", ge=0, le=1e12, advanced=True
    )
    volume: bool = param(False, "Fill what is enclosed on all sides through the slices, in place of what is enclosed in a slice.")


@METHODS.register(
    "fill-holes",
    title="Fill holes",
    summary="Fills the holes within each label, up to a size: bright nucleoli, missed organelles, noise.",
    params=FillHolesParams,
    family="refine",
    phantom="pinholes",
    traits=("labels", "ignores-image"),
)
def fill_holes(stack: Stack, params: FillHolesParams, given: Given) -> Steps[PlaceRule | NDArray[Any]]:
    """Give the pixels without a label that one label encloses that label.

    A hole is a region, connected by its sides, that a label encloses; what lies at the border of the picture is enclosed by nobody. Other labels
    within a hole count to its size and stay; where holes lie in holes, the inner label fills its own.

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
    largest = pixels_of(stack, params.largest_px, params.largest_um, volume=params.volume)
    return (yield from refine_steps(stack, given, lambda labels: _filled_steps(labels, largest), volume=params.volume))


def _filled_steps(labels: NDArray[Any], largest: float) -> Fractions:
    boxes = yield from portion(boxes_steps(labels), 0.0, 0.1)
    result = yield from portion(made_steps(labels.shape, labels.dtype, lambda part: labels[part]), 0.1, 0.1)
    for done, (label, box) in enumerate(boxes.items(boxes.smallest_first())):
        hole = yield from portion(_hole_steps(labels[box], label, largest), 0.1 + 0.9 * done / len(boxes), 0.1 + 0.9 * (done + 1) / len(boxes))
        inside = result[box]
        for part, _ in slabs(hole.shape):
            inside[part][hole[part] & (inside[part] == 0)] = label
            yield 0.1 + 0.9 * (done + 1) / len(boxes)
    yield 1.0
    return result


def _hole_steps(labels: NDArray[Any], label: int, largest: float) -> Fractions:
    """Return the holes of a label in the box around it, as a mask."""
    other = yield from portion(made_steps(labels.shape, np.uint8, lambda part: labels[part] != label), 0.0, 0.0)
    outside = yield from portion(pieces_steps(other, corners=False), 0.0, 0.8)
    hole = ~outside.on_border()
    hole[0] = False
    if largest > 0:
        hole &= outside.sizes <= largest
    return (yield from portion(made_steps(labels.shape, bool, lambda part: hole[outside.numbers[part]]), 0.8, 1.0))
