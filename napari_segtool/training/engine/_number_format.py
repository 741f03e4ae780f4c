"""Which number format a training computes in. Imports torch; imported only by the engine."""

from __future__ import annotations

import contextlib
from typing import Any, Literal

import torch

from napari_segtool.nets._precision import bfloat16_pays

NumberFormat = Literal["float32", "bfloat16", "float16"]


def choose_format(wanted: str, device: torch.device) -> NumberFormat:
    """Return the format to compute in; weights, losses and their averages stay float32 in each.

    Parameters
    ----------
    wanted
        ``"float32"``, ``"bfloat16"``, ``"float16"`` or ``"auto"``. float16 needs a scaled loss and is there on CUDA only; anywhere else it becomes float32.
        ``"auto"`` takes bfloat16 where the hardware is known to be faster with it, float16 on graphics cards that have fast units for it but not for
        bfloat16 (Volta, Turing), else float32.
    device
        Where the training runs.
    """
    if wanted == "float16":
        return "float16" if device.type == "cuda" else "float32"
    if wanted == "bfloat16" or (wanted == "auto" and bfloat16_pays(device)):
        return "bfloat16"
    if wanted == "auto" and device.type == "cuda" and torch.cuda.get_device_capability(device)[0] >= 7:
        return "float16"
    return "float32"


def autocast_to(precision: str, device: torch.device) -> contextlib.AbstractContextManager[Any]:
    """Return the context in which networks compute in a format."""
    if precision == "float32":
        return contextlib.nullcontext()
    return torch.autocast(device.type, torch.bfloat16 if precision == "bfloat16" else torch.float16)
