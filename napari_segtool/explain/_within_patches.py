"""The parts of the user's images that one feature of a network answers to most strongly."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from napari_segtool.core.errors import ParameterError
from napari_segtool.core.inside import Patch, box_around
from napari_segtool.core.planes import plane_axes, plane_shape, read_plane
from napari_segtool.core.progress import Steps
from napari_segtool.core.result import ModelBundle
from napari_segtool.core.stack import Stack
from napari_segtool.explain._layers import find_layer
from napari_segtool.explain._within_layers import ready_steps
from napari_segtool.explain._within_walk import Best, Find, centre_px, given_by, in_core, peaks, watch_steps
from napari_segtool.nets._forward import Forward, flushed_denormals
from napari_segtool.nets._loaded import LoadedModel, Scenes
from napari_segtool.nets._tiling import Tile

_LARGEST_PX, _SMALLEST_PX = 128, 16


def patches_steps(
    bundle: ModelBundle,
    stacks: Sequence[Stack],
    layer: str,
    feature: int,
    *,
    count: int = 9,
    patch_px: int = 0,
    device: str = "auto",
    threads: int = 0,
    loaded: LoadedModel | None = None,
) -> Steps[tuple[Patch, ...]]:
    """Search stacks for the places where a feature is strongest.

    Stacks are read tile by tile; only the best places are kept. Two patches of one plane never show the same place.

    Parameters
    ----------
    layer, feature
        A block, or a layer inside one ("auto" is the deepest block), and the number of its feature.
    count
        How many patches.
    patch_px
        Side of a patch; 0 takes what the feature can see, 16 to 128 pixels.

    Returns
    -------
    tuple of Patch
        Strongest first. Of a 3-D network the planes through the places.

    Raises
    ------
    ParameterError
        If there is no such layer or feature, or no stack.

    References
    ----------
    Zeiler & Fergus 2014, doi:10.1007/978-3-319-10590-1_53.
    """
    if not stacks:
        raise ParameterError("There is no image to search.", hint="Give at least one.")
    model = yield from ready_steps(bundle, loaded, device, threads)
    module, scale = find_layer(model.forward, layer)
    features = _features(model.forward, module)
    if not 0 <= feature < features:
        raise ParameterError(f"The layer has no feature {feature}: it has {features}.", hint=f"Choose from 0 to {features - 1}.")
    side = patch_px or layer_reach_px(model.forward, module, scale)
    best = Best(count, (max(1, side // 2),) * 2)
    scenes = [Scenes(stack, model) for stack in stacks]
    places = [_indices(stack, each) for stack, each in zip(stacks, scenes, strict=True)]
    total, done = sum(len(where) for where in places), 0
    for image, (each, where) in enumerate(zip(scenes, places, strict=True)):

        def take(scene: tuple[int, ...], tile: Tile, _logits: Tensor, maps: Tensor, image: int = image, each: Scenes = each) -> None:
            answer, corner = in_core(maps[0, feature], tile, scale)
            planes = answer if answer.ndim == 3 else answer[None]
            for depth, picture in enumerate(planes):
                z = centre_px(corner[0] + depth, scale[0], each.shape[0]) if answer.ndim == 3 else 0
                radius = tuple(max(1, side // 2 // step) for step in scale[-2:])
                for value, row, column in peaks(picture, (radius[0], radius[1]), 4 * count):
                    if value > best.least:
                        at = tuple(centre_px(a + b, step, n) for a, b, step, n in zip((row, column), corner[-2:], scale[-2:], each.shape[-2:], strict=True))
                        best.offer(Find(value, image, each.plane_index(scene, z), (at[0], at[1])))

        yield from watch_steps(model, each, where, module, take, "searching", done, total)
        done += len(where)
    return tuple(_cut(stacks[find.image], find, side) for find in best.found)


def layer_reach_px(forward: Forward, module: nn.Module, scale: Sequence[int]) -> int:
    """Return the side of the square that one pixel of a layer sees, measured on noise, within 16 to 128 pixels."""
    sides = [-(-(2 * halo + 2 * multiple) // multiple) * multiple for halo, multiple in zip(forward.halo, forward.multiple, strict=True)]
    if math.prod(sides) > forward.largest_px(gradient=True):
        return max(_SMALLEST_PX, min(_LARGEST_PX, 2 * max(forward.halo[-2:]) + 1))
    pixels = torch.randn(1, forward.channels, *sides, generator=torch.Generator().manual_seed(0)).to(forward.device).requires_grad_()
    middle: tuple[Any, ...] = (0, slice(None), *(n // step // 2 for n, step in zip(sides, scale, strict=True)))
    caught: list[Tensor] = []
    hook = module.register_forward_hook(lambda _module, _inputs, output: caught.append(output))
    try:
        with flushed_denormals():
            forward.differentiable(pixels)
            (slope,) = torch.autograd.grad(caught[0][middle].sum(), pixels)
    finally:
        hook.remove()
    touched = torch.nonzero(slope[0].abs().flatten(0, -3).sum(0))
    if not len(touched):
        return _SMALLEST_PX
    widest = int((touched.amax(0) - touched.amin(0)).max()) + 1
    return max(_SMALLEST_PX, min(_LARGEST_PX, widest))


def _features(forward: Forward, module: nn.Module) -> int:
    with given_by(module) as given, torch.no_grad(), flushed_denormals():
        forward.differentiable(torch.zeros(1, forward.channels, *(2 * n if n > 1 else 8 for n in forward.multiple)))
        return int(given().shape[1])


def _indices(stack: Stack, scenes: Scenes) -> list[tuple[int, ...]]:
    counts = dict(zip(plane_axes(stack), plane_shape(stack), strict=True))
    return list(itertools.product(*(range(counts[axis]) for axis in scenes.axes)))


def _cut(stack: Stack, find: Find, side: int) -> Patch:
    plane = read_plane(stack, find.plane)
    box = box_around(find.centre, (side, side), (plane.shape[-2], plane.shape[-1]))
    pixels = np.ascontiguousarray(plane[..., box[0] : box[2], box[1] : box[3]])
    return Patch(find.image, find.plane, find.centre, box, find.value, pixels)
