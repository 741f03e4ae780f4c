"""Optimisers by name. Imports torch; imported only by the engine."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import torch
from torch import nn

from napari_segtool.core.errors import ParameterError
from napari_segtool.training.engine._muon import Muon

OptimiserKind = Literal["muon", "adamw", "adam", "sgd"]


def make_optimiser(
    kind: OptimiserKind,
    parameters: Iterable[nn.Parameter],
    *,
    rate: float,
    weight_decay: float = 0.0,
    momentum: float = 0.99,
    nesterov: bool = False,
    fused: bool = False,
) -> torch.optim.Optimizer:
    """Make an optimiser.

    Parameters
    ----------
    kind
        ``"muon"`` is AdamW but for the weights of inner layers, whose steps are made orthogonal (`_muon.Muon`); ``"adamw"`` shrinks the weights
        beside the step, so that the weight decay does not depend on the gradients; ``"adam"`` and ``"sgd"`` add it to the gradient.
    parameters
        Weights to train.
    rate
        Learning rate.
    weight_decay
        Pull of the weights towards zero.
    momentum
        SGD only: share of the last step that is repeated; 0.99 in the U-Net of 2015.
    nesterov
        SGD only: look where the momentum leads before stepping. It means nothing without momentum and is then left out.
    fused
        One kernel for all weights, where the device has it (CPU and CUDA).

    Raises
    ------
    ParameterError
        If the kind is unknown or a number out of bounds.

    References
    ----------
    Adam: Kingma & Ba 2015, arXiv:1412.6980. AdamW: Loshchilov & Hutter 2019, arXiv:1711.05101. Nesterov momentum: Sutskever et al. 2013,
    https://proceedings.mlr.press/v28/sutskever13.html.

    Examples
    --------
    >>> make_optimiser("sgd", [nn.Parameter(torch.zeros(1))], rate=0.1, momentum=0.9, nesterov=True).defaults["nesterov"]
    True
    """
    if not (0 < rate < float("inf") and 0 <= weight_decay < float("inf") and 0 <= momentum < 1):
        raise ParameterError(
            f"The optimiser cannot work with learning rate {rate}, weight decay {weight_decay} and momentum {momentum}.",
            hint="Give a learning rate above 0, a weight decay of 0 or more, and a momentum from 0 to less than 1.",
        )
    if kind == "muon":
        return Muon(parameters, lr=rate, weight_decay=weight_decay)
    if kind == "adamw":
        return torch.optim.AdamW(parameters, lr=rate, weight_decay=weight_decay, fused=fused)
    if kind == "adam":
        return torch.optim.Adam(parameters, lr=rate, weight_decay=weight_decay, fused=fused)
    if kind == "sgd":
        return torch.optim.SGD(parameters, lr=rate, weight_decay=weight_decay, momentum=momentum, nesterov=nesterov and momentum > 0, fused=fused)
    raise ParameterError(f"There is no optimiser {kind!r}.", hint="Choose one of: muon, adamw, adam, sgd.")
