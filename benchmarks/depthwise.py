"""Depthwise convolutions in bfloat16: a step forwards and backwards by torch and by ours, in turn.

    python benchmarks/depthwise.py --threads 1

For each form that EfficientNet-Lite0 has, and for the whole pretrained U-Net as ultrasound is learned with it (4 images of 512², half the resolution).
Prints medians and the ratio, torch's time by ours.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import torch
from torch import nn

from napari_segtool.core.registry import NETWORKS
from napari_segtool.nets._depthwise import QuickDepthwise2d
from napari_segtool.nets._forward import flushed_denormals
from napari_segtool.training.engine._heap import kept_heap

FORMS = (
    (32, 128, 3, 1),
    (96, 129, 3, 2),
    (144, 67, 5, 2),
    (240, 32, 5, 1),
    (240, 33, 3, 2),
    (480, 16, 5, 1),
    (672, 16, 5, 1),
    (672, 19, 5, 2),
    (1152, 8, 5, 1),
)
"""Channels, side of the input with its border, kernel and stride."""


def in_turn(step: Callable[[], None], rounds: int) -> tuple[float, float]:
    """Median seconds of a step by torch's layer and by ours."""
    ours, plain = QuickDepthwise2d.forward, nn.Conv2d.forward
    took: dict[bool, list[float]] = {True: [], False: []}
    try:
        for number in range(2 * rounds + 4):
            quick = bool(number % 2)
            QuickDepthwise2d.forward = ours if quick else plain  # type: ignore[method-assign]
            begun = time.perf_counter()
            step()
            if number >= 4:
                took[quick].append(time.perf_counter() - begun)
    finally:
        QuickDepthwise2d.forward = ours  # type: ignore[method-assign]
    return statistics.median(took[False]), statistics.median(took[True])


def learning(network: nn.Module, x: torch.Tensor) -> Callable[[], None]:
    """A step of the network on an input."""

    def step() -> None:
        network.zero_grad(set_to_none=True)
        with torch.autocast("cpu", torch.bfloat16):
            y = network(x)
        y.float().square().mean().backward()

    return step


def main() -> None:
    """Time them and print a line each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=0, help="processor cores; 0 for all")
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    with flushed_denormals(), kept_heap():
        for channels, side, kernel, stride in FORMS:
            layer = QuickDepthwise2d(channels, kernel, stride, kernel // 2 if stride == 1 else 0).to(memory_format=torch.channels_last)
            x = torch.randn(4, channels, side, side).bfloat16().contiguous(memory_format=torch.channels_last).requires_grad_()
            told(f"{channels} channels, {side}², kernel {kernel}, stride {stride}", *in_turn(learning(layer, x), options.rounds))
        entry = NETWORKS.get("unet-efficientnet")
        network = entry.function(entry.params.build(reduction=2, dropout=0.3), 1, 3, 2).to(memory_format=torch.channels_last).train()
        told("the whole network, 4 images of 512²", *in_turn(learning(network, torch.randn(4, 1, 512, 512)), options.rounds))


def told(name: str, plain: float, ours: float) -> None:
    """Print one line."""
    print(f"{name}: torch {1000 * plain:.1f} ms, ours {1000 * ours:.1f} ms: {plain / ours:.1f} times", flush=True)


if __name__ == "__main__":
    main()
