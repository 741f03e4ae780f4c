"""Guided backpropagation: the derivative along paths on which every feature is there and speaks for the class."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_segtool.core.progress import Steps
from napari_segtool.core.registry import EXPLAINERS
from napari_segtool.explain._shown import ShownParams, shown

if TYPE_CHECKING:
    from napari_segtool.explain._question import Question


class GuidedBackpropParams(ShownParams):
    """What of the guided derivative is shown."""


@EXPLAINERS.register(
    "guided-backprop",
    title="Guided backpropagation",
    summary="Which edges the features are made of: the sharpest map, but hardly class-specific.",
    params=GuidedBackpropParams,
    family="gradients",
    reference="Springenberg et al. 2015, doi:10.48550/arXiv.1412.6806",
    aliases=("guided-backpropagation",),
)
def explain_by_guided_backprop(question: Question, params: GuidedBackpropParams) -> Steps[NDArray[np.float32]]:
    """Return the derivative of the asked-for logits by the pixels, guided.

    An activation that gave ``f`` passes on ``R = (f > 0) · (R > 0) · R``.

    Returns
    -------
    ndarray
        ``(Y, X)``: for ``"strength"`` the largest absolute value over channels, for ``"sign"`` their sum.
    """
    from napari_segtool.explain._rules import BackwardRule

    guided = yield from question.input_gradient_steps(rule=partial(BackwardRule, guided=True))
    return shown(guided, params)
