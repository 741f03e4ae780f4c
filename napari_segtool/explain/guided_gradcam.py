"""Guided Grad-CAM: the fine detail of guided backpropagation, where Grad-CAM says that it speaks for the class."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_segtool.core.params import param
from napari_segtool.core.progress import Steps
from napari_segtool.core.registry import EXPLAINERS
from napari_segtool.explain._shown import ShownParams, shown

if TYPE_CHECKING:
    from napari_segtool.explain._question import Question


class GuidedGradCamParams(ShownParams):
    """Which layer says where, and what of the detail is shown."""

    layer: str = param("auto", "Block of the network, for example bottom or up.0, or a layer inside, as up.0.3; auto takes the deepest, which sees widest.")


@EXPLAINERS.register(
    "guided-gradcam",
    title="Guided Grad-CAM",
    summary="Fine detail, but only where the class is seen: sharp as one parent, class-specific as the other.",
    params=GuidedGradCamParams,
    family="activations",
    reference="Selvaraju et al. 2017, doi:10.1109/ICCV.2017.74",
)
def explain_by_guided_gradcam(question: Question, params: GuidedGradCamParams) -> Steps[NDArray[np.float32]]:
    """Multiply the map of guided backpropagation by that of Grad-CAM, enlarged to the pixels.

    Returns
    -------
    ndarray
        ``(Y, X)``: for ``"strength"`` the largest absolute value over channels, for ``"sign"`` their sum.

    Raises
    ------
    ParameterError
        If the network has no such layer.
    """
    import torch

    from napari_segtool.explain._gradcam import gradcam_steps
    from napari_segtool.explain._rules import BackwardRule

    where = yield from gradcam_steps(question, params.layer, positive=True)
    detail = yield from question.input_gradient_steps(rule=partial(BackwardRule, guided=True))
    return shown(detail * torch.from_numpy(where).to(detail), params)
