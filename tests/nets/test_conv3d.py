"""Convolutions of one volume: the results and gradients of torch's own, in a fraction of its work."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from napari_segtool.nets._blocks import convolution
from napari_segtool.nets._conv3d import QuickConv3d
from napari_segtool.nets._fuse import fold_batchnorm, fuse_activations
from napari_segtool.nets.unet import UNetParams, build_unet


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def gradients(layer: nn.Module, volume: Tensor, weight: Tensor) -> tuple[Tensor, ...]:
    volume = volume.clone().requires_grad_()
    result = layer(volume)
    return (result.detach(), *torch.autograd.grad((result * weight).sum(), [volume, *layer.parameters()]))


@pytest.mark.parametrize("shape", [(6, 5, 7), (5, 6, 7), (5, 7, 6), (5, 7, 3), (1, 8, 8), (2, 2, 2), (1, 1, 1), (16, 24, 24)])
@pytest.mark.parametrize(("kernel", "padding"), [(3, 1), ((1, 3, 3), (0, 1, 1)), (1, 0), (3, 0), ((3, 1, 5), (1, 0, 2)), (1, 1)])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last_3d])
def test_results_and_gradients_are_torchs_own_in_float64(shape: tuple[int, int, int], kernel: Any, padding: Any, layout: Any) -> None:
    sizes = [n + 2 * p - k + 1 for n, p, k in zip(shape, *(v if isinstance(v, tuple) else (v,) * 3 for v in (padding, kernel)), strict=True)]
    torch.manual_seed(0)
    quick = QuickConv3d(3, 4, kernel, padding=padding)
    if min(sizes) < 1:
        with pytest.raises(RuntimeError, match="greater than actual input size"):
            quick(noise(1, 3, *shape))
        return
    exact = nn.Conv3d(3, 4, kernel, padding=padding).double()
    exact.load_state_dict(quick.state_dict())
    volume, weight = noise(1, 3, *shape).contiguous(memory_format=layout), noise(1, 4, *sizes, seed=1)
    for got, wanted in zip(gradients(quick, volume, weight), gradients(exact, volume.double(), weight.double()), strict=True):
        torch.testing.assert_close(got.double(), wanted, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("more", [{"stride": 2}, {"dilation": 2}, {"groups": 2}, {"padding_mode": "replicate"}, {"padding": "same"}, {"bias": False}])
def test_kinds_that_it_leaves_to_torch_are_unchanged(more: dict[str, Any]) -> None:
    torch.manual_seed(0)
    quick = QuickConv3d(2, 4, 3, **{"padding": 1, **more})
    plain = nn.Conv3d(2, 4, 3, **{"padding": 1, **more})
    plain.load_state_dict(quick.state_dict())
    volume = noise(1, 2, 8, 8, 8)
    torch.testing.assert_close(quick(volume), plain(volume), rtol=1e-5, atol=1e-5)


class Seen(TorchDispatchMode):
    """Notes the batch sizes of convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[int] = []

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if "convolution" in str(function):
            self.batches.append(args[0].shape[0])
        return function(*args, **(kwargs or {}))


def test_a_single_volume_is_two_to_torch_and_several_or_large_ones_are_left_alone() -> None:
    layer = QuickConv3d(4, 2, 3, padding=1)
    with torch.no_grad(), Seen() as seen:
        for volume in (noise(1, 4, 8, 8, 8), noise(3, 4, 8, 8, 8), noise(1, 4, 80, 80, 2), noise(1, 4, 8, 8, 8).bfloat16()):
            layer.to(volume.dtype)(volume)
    assert seen.batches == [2, 3, 1, 1]


def test_networks_of_volumes_are_built_of_it_and_keep_it_when_folded() -> None:
    network = build_unet(UNetParams(base_channels=2, depth=1, residual=True), 1, 2, 3).eval()
    kinds = {type(module) for each in (network, fold_batchnorm(network)) for module in each.modules() if isinstance(module, nn.Conv3d)}
    assert kinds == {QuickConv3d}
    assert convolution(2) is nn.Conv2d


def test_a_volume_alone_gives_the_logits_and_gradients_it_gives_among_others() -> None:
    torch.manual_seed(0)
    network = build_unet(UNetParams(base_channels=2, depth=2, normalisation="instance"), 1, 2, 3)
    volume, weight = noise(1, 1, 8, 12, 20), noise(1, 2, 8, 12, 20, seed=1)
    alone = gradients(network, volume, weight)
    pair = gradients(network, torch.cat([volume, volume]), torch.cat([weight, weight]))
    torch.testing.assert_close(alone[0], pair[0][:1], rtol=1e-4, atol=1e-4)
    for got, wanted in itertools.islice(zip(alone, pair, strict=True), 2, None):
        torch.testing.assert_close(got, wanted / 2, rtol=1e-3, atol=2e-3)


def fill_free_memory_with_nan() -> None:
    """What is read before it is written is then not a number."""
    for size in (10**2, 10**3, 10**4, 10**5, 10**6):
        for kind in (torch.float32, torch.bfloat16):
            del_later = [torch.full((size,), float("nan"), dtype=kind) for _ in range(6)]
            del del_later


@pytest.mark.parametrize("depth", [1, 2, 3])
@pytest.mark.parametrize("channels", [1, 32])
def test_thin_volumes_are_right_in_bfloat16(depth: int, channels: int) -> None:
    torch.manual_seed(0)
    quick = QuickConv3d(channels, 64, 3, padding=1).to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    exact = nn.Conv3d(channels, 64, 3, padding=1).double()
    exact.load_state_dict(quick.state_dict())
    volume, weight = noise(2, channels, depth, 16, 16).contiguous(memory_format=torch.channels_last_3d), noise(2, 64, depth, 16, 16, seed=1)
    fill_free_memory_with_nan()
    with torch.autocast("cpu", torch.bfloat16):
        got = gradients(quick, volume, weight)
    for ours, wanted in zip(got, gradients(exact, volume.double(), weight.double()), strict=True):
        assert (ours.double() - wanted).norm() < 0.02 * wanted.norm()


@pytest.mark.parametrize("depth", [1, 2])
def test_thin_volumes_are_right_where_the_activation_is_part_of_the_convolution(depth: int) -> None:
    torch.manual_seed(0)
    plain = nn.Sequential(QuickConv3d(1, 32, 3, padding=1), nn.ReLU()).eval().requires_grad_(False)
    fused = fuse_activations(plain)
    assert fused is not None
    volume = noise(1, 1, depth, 16, 16)
    wanted = plain(volume)
    fused.to(torch.bfloat16, memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    fill_free_memory_with_nan()
    with torch.inference_mode():
        got = fused(volume.to(torch.bfloat16, memory_format=torch.channels_last_3d))
    assert (got.float() - wanted).norm() < 0.02 * wanted.norm()
