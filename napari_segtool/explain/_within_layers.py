"""A network's layers, its filters as pictures, and what a layer makes of a plane."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from napari_segtool import __version__
from napari_segtool.core.errors import ParameterError
from napari_segtool.core.inside import Layer
from napari_segtool.core.progress import Progress, Steps
from napari_segtool.core.result import ModelBundle, Step, data_sha
from napari_segtool.core.stack import Stack
from napari_segtool.core.target import Target
from napari_segtool.core.wanted import Wanted
from napari_segtool.explain._layers import find_layer, named_layers
from napari_segtool.explain._question import Question
from napari_segtool.explain._within_walk import given_by
from napari_segtool.nets._forward import Forward, flushed_denormals
from napari_segtool.nets._loaded import LoadedModel, load_model


def ready_steps(bundle: ModelBundle, loaded: LoadedModel | None, device: str, threads: int) -> Steps[LoadedModel]:
    """Return the model in memory: the caller's, or loaded now; in float32."""
    yield Progress(0, 0, "loading the model")
    loaded = loaded or load_model(bundle, device=device, precision="float32", threads=threads)
    return replace(loaded, forward=loaded.forward.in_float32())


def layers_steps(bundle: ModelBundle, *, device: str = "auto", threads: int = 0, loaded: LoadedModel | None = None) -> Steps[tuple[Layer, ...]]:
    """Return the blocks of a network in the order they work; the last, which makes the logits, is left out."""
    model = yield from ready_steps(bundle, loaded, device, threads)
    return list_layers(model.forward)


def list_layers(forward: Forward) -> tuple[Layer, ...]:
    """Return the blocks of a network in the order they work."""
    scales, features = named_layers(forward), {}

    def look(name: str, output: Tensor) -> None:
        features[name] = int(output.shape[1])

    hooks = [forward.network.get_submodule(name).register_forward_hook(lambda _module, _inputs, output, name=name: look(name, output)) for name in scales]
    try:
        with torch.no_grad(), flushed_denormals():
            forward.differentiable(torch.zeros(1, forward.channels, *(2 * n if n > 1 else 8 for n in forward.multiple)))
    finally:
        for hook in hooks:
            hook.remove()
    weights = {name: sum(one.numel() for one in forward.network.get_submodule(name).parameters()) for name in scales}
    return tuple(Layer(name, features[name], scale, weights[name]) for name, scale in scales.items())


def filters_steps(bundle: ModelBundle, *, layer: str = "", device: str = "auto", threads: int = 0, loaded: LoadedModel | None = None) -> Steps[Stack]:
    """Return the filters of a convolution as pictures, BatchNorm folded into them.

    Parameters
    ----------
    layer
        A block or convolution; empty takes the first convolution of the network.

    Returns
    -------
    Stack
        float32, one page for each filter: axes ``QCYX`` (``QCZYX`` for a 3-D network), with the channels it looks at. ``memo["layer"]`` names it.

    Raises
    ------
    ParameterError
        If there is no convolution of that name.
    """
    model = yield from ready_steps(bundle, loaded, device, threads)
    network = model.forward.network
    modules = dict(network.named_modules())
    if layer and layer not in modules:
        raise ParameterError(f"The network has no layer {layer!r}.", hint=f"Choose one of: {', '.join(named_layers(model.forward))}.")
    found = [(f"{layer}.{name}".strip("."), module) for name, module in modules[layer].named_modules() if isinstance(module, nn.Conv2d | nn.Conv3d)]
    if not found:
        raise ParameterError(f"The layer {layer!r} has no convolution.", hint=f"Choose one of: {', '.join(named_layers(model.forward))}.")
    name, convolution = found[0]
    kernels = convolution.weight.detach().float().cpu().numpy().copy()  # (F, C, [z,] y, x)
    step = Step("inside:filters", {"model": str(bundle.path), "layer": name}, __version__, data_sha(kernels))
    return Stack(kernels, "QCZYX" if kernels.ndim == 5 else "QCYX", (), f"{model.title} · filters of {name}", {"layer": name, "history": (step,)})


def activations_steps(
    bundle: ModelBundle,
    stack: Stack,
    layer: str = "auto",
    *,
    plane: Sequence[int] = (),
    features: Sequence[int] = (),
    device: str = "auto",
    threads: int = 0,
    loaded: LoadedModel | None = None,
) -> Steps[Stack]:
    """Return what a layer makes of one plane.

    Parameters
    ----------
    layer
        A block, or a layer inside one; "auto" is the deepest block.
    plane
        Index along the axes but Y and X; empty takes the first.
    features
        Which feature maps; empty takes all.

    Returns
    -------
    Stack
        float32, ``C`` (the features) and then the axes of the image's labels, one entry long along the plane axes, on the layer's own
        grid. Its spacing is that of the grid where the image's is known. ``memo`` holds ``scale_px``, how many pixels one of the layer's
        spans along Y and X; ``offset_px``, where the middle of its first one lies, in pixels from the middle of the image's first;
        ``plane``, ``layer``, ``features`` and ``history``.

    Raises
    ------
    ParameterError
        If there is no such layer or feature.
    """
    model = yield from ready_steps(bundle, loaded, device, threads)
    module, scale = find_layer(model.forward, layer)
    question = Question(model, stack, Target(model.values[0], plane=tuple(plane)))
    picture: Tensor | None = None
    chosen: list[int] = []
    with given_by(module) as given:
        for part in question.parts(whole=True):
            with torch.no_grad():
                question.logits(part.pixels)
            maps = given()
            chosen = chosen or _chosen(features, maps.shape[1])
            maps = maps[:, chosen]
            picture = question.grid(maps, scale) if picture is None else picture
            question.paste(picture, part.tile, maps, scale)
            yield Progress(0, 0, "activations")
    assert picture is not None
    sides = [-(-n // step) for n, step in zip(question.shape, scale[-2:], strict=True)]
    drawn = picture[:, : sides[0], : sides[1]].cpu().numpy()
    axes = stack.label_axes
    if axes.index("Y") > axes.index("X"):
        drawn = drawn.swapaxes(1, 2)
    lengths = dict(zip([axis for axis in axes if axis in "YX"], drawn.shape[1:], strict=True))
    data = drawn.reshape(drawn.shape[0], *(lengths.get(axis, 1) for axis in axes))
    step_of = {"Y": scale[-2], "X": scale[-1]}
    spacing = tuple(um * step_of.get(axis, 1) for um, axis in zip(stack.spacing_um, stack.spatial, strict=True)) if stack.spacing_um else ()
    name = next(name for name, one in model.forward.network.named_modules() if one is module)
    facts = {"model": str(bundle.path), "layer": name, "plane": list(question.plane), "features": chosen}
    step = Step("inside:activations", facts, __version__, data_sha(Wanted(stack, [question.plane]).cut().data))
    memo = {
        "plane": question.plane,
        "layer": name,
        "features": tuple(chosen),
        "scale_px": tuple(float(n) for n in scale[-2:]),
        "offset_px": tuple((n - 1) / 2 for n in scale[-2:]),
        "history": (step,),
    }
    return Stack(data, "C" + axes, spacing, f"{stack.name} · {name}".strip(" ·"), memo)


def _chosen(features: Sequence[int], count: int) -> list[int]:
    wrong = [one for one in features if not 0 <= one < count]
    if wrong:
        raise ParameterError(f"The layer has no feature {wrong[0]}: it has {count}.", hint=f"Choose from 0 to {count - 1}.")
    return [int(one) for one in features] or list(range(count))
