"""Seg-Grad-CAM: where the features of a deep layer speak for the class."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_segtool.core.params import Params, param
from napari_segtool.core.progress import Progress, Steps
from napari_segtool.core.registry import EXPLAINERS

if TYPE_CHECKING:
    from napari_segtool.explain._question import Question


class GradCamParams(Params):
    """Which layer is looked at."""

    layer: str = param("auto", "Block of the network, for example bottom or up.0; auto takes the deepest, which sees widest.")
    positive: bool = param(True, "Show only what speaks for the class; else what speaks against it is negative.", advanced=True)


@EXPLAINERS.register(
    "gradcam",
    title="Seg-Grad-CAM",
    summary="Which regions the deep features look at: coarse, calm, easy to read.",
    params=GradCamParams,
    family="gradients",
    reference="Vinogradova et al. 2020, doi:10.48550/arXiv.2002.11434; Selvaraju et al. 2017, doi:10.1109/ICCV.2017.74",
)
def explain_by_gradcam(question: Question, params: GradCamParams) -> Steps[NDArray[np.float32]]:
    """Weigh each feature map by the mean derivative of the class's logits with respect to it, and add them up.

    The logits are those of the asked-for pixel, or of all pixels given the class.

    Returns
    -------
    ndarray
        ``(Y, X)``, bilinearly enlarged from the layer's grid. Of a 3-D network the layer's plane nearest in Z.

    Raises
    ------
    ParameterError
        If the network has no such layer.
    """
    import torch
    import torch.nn.functional as F  # noqa: N812

    from napari_segtool.explain._layers import deepest_layer, find_layer, output_of

    layers = question.layers()
    name = deepest_layer(layers) if params.layer == "auto" else params.layer
    module, scale = find_layer(question.network, name, layers), layers.get(name, ())
    while True:
        features: torch.Tensor | None = None
        weights: torch.Tensor | None = None
        with output_of(module) as caught:
            for part in question.parts(whole=True):
                logits = question.logits(part.pixels)
                maps = caught()  # (1, F, [z,] y, x)
                yield Progress(0, 0, "features")
                if features is None or weights is None:
                    features, weights = question.grid(maps, scale), torch.zeros(maps.shape[1], device=maps.device)
                question.paste(features, part.tile, maps.detach(), scale)
                if part.mask(logits).any():
                    weights += question.gradient(part.score(logits), maps).float().flatten(2).sum((0, 2))
                    yield Progress(0, 0, "gradient")
        if not question.ask_everywhere():
            break
    assert features is not None
    assert weights is not None
    cam = torch.einsum("f,fyx->yx", weights / features[0].numel(), features)
    if params.positive:
        cam = cam.relu()
    enlarged = F.interpolate(cam[None, None], scale_factor=[float(n) for n in scale[-2:]], mode="bilinear", align_corners=False)[0, 0]
    drawn: NDArray[np.float32] = enlarged[: question.shape[0], : question.shape[1]].cpu().numpy()
    return drawn
