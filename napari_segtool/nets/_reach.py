"""How far a network looks, and on what grid: measured on the network itself, so that any architecture can be tiled."""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from napari_segtool.nets._spans import Span

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
_NORMS = (nn.modules.batchnorm._BatchNorm, nn.modules.instancenorm._InstanceNorm, nn.GroupNorm, nn.LayerNorm)
_POOLS = (nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d, nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d)
_BOUNDED = (nn.Hardtanh, nn.Hardsigmoid, nn.Sigmoid, nn.Tanh)
"""Activations that pass no gradient on once they are at their bound, ReLU6 among them."""
FEWEST_BLOCKS, ACROSS, _LONGEST_PX = 16, 2, 2048
"""Of the strip on which is measured: strides along it at first and across it, and its greatest length."""


def input_channels(network: nn.Module) -> int:
    """Return how many channels the first convolution takes."""
    for module in network.modules():
        if isinstance(module, _CONVOLUTIONS):
            return int(module.in_channels)
    raise ValueError(f"{type(network).__name__} has no convolution")


def spatial_dimensions(network: nn.Module) -> int:
    """Return 2 for a network of pictures, 3 for one of volumes, told by its first convolution."""
    for module in network.modules():
        if isinstance(module, _CONVOLUTIONS):
            return module.weight.ndim - 2
    raise ValueError(f"{type(network).__name__} has no convolution")


def network_multiple(network: nn.Module) -> tuple[int, ...]:
    """Return, for each spatial axis, the total stride: tiles must begin at multiples of it.

    Taken from the network's ``multiple`` where it has one, else from the coarsest feature map of a probe.
    """
    known = getattr(network, "multiple", None)
    if known is not None:
        return tuple(int(n) for n in known)
    probe_px = 64
    finest = [probe_px] * spatial_dimensions(network)

    def look(_module: nn.Module, _inputs: object, output: object) -> None:
        if isinstance(output, Tensor) and output.ndim == len(finest) + 2:
            for axis, n in enumerate(output.shape[2:]):
                if n > 1:  # one pixel is a global pool, not a stride
                    finest[axis] = min(finest[axis], int(n))

    hooks = [module.register_forward_hook(look) for module in network.modules() if isinstance(module, _CONVOLUTIONS + _POOLS)]
    reference = next(network.parameters())
    try:
        with torch.no_grad():
            network(torch.zeros(1, input_channels(network), *[probe_px] * len(finest), device=reference.device, dtype=reference.dtype))
    finally:
        for hook in hooks:
            hook.remove()
    return tuple(2 ** round(math.log2(probe_px / n)) for n in finest)


def least_shape(network: nn.Module) -> tuple[int, ...]:
    """Return, for each spatial axis, the fewest pixels a pass may have: instance normalisation refuses the statistics of one pixel, however deep."""
    if any(isinstance(module, nn.modules.instancenorm._InstanceNorm) for module in network.modules()):
        return tuple(2 * step for step in network_multiple(network))
    return (1,) * spatial_dimensions(network)


def receptive_halo(network: nn.Module, spatial: int = 0) -> tuple[int, ...]:
    """Return how far beyond a tile its logits can depend on the input, in pixels, for each spatial axis.

    By the network's own statement, ``reads(axis, span)``, where it makes one (`nets._receptive` measures whether it is true), else
    measured: on a copy in which every weight is positive, normalisation passes values through and maxima
    are means, so that nothing cancels, the gradient of one aligned block of logits reaches exactly the pixels that can
    influence it. Tiles that begin at multiples of `network_multiple` and overlap by this much give the untiled logits.
    Where instance or group normalisation or a global pool lets every pixel reach all others, this is the reach of the
    convolutions alone. A network that mirrors the border itself (``border_px``) is shown nearly a stride more: where the
    picture ends within a stride, what it mirrors lies that much deeper inside.

    Parameters
    ----------
    network
        Maps ``(N, C, [Z,] Y, X)`` to logits of the same size.
    spatial
        2 or 3; 0 reads it from the first convolution.

    Examples
    --------
    >>> receptive_halo(nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 2, 5, padding=2)))
    (3, 3)
    """
    spatial = spatial or spatial_dimensions(network)
    multiple = network_multiple(network)
    reads = getattr(network, "reads", None) or partial(touched, plain_copy(network), multiple)
    deeper = [step - 1 if getattr(network, "border_px", 0) else 0 for step in multiple]
    return tuple(_beyond(reads(axis, (0, step - 1)), step) + more for axis, (step, more) in enumerate(zip(multiple, deeper, strict=True)))


def _beyond(read: Span, step: int) -> int:
    return max(-read[0], read[1] - (step - 1), 0)


def touched(plain: nn.Module, multiple: Sequence[int], axis: int, span: Span) -> Span:
    """Return the input pixels that the logits of a span depend on, along one axis and far from the border, measured.

    Parameters
    ----------
    plain
        From `plain_copy`.
    multiple
        Total stride along each spatial axis.
    axis
        Spatial axis.
    span
        First and last logit, counted from a multiple of the stride. The result is counted from there too.
    """
    step, blocks = multiple[axis], FEWEST_BLOCKS
    while True:  # on a strip that is short along the other axes: convolutions do not mix their extents
        shape = [ACROSS * n for n in multiple]
        shape[axis] = step * blocks
        start = step * (blocks // 2)
        batch = torch.ones(1, input_channels(plain), *shape, dtype=torch.float64, requires_grad=True)
        with torch.enable_grad(), _SmoothPools():
            logits = plain(batch)
            (gradient,) = torch.autograd.grad(logits.narrow(axis + 2, start + span[0], span[1] - span[0] + 1).sum(), batch)
        others = [i for i in range(gradient.ndim) if i != axis + 2]
        found = torch.nonzero(gradient.abs().sum(others)).flatten()
        first, last = int(found.min()), int(found.max())
        if (first > 0 and last < shape[axis] - 1) or shape[axis] >= _LONGEST_PX:
            return first - start, last - start
        blocks *= 2


def plain_copy(network: nn.Module) -> nn.Module:
    """A float64 copy on the CPU whose convolutions average, and whose normalisations and bounded activations are gone."""
    plain = copy.deepcopy(network).cpu().double().eval()
    for parent, name, child in list(_children(plain)):
        if isinstance(child, _NORMS + _BOUNDED):
            setattr(parent, name, nn.Identity())
    with torch.no_grad():
        for module in plain.modules():
            if isinstance(module, _CONVOLUTIONS):
                module.weight.fill_(1 / max(1, math.prod(module.weight.shape[1:])))
                if module.bias is not None:
                    module.bias.zero_()
    return plain


def _children(network: nn.Module) -> Any:
    return itertools.chain.from_iterable(((parent, name, child) for name, child in parent.named_children()) for parent in network.modules())


class _SmoothPools(TorchFunctionMode):
    """Turns maxima into means, since a maximum passes the gradient on to one of its inputs only, and cuts global pools."""

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        mean = {"max_pool1d": F.avg_pool1d, "max_pool2d": F.avg_pool2d, "max_pool3d": F.avg_pool3d}.get(getattr(function, "__name__", ""))
        if mean is not None:
            named = {name: kwargs[name] for name in ("kernel_size", "stride", "padding", "ceil_mode") if kwargs.get(name) is not None}
            return mean(*args[:4], **named)
        if getattr(function, "__name__", "").startswith("adaptive_"):  # global: would make every reach infinite
            return function(args[0].detach(), *args[1:], **kwargs)
        return function(*args, **kwargs)
