"""What pretrained weights see is kept while the network learns the user's classes. Imports torch; imported only by the engine."""

from __future__ import annotations

import copy
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from napari_segtool.nets._blocks import crop_to
from napari_segtool.nets._em_weights import HEAD, em_weights


class Retained:
    """Holds a network to its beginning: its features must still tell the classes that it was pretrained for, at every pixel, also where nothing is labelled.

    A copy of the network as it began, with the head it was pretrained with, says what each pixel was taken for; the same head on the network's present
    features must say so too. This is learning without forgetting, with the old head left as it is. The user's own head is free.

    Parameters
    ----------
    network
        Just begun from the weights for electron microscopy, see `nets._em_weights`.
    strength
        Weight of this loss beside that of the labels.

    Attributes
    ----------
    before : torch.nn.Module
        The network as it began.

    References
    ----------
    Li & Hoiem 2017, Learning without forgetting, doi:10.1109/TPAMI.2017.2773081.
    """

    def __init__(self, network: nn.Module, strength: float) -> None:
        weights = em_weights()
        self._strength = strength
        self._kernel, self._shift = weights[f"{HEAD}weight"], weights[f"{HEAD}bias"]
        self.before = copy.deepcopy(network).eval().requires_grad_(False)
        self._features: dict[bool, Tensor] = {}
        for old, each in ((True, self.before), (False, network)):
            head: Any = each.head
            head.register_forward_pre_hook(self._taker(old))

    def _taker(self, old: bool) -> Any:
        def take(_module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            self._features[old] = inputs[0]

        return take

    def ask(self, images: Tensor) -> Tensor:
        """Return what the network took the pixels for as it began: logits of the classes of its old head, ``(N, E, Y, X)``."""
        size = images.shape[2:]
        self.before(images)
        return crop_to(self._told(self._features.pop(True)), size)

    def loss(self, images: Tensor) -> Tensor:
        """Return how far the network has come from its beginning: the mean over all pixels of the divergence of Kullback and Leibler, times the strength.

        Call it after the network has seen the same images, in the number format of the step.

        Parameters
        ----------
        images
            ``(N, C, Y, X)``.
        """
        with torch.no_grad():
            self.before(images)
        wanted, now = (self._told(self._features.pop(old)).float().log_softmax(1) for old in (True, False))  # kept, they would hold the whole step
        return self._strength * F.kl_div(now, wanted, log_target=True, reduction="none").sum(1).mean()

    def _told(self, features: Tensor) -> Tensor:
        """What the old head says of features."""
        return F.conv2d(features, self._kernel.to(features), self._shift.to(features))
