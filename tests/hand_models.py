"""Models made by hand, whose answers can be worked out on paper, and small untrained ones."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from napari_segtool.core.result import ModelBundle
from napari_segtool.nets._bundle import save_bundle
from napari_segtool.nets._forward import Forward
from napari_segtool.nets._loaded import LoadedModel
from napari_segtool.nets._normalise import Normalisation
from napari_segtool.nets.unet import UNetParams, build_unet

AS_IS = {"kind": "fixed", "mean": [0.0], "deviation": [1.0]}
"""Shows the network the pixel values as they are."""


def card_of(
    *,
    channels: int = 1,
    spatial: int = 2,
    values: Sequence[int] = (0, 1),
    network: str = "unet",
    params: dict[str, Any] | None = None,
    normalisation: dict[str, Any] | None = None,
    **more: Any,
) -> dict[str, Any]:
    """A model card as training writes it."""
    return {
        "learner": "unet",
        "network": network,
        "network_params": params or {},
        "channels": channels,
        "spatial": spatial,
        "classes": [{"value": value, "name": f"class {value}"} for value in values],
        "normalisation": normalisation or {"kind": "plane", "mean": [], "deviation": []},
        **more,
    }


def loaded_by_hand(network: nn.Module, *, precision: str = "float32", **facts: Any) -> LoadedModel:
    """A model in memory around any network, shown pixel values as they are unless told otherwise."""
    forward = Forward(network, device="cpu", precision=precision)
    normalisation = facts.pop("normalisation", AS_IS | {"mean": [0.0] * forward.channels, "deviation": [1.0] * forward.channels})
    card = card_of(channels=forward.channels, spatial=forward.spatial, normalisation=normalisation, **facts)
    values = tuple(entry["value"] for entry in card["classes"])
    names = tuple(entry["name"] for entry in card["classes"])
    return LoadedModel(ModelBundle(Path("by hand"), card), forward, Normalisation.from_record(normalisation), values, names, forward.halo)


def convolution(kernels: torch.Tensor, bias: Sequence[float] | None = None) -> nn.Module:
    """One convolution that keeps the size, with given kernels ``(out, in, [z,] y, x)`` of odd size."""
    kind = nn.Conv2d if kernels.ndim == 4 else nn.Conv3d
    layer = kind(kernels.shape[1], kernels.shape[0], tuple(kernels.shape[2:]), padding=tuple(n // 2 for n in kernels.shape[2:]))
    with torch.no_grad():
        layer.weight.copy_(kernels)
        layer.bias.copy_(torch.zeros(kernels.shape[0]) if bias is None else torch.tensor(bias))
    return layer


def small_unet(channels: int = 1, classes: int = 2, spatial: int = 2, *, seed: int = 0, **params: Any) -> tuple[nn.Module, dict[str, Any]]:
    """An untrained U-Net with lively statistics in its BatchNorms, and its parameters."""
    torch.manual_seed(seed)
    values = UNetParams(**{"base_channels": 4, "depth": 2, **params})
    network = build_unet(values, channels, classes, spatial)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d | nn.BatchNorm3d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0, 0.2)
            module.running_mean.normal_(0, 0.2)
            module.running_var.uniform_(0.5, 1.5)
    return network.eval(), values.model_dump()


def saved_unet(
    folder: Path, channels: int = 1, values: Sequence[int] = (0, 1), spatial: int = 2, *, seed: int = 0, card: dict[str, Any] | None = None, **params: Any
) -> ModelBundle:
    """A bundle on disk with an untrained U-Net."""
    network, given = small_unet(channels, len(values), spatial, seed=seed, **params)
    return save_bundle(folder, network, card_of(channels=channels, spatial=spatial, values=values, params=given, **(card or {})))
