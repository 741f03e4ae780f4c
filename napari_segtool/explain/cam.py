"""Class activation map: the last feature maps, weighted as the last layer weighs them for the class."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_segtool.core.params import Params, param
from napari_segtool.core.progress import Progress, Steps
from napari_segtool.core.registry import EXPLAINERS

if TYPE_CHECKING:
    from torch import Tensor

    from napari_segtool.explain._question import Question


class CamParams(Params):
    """What of the map is shown."""

    positive: bool = param(True, "Show only what speaks for the class; else what speaks against it is negative.")


@EXPLAINERS.register(
    "cam",
    title="Class activation map (CAM)",
    summary="Where the last features say the class is: its score before anything is decided; the same for every pixel asked about.",
    params=CamParams,
    family="activations",
    reference="Zhou et al. 2016, doi:10.1109/CVPR.2016.319",
    traits={"own-precision"},
)
def explain_by_cam(question: Question, params: CamParams) -> Steps[NDArray[np.float32]]:
    """Add up the last feature maps, each with the weight that the last layer gives it for the class.

    It works on networks whose logits are a weighted sum of features: through a 1×1 convolution, as in most networks for
    segmentation, where the map is the class's logit without its bias, or through global average pooling, where it is Zhou's.

    Returns
    -------
    ndarray
        ``(Y, X)``, bilinearly enlarged from the features' grid. Of a 3-D network the plane's.

    Raises
    ------
    ModelError
        If the network ends in anything else.
    """
    import torch

    from napari_segtool.explain._head import find_head
    from napari_segtool.explain._layer_maps import enlarged

    head = find_head(question.model.forward)
    weights = head.weights[question.asked.index] - (head.weights[question.asked.against] if question.asked.against >= 0 else 0)
    picture: Tensor | None = None
    tiles = question.tiles(whole=True)
    with head.features(question.network) as caught:
        for done, part in enumerate(question.parts(whole=True), start=1):
            with torch.no_grad():
                question.logits(part.pixels)
                cam = torch.einsum("f,nf...->n...", weights, caught().float())[:, None]  # (1, 1, [z,] y, x)
            if picture is None:
                picture = question.grid(cam, head.scale)
            question.paste(picture, part.tile, cam, head.scale)
            yield Progress(done, len(tiles), "features")
    assert picture is not None
    if question.asked.box is not None:
        question.memo["note"] = "This map is the class's everywhere; which pixel is asked about does not change it."
    return enlarged(picture[0].relu() if params.positive else picture[0], head.scale, question.shape)
