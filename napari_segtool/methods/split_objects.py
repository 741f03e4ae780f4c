"""Objects that touch, parted by distance."""

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
from napari_segtool.methods._distance import filled_steps
from napari_segtool.methods._foreground import foreground_steps, objects_steps
from napari_segtool.methods._grey import Grey
from napari_segtool.methods._pieces import Piece, pieces_steps
from napari_segtool.methods._split import Splitting, split_steps
from napari_segtool.preprocess._portions import portion
from napari_segtool.preprocess._volumes import widths_px


class SplitObjectsParams(Params):
    """Settings of splitting objects."""

    foreground: Literal["otsu", "around"] = param(
        "otsu", "What objects are where no labels are given: beyond Otsu's threshold, or also beyond the mean of what lies around them, for unequal ones."
    )
    objects: Literal["bright", "dark"] = param("bright", "Whether objects are brighter or darker than the background.")
    smoothing_px: float = param(1.0, "Width of a Gaussian in each slice before the threshold.", unit="px", ge=0, le=20)
    neck: float = param(7.0, "How much narrower than the thinner of both halves a neck must be to be cut: larger cuts less.", unit="%", ge=0, le=100)
    smallest_px: int = param(30, "Smallest object kept.", unit="px²", ge=1, le=1_000_000)
    apart_px: float = param(0.0, "Least distance between the centres of two objects: nearer ones stay one.", unit="px", ge=0, le=1000, advanced=True)
    apart_um: float = param(0.0, "The same in µm, used in place of pixels when above 0; needs the spacing.", unit="µm", ge=0, le=10_000, advanced=True)
    rounding_px: float = param(1.0, "Width of a Gaussian over the distances: keeps rough outlines from being cut.", unit="px", ge=0, le=20, advanced=True)
    fill_holes: bool = param(True, "Fill holes in objects first.", advanced=True)
    grey_values: str = param("", "Grey values of objects, as lower:upper, in place of a threshold, for example 90: or 90:200.", advanced=True)
    per_slice: bool = param(False, "Find the threshold of each slice on its own.", advanced=True)
    volume: bool = param(False, "Part objects through the slices, not within each.")


@METHODS.register(
    "split-objects",
    title="Split touching objects",
    summary="Numbers objects and parts those that touch where they are narrow; good for nuclei and other round things.",
    params=SplitObjectsParams,
    family="objects",
    reference="Beucher & Lantuéjoul 1979, Use of watersheds in contour detection; Meyer 1994, Topographic distance and watershed lines, "
    "doi:10.1016/0165-1684(94)90060-4",
    phantom="discs",
    traits=("takes-labels",),
    aliases=("split", "distance-watershed"),
)
def split_objects(stack: Stack, params: SplitObjectsParams, given: Given) -> Steps[AnyRule | NDArray[Any]]:
    """Part objects by their distance to the background, and number them.

    Parameters
    ----------
    stack
        Any axes; colours are taken as luminance, other channels as their mean.
    params
        Settings; lengths in pixels are along X, and as long in µm along the other axes where the spacing is known. The smallest object is
        counted in voxels.
    given
        Labels of the objects, if they are known: those of different labels are parted already. Else a threshold finds them.

    Returns
    -------
    PlaneRule or ndarray
        Smallest unsigned type: 0 outside, objects from 1, in each slice (or time point of volumes) anew. A pixel without a value is 0.

    Raises
    ------
    DataError
        If no labels are given and no pixel has a finite value, or all have the same.
    AxesError
        If ``volume`` is asked for and the stack has no slices.
    SpacingError
        If a length in µm is asked for and the spacing is unknown.
    """
    grey = Grey.of(stack, params.smoothing_px, whole=False)
    apart = widths_px(stack, params.apart_px, params.apart_um, volume=False)[2]
    how = Splitting(params.neck / 100, params.rounding_px, apart, params.smallest_px)
    foreground = None
    if given.labels is None:
        foreground = yield from foreground_steps(
            stack, grey, bright=params.objects == "bright", around=params.foreground == "around", grey_values=params.grey_values, per_slice=params.per_slice
        )

    def work(piece: Piece) -> Fractions:
        known = yield from piece.known_steps()
        if piece.given.labels is not None:
            given_labels = piece.given.labels
            objects = yield from portion(made_steps(known.shape, given_labels.dtype, lambda part: given_labels[part] * known[part]), 0.0, 0.1)
        else:
            assert foreground is not None
            objects = yield from portion(objects_steps(foreground, piece.grey), 0.0, 0.1)
        if params.fill_holes and objects.dtype == bool:
            objects = yield from portion(filled_steps(objects, known), 0.1, 0.3)
        return (yield from portion(split_steps(objects, piece.size, how), 0.3, 1.0))

    return (yield from pieces_steps(stack, grey, work, given, volume=params.volume))
