"""How much each class counts in the loss. Imports torch; imported only by the engine and by losses."""

from __future__ import annotations

from torch import Tensor, float32


def class_weights(pixels: Tensor, balance: float) -> Tensor:
    """Return a weight for each class: its rarity to the power of ``balance``, with mean 1 over the pixels.

    Parameters
    ----------
    pixels
        ``(K,)`` labelled pixels of each class.
    balance
        0 weighs all pixels alike, 1 gives every class the same mass.

    Returns
    -------
    Tensor
        ``(K,)`` float32; a class without a pixel is treated as if it had one.

    Examples
    --------
    >>> import torch
    >>> class_weights(torch.tensor([300, 100]), 1.0).tolist()
    [0.6666666865348816, 2.0]
    """
    share = pixels.to(float32).clamp_min(1) / pixels.sum().clamp_min(1)
    raw = share.pow(-balance)
    return raw / (raw * share).sum()
