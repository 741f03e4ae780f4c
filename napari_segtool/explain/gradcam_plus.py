"""Grad-CAM++: Grad-CAM that does not overlook the smaller of several objects."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_segtool.core.params import Params, param
from napari_segtool.core.progress import Steps
from napari_segtool.core.registry import EXPLAINERS

if TYPE_CHECKING:
    from napari_segtool.explain._question import Question


class GradCamPlusParams(Params):
    """Which layer is looked at."""

    layer: str = param("auto", "Block of the network, for example bottom or up.0, or a layer inside, as up.0.3; auto takes the deepest, which sees widest.")


@EXPLAINERS.register(
    "gradcam++",
    title="Grad-CAM++",
    summary="As Grad-CAM, but several objects are all shown, the small ones too.",
    params=GradCamPlusParams,
    family="activations",
    reference="Chattopadhay et al. 2018, doi:10.1109/WACV.2018.00097",
    aliases=("gradcam-plus-plus", "gradcam-plus"),
)
def explain_by_gradcam_plus(question: Question, params: GradCamPlusParams) -> Steps[NDArray[np.float32]]:
    """Weigh each feature map by its positive derivatives, each place by how much of the score it explains alone.

    Returns
    -------
    ndarray
        ``(Y, X)``, never negative, bilinearly enlarged from the layer's grid. Of a 3-D network the layer's plane nearest in
        Z, with the weights of that plane.

    Raises
    ------
    ParameterError
        If the network has no such layer.
    """
    from napari_segtool.explain._gradcam import gradcam_plus_steps

    drawn = yield from gradcam_plus_steps(question, params.layer)
    return drawn
