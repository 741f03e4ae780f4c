"""Losses that leave unlabelled pixels out. Imports torch; imported only by the engine."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from napari_segtool.training._class_weights import class_weights as class_weights
from napari_segtool.training._pairs import IGNORED


def cross_entropy(logits: Tensor, target: Tensor, weights: Tensor) -> Tensor:
    """Return the mean cross-entropy over the labelled pixels, each counting by the weight of its class.

    Parameters
    ----------
    logits
        ``(N, K, …)`` float.
    target
        ``(N, …)`` int64 class indices, 255 for unlabelled.
    weights
        ``(K,)``.

    Returns
    -------
    Tensor
        Scalar; 0 where no pixel is labelled.
    """
    total = F.cross_entropy(logits, target, weight=weights, ignore_index=IGNORED, reduction="sum")
    known = target != IGNORED
    mass = weights[torch.where(known, target, 0)][known].sum()
    return total / mass.clamp_min(torch.finfo(total.dtype).tiny)


def soft_dice(logits: Tensor, target: Tensor) -> Tensor:
    """Return one minus the mean soft Dice of the classes that occur in the batch, over labelled pixels only.

    Parameters
    ----------
    logits, target
        As `cross_entropy`.

    Returns
    -------
    Tensor
        Scalar from 0 to 1; 0 where no pixel is labelled.

    References
    ----------
    Milletari et al. 2016, doi:10.1109/3DV.2016.79; here with sums over the batch.
    """
    classes = logits.shape[1]
    known = target != IGNORED
    axes = [0, *range(2, logits.ndim)]
    chance = logits.softmax(1) * known.unsqueeze(1)
    truth = torch.stack([(target == index) for index in range(classes)], 1).to(chance.dtype)
    shared, both = (chance * truth).sum(axes), chance.sum(axes) + truth.sum(axes)
    present = truth.sum(axes) > 0
    dice = (2 * shared + 1) / (both + 1)
    return torch.where(present, 1 - dice, torch.zeros_like(dice)).sum() / present.sum().clamp_min(1)
