"""The U-Net: sizes, reach, gradients, blocks that others find by name."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import nn

from napari_segtool.core.errors import ParameterError
from napari_segtool.core.registry import NETWORKS
from napari_segtool.nets._unet import UNet
from napari_segtool.nets.unet import UNetParams, pooling_factors


def small(spatial: int = 2, *, channels: int = 1, classes: int = 3, **params: object) -> UNet:
    entry = NETWORKS.get("unet")
    torch.manual_seed(0)
    network: UNet = entry.function(entry.params.build(**{"base_channels": 4, "depth": 2, **params}), channels, classes, spatial)
    return network


@pytest.mark.parametrize("size", [(1, 1), (3, 50), (37, 41), (64, 64), (5, 128)])
def test_logits_have_the_size_of_any_picture(size: tuple[int, int]) -> None:
    network = small(channels=2).eval()
    assert network(torch.zeros(2, 2, *size)).shape == (2, 3, *size)


@pytest.mark.parametrize("size", [(1, 9, 10), (5, 16, 12), (8, 8, 8)])
def test_logits_have_the_size_of_any_volume(size: tuple[int, int, int]) -> None:
    network = small(3).eval()
    assert network(torch.zeros(1, 1, *size)).shape == (1, 3, *size)


@pytest.mark.parametrize("normalisation", ["batch", "instance", "group", "none"])
@pytest.mark.parametrize("spatial", [2, 3])
def test_a_gradient_reaches_every_weight(spatial: int, normalisation: str) -> None:
    network = small(spatial, normalisation=normalisation, dropout=0.2)
    network(torch.randn(2, 1, *[16] * spatial)).square().mean().backward()
    without = [name for name, weight in network.named_parameters() if weight.grad is None or not weight.grad.abs().sum() > 0]
    # A bias or scale before another normalisation can be without effect only if it is not there at all.
    assert without == []


def test_one_changed_pixel_changes_logits_within_reach_only() -> None:
    network = small(depth=1).eval()
    picture = torch.randn(1, 1, 64, 64)
    other = picture.clone()
    other[0, 0, 32, 32] += 5.0
    changed = (network(picture) != network(other)).any(1)[0].nonzero()
    # Two 3-wide convolutions, a pool of 2, two at half resolution, two more: 2 + 1 + 2·2 + 2 pixels, and one by the grid's phase.
    assert (changed - 32).abs().max() <= 10
    assert (changed - 32).abs().max() >= 5


def test_a_shift_by_the_total_stride_shifts_the_logits() -> None:
    network = small(depth=2).eval()
    assert network.multiple == (4, 4)
    picture = torch.randn(1, 1, 96, 96)
    shifted = network(picture[..., 4:, 8:])
    assert torch.allclose(shifted[..., 32:-32, 32:-32], network(picture)[..., 36:-32, 40:-32], atol=1e-5)


def test_pooling_along_z_follows_its_factors() -> None:
    assert small(3, z_factors="1,2").multiple == (2, 4, 4)
    assert pooling_factors(UNetParams(depth=3), 3) == ((2, 2, 2),) * 3
    assert pooling_factors(UNetParams(depth=3, z_factors="9"), 2) == ((2, 2),) * 3


@pytest.mark.parametrize("factors", ["1", "1,3", "1,2,2", "a,b"])
def test_z_factors_that_do_not_fit_the_depth_are_refused_with_an_example(factors: str) -> None:
    with pytest.raises(ParameterError, match="depth 2") as caught:
        small(3, z_factors=factors)
    assert "1,2" in caught.value.hint


def test_thin_sections_are_not_mixed_where_z_is_not_pooled_and_the_slice_is_out_of_reach() -> None:
    network = small(3, z_factors="1,1").eval()
    volume = torch.randn(1, 1, 40, 8, 8)
    other = volume.clone()
    other[:, :, 39] += 5.0
    changed = (network(volume) != network(other)).any(dim=(0, 1, 3, 4)).nonzero()
    assert changed.min() >= 39 - 10  # ten 3-wide convolutions, one plane each


def test_blocks_are_found_by_name_and_batchnorm_follows_its_convolution() -> None:
    network = small(depth=2)
    named = dict(network.named_modules())
    assert {"down.0", "down.1", "bottom", "up.0", "up.1", "head"} <= set(named)
    for block in (named["down.0"], named["bottom"], named["up.1"]):
        pairs = list(itertools.pairwise(block.children()))
        assert sum(isinstance(a, nn.Conv2d) and isinstance(b, nn.BatchNorm2d) for a, b in pairs) == 2
        assert sum(isinstance(a, nn.BatchNorm2d) and isinstance(b, nn.ReLU) for a, b in pairs) == 2


def test_channels_double_down_to_the_most_allowed() -> None:
    network = small(base_channels=8, depth=3, max_channels=16)
    widths = [block[0].out_channels for block in network.down] + [network.bottom[0].out_channels]
    assert widths == [8, 16, 16, 16]


def test_same_seed_makes_the_same_weights() -> None:
    first, second = small().state_dict(), small().state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("reduction", [2, 4])
@pytest.mark.parametrize("spatial", [2, 3])
def test_a_network_that_works_at_lower_resolution_answers_at_full_size(spatial: int, reduction: int) -> None:
    network = small(spatial, depth=1, reduction=reduction).eval()
    size = [11, 37, 21][-spatial:]
    assert network(torch.zeros(1, 1, *size)).shape == (1, 3, *size)
    assert network.multiple == ((2 * reduction,) * 2 if spatial == 2 else (2, 2 * reduction, 2 * reduction))


def test_a_network_at_a_quarter_of_the_resolution_sees_four_times_as_far() -> None:
    def reach(reduction: int) -> int:
        network = small(depth=1, reduction=reduction).eval()
        picture = torch.randn(1, 1, 128, 128)
        other = picture.clone()
        other[0, 0, 64, 64] += 50.0
        return int(((network(picture) - network(other)).abs().sum(1)[0] > 1e-4).nonzero().sub(64).abs().max())

    assert reach(4) > 3 * reach(1)
