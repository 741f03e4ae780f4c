"""Weights to begin with: their statistics, and that signals keep their size through many layers."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
import torch
from torch import nn

from napari_segtool.core.errors import ParameterError
from napari_segtool.nets._initialise import initialise, inputs_of_one_output

KINDS = ["kaiming", "gaussian", "orthogonal"]


def made(layer: nn.Module, kind: Any, seed: int = 0) -> Any:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        initialise(layer, kind)
    return layer


@pytest.mark.parametrize(
    ("layer", "inputs"),
    [
        (nn.Conv2d(64, 64, 3), 576),
        (nn.Conv3d(8, 64, (1, 3, 3)), 72),
        (nn.Conv2d(64, 64, 3, groups=2), 288),
        (nn.ConvTranspose2d(64, 64, 2, stride=2), 64),
        (nn.ConvTranspose2d(16, 64, 4, stride=2), 64),
        (nn.Linear(300, 200), 300),
    ],
)
@pytest.mark.parametrize("kind", ["kaiming", "gaussian"])
def test_the_variance_is_two_over_the_number_of_inputs(layer: nn.Module, inputs: int, kind: str) -> None:
    assert inputs_of_one_output(layer) == inputs
    weight = made(layer, kind).weight.detach().double()
    spread = 4 * math.sqrt(2 / weight.numel())
    assert float(weight.var()) == pytest.approx(2 / inputs, rel=spread)
    assert abs(float(weight.mean())) < 4 * math.sqrt(2 / inputs / weight.numel())


def test_the_number_of_inputs_is_the_number_of_weights_that_reach_an_output() -> None:
    layer = nn.ConvTranspose2d(3, 2, 4, stride=2)
    nn.init.ones_(layer.weight)
    nn.init.zeros_(layer.bias)
    out = layer(torch.ones(1, 3, 9, 9)).detach()
    assert float(out[0, 0, 8, 8]) == inputs_of_one_output(layer)


def test_gaussian_weights_have_tails_and_kaimings_have_none() -> None:
    bound = math.sqrt(6 / 576)
    assert float(made(nn.Conv2d(64, 64, 3), "kaiming").weight.detach().abs().max()) <= bound
    normal = made(nn.Conv2d(64, 64, 3), "gaussian").weight.detach().double()
    assert float(normal.abs().max()) > bound * 1.5
    assert float((normal**4).mean() / normal.var() ** 2) == pytest.approx(3, abs=0.15)


def test_orthogonal_rows_stand_at_right_angles() -> None:
    rows = made(nn.Conv2d(16, 32, 3), "orthogonal").weight.detach().double().reshape(32, -1)
    assert torch.allclose(rows @ rows.T, 2 * torch.eye(32, dtype=torch.float64), atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_a_signal_keeps_its_size_through_twenty_layers(kind: str) -> None:
    layers = [nn.Conv2d(64, 64, 3, padding=1, padding_mode="circular", bias=False) for _ in range(20)]
    network = made(nn.Sequential(*itertools.chain.from_iterable((layer, nn.ReLU()) for layer in layers)), kind)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(1)
        image = torch.randn(1, 64, 12, 12)
        size = float((network(image) ** 2).mean() / (image**2).mean())
    assert 0.15 < size < 6


@pytest.mark.parametrize("kind", KINDS)
def test_biases_are_zero_normalisation_is_left_alone_and_the_seed_decides(kind: str) -> None:
    def network() -> nn.Sequential:
        return nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.ConvTranspose2d(4, 3, 2, stride=2))

    first, again, other = made(network(), kind), made(network(), kind), made(network(), kind, seed=1)
    assert not first[0].bias.any()
    assert not first[2].bias.any()
    assert bool((first[1].weight == 1).all())
    assert torch.equal(first[0].weight, again[0].weight)
    assert not torch.equal(first[0].weight, other[0].weight)


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(ParameterError, match="xavier"):
        initialise(nn.Conv2d(1, 1, 1), "xavier")  # type: ignore[arg-type]
