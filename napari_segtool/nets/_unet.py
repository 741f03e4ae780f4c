"""The U-Net module (torch). Imported only when a network is built."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn


class ConvBlock(nn.Sequential):
    """Two 3-wide convolutions, each with normalisation and ReLU as plain neighbours, so that BatchNorm can be folded.

    Parameters
    ----------
    channels_in, channels_out
        Feature channels before and after.
    spatial
        2 or 3.
    normalisation
        "batch", "instance", "group" or "none".
    dropout
        Share of features dropped after the block while training.
    """

    def __init__(self, channels_in: int, channels_out: int, spatial: int, normalisation: str, dropout: float = 0.0) -> None:
        conv = nn.Conv2d if spatial == 2 else nn.Conv3d
        layers: list[nn.Module] = []
        for width in (channels_in, channels_out):
            layers += [
                conv(width, channels_out, 3, padding=1, bias=normalisation == "none"),
                _normalisation(normalisation, channels_out, spatial),
                nn.ReLU(inplace=True),
            ]
        if dropout > 0:
            layers.append(nn.Dropout2d(dropout) if spatial == 2 else nn.Dropout3d(dropout))
        super().__init__(*layers)
        for module in self:
            if isinstance(module, nn.Conv2d | nn.Conv3d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")


def _normalisation(kind: str, channels: int, spatial: int) -> nn.Module:
    if kind == "batch":
        return nn.BatchNorm2d(channels) if spatial == 2 else nn.BatchNorm3d(channels)
    if kind == "instance":
        return nn.InstanceNorm2d(channels, affine=True) if spatial == 2 else nn.InstanceNorm3d(channels, affine=True)
    if kind == "group":
        groups = next(n for n in (8, 4, 2, 1) if channels % n == 0)
        return nn.GroupNorm(groups, channels)
    return nn.Identity()


def _stem(channels: int, features: int, spatial: int, reduction: tuple[int, ...], normalisation: str) -> nn.Module:
    conv: Any = nn.Conv2d if spatial == 2 else nn.Conv3d
    return nn.Sequential(
        conv(channels, features, reduction, stride=reduction, bias=normalisation == "none"),
        _normalisation(normalisation, features, spatial),
        nn.ReLU(inplace=True),
    )


class UNet(nn.Module):
    """U-Net with padded convolutions: the logits have the size of the input, whatever that is.

    The blocks are named ``down.0`` … ``down.{depth-1}``, ``bottom``, ``up.0`` (deepest) … ``up.{depth-1}`` (full resolution)
    and ``head``; explainers address them by these names.

    Parameters
    ----------
    channels, classes
        Input channels and output classes.
    spatial
        2 or 3.
    base_channels, max_channels
        Features at full resolution, doubled at each level below, and the most of any level.
    pooling
        Factor of each level from the top, one number for each spatial axis.
    normalisation
        "batch", "instance", "group" or "none".
    dropout
        In the bottom and the deepest encoder block.
    reduction
        Above 1, a first convolution ``stem`` with this stride along Y and X makes the picture smaller, and the logits are interpolated back.

    References
    ----------
    Ronneberger et al. 2015, doi:10.1007/978-3-319-24574-4_28; in 3-D Çiçek et al. 2016, doi:10.1007/978-3-319-46723-8_49.
    """

    def __init__(
        self,
        channels: int,
        classes: int,
        spatial: int,
        *,
        base_channels: int = 32,
        max_channels: int = 256,
        pooling: Sequence[Sequence[int]] = ((2, 2),) * 4,
        normalisation: str = "batch",
        dropout: float = 0.0,
        reduction: int = 1,
    ) -> None:
        super().__init__()
        depth = len(pooling)
        widths = [min(base_channels * 2**level, max(max_channels, base_channels)) for level in range(depth + 1)]
        self.pooling = tuple(tuple(factor) for factor in pooling)
        self.reduction = (reduction,) * 2 if spatial == 2 else (1, reduction, reduction)
        self.multiple = tuple(self.reduction[axis] * math.prod(factor[axis] for factor in self.pooling) for axis in range(spatial))
        self.stem = _stem(channels, base_channels, spatial, self.reduction, normalisation) if reduction > 1 else nn.Identity()
        channels = base_channels if reduction > 1 else channels
        unpool: Any = nn.ConvTranspose2d if spatial == 2 else nn.ConvTranspose3d
        pool: Any = nn.MaxPool2d if spatial == 2 else nn.MaxPool3d
        self.down = nn.ModuleList(
            ConvBlock(widths[level - 1] if level else channels, widths[level], spatial, normalisation, dropout if level == depth - 1 and level else 0.0)
            for level in range(depth)
        )
        self.pool = nn.ModuleList(pool(factor) for factor in self.pooling)
        self.bottom = ConvBlock(widths[depth - 1], widths[depth], spatial, normalisation, dropout)
        rising = list(reversed(range(depth)))
        self.unpool = nn.ModuleList(unpool(widths[level + 1], widths[level], self.pooling[level], stride=self.pooling[level]) for level in rising)
        self.up = nn.ModuleList(ConvBlock(2 * widths[level], widths[level], spatial, normalisation) for level in rising)
        self.head = (nn.Conv2d if spatial == 2 else nn.Conv3d)(widths[0], classes, 1)

    def forward(self, x: Tensor) -> Tensor:  # (N, C, [Z,] Y, X)
        size = x.shape[2:]
        x = self._pad(x)  # (N, C, Z⁺, Y⁺, X⁺) multiples of the pooling
        x = self.stem(x)  # (N, C or F, Z⁺, Y⁺/r, X⁺/r)
        skips = []
        for block, pool in zip(self.down, self.pool, strict=True):
            x = block(x)  # (N, F·2^i, Z, Y, X)
            skips.append(x)
            x = pool(x)
        x = self.bottom(x)
        for unpool, block, skip in zip(self.unpool, self.up, reversed(skips), strict=True):
            x = block(torch.cat((skip, unpool(x)), 1))
        x = self._enlarge(self.head(x))  # (N, K, Z⁺, Y⁺, X⁺) logits; softmax is the caller's
        for axis, n in enumerate(size, start=2):
            x = x.narrow(axis, 0, n)
        return x  # (N, K, [Z,] Y, X)

    def _enlarge(self, x: Tensor) -> Tensor:
        if max(self.reduction) == 1:
            return x
        factors = [float(n) for n in self.reduction]
        return F.interpolate(x, scale_factor=factors, mode="bilinear" if len(factors) == 2 else "trilinear")

    def _pad(self, x: Tensor) -> Tensor:
        missing = [-n % multiple for n, multiple in zip(x.shape[2:], self.multiple, strict=True)]
        if not any(missing):
            return x
        after = [amount for n in reversed(missing) for amount in (0, n)]
        return F.pad(x, after, mode="replicate")
