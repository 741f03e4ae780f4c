"""Connected components of a range of grey values, or of labels."""

from __future__ import annotations

from typing import Any, Literal

from numpy.typing import NDArray

from napari_segtool.core.given import Given
from napari_segtool.core.params import Params, param
from napari_segtool.core.planes import AnyRule, Fractions
from napari_segtool.core.progress import Steps
from napari_segtool.core.registry import METHODS
from napari_segtool.core.slabs import made_steps
from napari_segtool.core.stack import Stack
from napari_segtool.methods._components import components_steps, narrowed_steps
from napari_segtool.methods._foreground import foreground_steps, objects_steps
from napari_segtool.methods._grey import Grey
from napari_segtool.methods._pieces import Piece, pieces_steps
from napari_segtool.preprocess._portions import portion


class ConnectedComponentsParams(Params):
    """Settings of connected components."""

    objects: Literal["bright", "dark"] = param("bright", "Whether objects are brighter or darker than Otsu's threshold, where no labels are given.")
    smallest_px: int = param(30, "Smallest object kept.", unit="px²", ge=1, le=1_000_000)
    smoothing_px: float = param(1.0, "Width of a Gaussian in each slice before the threshold.", unit="px", ge=0, le=20)
    corners: bool = param(False, "Pixels that touch by a corner or an edge only are connected, too.", advanced=True)
    grey_values: str = param("", "Grey values of objects, as lower:upper, in place of a threshold, for example 90: or 90:200.", advanced=True)
    per_slice: bool = param(False, "Find the threshold of each slice on its own.", advanced=True)
    volume: bool = param(False, "Connect through the slices, not only within each.")


@METHODS.register(
    "connected-components",
    title="Connected components",
    summary="Numbers each connected piece of what lies beyond a threshold, or of labels that you give; good for objects that do not touch.",
    params=ConnectedComponentsParams,
    family="objects",
    reference="Rosenfeld & Pfaltz 1966, Sequential operations in digital picture processing, doi:10.1145/321356.321357",
    phantom="discs",
    traits=("takes-labels",),
    aliases=("label", "components"),
)
def connected_components(stack: Stack, params: ConnectedComponentsParams, given: Given) -> Steps[AnyRule | NDArray[Any]]:
    """Number connected pieces.

    Parameters
    ----------
    stack
        Any axes; colours are taken as luminance, other channels as their mean.
    params
        Settings; the smallest object is counted in voxels.
    given
        Labels: connected pixels of one label are one object. Without them, a threshold or a range of grey values finds the objects.

    Returns
    -------
    PlaneRule or ndarray
        Smallest unsigned type: 0 outside, objects from 1 in the order in which they first appear, in each slice (or time point of volumes)
        anew. A pixel without a value is 0.

    Raises
    ------
    DataError
        If no labels are given and no pixel has a finite value, or all have the same.
    AxesError
        If ``volume`` is asked for and the stack has no slices.
    """
    grey = Grey.of(stack, params.smoothing_px)
    foreground = None
    if given.labels is None:
        foreground = yield from foreground_steps(stack, grey, bright=params.objects == "bright", grey_values=params.grey_values, per_slice=params.per_slice)

    def work(piece: Piece) -> Fractions:
        if piece.given.labels is not None:
            given_labels, known = piece.given.labels, (yield from piece.known_steps())
            there = made_steps(known.shape, given_labels.dtype, lambda part: given_labels[part] * known[part])
            objects = yield from portion(there, 0.0, 0.2)
        else:
            assert foreground is not None
            objects = yield from portion(objects_steps(foreground, piece.grey), 0.0, 0.2)
        labels = yield from portion(components_steps(objects, corners=params.corners, smallest=params.smallest_px), 0.2, 0.9)
        return (yield from portion(narrowed_steps(labels), 0.9, 1.0))

    return (yield from pieces_steps(stack, grey, work, given, volume=params.volume))
