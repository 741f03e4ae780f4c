"""The stated receptive field is the one found by changing pixels and looking which logits change."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import nn

from napari_segtool.core.registry import NETWORKS
from napari_segtool.nets._drawing import ReceptiveField
from napari_segtool.nets._receptive import receptive_field


def made(name: str, spatial: int, **params: Any) -> nn.Module:
    """A network in float64 whose weights are all positive: no change can cancel, stop at a ReLU or lose a maximum."""
    entry = NETWORKS.get(name)
    torch.manual_seed(0)
    network: nn.Module = entry.function(entry.params.build(**{"base_channels": 1, **params}), 1, 2, spatial).double().eval()
    with torch.no_grad():
        for weight in network.parameters():
            weight.abs_()
    return network


def seen_by_perturbation(network: Any, axis: int) -> int:
    """Largest number of pixels along an axis that one logit changes with."""
    multiple = network.multiple
    step = multiple[axis]
    sides = [2 * n for n in multiple]
    sides[axis] = 24 * step
    middle = 12 * step
    plain = torch.ones(1, 1, *sides, dtype=torch.float64)
    offsets: dict[int, list[int]] = {}
    with torch.no_grad():
        before = network(plain)
        for place in range(middle, middle + step):  # further pixels are these, shifted by the stride
            other = plain.clone()
            other.select(axis + 2, place).add_(1000.0)
            different = (network(other) != before).sum([i for i in range(plain.ndim) if i != axis + 2])
            changed = [int(n) for n in torch.nonzero(different).flatten()]
            assert min(changed) > 0
            assert max(changed) < sides[axis] - 1
            for logit in changed:
                offsets.setdefault(logit % step, []).append(place - logit)
    return max(max(found) - min(found) + 1 for found in offsets.values())


@pytest.mark.parametrize(
    ("name", "spatial", "params"),
    [
        ("unet", 2, {"depth": 1}),
        ("unet", 2, {"depth": 3}),
        ("unet", 2, {"depth": 2, "residual": True, "activation": "gelu"}),
        ("unet", 2, {"depth": 2, "reduction": 2}),
        ("unet", 2, {"depth": 1, "reduction": 3}),
        ("unet", 3, {"depth": 2, "z_factors": "1,2"}),
        ("unet", 3, {"depth": 2, "z_factors": "1,1", "residual": True}),
        ("unet2015", 2, {}),
    ],
)
def test_the_stated_field_and_the_measured_one_are_that_of_changed_pixels(name: str, spatial: int, params: dict[str, Any]) -> None:
    network = made(name, spatial, **params)
    field = receptive_field(network)
    axes = range(spatial) if spatial == 3 else (1,)
    found = {axis: seen_by_perturbation(network, axis) for axis in axes}
    assert {axis: field.stated_px[axis] for axis in axes} == found
    assert {axis: field.measured_px[axis] for axis in axes} == found


def test_the_field_of_a_unet_of_depth_one_is_that_worked_out_by_hand() -> None:
    # 2 pixels on each side by the upper convolutions make 5, which lie in 3 coarse ones wherever the grid falls; 2 more on
    # each side by the lower ones make 7 coarse, that is 14 fine ones; 2 more on each side on the way down.
    assert receptive_field(made("unet", 2, depth=1)).px == (18, 18)


def test_the_published_network_sees_all_of_the_smallest_tile_or_one_stride_more() -> None:
    network = made("unet2015", 2)
    # The smallest tile, 188 pixels for 4, has a bottom of 4 pixels, which each logit of the first four depends on altogether.
    assert [network.reads(0, (place, place)) for place in (0, 3, 4, 15)] == [(-92, 95), (-92, 95), (-92, 111), (-92, 111)]
    assert receptive_field(network).px == (204, 204)


def test_a_network_that_does_not_tell_is_measured() -> None:
    network = nn.Sequential(nn.Conv2d(1, 2, (3, 5), padding=(1, 2)), nn.ReLU(), nn.Conv2d(2, 2, 3, padding=2, dilation=2))
    assert receptive_field(network) == ReceptiveField((), (7, 9))


def test_what_would_take_long_to_measure_is_stated_only() -> None:
    field = receptive_field(made("unet", 3, depth=6))
    assert field.measured_px == (0, 0, 0)
    # Each level adds 8 pixels of its own size and the bottom 4 of its; poolings round that to their grid.
    assert all(abs(n - (sum(8 * 2**level for level in range(6)) + 4 * 2**6)) < 2 * 2**6 for n in field.stated_px)
    assert math.prod(field.stated_px) == field.stated_px[0] ** 3
