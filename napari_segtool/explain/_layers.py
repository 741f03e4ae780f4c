"""The blocks of a network: which there are, and what they give."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from napari_segtool.core.errors import ParameterError
from napari_segtool.nets._forward import Forward, flushed_denormals

_SILENT = (nn.Identity, nn.ModuleList, nn.Dropout, nn.Dropout2d, nn.Dropout3d)


def named_layers(forward: Forward, *, inside: bool = False) -> dict[str, tuple[int, ...]]:
    """Return the blocks that make feature maps, by name, in the order they work.

    Parameters
    ----------
    inside
        Name the single layers inside blocks too, such as the convolutions ``bottom.0`` and ``bottom.3``.

    Returns
    -------
    dict
        For each block how many input pixels one of its own spans along each spatial axis. What makes the logits themselves
        is left out.

    Raises
    ------
    ParameterError
        If the network is one without padding.
    """
    if forward.border_px:
        raise ParameterError(
            "This network works without padding: what its layers make does not lie on the picture's grid, and so cannot be shown on it.",
            hint="Choose an explainer that asks the pixels, such as gradient, SmoothGrad or occlusion.",
        )
    names = {module: name for name, module in forward.network.named_modules() if name and _makes_maps(forward.network, name, inside)}
    sides = [2 * n if n > 1 else 8 for n in forward.multiple]
    found: dict[str, tuple[int, ...]] = {}

    def note(module: nn.Module, _inputs: object, output: object) -> None:
        if isinstance(output, Tensor) and output.ndim == len(sides) + 2 and all(n and side % n == 0 for side, n in zip(sides, output.shape[2:], strict=True)):
            found.pop(names[module], None)
            found[names[module]] = tuple(side // n for side, n in zip(sides, output.shape[2:], strict=True))

    hooks = [module.register_forward_hook(note) for module in names]
    try:
        with torch.no_grad(), flushed_denormals():
            forward.differentiable(torch.zeros(1, forward.channels, *sides))
    finally:
        for hook in hooks:
            hook.remove()
    if len(found) > 1:
        found.popitem()
    return found


def deepest_layer(layers: dict[str, tuple[int, ...]]) -> str:
    """Return the last of the coarsest blocks: of a U-Net its bottom, of a flat network the one before the logits."""
    coarsest = max(math.prod(scale) for scale in layers.values())
    return [name for name, scale in layers.items() if math.prod(scale) == coarsest][-1]


def find_layer(forward: Forward, name: str) -> tuple[nn.Module, tuple[int, ...]]:
    """Return a block, or a single layer inside one, and how many input pixels one of its own spans; "auto" is the deepest block.

    Raises
    ------
    ParameterError
        If there is none of that name; it lists the blocks.
    """
    blocks = named_layers(forward)
    name = deepest_layer(blocks) if name == "auto" else name
    known = blocks if name in blocks else named_layers(forward, inside=True)
    if name not in known:
        raise ParameterError(
            f"The network has no layer {name!r} to look at.", hint=f"Choose auto or one of: {', '.join(blocks)}; or a layer inside, as bottom.0."
        )
    return forward.network.get_submodule(name), known[name]


@contextlib.contextmanager
def output_of(module: nn.Module) -> Iterator[Callable[[], Tensor]]:
    """Catch what a module gives, as the start of a graph of its own: gradients reach down to it and no further."""
    caught: list[Tensor] = []

    def catch(_module: nn.Module, _inputs: object, output: Tensor) -> Tensor:
        caught[:] = [output.detach().requires_grad_()]
        return caught[0]

    hook = module.register_forward_hook(catch)
    try:
        yield lambda: caught[0]
    finally:
        hook.remove()


class _Reached(Exception):  # noqa: N818 (no error: the way out of a network that has given what was wanted)
    pass


def maps_of(module: nn.Module, compute: Callable[[], object]) -> Tensor:
    """Return what a module gives while ``compute`` runs its network, which is left there; without gradients."""
    caught: list[Tensor] = []

    def catch(_module: nn.Module, _inputs: object, output: Tensor) -> None:
        caught.append(output)
        raise _Reached

    hook = module.register_forward_hook(catch)
    try:
        with torch.no_grad(), contextlib.suppress(_Reached):
            compute()
    finally:
        hook.remove()
    return caught[0]


def _makes_maps(network: nn.Module, name: str, inside: bool) -> bool:
    module = network.get_submodule(name)
    parent = network.get_submodule(name.rpartition(".")[0])
    return not isinstance(module, _SILENT) and "Pool" not in type(module).__name__ and (inside or parent is network or isinstance(parent, nn.ModuleList))
