"""One loss over the outputs of a network, which may be several of different size. Imports torch; imported only by the engine."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from napari_segtool.training.losses._context import Loss


def supervised(loss: Loss, outputs: Tensor | Sequence[Tensor], target: Tensor, pixel_weights: Tensor | None) -> Tensor:
    """Return the loss of a network's output, or of all its outputs.

    Coarser outputs are compared with every second, fourth, … pixel of the target, so that no class is mixed with another and unlabelled pixels stay
    unlabelled. Each next output counts half as much as the one before; the weights add up to 1, so that the loss stays on one scale.

    Parameters
    ----------
    loss
        See `training.losses._context.Loss`.
    outputs
        Logits ``(N, K, …)``, or several of them, the finest first.
    target
        ``(N, …)`` int64, 255 for unlabelled, of the finest output's size.
    pixel_weights
        ``(N, …)`` float32, or None.

    Returns
    -------
    Tensor
        Scalar.

    References
    ----------
    Lee et al. 2015, https://proceedings.mlr.press/v38/lee15a.html; weights as in nnU-Net, Isensee et al. 2021, doi:10.1038/s41592-020-01008-z.

    Examples
    --------
    >>> logits, target = torch.zeros(1, 2, 4, 4), torch.zeros(1, 4, 4, dtype=torch.long)
    >>> supervised(lambda logits, target, weights: logits.sum() + target.numel(), (logits, logits[..., ::2, ::2]), target, None).item()
    12.0
    """
    if isinstance(outputs, Tensor):
        return loss(outputs.float(), target, pixel_weights)
    weights = torch.tensor([0.5**level for level in range(len(outputs))])
    weights /= weights.sum()
    total = torch.zeros((), device=target.device)
    for weight, logits in zip(weights.tolist(), outputs, strict=True):
        size = logits.shape[2:]
        coarse = target if target.shape[1:] == size else _nearest(target, size)
        pixels = pixel_weights if pixel_weights is None or pixel_weights.shape[1:] == size else _nearest(pixel_weights, size)
        total = total + weight * loss(logits.float(), coarse, pixels)
    return total


def _nearest(values: Tensor, size: Sequence[int]) -> Tensor:
    """Resample ``(N, …)`` without mixing values; float32 holds every class index exactly."""
    return F.interpolate(values[:, None].float(), size=tuple(size), mode="nearest")[:, 0].to(values.dtype)
