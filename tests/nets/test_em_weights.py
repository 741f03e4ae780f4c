"""The weights that know electron microscopy: what they are of, what they see, and whom they are given to."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from napari_segtool.core.errors import ModelError, ParameterError
from napari_segtool.core.registry import NETWORKS, SAMPLES
from napari_segtool.io.samples.em import CLASS_NAMES
from napari_segtool.nets import _em_weights
from napari_segtool.nets._em_weights import EM_NETWORK, em_weights, start_from_em
from napari_segtool.nets._initialise import initialise
from napari_segtool.nets._unet import UNet


def em_unet(channels: int = 1, classes: int = 2, **other: object) -> UNet:
    entry = NETWORKS.get("unet")
    network: UNet = entry.function(entry.params.build(**{**EM_NETWORK, **other}), channels, classes, 2)
    return network


def with_their_head() -> UNet:
    network = em_unet(classes=len(CLASS_NAMES))
    initialise(network, "em")
    weights = em_weights()
    network.head.load_state_dict({"weight": weights["head.weight"], "bias": weights["head.bias"]})
    return network.eval()


def section(seed: int) -> tuple[torch.Tensor, np.ndarray]:
    sample = SAMPLES.get("em")
    stack, truth = sample.function(sample.params.build(seed=seed, size_px=256, slices=1))
    plane = np.asarray(stack.data[0], np.float32)
    return torch.from_numpy((plane - plane.mean()) / plane.std())[None, None], np.asarray(truth.data[0])


@torch.no_grad()
def test_with_their_own_head_they_tell_the_parts_of_tissue_they_have_not_seen() -> None:
    image, truth = section(seed=7)  # they were learned from the seeds 100 and up
    found = with_their_head()(image)[0].argmax(0).numpy()
    dice = [2 * ((found == index) & (truth == index)).sum() / ((found == index).sum() + (truth == index).sum()) for index in range(len(CLASS_NAMES))]
    assert min(dice) > 0.85


def test_they_are_read_as_float32_and_small_on_disk() -> None:
    assert {tensor.dtype for tensor in em_weights().values()} == {torch.float32}
    assert _em_weights._FILE.stat().st_size < 12e6


def test_the_head_is_drawn_anew_and_the_rest_is_theirs() -> None:
    networks = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        network = em_unet(classes=4)
        initialise(network, "em")
        networks.append(network.state_dict())
    weights = em_weights()
    for name, tensor in networks[0].items():
        if name.startswith("head."):
            assert tensor.shape[0] == 4
        elif name in weights:
            assert torch.equal(tensor, weights[name])
    assert not torch.equal(networks[0]["head.weight"], networks[1]["head.weight"])


@torch.no_grad()
@pytest.mark.parametrize("channels", [1, 3, 5])
def test_of_neighbouring_sections_the_middle_one_is_seen_as_one_alone_would_be(channels: int) -> None:
    image, _ = section(seed=8)
    alone, among = em_unet(), em_unet(channels)
    for network in (alone, among):
        initialise(network, "em")
        network.eval()
    among.head.load_state_dict(alone.head.state_dict())
    stack = torch.randn(1, channels, *image.shape[2:])
    stack[:, channels // 2] = image[:, 0]
    assert torch.allclose(among(stack), alone(image), atol=1e-4)


@torch.no_grad()
def test_an_even_number_of_channels_counts_as_their_mean() -> None:
    image, _ = section(seed=9)
    alone, pair = em_unet(), em_unet(2)
    for network in (alone, pair):
        initialise(network, "em")
        network.eval()
    pair.head.load_state_dict(alone.head.state_dict())
    assert torch.allclose(pair(torch.cat((0.5 * image, 1.5 * image), 1)), alone(image), atol=1e-3)


@pytest.mark.parametrize("other", [{"depth": 3}, {"depth": 5}, {"base_channels": 16}, {"residual": True}, {"normalisation": "instance"}, {"reduction": 2}])
def test_another_network_is_refused_with_what_to_change(other: dict[str, object]) -> None:
    with pytest.raises(ParameterError, match="another network") as error:
        initialise(em_unet(**other), "em")
    assert "base_channels=32" in error.value.hint


def test_a_volume_network_is_refused() -> None:
    with pytest.raises(ParameterError, match="another network"):
        start_from_em(UNet(1, 2, 3, base_channels=32, pooling=((2, 2, 2),) * 4))


@pytest.mark.parametrize("content", [None, b"not weights"])
def test_a_missing_or_damaged_file_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None) -> None:
    path = tmp_path / "unet_em.safetensors"
    if content is not None:
        path.write_bytes(content)
    monkeypatch.setattr(_em_weights, "_FILE", path)
    with pytest.raises(ModelError, match="cannot be read"):
        em_weights()
