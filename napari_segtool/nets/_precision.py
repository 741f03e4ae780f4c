"""Whether bfloat16 pays on a device: asked of the hardware once, so that the same work gives the same result every time."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import time
from pathlib import Path

import torch
from torch.nn.functional import conv2d

from napari_segtool.core.settings import settings_path

CHANNELS, SIDE_PX, ROUNDS = 64, 192, 3
_GAIN = 0.75
"""bfloat16 must take less than this part of float32's time. Hardware with it takes a fifth, hardware that emulates it takes ten times as long."""


def bfloat16_pays(device: torch.device, memory: Path | None = None) -> bool:
    """Return whether convolutions are clearly faster in bfloat16 on ``device``.

    A convolution typical of our networks is timed in both formats the first time on a machine; the answer is kept in a
    file beside the settings and holds until torch or the processor changes. Deciding for each network anew would let noise
    choose the format, and a result would differ from one call to the next.

    Parameters
    ----------
    device
        Device to ask about.
    memory
        File that keeps the answer; beside the settings file if not given.
    """
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device)[0] >= 8
    if device.type != "cpu" or not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        return False
    path = memory or settings_path().with_name("machine.json")
    key = f"{_processor()} | torch {torch.__version__} | {os.environ.get('ONEDNN_MAX_CPU_ISA', 'default')}"
    known = _read(path)
    if key not in known:
        known[key] = _seconds(torch.bfloat16) < _GAIN * _seconds(torch.float32)
        _write(path, known)
    return known[key]


def _seconds(dtype: torch.dtype) -> float:
    generator = torch.Generator().manual_seed(0)
    batch = torch.randn(1, CHANNELS, SIDE_PX, SIDE_PX, generator=generator).to(dtype).contiguous(memory_format=torch.channels_last)
    kernel = torch.randn(CHANNELS, CHANNELS, 3, 3, generator=generator).to(dtype).contiguous(memory_format=torch.channels_last)
    spent, threads = [], torch.get_num_threads()
    torch.set_num_threads(1)  # and processor time: other programs must not decide
    try:
        with torch.inference_mode():
            for _ in range(ROUNDS + 1):  # the first one prepares
                begun = time.process_time()
                conv2d(batch, kernel, padding=1)
                spent.append(time.process_time() - begun)
    finally:
        torch.set_num_threads(threads)
    return min(spent[1:])


def _processor() -> str:
    with contextlib.suppress(OSError, StopIteration):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return platform.processor() or platform.machine()


def _read(path: Path) -> dict[str, bool]:
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
        return {str(key): bool(value) for key, value in known.items()}
    except (OSError, ValueError, AttributeError):  # not there yet, or damaged: it is only a memory
        return {}


def _write(path: Path, known: dict[str, bool]) -> None:
    with contextlib.suppress(OSError):  # a read-only home only costs the timing again
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        temporary.write_text(json.dumps(known, indent=2), encoding="utf-8")
        temporary.replace(path)
