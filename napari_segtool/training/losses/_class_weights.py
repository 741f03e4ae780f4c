"""How much each class counts in the loss. Imports torch; imported only by the engine and by losses."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, float32, ones_like

from napari_segtool.core.registry import LOSSES
from napari_segtool.core.terms import Term

OWN_WEIGHTS = "class-weights"
"""Trait of losses that weigh the classes themselves."""


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


def in_map(weights: Tensor, loss: Sequence[Term]) -> Tensor:
    """Return the class weights ``(K,)`` that a map of pixel weights holds: ones where a term of the loss brings its own, which would count twice."""
    own = any(OWN_WEIGHTS in LOSSES.get(term.name).traits for term in loss)
    return ones_like(weights) if own else weights


def beside_map(weights: Tensor, loss: Sequence[Term]) -> Tensor:
    """Return the class weights ``(K,)`` that are left for the loss where there is such a map."""
    return weights / in_map(weights, loss)
