"""Convolutions of each channel by itself that are learned as quickly as they are used (torch). Imported only when a network is built."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

_QUICK = 3
"""Width of the kernels whose gradient is quick."""


class QuickDepthwise2d(nn.Conv2d):
    """A depthwise `torch.nn.Conv2d` with the same weights and results, whose step backwards in bfloat16 is many times as quick on a CPU.

    Backwards torch takes a plain loop there: for the weights of kernels larger than 3 × 3, and for the input where the stride is 2. Here the first are
    learned as the 3 × 3 kernels they are made of, and the second is found as a forward convolution for each of its even and odd rows and columns.

    Parameters
    ----------
    channels
        Of input and output.
    kernel
        Odd width.
    stride
        1 or 2.
    padding
        Pixels of zeros on each side.
    """

    def __init__(self, channels: int, kernel: int, stride: int = 1, padding: int = 0) -> None:
        super().__init__(channels, channels, kernel, stride, padding, groups=channels, bias=False)

    def forward(self, input: Tensor) -> Tensor:  # (N, C, Y, X)
        kernel, stride, padding = self.kernel_size[0], self.stride[0], int(self.padding[0])
        if (kernel, stride) == (_QUICK, 1) or not _learns_in_bfloat16(input):
            return super().forward(input)
        x = F.pad(input.bfloat16(), (padding,) * 4) if padding else input.bfloat16()
        result: Tensor = _Depthwise.apply(x, self.weight, stride)  # type: ignore[no-untyped-call]
        return result


class _Depthwise(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, stride: int) -> Tensor:
        weight = weight.to(x.dtype)
        ctx.save_for_backward(x, weight)
        ctx.stride = stride
        return F.conv2d(x, weight, None, stride, groups=len(weight))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        x, weight = ctx.saved_tensors
        of_input = of_weight = None
        if ctx.needs_input_grad[0]:
            of_input = _of_input(gradient, x, weight) if ctx.stride == 1 else _of_strided_input(gradient, x, weight)
        if ctx.needs_input_grad[1]:
            of_weight = _of_weight(gradient, x, weight, ctx.stride)
        return of_input, of_weight, None


def _of_input(gradient: Tensor, x: Tensor, weight: Tensor) -> Tensor:
    found: Tensor = _convolution_backward(gradient, x, weight, 1, (True, False, False))[0]
    return found


def _of_strided_input(gradient: Tensor, x: Tensor, weight: Tensor) -> Tensor:
    """Rows 2 m + a of the input met only the weights 2 t + a, those of row m - t of the result: a convolution of its own for each a, along y and x."""
    found = torch.zeros_like(x)
    for row in range(2):
        for column in range(2):
            kernel = weight[:, :, row::2, column::2].flip(2, 3)
            height, width = kernel.shape[2:]
            part = F.conv2d(gradient, kernel, None, 1, (height - 1, width - 1), groups=len(weight))
            here = found[:, :, row::2, column::2]
            height, width = min(part.shape[2], here.shape[2]), min(part.shape[3], here.shape[3])
            here[:, :, :height, :width] = part[:, :, :height, :width]
    return found


def _of_weight(gradient: Tensor, x: Tensor, weight: Tensor, stride: int) -> Tensor:
    """The gradient of each 3 × 3 part of the kernel, from the part of the input that it saw."""
    found = torch.empty(weight.shape, dtype=torch.float32)
    small = weight[:, :, :_QUICK, :_QUICK]
    height, width = (stride * (size - 1) + _QUICK for size in gradient.shape[2:])
    for row in range(0, weight.shape[2] - 2, 2):
        for column in range(0, weight.shape[3] - 2, 2):
            seen = x[:, :, row : row + height, column : column + width].contiguous(memory_format=torch.channels_last)
            found[:, :, row : row + _QUICK, column : column + _QUICK] = _convolution_backward(gradient, seen, small, stride, (False, True, False))[1]
    return found


def _convolution_backward(gradient: Tensor, x: Tensor, weight: Tensor, stride: int, wanted: tuple[bool, bool, bool]) -> Any:
    return torch.ops.aten.convolution_backward(gradient, x, weight, None, (stride,) * 2, (0, 0), (1, 1), False, (0, 0), len(weight), wanted)


def _learns_in_bfloat16(x: Tensor) -> bool:
    if x.device.type != "cpu" or not torch.is_grad_enabled():
        return False
    return x.dtype == torch.bfloat16 or (torch.is_autocast_enabled("cpu") and torch.get_autocast_dtype("cpu") == torch.bfloat16)
