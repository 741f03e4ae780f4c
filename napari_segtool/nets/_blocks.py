"""What networks are built of (torch): blocks of convolutions with normalisation and activation. Imported only when a network is built."""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from napari_segtool.nets._conv3d import QuickConv3d


def convolution(spatial: int) -> Any:
    """Return the class of convolutions over 2 or 3 axes."""
    return nn.Conv2d if spatial == 2 else QuickConv3d


def normalisation_layer(kind: str, channels: int, spatial: int) -> nn.Module:
    """Make a normalisation: "batch", "instance", "group" or "none"."""
    if kind == "batch":
        return nn.BatchNorm2d(channels) if spatial == 2 else nn.BatchNorm3d(channels)
    if kind == "instance":
        return nn.InstanceNorm2d(channels, affine=True) if spatial == 2 else nn.InstanceNorm3d(channels, affine=True)
    if kind == "group":
        groups = next(n for n in (8, 4, 2, 1) if channels % n == 0)
        return nn.GroupNorm(groups, channels)
    return nn.Identity()


def activation_layer(kind: str) -> nn.Module:
    """Make an activation: "relu", "leaky-relu", "elu" or "gelu".

    In place where that is no slower. ReLU in bfloat16 on a CPU is: a third slower than into fresh memory, which what it read gives back at once.
    """
    if kind == "leaky-relu":
        return nn.LeakyReLU(0.01, inplace=True)
    if kind == "elu":
        return nn.ELU(inplace=True)
    return nn.GELU() if kind == "gelu" else nn.ReLU()


def layer(kernel: Any, channels_in: int, channels_out: int, spatial: int, normalisation: str, activation: str = "", stride: Any = 1) -> list[nn.Module]:
    """Make a convolution, its normalisation and its activation (empty for none) as plain neighbours, so that BatchNorm can be folded.

    The size of the picture stays as it is, or is divided by ``stride`` where that equals the kernel.
    """
    padding = kernel // 2 if stride == 1 else 0
    conv = convolution(spatial)(channels_in, channels_out, kernel, stride=stride, padding=padding, bias=normalisation == "none")
    return [conv, normalisation_layer(normalisation, channels_out, spatial), *([activation_layer(activation)] if activation else [])]


def dropout_layer(share: float, spatial: int) -> list[nn.Module]:
    """Make what drops that share of the features while training; nothing for 0."""
    return [nn.Dropout2d(share) if spatial == 2 else nn.Dropout3d(share)] if share > 0 else []


class ConvBlock(nn.Sequential):
    """Two 3-wide convolutions, each with normalisation and activation.

    Parameters
    ----------
    channels_in, channels_out
        Feature channels before and after.
    spatial
        2 or 3.
    normalisation, activation
        As `normalisation_layer` and `activation_layer` take them.
    dropout
        Share of features dropped after the block while training.
    """

    def __init__(self, channels_in: int, channels_out: int, spatial: int, normalisation: str, activation: str = "relu", dropout: float = 0.0) -> None:
        super().__init__(
            *layer(3, channels_in, channels_out, spatial, normalisation, activation),
            *layer(3, channels_out, channels_out, spatial, normalisation, activation),
            *dropout_layer(dropout, spatial),
        )
        start_evenly(self)


class ResidualBlock(nn.Module):
    """The same two convolutions, whose result is added to the block's input before the last activation.

    Where the number of channels changes, a 1-wide convolution with normalisation fits the input to it. Parameters as for `ConvBlock`.

    References
    ----------
    He et al. 2016, Deep residual learning for image recognition, doi:10.1109/CVPR.2016.90.
    """

    def __init__(self, channels_in: int, channels_out: int, spatial: int, normalisation: str, activation: str = "relu", dropout: float = 0.0) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *layer(3, channels_in, channels_out, spatial, normalisation, activation),
            *layer(3, channels_out, channels_out, spatial, normalisation),
        )
        self.shortcut = nn.Identity() if channels_in == channels_out else nn.Sequential(*layer(1, channels_in, channels_out, spatial, normalisation))
        self.activation = activation_layer(activation)
        self.dropout = nn.Sequential(*dropout_layer(dropout, spatial))
        start_evenly(self)

    def forward(self, x: Tensor) -> Tensor:  # (N, C, [Z,] Y, X)
        x = self.activation(self.body(x) + self.shortcut(x))  # (N, F, [Z,] Y, X)
        return self.dropout(x) if len(self.dropout) else x


def start_evenly(block: nn.Module) -> None:
    """Draw the weights of a block's convolutions so that features keep their scale (He et al. 2015, doi:10.1109/ICCV.2015.123)."""
    for module in block.modules():
        if isinstance(module, nn.Conv2d | nn.Conv3d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")


def crop_to(x: Tensor, size: Any) -> Tensor:
    """Return the first pixels along each spatial axis, as many as ``size`` says."""
    for axis, n in enumerate(size, start=2):
        x = x.narrow(axis, 0, n)
    return x


def repeat_border(x: Tensor, multiple: Any, least: Any = ()) -> Tensor:
    """Return a batch grown at the far ends to multiples, and to ``least`` pixels along each axis where given, by repeating its border."""
    sides = x.shape[2:]
    missing = [max(few, -(-n // each) * each) - n for n, each, few in zip(sides, multiple, least or (0,) * len(sides), strict=True)]
    after = [amount for n in reversed(missing) for amount in (0, n)]
    return F.pad(x, after, mode="replicate") if any(missing) else x
