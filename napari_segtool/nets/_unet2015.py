"""The U-Net of 2015 (torch). Imported only when a network is built."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from napari_segtool.core.errors import ShapeError
from napari_segtool.nets._blocks import crop_to
from napari_segtool.nets._initialise import initialise
from napari_segtool.nets._neighbours import mirrored
from napari_segtool.nets._spans import Span, coarser, finer, joined
from napari_segtool.nets._up_convolution import QuickConvTranspose2d

_LEVELS = 4
_STRIDE = 2**_LEVELS
_BLOCK_LOSS = 4
"""Pixels by which a block's two unpadded convolutions make the picture smaller."""
_SMALLEST_RESULT = 4


def _lost(level: int) -> int:
    """Pixels by which everything from a level down and back makes that level's picture smaller."""
    return _BLOCK_LOSS if level == _LEVELS else 2 * _BLOCK_LOSS + 2 * _lost(level + 1)


class UNet2015(nn.Module):
    """The published U-Net: unpadded convolutions, copy and crop; `valid` is the published mapping, `forward` mirrors the border for it.

    Blocks are named as in `nets._unet.UNet`: ``down.0`` … ``down.3``, ``bottom``, ``up.0`` (deepest) … ``up.3`` and ``head``.
    As in the paper, and unlike the model the authors published with it, no ReLU follows the up-convolutions.

    Parameters
    ----------
    channels, classes
        Input channels and output classes.
    base_channels
        Features at full resolution, doubled at each of the four levels below.
    dropout
        Share of features dropped at the end of the contracting path (its last two blocks) while training.

    Attributes
    ----------
    multiple : tuple of int
        Total stride.
    border_px : int
        What `valid` takes off each side.

    References
    ----------
    Ronneberger et al. 2015, doi:10.1007/978-3-319-24574-4_28.
    """

    def __init__(self, channels: int, classes: int, *, base_channels: int = 64, dropout: float = 0.5) -> None:
        super().__init__()
        self.multiple = (_STRIDE, _STRIDE)
        self.border_px = _lost(0) // 2
        widths = [base_channels * 2**level for level in range(_LEVELS + 1)]
        before = [channels, *widths]
        self.down = nn.ModuleList(_block(before[level], widths[level], dropout if level == _LEVELS - 1 else 0.0) for level in range(_LEVELS))
        self.pool = nn.ModuleList(nn.MaxPool2d(2) for _ in range(_LEVELS))
        self.bottom = _block(widths[-2], widths[-1], dropout)
        rising = list(reversed(range(_LEVELS)))
        self.unpool = nn.ModuleList(QuickConvTranspose2d(widths[level + 1], widths[level], 2, stride=2) for level in rising)
        self.up = nn.ModuleList(_block(2 * widths[level], widths[level]) for level in rising)
        self.head = nn.Conv2d(widths[0], classes, 1)
        initialise(self, "gaussian")

    def forward(self, x: Tensor) -> Tensor:  # (N, C, Y, X) of any size
        return crop_to(self.valid(self.with_border(x)), x.shape[2:])  # (N, K, Y, X) logits

    def valid(self, x: Tensor) -> Tensor:
        """Return the logits of the pixels that have all they need around them: ``(N, C, 572, 572)`` gives ``(N, K, 388, 388)``.

        Raises
        ------
        ShapeError
            If a side is not one on which every pooling finds an even number of pixels: 188, 204, … 572, …
        """
        least = _lost(0) + _SMALLEST_RESULT
        for n in x.shape[2:]:
            if n < least or (n - least) % _STRIDE:
                fitting = max(least, n + (least - n) % _STRIDE)
                raise ShapeError(f"The U-Net of 2015 cannot take {n} pixels: a pooling would cut one in two.", hint=f"Show it {fitting} pixels.")
        skips = []
        for block, pool in zip(self.down, self.pool, strict=True):
            x = block(x)  # (N, F·2^i, Y, X), 4 pixels smaller
            skips.append(x)
            x = pool(x)
        x = self.bottom(x)
        for unpool, block, skip in zip(self.unpool, self.up, reversed(skips), strict=True):
            x = unpool(x)
            x = block(torch.cat((_middle(skip, x.shape[2:]), x), 1))
        return self.head(x)  # type: ignore[no-any-return]  # (N, K, Y - 184, X - 184)

    def with_border(self, x: Tensor, inner: Sequence[slice] = ()) -> Tensor:
        """Return what `valid` needs to decide a part of a picture: the part and its surroundings, mirrored where the picture ends.

        Parameters
        ----------
        x
            ``(N, C, Y, X)``, any size.
        inner
            The part; empty for everything. The first logits of `valid` are those of its first pixels; a few beyond its
            far ends may follow.
        """
        for axis, part in enumerate(inner or [slice(0, n) for n in x.shape[2:]], start=2):
            n, spare = x.shape[axis], (_SMALLEST_RESULT - (part.stop - part.start)) % _STRIDE
            first, last = part.start - self.border_px, part.stop + self.border_px + spare
            if first >= 0 and last <= n:
                x = x.narrow(axis, first, last - first)
            else:
                x = x.index_select(axis, torch.tensor([mirrored(i, n) for i in range(first, last)], device=x.device))
        return x

    def reads(self, _axis: int, span: Span) -> Span:
        """Return which pixels of the input the logits of a span depend on, along one axis and far from the border, by the arithmetic of the layers."""
        first, last = _reads_from(0, span)
        return first - self.border_px, last - self.border_px


def _reads_from(level: int, span: Span) -> Span:
    """What a level's blocks on the way up and, before, on the way down read of the level's input, counted from the corner of both."""
    risen = span[0], span[1] + _BLOCK_LOSS
    if level == _LEVELS:
        return risen
    copied = risen[0] + _lost(level + 1), risen[1] + _lost(level + 1)
    first, last = joined(copied, finer(_reads_from(level + 1, coarser(risen, 2)), 2))
    return first, last + _BLOCK_LOSS


def _block(channels_in: int, channels_out: int, dropout: float = 0.0) -> nn.Sequential:
    layers: list[nn.Module] = [nn.Conv2d(channels_in, channels_out, 3), nn.ReLU(inplace=True), nn.Conv2d(channels_out, channels_out, 3), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers, *([nn.Dropout(dropout)] if dropout > 0 else []))


def _middle(x: Tensor, size: Sequence[int]) -> Tensor:
    """The copy-and-crop of the paper."""
    for axis, n in enumerate(size, start=2):
        x = x.narrow(axis, (x.shape[axis] - n) // 2, n)
    return x
