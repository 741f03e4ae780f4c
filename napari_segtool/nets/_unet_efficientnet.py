"""The U-Net with the encoder of EfficientNet-Lite0 (torch). Imported only when a network is built."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from napari_segtool.nets._blocks import ConvBlock, crop_to, dropout_layer, repeat_border
from napari_segtool.nets._depthwise import QuickDepthwise2d
from napari_segtool.nets._spans import Span, between, coarser, finer, grown, joined

Stage = tuple[int, int, int, int, int]
"""Blocks, width of the kernel, stride of the first block, widening inside, channels of the result."""

_STEM_CHANNELS = 32
_LEVELS: tuple[tuple[Stage, ...], ...] = (
    ((1, 3, 1, 1, 16),),
    ((2, 3, 2, 6, 24),),
    ((2, 5, 2, 6, 40),),
    ((3, 3, 2, 6, 80), (3, 5, 1, 6, 112)),
    ((4, 5, 2, 6, 192), (1, 3, 1, 6, 320)),
)
"""Stages of EfficientNet-Lite0 by the resolution of their result: a half (after the stem) to a thirty-second."""
_DETAIL_CHANNELS = 16
_WIDTHS = (4, 2, 2, 1, 1)
"""Channels of the decoder's blocks from the deepest, in multiples of ``base_channels``."""
_BLOCK_REACH = 2
_EPSILON = 1e-3


class UNetEfficientNet(nn.Module):
    """A U-Net that comes down through EfficientNet-Lite0; the logits have the size of the input, whatever that is.

    Blocks are named as in `nets._unet.UNet`: ``down.0`` … ``down.3`` and ``bottom`` (the published encoder, from half the resolution), ``up.0``
    (deepest) … ``up.3`` (half) and ``head``, whose logits are interpolated. Where the picture is not made smaller, two convolutions at full
    resolution keep the detail that the published encoder lacks: they are ``down.0``, the encoder follows, and ``up.4`` brings them together.

    Parameters
    ----------
    channels, classes
        Input channels and output classes.
    base_channels
        Features of the decoder at half resolution.
    reduction
        The picture is made so many times smaller along Y and X first, and the logits are interpolated back.
    dropout
        At the bottom and after the two deepest blocks of the decoder.

    References
    ----------
    EfficientNet: Tan & Le 2019, arXiv:1905.11946; Lite0 is its smallest form without squeeze-and-excitation and with ReLU6,
    https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite. A pretrained encoder in a U-Net: Iglovikov & Shvets 2018,
    TernausNet, arXiv:1801.05746.
    """

    def __init__(self, channels: int, classes: int, *, base_channels: int = 32, reduction: int = 1, dropout: float = 0.0) -> None:
        super().__init__()
        self.reduction = reduction
        self.multiple = (reduction * 2 ** len(_LEVELS),) * 2
        before, levels = channels, []
        for number, stages in enumerate(_LEVELS):
            layers = [] if number else _convolution(before, _STEM_CHANNELS, 3, stride=2)
            before = before if number else _STEM_CHANNELS
            for blocks, kernel, stride, widening, after in stages:
                for first in (True, *[False] * (blocks - 1)):
                    layers.append(InvertedBottleneck(before, after, kernel, stride if first else 1, widening))
                    before = after
            levels.append(nn.Sequential(*layers))
        self.detail = reduction == 1
        fine = [ConvBlock(channels, _DETAIL_CHANNELS, 2, "batch")] if self.detail else []
        self.down = nn.ModuleList([*fine, *levels[:-1]])
        self.bottom = nn.Sequential(*levels[-1], *dropout_layer(dropout, 2))
        features = [*([_DETAIL_CHANNELS] if self.detail else []), *(stages[-1][-1] for stages in _LEVELS)]
        widths = [features[-1], *(base_channels * width for width in _WIDTHS[: len(features) - 1])]
        self.up = nn.ModuleList(
            ConvBlock(below + skip, width, 2, "batch", dropout=dropout if place < 2 else 0.0)
            for place, ((below, width), skip) in enumerate(zip(pairwise(widths), reversed(features[:-1]), strict=True))
        )
        self.unpool = nn.ModuleList(nn.Upsample(scale_factor=2) for _ in self.up)
        self.head = nn.Conv2d(widths[-1], classes, 1)

    def forward(self, x: Tensor) -> Tensor:  # (N, C, Y, X)
        size = x.shape[2:]
        x = repeat_border(x, self.multiple)
        x = F.avg_pool2d(x, self.reduction) if self.reduction > 1 else x
        skips, features = [fine(x) for fine in self.down[: self.detail]], x
        for level in self.down[self.detail :]:
            features = level(features)  # (N, F, Y/2^i, X/2^i)
            skips.append(features)
        features = self.bottom(features)
        for enlarge, block, skip in zip(self.unpool, self.up, reversed(skips), strict=True):
            features = block(torch.cat((skip, enlarge(features)), 1))
        logits: Tensor = self.head(features)
        if not self.detail:
            logits = F.interpolate(logits, scale_factor=2.0 * self.reduction, mode="bilinear")
        return crop_to(logits, size)  # (N, K, Y, X)

    @torch.no_grad()
    def load_imagenet(self, weights: Mapping[str, Tensor]) -> None:
        """Take the encoder's weights from the published ones, in the order of their layers; the rest stays.

        Three channels are taken for colours; of any other number each gets the same share of the three.

        Parameters
        ----------
        weights
            As `nets._imagenet.imagenet_weights` returns them.

        Raises
        ------
        ValueError
            If they are not those of EfficientNet-Lite0.
        """
        encoder = [module for level in (*self.down[self.detail :], self.bottom) for module in level.modules()]
        kernels = [value for name, value in weights.items() if name.endswith("_conv.weight") or name == "_conv_stem.weight"]
        norms = [name.removesuffix(".running_var") for name in weights if name.endswith(".running_var") and name != "_bn1.running_var"]
        convolutions = [module for module in encoder if isinstance(module, nn.Conv2d)]
        for convolution, kernel in zip(convolutions, kernels, strict=True):
            channels = convolution.weight.shape[1]
            fitted = kernel if channels == kernel.shape[1] else kernel.sum(1, keepdim=True).expand(-1, channels, -1, -1) / channels
            if fitted.shape != convolution.weight.shape:
                raise ValueError(f"a kernel of {tuple(kernel.shape)} does not fit one of {tuple(convolution.weight.shape)}")
            convolution.weight.copy_(fitted)
        for norm, name in zip((module for module in encoder if isinstance(module, nn.BatchNorm2d)), norms, strict=True):
            for own in ("weight", "bias", "running_mean", "running_var"):
                getattr(norm, own).copy_(weights[f"{name}.{own}"])

    def reads(self, _axis: int, span: Span) -> Span:
        """Return which pixels of the input the logits of a span depend on, along one axis and far from the border, by the arithmetic of the layers."""
        wanted, risen = [], span if self.detail else between(span, 2 * self.reduction)
        for _ in self.up:  # from the finest down
            risen = grown(risen, _BLOCK_REACH)
            wanted.append(risen)
            risen = coarser(risen, 2)
        found = _read_by(self.bottom, risen)
        for level, skip in zip(reversed(self.down[self.detail :]), reversed(wanted[self.detail :]), strict=True):
            found = _read_by(level, joined(found, skip))
        return joined(found, grown(wanted[0], _BLOCK_REACH)) if self.detail else finer(found, self.reduction)


class InvertedBottleneck(nn.Module):
    """Widen, look around in each channel by itself, narrow; added to the input where both have the same shape.

    References
    ----------
    Sandler et al. 2018, MobileNetV2, doi:10.1109/CVPR.2018.00474.
    """

    def __init__(self, channels_in: int, channels_out: int, kernel: int, stride: int, widening: int) -> None:
        super().__init__()
        inside = channels_in * widening
        self.body = nn.Sequential(
            *(_convolution(channels_in, inside, 1) if widening > 1 else []),
            *_convolution(inside, inside, kernel, stride=stride, depthwise=True),
            *_convolution(inside, channels_out, 1)[:-1],
        )
        self.added = stride == 1 and channels_in == channels_out

    def forward(self, x: Tensor) -> Tensor:  # (N, C, Y, X)
        seen: Tensor = self.body(x)
        return x + seen if self.added else seen


def _convolution(channels_in: int, channels_out: int, kernel: int, *, stride: int = 1, depthwise: bool = False) -> list[nn.Module]:
    """Make a convolution with normalisation and ReLU6; with a stride of 2 the border is as TensorFlow puts it, one pixel less before than after."""
    before = (kernel - stride) // 2
    border: list[nn.Module] = [nn.ZeroPad2d((before, kernel - stride - before) * 2)] if stride > 1 else []
    border_px = kernel // 2 if stride == 1 else 0
    conv = (
        QuickDepthwise2d(channels_in, kernel, stride, border_px) if depthwise else nn.Conv2d(channels_in, channels_out, kernel, stride, border_px, bias=False)
    )
    return [*border, conv, nn.BatchNorm2d(channels_out, eps=_EPSILON), nn.ReLU6(inplace=True)]


def _read_by(level: nn.Module, span: Span) -> Span:
    """What the convolutions of a level read for these pixels of its result; what is added to a result lies within."""
    first, last = span
    for conv in reversed([module for module in level.modules() if isinstance(module, nn.Conv2d)]):
        kernel, stride = conv.kernel_size[0], conv.stride[0]
        before = (kernel - stride) // 2
        first, last = stride * first - before, stride * last - before + kernel - 1
    return first, last
