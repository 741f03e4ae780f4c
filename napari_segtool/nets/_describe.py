"""Describe a network before it is trained: layers with their shapes, receptive field, parameters, memory. Imports torch."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import nn

from napari_segtool.core.errors import ParameterError
from napari_segtool.core.params import Params
from napari_segtool.core.progress import Progress, Steps, drain
from napari_segtool.core.registry import NETWORKS
from napari_segtool.nets._drawing import NetworkDrawing
from napari_segtool.nets._memory import prediction_bytes, training_bytes
from napari_segtool.nets._reach import network_multiple
from napari_segtool.nets._receptive import receptive_field
from napari_segtool.nets._trace import trace

_PARTS = 3


def describe_network_steps(
    name: str,
    params: Params | Mapping[str, Any],
    channels: int,
    classes: int,
    spatial: int,
    patch_px: Sequence[int],
    batch: int = 1,
) -> Steps[NetworkDrawing]:
    """Describe a network; no weights are made and nothing is computed but shapes, so it takes a second at most for any size.

    Parameters
    ----------
    name, params
        Entry of `NETWORKS`, and its parameters; what is left out has its default.
    channels, classes
        Input channels (2.5-D: those of all slices shown) and output classes.
    spatial
        2 or 3.
    patch_px
        Pixels of a patch along each spatial axis; in 2-D a depth of 1 may stand before them.
    batch
        Patches that are learned from at once.

    Raises
    ------
    ParameterError
        If the network or a parameter is not known, or the patch does not fit.
    """
    entry = NETWORKS.get(name)
    values = params if isinstance(params, Params) else entry.params.build(**params)
    sides = _checked(patch_px, spatial, batch, channels, classes)
    yield Progress(0, _PARTS, "layers")
    with torch.device("meta"):
        network: nn.Module = entry.function(values, channels, classes, spatial)
        patches = torch.zeros(batch, channels, *sides)
    multiple = network_multiple(network)
    with _large_enough(sides, multiple):
        seen = trace(network, patches)
    yield Progress(1, _PARTS, "receptive field")
    field = receptive_field(_thin(entry.function, values, spatial))
    yield Progress(2, _PARTS, "memory")
    with _large_enough(sides, multiple):
        learning = training_bytes(network, patches)
    return NetworkDrawing(
        network=entry.name,
        title=entry.title,
        params=values.model_dump(mode="json"),
        channels=channels,
        classes=classes,
        spatial=spatial,
        patch_px=sides,
        batch=batch,
        blocks=tuple(seen.blocks),
        layers=tuple(seen.layers),
        skips=tuple(seen.skips),
        receptive_field=field,
        multiple=multiple,
        parameters=sum(weight.numel() for weight in network.parameters()),
        training_bytes=learning,
        prediction_bytes=prediction_bytes(network, patches),
    )


def describe_network(
    name: str, params: Params | Mapping[str, Any], channels: int, classes: int, spatial: int, patch_px: Sequence[int], batch: int = 1
) -> NetworkDrawing:
    """Describe a network in place; see `describe_network_steps`.

    Examples
    --------
    >>> drawing = describe_network("unet2015", {}, 1, 2, 2, (388, 388))
    >>> drawing.blocks[0].shape_out, drawing.parameters, drawing.receptive_field.px
    ((64, 568, 568), 31030658, (204, 204))
    """
    return drain(describe_network_steps(name, params, channels, classes, spatial, patch_px, batch))


@contextlib.contextmanager
def _large_enough(sides: Sequence[int], multiple: Sequence[int]) -> Iterator[None]:
    """Say what torch means where a normalisation finds one pixel only."""
    try:
        yield
    except ValueError:
        raise ParameterError(
            f"A patch of {' × '.join(map(str, sides))} pixels is too small for this network: at its bottom one pixel is left, which cannot be normalised.",
            hint=f"Take at least {' × '.join(str(2 * n) for n in multiple)} pixels, or fewer levels.",
        ) from None


def _thin(build: Any, params: Params, spatial: int) -> nn.Module:
    """The same network with as few features as it can have: it looks as far, and is measured in no time."""
    narrow = {"base_channels": 1} if "base_channels" in type(params).model_fields else {}
    network: nn.Module = build(params.model_copy(update=narrow), 1, 2, spatial)
    return network


def _checked(patch_px: Sequence[int], spatial: int, batch: int, channels: int, classes: int) -> tuple[int, ...]:
    sides = tuple(int(n) for n in patch_px)
    if spatial == 2 and len(sides) == 3 and sides[0] == 1:
        sides = sides[1:]
    if spatial not in (2, 3) or len(sides) != spatial or min((*sides, batch, channels, classes)) < 1:
        raise ParameterError(
            f"{batch} patch(es) of {' × '.join(map(str, sides)) or 'no'} pixels with {channels} channel(s) and {classes} classes cannot be, in {spatial}-D.",
            hint=f"Give {'Y,X' if spatial == 2 else 'Z,Y,X'}, each above 0, and at least one channel, class and patch.",
        )
    return sides
