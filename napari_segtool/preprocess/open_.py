"""Opening: erosion, then dilation."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from napari_segtool.core.planes import PlaneRule
from napari_segtool.core.progress import Steps
from napari_segtool.core.registry import FILTERS
from napari_segtool.core.stack import Stack
from napari_segtool.preprocess._morphology import MorphologyParams, morphology_steps, opened_steps


class OpenParams(MorphologyParams):
    """Settings of an opening."""


@FILTERS.register(
    "open",
    title="Open",
    summary="Removes bright spots and bridges narrower than the disc; what is left keeps its size.",
    params=OpenParams,
    family="morphology",
    reference="Serra 1982, Image analysis and mathematical morphology, Academic Press",
    traits=("keeps-type", "keeps-range", "keeps-constant"),
    aliases=("opening",),
)
def open_(stack: Stack, params: OpenParams) -> Steps[PlaneRule | NDArray[Any]]:
    """Erode, then dilate: bright places narrower than the disc vanish, all others stay.

    Parameters
    ----------
    stack
        Any axes; every channel is filtered on its own. In labels, numbers count as grey values: where two objects meet, the lower number wins.
    params
        Settings. The disc is as large in µm along each axis where the spacing is known, and a ball (ellipsoid) with ``volume``.

    Returns
    -------
    PlaneRule or ndarray
        The type of the stack in native byte order; a whole array for stacks with channels and for ``volume``. Beyond the border lies nothing.
        Values that are not finite stay and are not seen by others.

    Raises
    ------
    SpacingError
        If a radius in µm is asked for and the spacing is unknown.
    AxesError
        If ``volume`` is asked for and the stack has no slices.
    """
    return (yield from morphology_steps(stack, params, lambda volume, radii: opened_steps(volume, radii, bright=True)))
