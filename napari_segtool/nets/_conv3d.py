"""A convolution over volumes that is as quick for one volume as for several, and right for thin ones (torch). Imported only when a network is built."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

_NATIVE_SIZE = 20480
"""Up to so many values of batch × channels × depth × height torch takes a batch of one for too small for oneDNN, though X is not counted."""


class QuickConv3d(nn.Conv3d):
    """`torch.nn.Conv3d` with the same weights and results, five to ten times quicker for a single volume in float32 on a CPU.

    Torch gives such a volume to a plain implementation that copies it once for each of the kernel's 27 places. Cut in two
    along an even axis, with what the kernel reads beyond the cut, it is a batch of two, which oneDNN takes.

    In bfloat16 on a CPU oneDNN leaves gradients of the kernel unwritten where the volume has fewer planes than the kernel (2 under 3), and results
    where it is a single plane of one channel: planes of zeros, which the kernel would read there anyway, make it thick enough, and are cut off again.
    """

    def forward(self, x: Tensor) -> Tensor:  # (N, C, Z, Y, X)
        kernel, padding = self.kernel_size, self.padding
        thin = too_thin(x, kernel)
        if not (thin or _slow(x)):
            return super().forward(x)
        if self.groups > 1 or max(*self.stride, *self.dilation) > 1 or self.padding_mode != "zeros" or isinstance(padding, str):
            return super().forward(x)
        if thin:
            grown = F.pad(x, (0, 0, 0, 0, 0, kernel[0] - x.shape[2]))
            return super().forward(grown).narrow(2, 0, x.shape[2]) if kernel[0] == 2 * padding[0] + 1 else super().forward(x)
        if max(kernel) == 1 and not any(padding):
            return F.linear(x.movedim(1, -1), self.weight.flatten(1), self.bias).movedim(-1, 1)
        axis = next((axis for axis in range(3) if x.shape[axis + 2] % 2 == 0 and kernel[axis] == 2 * padding[axis] + 1), -1)
        if axis < 0:
            return super().forward(x)
        half, reach = x.shape[axis + 2] // 2, padding[axis]
        grown = F.pad(x, [reach if each == axis else 0 for each in (2, 2, 1, 1, 0, 0)])
        halves = torch.cat([grown.narrow(axis + 2, start, half + 2 * reach) for start in (0, half)])  # (2, C, …)
        results = F.conv3d(halves, self.weight, self.bias, 1, [0 if each == axis else padding[each] for each in range(3)])
        return torch.cat([results[:1], results[1:]], axis + 2)  # (1, K, Z, Y, X)


def too_thin(x: Tensor, kernel: tuple[int, ...]) -> bool:
    """Tell whether oneDNN would go wrong: a volume ``(N, C, Z, Y, X)`` in bfloat16 on a CPU, with fewer planes than the kernel."""
    if x.ndim != 5 or x.shape[2] >= kernel[0] or x.device.type != "cpu":
        return False
    if torch.is_autocast_enabled("cpu"):
        return torch.get_autocast_dtype("cpu") == torch.bfloat16
    return x.dtype == torch.bfloat16


def _slow(x: Tensor) -> bool:
    return (
        x.ndim == 5
        and x.device.type == "cpu"
        and x.dtype == torch.float32
        and x.shape[0] == 1
        and x.shape[:4].numel() <= _NATIVE_SIZE
        and not torch.is_autocast_enabled("cpu")
    )
