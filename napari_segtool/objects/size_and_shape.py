"""Keep or remove objects by their size and shape."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_segtool.core.errors import ParameterError
from napari_segtool.core.given import Given
from napari_segtool.core.params import Params, param
from napari_segtool.core.planes import Fractions, PlaceRule
from napari_segtool.core.progress import Steps
from napari_segtool.core.registry import METHODS
from napari_segtool.core.stack import Stack
from napari_segtool.objects._pieces import Pieces, pieces_steps
from napari_segtool.objects._shapes import eccentricity_steps, solidity_steps
from napari_segtool.objects._walk import pixels_of, refine_steps, sample_size
from napari_segtool.preprocess._portions import portion


class SizeAndShapeParams(Params):
    """Settings of rules for size and shape."""

    action: Literal["keep", "remove"] = param("keep", "Keep the objects within all ranges below and remove all others, or remove just those.")
    smallest_px: int = param(30, "Smallest size, in pixels; with volume, in voxels.", unit="px", ge=0, le=1_000_000_000)
    largest_px: int = param(0, "Largest size, in pixels; with volume, in voxels; 0 sets no limit.", unit="px", ge=0, le=1_000_000_000)
    solidity_from: float = param(0.0, "Least part of its convex hull that an object fills: near 1 for convex ones, less with bays or holes.", ge=0, le=1)
    solidity_to: float = param(1.0, "Greatest part of its convex hull that an object fills.", ge=0, le=1)
    eccentricity_from: float = param(0.0, "Least eccentricity: 0 for a circle or ball, near 1 for a line.", ge=0, le=1)
    eccentricity_to: float = param(1.0, "Greatest eccentricity.", ge=0, le=1)
    volume: bool = param(False, "Measure objects through the slices, in place of each slice on its own.")
    smallest_um: float = param(
        0.0, "Smallest size in µm² (with volume, in µm³), used in place of pixels when above 0; needs the spacing.", ge=0, le=1e12, advanced=True
    )
    largest_um: float = param(
        0.0, "Largest size in µm² (with volume, in µm³), used in place of pixels when above 0; needs the spacing.", ge=0, le=1e12, advanced=True
    )
    whole_labels: bool = param(False, "Take all pieces of one label for one object, for numbered objects that are in pieces.", advanced=True)
    corners: bool = param(False, "Take what touches by a corner or an edge only for one piece, too.", advanced=True)


@METHODS.register(
    "size-and-shape",
    title="Size and shape rules",
    summary="Keeps or removes objects by area or volume, by how convex and by how elongated they are.",
    params=SizeAndShapeParams,
    family="refine",
    phantom="crumbs",
    traits=("labels", "ignores-image"),
)
def size_and_shape(stack: Stack, params: SizeAndShapeParams, given: Given) -> Steps[PlaceRule | NDArray[Any]]:
    """Measure every object and keep those within all ranges, ends included; others become 0.

    An object is a connected piece of a label, so classes are parted into their objects first; those that stay keep their label, and so do numbered
    objects.

    Parameters
    ----------
    stack
        What the labels lie over; only its axes and spacing matter: eccentricity is measured in µm where the spacing is known.
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
    ParameterError
        If a range ends before it begins.
    SpacingError
        If a size in µm is given and the spacing is unknown.
    AxesError
        If ``volume`` is asked for and the stack has no slices.
    """
    smallest = pixels_of(stack, params.smallest_px, params.smallest_um, volume=params.volume)
    largest = pixels_of(stack, params.largest_px, params.largest_um, volume=params.volume) or np.inf
    for name, low, high in (
        ("size", smallest, largest),
        ("solidity", params.solidity_from, params.solidity_to),
        ("eccentricity", params.eccentricity_from, params.eccentricity_to),
    ):
        if low > high:
            raise ParameterError(f"The range of {name} ends at {high:g}, before it begins at {low:g}.", hint="Choose an end above the beginning.")
    size = sample_size(stack, volume=params.volume)

    def refine(labels: NDArray[Any]) -> Fractions:
        pieces = yield from portion(pieces_steps(labels, corners=params.corners, whole_labels=params.whole_labels), 0.0, 0.4)
        within = (pieces.sizes >= smallest) & (pieces.sizes <= largest)
        within = yield from portion(_shaped_steps(pieces, within, params, size), 0.4, 0.9)
        return (yield from portion(pieces.kept_steps(within == (params.action == "keep")), 0.9, 1.0))

    return (yield from refine_steps(stack, given, refine, volume=params.volume))


def _shaped_steps(pieces: Pieces, within: NDArray[np.bool_], params: SizeAndShapeParams, size: tuple[float, ...]) -> Fractions:
    """Narrow a choice of pieces to those whose shape is within the ranges; measures only what a range limits."""
    if params.eccentricity_from > 0 or params.eccentricity_to < 1:
        eccentricity = yield from portion(eccentricity_steps(pieces, size), 0.0, 0.3)
        within = within & (eccentricity >= params.eccentricity_from) & (eccentricity <= params.eccentricity_to)
    if params.solidity_from > 0 or params.solidity_to < 1:
        solidity = yield from portion(solidity_steps(pieces, within), 0.3, 1.0)
        within = within & (solidity >= params.solidity_from) & (solidity <= params.solidity_to)
    yield 1.0
    return within
