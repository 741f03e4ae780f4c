"""One loss over the outputs of a network, which may be several of different size. Imports torch; imported only by the engine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from napari_segtool.nets._reach import network_multiple
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


def unpadded(network: nn.Module, images: Tensor, size: Sequence[int]) -> Tensor:
    """Return the logits of the middle of images, each told by real pixels all around it.

    Parameters
    ----------
    network
        With unpadded convolutions: `nets._unet2015.UNet2015`.
    images
        ``(N, C, Y, X)`` with the rim that the convolutions take off.
    size
        Height and width of the middle. Where poolings do not fit it, the network mirrors the rim once more.

    Returns
    -------
    Tensor
        ``(N, K, *size)``.
    """
    multiple, border = network_multiple(network)[0], int(cast("Any", network).border_px)
    published = all((side - 4) % multiple == 0 and side + 2 * border == seen for side, seen in zip(size, images.shape[2:], strict=True))
    logits: Tensor = cast("Any", network).valid(images) if published else network(images)
    for axis, (side, seen) in enumerate(zip(size, logits.shape[2:], strict=True), start=2):
        logits = logits.narrow(axis, (seen - side) // 2, side)
    return logits


def _nearest(values: Tensor, size: Sequence[int]) -> Tensor:
    """Resample ``(N, …)`` without mixing values; float32 holds every class index exactly."""
    return F.interpolate(values[:, None].float(), size=tuple(size), mode="nearest")[:, 0].to(values.dtype)
