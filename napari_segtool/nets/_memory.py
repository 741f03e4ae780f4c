"""How much memory a pass through a network takes: counted on a device that has shapes and no values, so at once and for any size. Imports torch."""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class PeakMemory(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the bytes of all tensors made inside that are alive, and the most there were at once.

    What libraries take for themselves while they work on one layer is not seen.

    Attributes
    ----------
    bytes, most_bytes : int
        Now, and at the peak.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.bytes: int = 0
        self.most_bytes: int = 0
        self._known: set[int] = set()

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None) -> Any:
        result = function(*args, **(kwargs or {}))
        for each in tree_leaves(result):
            if isinstance(each, Tensor):
                self._count(each.untyped_storage())
        return result

    def _count(self, storage: torch.UntypedStorage) -> None:
        key = storage._cdata
        if key in self._known:
            return
        self._known.add(key)
        size = storage.nbytes()
        self.bytes += size
        self.most_bytes = max(self.most_bytes, self.bytes)
        weakref.finalize(storage, self._forget, key, size).atexit = False

    def _forget(self, key: int, size: int) -> None:
        self._known.discard(key)
        self.bytes -= size


def training_bytes(network: nn.Module, batch: Tensor, *, optimiser_copies: int = 3) -> int:
    """Return the memory of one training step in float32: weights, gradients, the optimiser's state, feature maps kept for the way back.

    Parameters
    ----------
    network
        On the meta device.
    batch
        ``(N, C, [Z,] Y, X)``, there too.
    optimiser_copies
        Copies of the weights that the optimiser and the average of the weights keep: 3 for Adam, 2 for SGD with momentum.
    """
    network.train()
    with PeakMemory() as peak:
        outputs = network(batch)
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        loss = sum(F.cross_entropy(logits, torch.zeros_like(logits[:, 0], dtype=torch.long)) for logits in outputs)
        del outputs
        loss.backward()  # type: ignore[union-attr]
    network.zero_grad(set_to_none=True)
    return int(peak.most_bytes) + _bytes(batch) + (1 + optimiser_copies) * weight_bytes(network)


def prediction_bytes(network: nn.Module, batch: Tensor) -> int:
    """Return the memory of one pass in float32 that keeps nothing for a way back; parameters as for `training_bytes`."""
    network.eval()
    with torch.no_grad(), PeakMemory() as peak:
        network(batch)
    return int(peak.most_bytes) + _bytes(batch) + weight_bytes(network)


def weight_bytes(network: nn.Module) -> int:
    """Return the memory that the parameters and buffers take."""
    return sum(_bytes(each) for each in (*network.parameters(), *network.buffers()))


def _bytes(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()
