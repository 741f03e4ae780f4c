"""Occlusion: cover a window of the picture and see how much the class's score falls."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from napari_segtool.core.params import Params, param
from napari_segtool.core.progress import Steps
from napari_segtool.core.registry import EXPLAINERS

if TYPE_CHECKING:
    from napari_segtool.explain._question import Question


class OcclusionParams(Params):
    """The window that is moved over the picture, and what it is filled with."""

    patch_px: int = param(16, "Side of the window: about as large as what you think matters.", unit="px", ge=1, le=256)
    stride_px: int = param(8, "Distance from one window to the next; never more than the window. Half of it takes four times as long.", unit="px", ge=1, le=256)
    fill: Literal["mean", "zero", "blur"] = param(
        "mean", "What covers the window: the slice's mean, the network's own zero (the same where slices are normalised one by one), or the slice blurred."
    )
    depth_px: int = param(1, "3-D networks: how many slices the window spans.", unit="px", ge=1, le=64)
    exact: bool = param(
        False,
        "In float32 and as far as the network can see. Else in the number format that pays here, and less far, where a sample of windows agrees.",
        advanced=True,
    )


@EXPLAINERS.register(
    "occlusion",
    title="Occlusion",
    summary="What happens if a part is covered: true for the model itself, coarse, slower than gradients.",
    params=OcclusionParams,
    family="perturbation",
    reference="Zeiler & Fergus 2014, doi:10.1007/978-3-319-10590-1_53",
    traits={"windows", "own-precision"},
)
def explain_by_occlusion(question: Question, params: OcclusionParams) -> Steps[NDArray[np.float32]]:
    """Return how much the asked-for logits fall when the windows over a pixel are covered, as the mean of these windows.

    Only windows that the asked-for pixels can see are tried, on the part of the picture they can see, many at a time; windows so far
    apart that no logit sees two of them are covered at once. With ``exact`` the map is the one that covering each window of the whole
    picture in turn would give. Without, shorter ways are tried on a sample of the windows first, and taken where they agree.

    Returns
    -------
    ndarray
        ``(Y, X)``: positive where covering lowers the score, that is, where the picture speaks for the class. Zero where no
        window reaches the asked-for pixels. Of a 3-D network the windows that contain the plane.
    """
    from napari_segtool.explain._occlude import occlude_steps
    from napari_segtool.explain._windows import Windows

    patch = (params.patch_px, params.patch_px)
    stride = (min(params.stride_px, params.patch_px),) * 2
    depth = params.depth_px if question.model.forward.spatial == 3 else 0
    drawn: NDArray[np.float32] = yield from occlude_steps(question, Windows(patch, stride, depth), params.fill, exact=params.exact)
    return drawn
