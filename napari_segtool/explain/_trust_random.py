"""Networks that have forgotten what they learned, layer by layer from the last to the first."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn

from napari_segtool.nets._forward import Forward, flushed_denormals


def weighted_blocks(forward: Forward) -> tuple[str, ...]:
    """Return the names of the blocks that have weights, in the order they work."""
    network = forward.network
    names = {_block_of(network, name): None for name, module in network.named_modules() if name and next(module.parameters(recurse=False), None) is not None}
    order: dict[str, None] = {}

    def note(name: str, *_call: object) -> None:
        order.pop(name, None)
        order[name] = None

    hooks = [network.get_submodule(name).register_forward_hook(partial(note, name)) for name in names]
    try:
        with torch.no_grad(), flushed_denormals():
            forward.differentiable(torch.zeros(1, forward.channels, *(2 * n if n > 1 else 8 for n in forward.multiple)))
    finally:
        for hook in hooks:
            hook.remove()
    return tuple(order)


def grouped(blocks: Sequence[str], groups: int) -> tuple[tuple[str, ...], ...]:
    """Return the blocks in at most so many groups, from the last that works to the first.

    Examples
    --------
    >>> grouped(("a", "b", "c", "d", "e"), 2)
    (('c', 'd', 'e'), ('a', 'b'))
    """
    count = min(groups, len(blocks))
    edges = [round(i * len(blocks) / count) for i in range(count + 1)]
    return tuple(tuple(blocks[start:stop]) for start, stop in reversed(list(itertools.pairwise(edges))))


def with_random_weights(forward: Forward, blocks: Sequence[str], seed: int) -> Forward:
    """Return a copy of a network in which these blocks have random weights of the same size; one seed always gives the same.

    Kernels are drawn from a normal distribution with the root mean square of the trained ones; shifts and factors with their own mean and
    deviation. So signals keep their strength through the network, and what it learned is gone.
    """

    def change(network: nn.Module) -> None:
        for number, (name, weights) in enumerate(network.named_parameters()):
            if any(name == block or name.startswith(f"{block}.") for block in blocks):
                _redraw(weights, torch.Generator().manual_seed(seed * 100_003 + number))

    return forward.altered(change)


def _redraw(weights: Tensor, generator: torch.Generator) -> None:
    drawn = torch.randn(weights.shape, generator=generator).to(weights)
    with torch.no_grad():
        if weights.ndim > 1:
            weights.copy_(drawn * weights.square().mean().sqrt())
        elif weights.numel() > 1:
            weights.copy_(weights.mean() + drawn * weights.std())
        else:
            weights.copy_(drawn * weights.abs())


def _block_of(network: nn.Module, name: str) -> str:
    """The outermost module around a layer that is no mere list of modules."""
    words = name.split(".")
    for count in range(1, len(words) + 1):
        if not isinstance(network.get_submodule(".".join(words[:count])), nn.ModuleList | nn.ModuleDict):
            return ".".join(words[:count])
    return name
