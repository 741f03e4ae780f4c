"""Cross-entropy, which several losses weigh in different ways. Imports torch; imported only inside functions."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from napari_segtool.training.losses._context import Loss, LossContext, mass_of, mean_over
from napari_segtool.training.runs._pairs import IGNORED


def class_mass(target: Tensor, pixel_weights: Tensor | None, class_weights: Tensor) -> Tensor:
    """Return how much each pixel counts, ``(N, …)``: its weight times that of its class, 0 where it is not labelled."""
    known = target != IGNORED
    return mass_of(target, pixel_weights, class_weights.dtype) * class_weights[torch.where(known, target, 0)]


def cross_entropy_of(context: LossContext, class_weights: Tensor) -> Loss:
    """Return the mean cross-entropy in which each pixel counts by its weight times that of its class."""
    placed = class_weights.to(context.device)

    def loss(logits: Tensor, target: Tensor, pixel_weights: Tensor | None) -> Tensor:
        weights = placed.to(logits.dtype)
        surprise = F.cross_entropy(logits, target, ignore_index=IGNORED, reduction="none")  # (N, …)
        return mean_over(surprise, class_mass(target, pixel_weights, weights))

    return loss
