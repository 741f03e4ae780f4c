"""Erosion: the darkest value within a disc or ball."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from napari_segtool.core.planes import PlaneRule
from napari_segtool.core.progress import Steps
from napari_segtool.core.registry import FILTERS
from napari_segtool.core.stack import Stack
from napari_segtool.preprocess._morphology import MorphologyParams, extreme_steps, morphology_steps


class ErodeParams(MorphologyParams):
    """Settings of an erosion."""


@FILTERS.register(
    "erode",
    title="Erode",
    summary="Shrinks what is bright and parts what hardly touches.",
    params=ErodeParams,
    family="morphology",
    reference="Serra 1982, Image analysis and mathematical morphology, Academic Press",
    traits=("keeps-type", "keeps-range", "keeps-constant"),
    aliases=(
        "erosion",
        "minimum",
    ),
)
def erode(stack: Stack, params: ErodeParams) -> Steps[PlaneRule | NDArray[Any]]:
    """Give each pixel the darkest value within the radius.

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
    return (yield from morphology_steps(stack, params, lambda volume, radii: extreme_steps(volume, radii, brightest=False)))
