"""Watch a network work, on a device that has shapes and no values: its layers, its blocks, and what is handed on past them. Imports torch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from napari_segtool.nets._drawing import DrawnBlock, DrawnLayer, Skip

_CONVOLUTIONS = (nn.Conv2d, nn.Conv3d)
_UP_CONVOLUTIONS = (nn.ConvTranspose2d, nn.ConvTranspose3d)
_POOLS = (nn.MaxPool2d, nn.MaxPool3d, nn.AvgPool2d, nn.AvgPool3d)
_NAMES: tuple[tuple[tuple[type[nn.Module], ...], str], ...] = (
    ((nn.BatchNorm2d, nn.BatchNorm3d), "batch norm"),
    ((nn.InstanceNorm2d, nn.InstanceNorm3d), "instance norm"),
    ((nn.GroupNorm,), "group norm"),
    ((nn.ReLU,), "ReLU"),
    ((nn.ReLU6,), "ReLU6"),
    ((nn.LeakyReLU,), "leaky ReLU"),
    ((nn.ELU,), "ELU"),
    ((nn.GELU,), "GELU"),
    ((nn.Dropout, nn.Dropout2d, nn.Dropout3d), "dropout"),
    ((nn.ZeroPad2d,), "border of zeros"),
    ((nn.Upsample,), "enlarging"),
)


class Trace(TorchFunctionMode):
    """Notes what happens while a network works inside.

    Parameters
    ----------
    network
        Its blocks are its children, and the children of its lists.

    Attributes
    ----------
    layers, blocks, skips : list
        In the order they worked.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.layers: list[DrawnLayer] = []
        self.blocks: list[DrawnBlock] = []
        self.skips: list[Skip] = []
        self._network = network
        self._block, self._last, self._level, self._first = "", "", 0, 0
        self._sources: dict[int, frozenset[str]] = {}
        self._alive: list[Tensor] = []  # so that no two tensors ever have the same id
        self._hooks: list[Any] = []

    def __enter__(self) -> Trace:
        blocks = dict(_blocks(self._network))
        for name, module in self._network.named_modules():
            if not list(module.children()) and not isinstance(module, nn.Identity):
                self._hooks.append(module.register_forward_hook(lambda m, inputs, out, name=name: self._note(name, m, inputs[0], out)))
        for name, block in blocks.items():
            self._hooks.append(block.register_forward_pre_hook(lambda _m, inputs, name=name: self._begin(name, inputs[0])))
            self._hooks.append(block.register_forward_hook(lambda m, inputs, out, name=name: self._end(name, m, inputs[0], out)))
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)  # type: ignore[no-untyped-call]
        for hook in self._hooks:
            hook.remove()

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None) -> Any:
        result = function(*args, **(kwargs or {}))
        if not self._block and isinstance(result, Tensor):
            given = [each for each in tree_leaves((args, kwargs)) if isinstance(each, Tensor)]
            self._came_from(result, frozenset().union(*(self._sources.get(id(each), frozenset()) for each in given)))
        return result

    def _came_from(self, tensor: Tensor, sources: frozenset[str]) -> None:
        self._alive.append(tensor)
        self._sources[id(tensor)] = sources

    def _note(self, name: str, module: nn.Module, given: Tensor, result: Tensor) -> None:
        self._level += _deeper(module)
        self.layers.append(
            DrawnLayer(name, self._block or name, kind_of(module), _shape(given), _shape(result), sum(p.numel() for p in module.parameters()), self._level)
        )

    def _begin(self, name: str, given: Tensor) -> None:
        known = {block.name: block for block in self.blocks}
        for source in sorted(self._sources.get(id(given), frozenset()) - {self._last}):
            self.skips.append(Skip(source, name, known[source].shape_out))
        self._block, self._first = name, len(self.layers)

    def _end(self, name: str, module: nn.Module, given: Tensor, result: Tensor) -> None:
        inside = [layer.kind for layer in self.layers[self._first :]]
        summary = ", ".join(f"{count} × {kind}" if count > 1 else kind for kind, count in Counter(inside).items())
        if hasattr(module, "shortcut"):
            summary = f"{summary}; input added"
        parameters = sum(p.numel() for p in module.parameters())
        self.blocks.append(DrawnBlock(name, summary, _shape(given), _shape(result), parameters, self._level))
        self._came_from(result, frozenset({name}))
        self._block, self._last = "", name


def trace(network: nn.Module, batch: Tensor) -> Trace:
    """Return what happens in a forward pass."""
    network.eval()
    with torch.no_grad(), Trace(network) as seen:
        network(batch)
    return seen


def kind_of(layer: nn.Module) -> str:
    """Return what a layer does, for people.

    Examples
    --------
    >>> kind_of(nn.Conv2d(1, 2, 3)), kind_of(nn.MaxPool3d((1, 2, 2)))
    ('conv 3×3', 'max pool 1×2×2')
    """
    axes = 3 if type(layer).__name__.endswith("3d") else 2
    if isinstance(layer, _CONVOLUTIONS + _UP_CONVOLUTIONS):
        what = "up-conv" if isinstance(layer, _UP_CONVOLUTIONS) else "depthwise conv" if layer.groups == layer.in_channels > 1 else "conv"
        name = f"{what} {_times(layer.kernel_size, axes)}"
        return f"{name} every {_times(layer.stride, axes)}" if isinstance(layer, _CONVOLUTIONS) and max(layer.stride) > 1 else name
    if isinstance(layer, _POOLS):
        return f"{'max' if 'Max' in type(layer).__name__ else 'mean'} pool {_times(layer.kernel_size, axes)}"
    return next((name for kinds, name in _NAMES if isinstance(layer, kinds)), type(layer).__name__)


def _blocks(network: nn.Module) -> list[tuple[str, nn.Module]]:
    found: list[tuple[str, nn.Module]] = []
    for name, child in network.named_children():
        if isinstance(child, nn.ModuleList):
            found += [(f"{name}.{number}", module) for number, module in enumerate(child)]
        elif not isinstance(child, nn.Identity):
            found.append((name, child))
    return found


def _deeper(layer: nn.Module) -> int:
    """1 for what makes the picture smaller, -1 for what enlarges it."""
    if isinstance(layer, _POOLS):
        return 1
    if isinstance(layer, nn.Upsample):
        return -1
    factor = layer.stride if isinstance(layer, _CONVOLUTIONS + _UP_CONVOLUTIONS) else (1,)
    return 0 if max(factor) == 1 else -1 if isinstance(layer, _UP_CONVOLUTIONS) else 1


def _times(sizes: int | Sequence[int], axes: int) -> str:
    return "×".join(str(n) for n in (sizes if isinstance(sizes, tuple | list) else (sizes,) * axes))


def _shape(tensor: Tensor) -> tuple[int, ...]:
    return tuple(int(n) for n in tensor.shape[1:])
