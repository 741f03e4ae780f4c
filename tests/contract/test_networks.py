"""What every network promises, whatever it is made of."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from napari_segtool.core.errors import ParameterError
from napari_segtool.core.params import describe
from napari_segtool.core.registry import NETWORKS
from napari_segtool.nets._reach import network_multiple, receptive_halo
from napari_segtool.nets._receptive import receptive_field

SMALL = {"base_channels": 2, "depth": 2}
CASES = [(entry.name, spatial) for entry in NETWORKS for spatial in entry.dimensions]
BOUNDS = [
    (entry.name, field.name, value)
    for entry in NETWORKS
    for field in describe(entry.params)
    for value in (field.choices or [bound for bound in (field.minimum, field.maximum) if bound is not None] or ([True] if field.kind == "bool" else []))
]


def built(name: str, spatial: int, *, channels: int = 1, classes: int = 3, **params: Any) -> nn.Module:
    entry = NETWORKS.get(name)
    known = {key: value for key, value in SMALL.items() if key in entry.params.model_fields}
    torch.manual_seed(0)
    network: nn.Module = entry.function(entry.params.build(**{**known, **params}), channels, classes, spatial)
    return network


def noise(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(("name", "spatial"), CASES)
def test_logits_have_the_size_of_the_input_one_for_each_class_and_the_input_is_left_alone(name: str, spatial: int) -> None:
    network = built(name, spatial, channels=2).eval()
    for size in ((1, 3, 21), (2, 37, 16)):
        pixels = noise(2, 2, *size[-spatial:])
        before = pixels.clone()
        with torch.no_grad():
            logits = network(pixels)
        assert logits.shape == (2, 3, *size[-spatial:])
        assert logits.dtype == torch.float32
        assert torch.equal(pixels, before)


@pytest.mark.parametrize(("name", "spatial"), CASES)
def test_the_same_seed_makes_the_same_network_and_evaluation_repeats_itself(name: str, spatial: int) -> None:
    first, second = built(name, spatial), built(name, spatial)
    assert all(torch.equal(a, b) for a, b in zip(first.state_dict().values(), second.state_dict().values(), strict=True))
    pixels = noise(1, 1, *[16] * spatial)
    assert torch.equal(first.eval()(pixels), first(pixels))


@pytest.mark.parametrize(("name", "spatial"), CASES)
def test_a_picture_of_a_batch_does_not_see_the_others(name: str, spatial: int) -> None:
    network = built(name, spatial).eval()
    pair = noise(2, 1, *[16] * spatial)
    with torch.no_grad():
        torch.testing.assert_close(network(pair)[1:], network(pair[1:]), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("name", "spatial"), CASES)
def test_while_training_the_first_output_has_the_size_of_the_input(name: str, spatial: int) -> None:
    deep = {"deep_supervision": True} if "deep_supervision" in NETWORKS.get(name).params.model_fields else {}
    for params in ({}, deep):
        outputs = built(name, spatial, **params).train()(noise(2, 1, *[20] * spatial))
        first, *coarser = outputs if isinstance(outputs, tuple) else (outputs,)
        assert first.shape == (2, 3, *[20] * spatial)
        assert all(a.shape[-1] > b.shape[-1] for a, b in zip([first, *coarser], coarser, strict=False))


@pytest.mark.parametrize(("name", "spatial"), CASES)
def test_tiles_that_begin_on_the_stride_and_overlap_by_the_halo_give_the_logits_of_the_whole(name: str, spatial: int) -> None:
    network = built(name, spatial).eval()
    halo, multiple = receptive_halo(network), network_multiple(network)
    margin = [-(-h // m) * m for h, m in zip(halo, multiple, strict=True)]
    sides = [2 * m for m in multiple]
    sides[-1] = 2 * margin[-1] + 5 * multiple[-1]
    pixels = noise(1, 1, *sides)
    start = margin[-1] + 2 * multiple[-1]
    with torch.no_grad():
        whole = network(pixels)[..., start : start + multiple[-1]]
        tile = network(pixels[..., start - margin[-1] : start + multiple[-1] + margin[-1]])[..., margin[-1] : margin[-1] + multiple[-1]]
    torch.testing.assert_close(tile, whole, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("name", "spatial"), CASES)
def test_a_stated_receptive_field_is_the_measured_one(name: str, spatial: int) -> None:
    field = receptive_field(built(name, spatial))
    assert field.stated_px in ((), field.measured_px) or not any(field.measured_px)  # unless that would take long


@pytest.mark.parametrize(("name", "parameter", "value"), BOUNDS)
def test_every_bound_and_choice_of_every_parameter_makes_a_network(name: str, parameter: str, value: Any) -> None:
    for spatial in NETWORKS.get(name).dimensions:
        with torch.device("meta"):
            network = built(name, spatial, **{parameter: value}).eval()
            assert network(torch.zeros(1, 1, *[8] * spatial)).shape == (1, 3, *[8] * spatial)


@pytest.mark.parametrize("entry", tuple(NETWORKS), ids=lambda entry: entry.name)
def test_dimensions_it_does_not_work_in_are_refused(entry: Any) -> None:
    for spatial in {2, 3} - set(entry.dimensions):
        with pytest.raises(ParameterError):
            built(entry.name, spatial)
