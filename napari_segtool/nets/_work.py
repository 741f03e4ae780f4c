"""How much work a pass through a network is: feature maps and multiplications, counted while it runs. Imports torch."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor, nn


@dataclass(slots=True)
class Work:
    """What the passes made while it was counted.

    Attributes
    ----------
    floats
        Values of all feature maps that are held; what works in place, and ReLU, which gives back what it read, hold none of their own.
    products
        Multiplications of the convolutions.
    largest
        Values of the largest feature map that a convolution made.
    """

    floats: int = 0
    products: int = 0
    largest: int = 0


@contextlib.contextmanager
def counted(network: nn.Module) -> Iterator[Work]:
    """Count the work of every pass inside; on the ``meta`` device too, which has shapes but no numbers.

    Examples
    --------
    >>> import torch
    >>> layer = nn.Conv2d(2, 4, 3, padding=1)
    >>> with counted(layer) as work:
    ...     _ = layer(torch.zeros(1, 2, 8, 8))
    >>> work
    Work(floats=256, products=4608, largest=256)
    """
    work = Work()

    def look(module: nn.Module, inputs: tuple[Tensor, ...], output: object) -> None:
        if not isinstance(output, Tensor) or isinstance(module, nn.Identity):
            return
        if not getattr(module, "inplace", False) and not isinstance(module, nn.ReLU):
            work.floats += output.numel()
        weight = getattr(module, "weight", None)
        if isinstance(weight, Tensor) and weight.ndim > 2:
            work.products += (inputs[0] if getattr(module, "transposed", False) else output).numel() * weight[0].numel()
            work.largest = max(work.largest, output.numel())

    hooks = [module.register_forward_hook(look) for module in network.modules() if not list(module.children())]
    try:
        yield work
    finally:
        for hook in hooks:
            hook.remove()
