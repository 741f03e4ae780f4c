"""Make one layer of several, for networks that are no longer trained."""

from __future__ import annotations

import copy
import itertools

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from napari_segtool.nets._conv3d import too_thin

_BATCHNORMS = (nn.BatchNorm2d, nn.BatchNorm3d)


def fold_batchnorm(network: nn.Module) -> nn.Module:
    """Return a copy for evaluation in which each BatchNorm that follows a convolution in a Sequential is part of it."""
    folded = copy.deepcopy(network).eval().requires_grad_(False)
    for parent in folded.modules():
        if not isinstance(parent, nn.Sequential):
            continue
        names = list(parent._modules)
        for before, after in itertools.pairwise(names):
            conv, norm = parent._modules[before], parent._modules[after]
            if isinstance(conv, nn.Conv2d | nn.Conv3d) and isinstance(norm, _BATCHNORMS) and norm.running_mean is not None:
                parent._modules[before] = fuse_conv_bn_eval(conv, norm).requires_grad_(False)
                parent._modules[after] = nn.Identity()
    return folded


class ConvActivation(nn.Module):
    """A convolution that applies the activation as it writes its output: for want of arithmetic, ReLU alone takes as long as half a convolution.

    For the CPU and without gradients. It shares the weights of the convolution given.
    """

    def __init__(self, conv: nn.Conv2d | nn.Conv3d, activation: nn.Module) -> None:
        super().__init__()
        self.conv, self._activate = conv, activation.forward
        known = fusible(activation)
        if known is None:
            raise TypeError(f"{type(activation).__name__} cannot be part of a convolution")
        self._name, self._numbers, self._algorithm = known

    def forward(self, x: Tensor) -> Tensor:  # (N, C, [Z,] Y, X)
        conv = self.conv
        if too_thin(x, conv.kernel_size):
            activated: Tensor = self._activate(conv(x))
            return activated
        out: Tensor = torch.ops.mkldnn._convolution_pointwise(
            x,
            conv.weight,
            conv.bias,
            list(conv.padding),
            list(conv.stride),
            list(conv.dilation),
            conv.groups,
            self._name,
            self._numbers,
            self._algorithm,
        )
        return out  # (N, K, [Z,] Y, X)


def fusible(module: nn.Module) -> tuple[str, list[float], str] | None:
    """Return how oneDNN calls an activation: name, numbers, algorithm; None for what it cannot join to a convolution."""
    if isinstance(module, nn.ReLU):
        return "relu", [], ""
    if isinstance(module, nn.LeakyReLU):
        return "leaky_relu", [module.negative_slope], ""
    return ("gelu", [], module.approximate) if isinstance(module, nn.GELU) else None


def fuse_activations(network: nn.Module) -> nn.Module | None:
    """Return a twin of a folded network, with the same weights, whose convolutions do the activation that follows them in a Sequential.

    None where this torch cannot.
    """
    if not hasattr(torch.ops.mkldnn, "_convolution_pointwise"):
        return None
    twin = copy.deepcopy(network, {id(tensor): tensor for tensor in itertools.chain(network.parameters(), network.buffers())})
    for parent in list(twin.modules()):
        if not isinstance(parent, nn.Sequential):
            continue
        names = [name for name, module in parent._modules.items() if not isinstance(module, nn.Identity)]
        for before, after in itertools.pairwise(names):
            conv, activation = parent._modules[before], parent._modules[after]
            if (
                isinstance(conv, nn.Conv2d | nn.Conv3d)
                and activation is not None
                and fusible(activation) is not None
                and conv.padding_mode == "zeros"
                and not isinstance(conv.padding, str)
            ):
                parent._modules[before], parent._modules[after] = ConvActivation(conv, activation), nn.Identity()
    return twin
