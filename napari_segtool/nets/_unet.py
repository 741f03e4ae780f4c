"""The U-Net module (torch). Imported only when a network is built."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from napari_segtool.nets._blocks import ConvBlock, ResidualBlock, convolution, crop_to, layer, repeat_border
from napari_segtool.nets._spans import Span, between, coarser, finer, grown, joined
from napari_segtool.nets._up_convolution import QuickConvTranspose2d, QuickConvTranspose3d

_BLOCK_REACH = 2
"""Pixels that a block's two 3-wide convolutions read beyond each of its own."""


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
    activation
        "relu", "leaky-relu", "elu" or "gelu".
    residual
        Whether each block's input is added to its result.
    dropout
        In the bottom and the deepest encoder block.
    reduction
        Above 1, a first convolution ``stem`` with this stride along Y and X makes the picture smaller, and the logits are interpolated back.
    deep_supervision
        While training, return logits of coarser levels too (``deep.0`` at half resolution, …); the two coarsest levels of all
        have none, but a network of depth 2 or more has at least one.

    References
    ----------
    Ronneberger et al. 2015, doi:10.1007/978-3-319-24574-4_28; in 3-D Çiçek et al. 2016, doi:10.1007/978-3-319-46723-8_49;
    deep supervision as in nnU-Net, Isensee et al. 2021, doi:10.1038/s41592-020-01008-z.
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
        activation: str = "relu",
        residual: bool = False,
        dropout: float = 0.0,
        reduction: int = 1,
        deep_supervision: bool = False,
    ) -> None:
        super().__init__()
        depth = len(pooling)
        widths = [min(base_channels * 2**level, max(max_channels, base_channels)) for level in range(depth + 1)]
        self.pooling = tuple(tuple(factor) for factor in pooling)
        self.reduction = (reduction,) * 2 if spatial == 2 else (1, reduction, reduction)
        self.multiple = tuple(self.reduction[axis] * math.prod(factor[axis] for factor in self.pooling) for axis in range(spatial))
        shrinking = layer(self.reduction, channels, base_channels, spatial, normalisation, activation, self.reduction) if reduction > 1 else []
        self.stem = nn.Sequential(*shrinking) if shrinking else nn.Identity()
        channels = base_channels if reduction > 1 else channels

        def block(channels_in: int, channels_out: int, dropout: float = 0.0) -> nn.Module:
            return (ResidualBlock if residual else ConvBlock)(channels_in, channels_out, spatial, normalisation, activation, dropout)

        unpool: Any = QuickConvTranspose2d if spatial == 2 else QuickConvTranspose3d
        pool: Any = nn.MaxPool2d if spatial == 2 else nn.MaxPool3d
        self.down = nn.ModuleList(
            block(widths[level - 1] if level else channels, widths[level], dropout if level == depth - 1 and level else 0.0) for level in range(depth)
        )
        self.pool = nn.ModuleList(pool(factor) for factor in self.pooling)
        self.bottom = block(widths[depth - 1], widths[depth], dropout)
        rising = list(reversed(range(depth)))
        self.unpool = nn.ModuleList(unpool(widths[level + 1], widths[level], self.pooling[level], stride=self.pooling[level]) for level in rising)
        self.up = nn.ModuleList(block(2 * widths[level], widths[level]) for level in rising)
        self.head = convolution(spatial)(widths[0], classes, 1)
        self.deep_supervision = deep_supervision
        self.deep_levels = tuple(range(1, max(1, depth - 2) + 1))[: depth - 1] if deep_supervision else ()
        self.deep = nn.ModuleList(convolution(spatial)(widths[level], classes, 1) for level in self.deep_levels)

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, ...]:  # (N, C, [Z,] Y, X)
        size = x.shape[2:]
        x = repeat_border(x, self.multiple)  # (N, C, Z⁺, Y⁺, X⁺) multiples of the pooling
        x = self.stem(x)  # (N, C or F, Z⁺, Y⁺/r, X⁺/r)
        skips, risen = [], []
        for block, pool in zip(self.down, self.pool, strict=True):
            x = block(x)  # (N, F·2^i, Z, Y, X)
            skips.append(x)
            x = pool(x)
        x = self.bottom(x)
        for unpool, block, skip in zip(self.unpool, self.up, reversed(skips), strict=True):
            x = block(torch.cat((skip, unpool(x)), 1))
            risen.append(x)
        logits = crop_to(self._enlarge(self.head(x)), size)  # (N, K, [Z,] Y, X); softmax is the caller's
        if not (self.training and self.deep_supervision):
            return logits
        coarse = [crop_to(head(risen[-1 - level]), self._size_at(level, size)) for level, head in zip(self.deep_levels, self.deep, strict=True)]
        return (logits, *coarse)  # from fine to coarse

    def reads(self, axis: int, span: Span) -> Span:
        """Return which pixels of the input the logits of a span depend on, along one axis and far from the border, by the arithmetic of the layers."""
        inside = self._reads_from(0, between(span, self.reduction[axis]), [factor[axis] for factor in self.pooling])
        return finer(inside, self.reduction[axis])

    def _reads_from(self, level: int, span: Span, factors: list[int]) -> Span:
        """What the decoder's block of a level reads of the input of the encoder's."""
        risen = grown(span, _BLOCK_REACH)
        below = coarser(risen, factors[level])
        below = grown(below, _BLOCK_REACH) if level + 1 == len(factors) else self._reads_from(level + 1, below, factors)
        return grown(joined(risen, finer(below, factors[level])), _BLOCK_REACH)

    def _enlarge(self, x: Tensor) -> Tensor:
        if max(self.reduction) == 1:
            return x
        factors = [float(n) for n in self.reduction]
        return F.interpolate(x, scale_factor=factors, mode="bilinear" if len(factors) == 2 else "trilinear")

    def _size_at(self, level: int, size: Sequence[int]) -> list[int]:
        """Pixels of a level's feature maps that lie within a picture of that size."""
        shrunk = [self.reduction[axis] * math.prod(factor[axis] for factor in self.pooling[:level]) for axis in range(len(size))]
        return [-(-n // factor) for n, factor in zip(size, shrunk, strict=True)]
