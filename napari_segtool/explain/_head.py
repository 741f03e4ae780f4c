"""The last layer of a network, where its logits are a weighted sum of features: what CAM needs."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from napari_segtool.core.errors import ModelError
from napari_segtool.nets._forward import Forward, flushed_denormals

_SAME = 1e-3


@dataclass(frozen=True, eq=False)
class Head:
    """How logits are made of features.

    Parameters
    ----------
    weights
        ``(K, F)`` float32: what each feature counts for each class.
    module
        Name of the layer that gives the features, where ``given`` says so, else of the one that takes them.
    given
        True for features that are averaged over the picture before they are weighed.
    scale
        Input pixels that one of the features' spans, along each spatial axis.
    """

    weights: Tensor
    module: str
    given: bool
    scale: tuple[int, ...]

    @contextlib.contextmanager
    def features(self, network: nn.Module) -> Iterator[Callable[[], Tensor]]:
        """Catch the features, ``(N, F, [z,] y, x)``, of each pass while it is entered."""
        caught: list[Tensor] = []

        def catch(_module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            caught[:] = [output if self.given else inputs[0]]

        hook = network.get_submodule(self.module).register_forward_hook(catch)
        try:
            yield lambda: caught[0]
        finally:
            hook.remove()


def find_head(forward: Forward) -> Head:
    """Return the last layer if the logits are its weighted sums of features: told by computing them a second time.

    Raises
    ------
    ModelError
        If the logits are made in any other way.
    """
    exact = forward.in_float32()
    sides = [max(2 * n, 16 // n * n) for n in exact.multiple]
    batch = torch.rand(1, exact.channels, *sides, generator=torch.Generator().manual_seed(0)).to(exact.device)
    trace: list[tuple[str, tuple[Tensor, ...], Tensor]] = []
    hooks = [
        module.register_forward_hook(lambda _module, inputs, output, name=name: trace.append((name, inputs, output)))
        for name, module in exact.network.named_modules()
        if not list(module.children())
    ]
    try:
        with torch.no_grad(), flushed_denormals():
            logits = exact.differentiable(batch)
    finally:
        for hook in hooks:
            hook.remove()
    weighing = [at for at, (name, _, _) in enumerate(trace) if _weights(exact.network.get_submodule(name)) is not None]
    found = _read(exact, trace, weighing[-1], logits) if weighing else None
    if found is None:
        raise ModelError(
            "CAM needs a network whose last layer is a 1×1 convolution, or global average pooling and a linear layer; this one ends otherwise.",
            hint="Use gradcam, which works on every network.",
        )
    return found


def _read(forward: Forward, trace: list[tuple[str, tuple[Tensor, ...], Tensor]], last: int, logits: Tensor) -> Head | None:
    name, (features, *_), _ = trace[last]
    weights = _weights(forward.network.get_submodule(name))
    bias = forward.network.get_submodule(name).bias
    if weights is None or weights.ndim != 2 or len(weights) != logits.shape[1]:
        return None
    space, pooled = logits.shape[2:], features.reshape(*features.shape[:2], -1)
    if pooled.shape[-1] == 1:  # averaged: which maps were they?
        for given, _, output in reversed(trace[:last]):
            if output.ndim == logits.ndim and output[0, 0].numel() > 1 and _same(output.flatten(2).mean(2), pooled[..., 0]):
                made = (pooled[..., 0] @ weights.T + (0 if bias is None else bias)).reshape(*logits.shape[:2], *[1] * len(space)).expand_as(logits)
                return Head(weights, given, True, _scale(space, output)) if _same(made, logits) else None
        return None
    if features.ndim != logits.ndim or any(n % side for n, side in zip(space, features.shape[2:], strict=True)):
        return None
    made = torch.einsum("kf,nf...->nk...", weights, features)
    made = made if bias is None else made + bias.reshape(1, -1, *[1] * len(space))
    if made.shape != logits.shape:
        made = F.interpolate(made, size=tuple(space), mode="bilinear" if len(space) == 2 else "trilinear")
    return Head(weights, name, False, _scale(space, features)) if _same(made, logits) else None


def _weights(module: nn.Module) -> Tensor | None:
    """What a layer multiplies by: ``(K, F)`` where it looks at one place at a time; None where it has no weights."""
    weight = getattr(module, "weight", None)
    if not isinstance(weight, Tensor) or weight.ndim < 2:
        return None
    single = weight[0, 0].numel() == 1 and getattr(module, "groups", 1) == 1 and not getattr(module, "transposed", False)
    return weight.detach().flatten(1) if single else weight.detach()


def _same(made: Tensor, logits: Tensor) -> bool:
    return bool((made - logits).norm() <= _SAME * logits.norm())


def _scale(space: torch.Size, features: Tensor) -> tuple[int, ...]:
    return tuple(n // side for n, side in zip(space, features.shape[2:], strict=True))
