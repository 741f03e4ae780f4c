"""Grad-CAM's weighted sum of feature maps, for the explainers that are made from it."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from napari_segtool.core.progress import Steps
from napari_segtool.explain._layer_maps import enlarged, layer_maps_steps
from napari_segtool.explain._question import Question


def gradcam_steps(question: Question, layer: str, *, positive: bool) -> Steps[NDArray[np.float32]]:
    """Weigh each feature map by the mean derivative of the asked-for logits by it, and add them up: ``(Y, X)``."""
    maps = yield from layer_maps_steps(question, layer)
    cam = torch.einsum("f,fyx->yx", maps.mean_slope, maps.features)
    return enlarged(cam.relu() if positive else cam, maps.scale, question.shape)


def gradcam_plus_steps(question: Question, layer: str) -> Steps[NDArray[np.float32]]:
    """Weigh by the positive derivatives, each counted by how much of the score its place alone explains: ``(Y, X)``.

    For a score ``exp(S)``, with ``g`` the derivative of ``S`` at a place of map ``A``: ``α = g² / (2 g² + g³ Σ A)``, and the
    weight of the map is ``Σ α max(g, 0)``; places whose denominator is not positive count as much as those with ``Σ A = 0``.
    """
    maps = yield from layer_maps_steps(question, layer, slopes=True)
    assert maps.slopes is not None
    slope = maps.slopes.relu()
    share = (2 + slope * maps.features.sum((1, 2))[:, None, None]).clamp_min(1e-3).reciprocal()
    weights = (share * slope).sum((1, 2))
    return enlarged(torch.einsum("f,fyx->yx", weights, maps.features).relu(), maps.scale, question.shape)
