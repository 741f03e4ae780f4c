"""DeconvNet: the class is projected back through the network, and at each activation only what is positive goes on."""

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


class DeconvNetParams(ShownParams):
    """What of the projection is shown."""


@EXPLAINERS.register(
    "deconvnet",
    title="DeconvNet",
    summary="Which pattern of the picture the class is made of: sharp, but much the same for every class.",
    params=DeconvNetParams,
    family="gradients",
    reference="Zeiler & Fergus 2014, doi:10.1007/978-3-319-10590-1_53",
    aliases=("deconvolution",),
)
def explain_by_deconvnet(question: Question, params: DeconvNetParams) -> Steps[NDArray[np.float32]]:
    """Return the asked-for logits projected back to the pixels.

    It is the derivative, but that an activation passes on ``R = (R > 0) · R``, whatever it let through on the way forward.

    Returns
    -------
    ndarray
        ``(Y, X)``: for ``"strength"`` the largest absolute value over channels, for ``"sign"`` their sum.
    """
    from napari_segtool.explain._rules import BackwardRule

    projected = yield from question.input_gradient_steps(rule=partial(BackwardRule, guided=False))
    return shown(projected, params)
