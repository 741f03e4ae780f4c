"""The state of one training: weights, their average, the optimiser, and what is done with them in a step. Imports torch."""

from __future__ import annotations

import contextlib
import copy
import itertools
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from napari_segtool.core.errors import DataError, DeviceError
from napari_segtool.core.registry import NETWORKS
from napari_segtool.nets._blocks import repeat_border
from napari_segtool.nets._forward import resolve_device
from napari_segtool.nets._initialise import initialise
from napari_segtool.nets._neighbours import network_channels
from napari_segtool.nets._normalise import Normalisation
from napari_segtool.nets._reach import least_shape
from napari_segtool.training._plan import Plan
from napari_segtool.training.data._holdout import Field
from napari_segtool.training.data._loader import Batch, BatchMaker
from napari_segtool.training.data._patches import PatchSampler
from napari_segtool.training.engine._muon import Muon
from napari_segtool.training.engine._number_format import autocast_to, choose_format
from napari_segtool.training.engine._optimiser import make_optimiser
from napari_segtool.training.engine._retained import Retained
from napari_segtool.training.engine._supervision import supervised, unpadded
from napari_segtool.training.engine._watch import StopRequestedError, Watch
from napari_segtool.training.losses._class_weights import beside_map, class_weights, in_map
from napari_segtool.training.losses._combined import combine
from napari_segtool.training.losses._context import LossContext
from napari_segtool.training.runs._checkpoint import Checkpoint

_MOST_BAD_STEPS = 50


class Trainer:
    """Weights and optimiser of one training.

    Parameters
    ----------
    plan
        How to train.
    fields
        What to learn from.
    channels, classes
        Of the images and labels.
    normalisation
        Of the images.
    device
        Name of the device.
    seed
        Of weights, patches and dropout.
    watch
        Looked at between layers.
    """

    def __init__(
        self, plan: Plan, fields: tuple[Field, ...], *, channels: int, classes: int, normalisation: Normalisation, device: str, seed: int, watch: Watch
    ) -> None:
        self.plan, self.device, self.seed = plan, resolve_device(device), seed
        self.fields, self._normalisation = fields, normalisation
        self._layout = torch.channels_last if plan.spatial == 2 else torch.channels_last_3d
        entry = NETWORKS.get(plan.network)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            params = entry.params.build(**network_params(plan))
            network: nn.Module = entry.function(params, network_channels(channels, plan.neighbours), classes, plan.spatial)
            initialise(network, plan.initialisation)
        self._least = least_shape(network)
        self.network = network.to(self.device, memory_format=self._layout)  # type: ignore[call-overload]
        self.average = copy.deepcopy(self.network).eval().requires_grad_(False)
        self.retained = Retained(self.network, plan.retain) if plan.retain else None
        for each in (self.network, self.average, *([self.retained.before] if self.retained else [])):
            watch.attach(each)
        self._sampler = PatchSampler(fields, classes, balance=plan.draw_balance, seed=seed)
        pixels = torch.from_numpy(self._sampler.pixels)
        self.weights = class_weights(pixels, plan.class_balance)
        self.map_weights = in_map(self.weights, plan.loss)
        in_loss = beside_map(self.weights, plan.loss) if plan.border_weight else self.weights
        self._criterion = combine(plan.loss, LossContext(pixels.to(self.device), in_loss.to(self.device), self.device, _sampling(plan, fields)))
        self.optimizer = make_optimiser(
            plan.optimiser,
            self.network.parameters(),
            rate=plan.learning_rate,
            weight_decay=plan.weight_decay,
            momentum=plan.momentum,
            nesterov=plan.nesterov,
            fused=self.device.type in ("cpu", "cuda"),
        )
        self._use("float32")
        self.step, self.batch, self.patch_px = 0, plan.batch, plan.patch_px
        self._bad_steps = 0
        self._unread: Tensor | None = None

    @property
    def multiple(self) -> tuple[int, ...]:
        """Total stride of the network along each spatial axis."""
        from napari_segtool.nets._reach import network_multiple

        return network_multiple(self.network)

    def batches(self) -> BatchMaker:
        """Return what makes the batches, at the present batch and patch size."""
        return BatchMaker(
            self.fields,
            self._sampler,
            self._normalisation,
            self.plan.augmentation,
            patch=self.patch_px,
            count=self.batch,
            seed=self.seed,
            flat=self.plan.spatial == 2,
            neighbours=self.plan.neighbours,
            rim_px=self.plan.rim_px,
        )

    def choose_precision(self) -> None:
        """Use the number format that is asked for, or the one that the hardware is known to be fastest with."""
        self._use(choose_format(self.plan.precision, self.device))

    def _use(self, precision: str) -> None:
        self.precision, scaled = precision, precision == "float16"
        self.scaler = torch.amp.GradScaler("cuda" if scaled else "cpu", enabled=scaled)
        if isinstance(self.optimizer, Muon):
            self.optimizer.number_format = torch.bfloat16 if precision == "bfloat16" else torch.float32

    def learn(self, batch: Batch, rate: float, more: Iterable[Batch] = ()) -> float:
        """Do one step and return its loss; a step that is abandoned half-way changes nothing.

        Parameters
        ----------
        batch
            What to learn from.
        rate
            Learning rate.
        more
            Further batches of the same step; they are taken one by one, so that the next is made while this one is learned.

        Returns
        -------
        float
            Mean loss of the batches; on CUDA that of the step before, because reading a number waits for all work that is under way.

        Raises
        ------
        DataError
            If the loss has not been finite for fifty steps.
        StopRequestedError
            If someone asked to end in the middle.
        """
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        buffers = [buffer.clone() for buffer in self.network.buffers()]
        self.network.train()
        self.optimizer.zero_grad(set_to_none=True)
        losses = []
        try:
            with self._seeded():
                for part in itertools.chain((batch,), more):
                    loss = self._loss(part) / max(1, self.plan.accumulate)
                    self.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
                    losses.append(loss.detach())
        except (StopRequestedError, RuntimeError, MemoryError):
            self.optimizer.zero_grad(set_to_none=True)
            for buffer, before in zip(self.network.buffers(), buffers, strict=True):
                buffer.copy_(before)
            raise
        self.scaler.unscale_(self.optimizer)
        norm = self._limited()
        total = torch.stack(losses).sum()
        finite = torch.isfinite(total) & torch.isfinite(norm)
        self._update(finite)
        for buffer, before in zip(self.network.buffers(), buffers, strict=True):
            buffer.copy_(torch.where(finite, buffer, before))
        self.step += 1
        self._follow()
        return self._read(torch.stack([total, norm]))

    def _limited(self) -> Tensor:
        """Shorten the gradient where the plan says so and return its norm as it was."""
        weights = [weight for weight in self.network.parameters() if weight.grad is not None]
        if self.plan.gradient_limit > 0:
            return nn.utils.clip_grad_norm_(weights, self.plan.gradient_limit)
        return nn.utils.get_total_norm([weight.grad for weight in weights if weight.grad is not None])

    def _update(self, finite: Tensor) -> None:
        """Move the weights, unless a number is not finite; the device decides that by itself, so that nothing waits for it."""
        if self.scaler.is_enabled():
            self.scaler.step(self.optimizer)
            self.scaler.update()
        elif self.device.type == "cuda":
            self.optimizer.found_inf = (~finite).float()  # type: ignore[attr-defined]  # what GradScaler tells a fused optimiser
            self.optimizer.step()
        elif bool(finite):
            self.optimizer.step()

    def _read(self, values: Tensor) -> float:
        """Return the loss of a step and end a training whose loss has long not been a number."""
        if self.device.type == "cuda":
            values, self._unread = (self._unread if self._unread is not None else values), values
        loss, norm = (float(value) for value in values.tolist())
        self._bad_steps = 0 if math.isfinite(loss) and math.isfinite(norm) else self._bad_steps + 1
        if self._bad_steps >= _MOST_BAD_STEPS:
            raise DataError("The training has diverged: its loss is no longer a number.", hint="Start again with a smaller learning rate.")
        return loss

    def ask(self, images: Tensor) -> Tensor:
        """Return the logits of the averaged weights, float32, on the CPU's or GPU's own device."""
        return self._asked(self.average, images)

    def ask_beginning(self, images: Tensor) -> Tensor:
        """Return what the weights it is held to take the pixels for: logits of the classes they know."""
        assert self.retained is not None
        return self._asked(self.retained.ask, images)

    def _asked(self, network: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
        shape = images.shape[2:]
        shown = repeat_border(images, (1,) * len(shape), self._least)
        with torch.no_grad(), autocast_to(self.precision, self.device):
            logits = network(shown.to(self.device).contiguous(memory_format=self._layout))
        crop: tuple[Any, ...] = (..., *map(slice, shape))
        return logits.float()[crop]

    def shrink(self) -> str:
        """Halve the batch, or the patch where the batch is one, and say so.

        Raises
        ------
        DeviceError
            If nothing is left to halve.
        """
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        if self.batch > 1:
            self.batch //= 2
            return f"Memory ran out: going on with {self.batch} patch{'es' if self.batch > 1 else ''} at a time."
        least = [1, *self.multiple] if self.plan.spatial == 2 else list(self.multiple)
        smaller = [max(2 * step if step > 1 else 1, n // 2 // step * step) for n, step in zip(self.patch_px, least, strict=True)]
        smaller = [min(small, n) for small, n in zip(smaller, self.patch_px, strict=True)]
        if tuple(smaller) == tuple(self.patch_px):
            raise DeviceError(
                f"Memory ran out on {self.device}, even with one patch of {' × '.join(str(n) for n in self.patch_px)} pixels.",
                hint="Close other programs, choose a smaller network (fewer base channels), or another device.",
            )
        self.patch_px = (smaller[0], smaller[1], smaller[2])
        return f"Memory ran out: going on with patches of {smaller[1]} × {smaller[2]} pixels."

    def checkpoint(self, facts: Mapping[str, Any]) -> Checkpoint:
        """Return the whole state, to be written; ``facts`` are added to the engine's own."""
        tensors = {f"network.{name}": tensor for name, tensor in self.network.state_dict().items()}
        tensors |= {f"average.{name}": tensor for name, tensor in self.average.state_dict().items()}
        for index, moments in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{index}.{name}": tensor for name, tensor in moments.items() if isinstance(tensor, Tensor)}
        own = {"batch": self.batch, "patch_px": list(self.patch_px), "precision": self.precision, "scaler": self.scaler.state_dict()}
        return Checkpoint(self.step, tensors, {**facts, **own})

    def restore(self, checkpoint: Checkpoint) -> None:
        """Go back to the state of a checkpoint."""
        for prefix, network in (("network.", self.network), ("average.", self.average)):
            network.load_state_dict({name.removeprefix(prefix): tensor for name, tensor in checkpoint.tensors.items() if name.startswith(prefix)})
        weights = list(self.network.parameters())
        state: dict[int, dict[str, Tensor]] = {}
        for name, tensor in checkpoint.tensors.items():
            if name.startswith("optimizer."):
                _, index, moment = name.split(".")
                like = weights[int(index)]  # the fused optimiser walks memory: moments must lie as their weights do
                state.setdefault(int(index), {})[moment] = torch.empty_like(like).copy_(tensor) if tensor.shape == like.shape else tensor.clone()
        self.optimizer.load_state_dict({"state": state, "param_groups": self.optimizer.state_dict()["param_groups"]})
        self.step = checkpoint.step
        self.batch = int(checkpoint.facts["batch"])
        self._use(choose_format(str(checkpoint.facts["precision"]), self.device))
        if self.scaler.is_enabled() and checkpoint.facts.get("scaler"):
            self.scaler.load_state_dict(dict(checkpoint.facts["scaler"]))
        depth, height, width = checkpoint.facts["patch_px"]
        self.patch_px = (int(depth), int(height), int(width))

    def start_from(self, weights: Mapping[str, Tensor]) -> tuple[int, int]:
        """Take over the weights of another model where name and shape agree; return of how many of this network's layers, and how many it has."""
        own = self.network.state_dict()
        shared = {name: tensor for name, tensor in weights.items() if name in own and own[name].shape == tensor.shape}
        for network in (self.network, self.average):
            network.load_state_dict({**own, **shared})
        kernels = [name for name, tensor in own.items() if tensor.ndim > 1]
        return sum(name in shared for name in kernels), len(kernels)

    def _loss(self, batch: Batch) -> Tensor:
        images = torch.from_numpy(batch.images).to(self.device, non_blocking=True).contiguous(memory_format=self._layout)  # (N, C, [Z,] Y, X)
        target = torch.from_numpy(batch.classes).to(self.device, non_blocking=True).long()  # (N, [Z,] Y, X)
        weights = None if batch.weights is None else torch.from_numpy(batch.weights).to(self.device, non_blocking=True)  # (N, [Z,] Y, X)
        with autocast_to(self.precision, self.device):
            # (N, K, [Z,] Y, X), or several, each next one coarser
            outputs = unpadded(self.network, images, target.shape[1:]) if self.plan.rim_px else self.network(images)
            forgotten = self.retained.loss(images) if self.retained else 0.0
        return supervised(self._criterion, outputs, target, weights) + forgotten

    @torch.no_grad()
    def _follow(self) -> None:
        """Move the average a little towards the weights; early on it follows quickly."""
        steps = self.plan.average_steps
        keep = min(1 - 1 / steps, self.step / (self.step + 9)) if steps > 1 else 0.0
        mine, latest = list(self.average.parameters()), list(self.network.parameters())
        torch._foreach_lerp_(mine, [each.detach() for each in latest], 1 - keep)
        for average, buffer in zip(self.average.buffers(), self.network.buffers(), strict=True):
            if buffer.is_floating_point():
                average.lerp_(buffer, 1 - keep)
            else:
                average.copy_(buffer)

    @contextlib.contextmanager
    def _seeded(self) -> Any:
        """Dropout draws from torch's own generator: seeded by the step, and given back as it was."""
        devices = [self.device] if self.device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices):
            torch.manual_seed((self.seed * 1_000_003 + self.step) % 2**63)
            yield


def network_params(plan: Plan) -> dict[str, Any]:
    """Return the parameters that the plan's network is built with; they belong on its card."""
    known = NETWORKS.get(plan.network).params.model_fields
    return {**plan.network_params, **({"deep_supervision": True} if plan.deep_supervision and "deep_supervision" in known else {})}


def _sampling(plan: Plan, fields: tuple[Field, ...]) -> tuple[float, ...]:
    """Distance between pixels along each spatial axis of a volume network, in pixels of the finest axis; empty in 2-D and where it is not known."""
    spacing = next((field.spacing_um for field in fields if field.spacing_um), ())
    return tuple(step / min(spacing) for step in spacing) if plan.spatial == 3 and spacing else ()
