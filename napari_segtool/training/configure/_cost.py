"""What a training step costs: memory by counting, time by counting and a quick timing. Imports torch; imported only inside functions."""

from __future__ import annotations

import math
import os
import time
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from napari_segtool.core.registry import NETWORKS
from napari_segtool.nets._forward import flushed_denormals, resolve_device
from napari_segtool.nets._neighbours import network_channels
from napari_segtool.nets._precision import bfloat16_pays
from napari_segtool.nets._work import counted
from napari_segtool.training._plan import Plan
from napari_segtool.training.configure._chooser import Machine

_MEGABYTE = 1 << 20
_COPIES = {"muon": 4, "adamw": 5, "adam": 5, "sgd": 4}
"""Weights, their average, their gradients, and the moments of the optimiser."""
_TIMED_PX, _TIMED_PLANES = 128, 16
_LONG_S = 1.0
_OVERHEAD = 1.1
"""Validations, checkpoints, the optimiser."""
_RETAINED = 1.3
"""With the network as it began asked as well: a forward pass more."""
_FLOATS = 4
_WORKSPACE = 1.15
"""What convolutions take for themselves: real steps took 0.95 to 1.3 times what is counted."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What one step costs.

    Parameters
    ----------
    parameters
        Weights of the network.
    products
        Multiplications of a forward pass of the batch.
    memory_mb
        Weights, optimiser, and everything that is kept for the backward pass, in float32.
    """

    parameters: int
    products: int
    memory_mb: float


def machine_of(device: str) -> Machine:
    """Return the device that ``device`` means here, and its free memory."""
    found = resolve_device(device)
    if found.type == "cuda":
        return Machine(str(found), torch.cuda.mem_get_info(found)[0] / _MEGABYTE)
    if found.type == "mps":
        return Machine(str(found), torch.mps.recommended_max_memory() / _MEGABYTE)
    import psutil

    return Machine(str(found), psutil.virtual_memory().available / _MEGABYTE)


def step_cost(plan: Plan, channels: int, classes: int) -> Cost:
    """Count what a step of a plan costs, without doing it: the network is walked through on torch's ``meta`` device, which has shapes but no numbers.

    Parameters
    ----------
    plan
        Of the training.
    channels, classes
        Of the images and labels.
    """
    with torch.device("meta"):
        network = _network(plan, channels, classes).train()
        images = torch.empty(plan.batch, network_channels(channels, plan.neighbours), *_patch(plan))
    parameters = sum(weight.numel() for weight in network.parameters())
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        kept[storage._cdata] = storage.nbytes()
        held.append(tensor)  # or another tensor might take its place in memory
        return tensor

    held: list[Tensor] = []
    with counted(network) as work, torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        logits = network(images)
    largest = max(images.numel(), work.largest)
    weights = _COPIES[plan.optimiser] * parameters * _FLOATS
    logits_bytes = 3 * sum(each.numel() for each in (logits if isinstance(logits, tuple) else (logits,))) * _FLOATS
    return Cost(parameters, work.products, (weights + _WORKSPACE * (sum(kept.values()) + 2 * largest * _FLOATS + logits_bytes)) / _MEGABYTE)


def seconds_per_step(plan: Plan, channels: int, classes: int, device: str, threads: int = 0) -> float:
    """Estimate the time of a step: a forward and backward pass of a small patch is timed, and scaled by the multiplications of a whole batch.

    Parameters
    ----------
    plan, channels, classes
        As `step_cost`.
    device
        Where to time.
    threads
        Processor cores; 0 takes torch's.
    """
    from dataclasses import replace

    found = resolve_device(device)
    small = replace(plan, batch=1, patch_px=_timed_patch(plan))
    share = step_cost(plan, channels, classes).products / max(1, step_cost(small, channels, classes).products)
    before = torch.get_num_threads()
    torch.set_num_threads(threads or before)
    try:
        with flushed_denormals(), torch.random.fork_rng(devices=[]):
            layout = torch.channels_last if plan.spatial == 2 else torch.channels_last_3d
            network = _network(small, channels, classes).train()
            network.to(found, memory_format=layout)  # type: ignore[call-overload]
            images = torch.randn(1, network_channels(channels, plan.neighbours), *_patch(small), device=found)
            half = bfloat16_pays(found) if plan.precision == "auto" else plan.precision == "bfloat16"
            took = math.inf
            for turn in range(3):
                begun = time.perf_counter()
                with torch.autocast(found.type, torch.bfloat16, enabled=half):
                    logits = network(images)
                (logits[0] if isinstance(logits, tuple) else logits).float().square().mean().backward()
                if found.type == "cuda":
                    torch.cuda.synchronize(found)
                spent = time.perf_counter() - begun
                took = min(took, spent)
                if turn and spent > _LONG_S:  # the first turn prepares
                    break
    finally:
        torch.set_num_threads(before)
    return _OVERHEAD * took * share * plan.accumulate * (_RETAINED if plan.retain else 1.0)


def threads_here() -> int:
    """Cores that a training takes when it is not told."""
    asked = os.environ.get("OMP_NUM_THREADS", "")
    return int(asked) if asked.isdigit() and int(asked) else torch.get_num_threads()


def _network(plan: Plan, channels: int, classes: int) -> nn.Module:
    entry = NETWORKS.get(plan.network)
    network: nn.Module = entry.function(entry.params.build(**plan.network_params), network_channels(channels, plan.neighbours), classes, plan.spatial)
    return network


def _patch(plan: Plan) -> tuple[int, ...]:
    return plan.patch_px if plan.spatial == 3 else plan.patch_px[1:]


def _timed_patch(plan: Plan) -> tuple[int, int, int]:
    """A part of the patch with the same multiples of powers of two in its sides."""
    planes, height, width = plan.patch_px
    sides = [side if side <= most else _halved(side, most) for side, most in ((planes, _TIMED_PLANES), (height, _TIMED_PX), (width, _TIMED_PX))]
    return sides[0], sides[1], sides[2]


def _halved(side: int, most: int) -> int:
    while side > most and side % 2 == 0:
        side //= 2
    return side
