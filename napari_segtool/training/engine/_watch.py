"""How a request reaches a training in the middle of a step. Imports torch; imported only by the engine."""

from __future__ import annotations

import time
from typing import Any

import torch
from torch import Tensor, nn

from napari_segtool.training.runs._run import Run

_LOOK_S = 0.1


class StopRequestedError(Exception):
    """Someone asked the training to end; carries the word."""

    def __init__(self, word: str) -> None:
        super().__init__(word)
        self.word = word


class Watch:
    """Looks for a request, at most ten times a second, between the layers of a network as well as between steps.

    Parameters
    ----------
    run
        The run whose ``control`` file is looked at.
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        self._next = 0.0

    def look(self) -> None:
        """Raise `StopRequestedError` if the training shall end."""
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + _LOOK_S
        word = self._run.take_request()
        if word:
            raise StopRequestedError(word)

    def attach(self, network: nn.Module) -> None:
        """Look before every convolution, forward and backward, so that a long step is abandoned and not waited for."""
        for module in network.modules():
            if isinstance(module, nn.Conv2d | nn.Conv3d):
                module.register_forward_pre_hook(self._before)

    def _before(self, _module: nn.Module, inputs: tuple[Any, ...]) -> None:
        self.look()
        if torch.is_grad_enabled() and isinstance(inputs[0], Tensor) and inputs[0].requires_grad:
            inputs[0].register_hook(self._backward)  # type: ignore[no-untyped-call]

    def _backward(self, _gradient: Tensor) -> None:
        self.look()
