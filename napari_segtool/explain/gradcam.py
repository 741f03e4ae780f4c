"""Seg-Grad-CAM: where the features of a deep layer speak for the class."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_segtool.core.params import Params, param
from napari_segtool.core.progress import Steps
from napari_segtool.core.registry import EXPLAINERS

if TYPE_CHECKING:
    from napari_segtool.explain._question import Question


class GradCamParams(Params):
    """Which layer is looked at."""

    layer: str = param("auto", "Block of the network, for example bottom or up.0, or a layer inside, as up.0.3; auto takes the deepest, which sees widest.")
    positive: bool = param(True, "Show only what speaks for the class; else what speaks against it is negative.", advanced=True)


@EXPLAINERS.register(
    "gradcam",
    title="Seg-Grad-CAM",
    summary="Which regions the deep features look at: coarse, calm, easy to read.",
    params=GradCamParams,
    family="activations",
    reference="Vinogradova et al. 2020, doi:10.48550/arXiv.2002.11434; Selvaraju et al. 2017, doi:10.1109/ICCV.2017.74",
    aliases=("seg-grad-cam",),
)
def explain_by_gradcam(question: Question, params: GradCamParams) -> Steps[NDArray[np.float32]]:
    """Weigh each feature map by the mean derivative of the class's logits with respect to it, and add them up.

    The logits are those of the asked-for pixels, or of all pixels given the class.

    Returns
    -------
    ndarray
        ``(Y, X)``, bilinearly enlarged from the layer's grid. Of a 3-D network the layer's plane nearest in Z.

    Raises
    ------
    ParameterError
        If the network has no such layer.
    """
    from napari_segtool.explain._gradcam import gradcam_steps

    drawn = yield from gradcam_steps(question, params.layer, positive=params.positive)
    return drawn
