"""Saliency by the gradient: how much each pixel would change the class's score if it changed a little."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_segtool.core.progress import Steps
from napari_segtool.core.registry import EXPLAINERS
from napari_segtool.explain._shown import ShownParams, shown

if TYPE_CHECKING:
    from napari_segtool.explain._question import Question


class GradientParams(ShownParams):
    """What of the gradient is shown."""


@EXPLAINERS.register(
    "gradient",
    title="Gradient saliency",
    summary="Which pixels matter most: fine detail, quick, somewhat noisy.",
    params=GradientParams,
    family="gradients",
    reference="Simonyan et al. 2013, doi:10.48550/arXiv.1312.6034",
    aliases=("saliency",),
)
def explain_by_gradient(question: Question, params: GradientParams) -> Steps[NDArray[np.float32]]:
    """Return the derivative of the class's logit (at a pixel, or summed over the class's pixels) by each pixel.

    Returns
    -------
    ndarray
        ``(Y, X)``: for ``"strength"`` the largest absolute derivative over channels, for ``"sign"`` their sum.
    """
    slope = yield from question.input_gradient_steps()
    return shown(slope, params)
