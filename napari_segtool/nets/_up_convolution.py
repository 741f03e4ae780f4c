"""Up-convolutions whose bias is learned as quickly as everything else (torch). Imported only when a network is built."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn


class QuickConvTranspose2d(nn.ConvTranspose2d):
    """`torch.nn.ConvTranspose2d` with the same weights and results, whose step backwards takes half the time on a CPU.

    Torch sums the gradient of the bias there by a plain loop, which in bfloat16 takes longer than the gradients of input and weights together. Where a
    bias is learned it is therefore added by itself, and summed as any other broadcast value is.
    """

    def forward(self, input: Tensor, output_size: Sequence[int] | None = None) -> Tensor:  # (N, C, Y, X)
        if output_size is not None or not _learns_bias(self.bias, input):
            return super().forward(input, output_size)  # type: ignore[arg-type]
        y = F.conv_transpose2d(input, self.weight, None, self.stride, self.padding, self.output_padding, self.groups, self.dilation)  # type: ignore[arg-type]
        return y.add_(self.bias.to(y.dtype).view(-1, 1, 1))  # type: ignore[union-attr]


class QuickConvTranspose3d(nn.ConvTranspose3d):
    """The same for volumes."""

    def forward(self, input: Tensor, output_size: Sequence[int] | None = None) -> Tensor:  # (N, C, Z, Y, X)
        if output_size is not None or not _learns_bias(self.bias, input):
            return super().forward(input, output_size)  # type: ignore[arg-type]
        y = F.conv_transpose3d(input, self.weight, None, self.stride, self.padding, self.output_padding, self.groups, self.dilation)  # type: ignore[arg-type]
        return y.add_(self.bias.to(y.dtype).view(-1, 1, 1, 1))  # type: ignore[union-attr]


def _learns_bias(bias: Tensor | None, x: Tensor) -> bool:
    return bias is not None and bias.requires_grad and torch.is_grad_enabled() and x.device.type == "cpu"
