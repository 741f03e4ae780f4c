"""Who may train a run, and how a request reaches a training in the middle of a step."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from napari_segtool.core.errors import ModelError, StorageError
from napari_segtool.training._run import Run

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


@contextlib.contextmanager
def sole_trainer(folder: Path) -> Iterator[None]:
    """Hold the run's lock; the system lets go of it when the process ends, however it ends.

    Raises
    ------
    ModelError
        If another process trains this run.
    """
    try:
        file = (folder / "lock").open("a+")
    except OSError as error:
        raise StorageError(f"The run {folder} cannot be written: {error.strerror or error}.", hint="Check that you may write there.") from None
    with file:
        if not _lock(file):
            raise ModelError(f"The run {folder} is being trained by another process.", hint="Stop that one first, or wait for it.")
        yield


def is_training(folder: Path) -> bool:
    """Tell whether a process holds the run's lock."""
    path = folder / "lock"
    if not path.exists():
        return False
    with path.open("a+") as file:
        return not _lock(file)


def _lock(file: Any) -> bool:
    try:
        import fcntl
    except ImportError:  # Windows
        import msvcrt

        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined,unused-ignore]
        except OSError:
            return False
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
