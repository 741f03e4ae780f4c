"""The U-Net as published: sizes, number of layers, weights to begin with, mirrored borders, tiles."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from napari_segtool import api
from napari_segtool.core.errors import ParameterError, ShapeError
from napari_segtool.core.progress import drain
from napari_segtool.core.registry import NETWORKS
from napari_segtool.core.stack import Stack
from napari_segtool.core.target import Target
from napari_segtool.inference._predict import predict_steps
from napari_segtool.nets._bundle import load_network, save_bundle
from napari_segtool.nets._forward import Forward
from napari_segtool.nets._unet2015 import UNet2015
from napari_segtool.nets.unet2015 import UNet2015Params, build_unet2015
from tests.hand_models import card_of, loaded_by_hand


def unet2015(channels: int = 1, classes: int = 2, **params: object) -> UNet2015:
    torch.manual_seed(0)
    return build_unet2015(UNet2015Params.build(**{"base_channels": 2, **params}), channels, classes, 2).eval()


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def shapes_of(network: UNet2015, side: int) -> dict[str, tuple[int, int]]:
    """Channels and side of what each block gives."""
    found: dict[str, tuple[int, int]] = {}
    names = {module: name for name, module in network.named_modules() if name.partition(".")[0] in ("down", "bottom", "unpool", "up", "head")}
    hooks = [module.register_forward_hook(lambda m, _i, out: found.__setitem__(names[m], (out.shape[1], out.shape[2]))) for module in names]
    network.valid(torch.zeros(1, network.down[0][0].in_channels, side, side, device=next(network.parameters()).device))
    for hook in hooks:
        hook.remove()
    return found


def test_the_published_network_maps_572_pixels_to_388_through_the_published_sizes() -> None:
    with torch.device("meta"):
        network = build_unet2015(UNet2015Params(), 1, 2, 2).eval()
    assert network.valid(torch.zeros(1, 1, 572, 572, device="meta")).shape == (1, 2, 388, 388)
    # Figure 1 of the paper.
    figure = {
        "down.0": (64, 568),
        "down.1": (128, 280),
        "down.2": (256, 136),
        "down.3": (512, 64),
        "bottom": (1024, 28),
        "unpool.0": (512, 56),
        "up.0": (512, 52),
        "unpool.1": (256, 104),
        "up.1": (256, 100),
        "unpool.2": (128, 200),
        "up.2": (128, 196),
        "unpool.3": (64, 392),
        "up.3": (64, 388),
        "head": (2, 388),
    }
    found = shapes_of(network, 572)
    assert {name: found[name] for name in figure} == figure


def test_it_has_23_convolutions_and_as_many_parameters_as_they_need() -> None:
    with torch.device("meta"):
        network = build_unet2015(UNet2015Params(), 1, 2, 2)
    convolutions = [module for module in network.modules() if isinstance(module, nn.Conv2d | nn.ConvTranspose2d)]
    assert len(convolutions) == 23
    down = [(1, 64), (64, 64), (64, 128), (128, 128), (128, 256), (256, 256), (256, 512), (512, 512), (512, 1024), (1024, 1024)]
    up = [(1024, 512), (512, 512), (512, 256), (256, 256), (256, 128), (128, 128), (128, 64), (64, 64)]
    enlarging = [(1024, 512), (512, 256), (256, 128), (128, 64)]
    expected = sum((9 * a + 1) * b for a, b in down + up) + sum((4 * a + 1) * b for a, b in enlarging) + (64 + 1) * 2
    assert sum(weight.numel() for weight in network.parameters()) == expected


def test_weights_are_gaussian_of_deviation_root_two_over_n_and_biases_zero() -> None:
    network = unet2015(base_channels=16)
    # N = 9·F for a 3-wide convolution of F features; each pixel of an up-convolution comes from one pixel, so N = F.
    for weight, incoming in ((network.bottom[2].weight, 9 * 256), (network.down[3][0].weight, 9 * 64), (network.unpool[0].weight, 256)):
        weight, deviation = weight.detach(), math.sqrt(2 / incoming)
        assert float(weight.std()) == pytest.approx(deviation, rel=0.02)
        assert float(weight.mean()) == pytest.approx(0, abs=0.02 * deviation)
        assert float((weight.abs() > 2 * deviation).float().mean()) == pytest.approx(0.0455, abs=0.005)  # the tails of a Gaussian
    assert not any(bias.any() for name, bias in network.named_parameters() if name.endswith("bias"))


def test_dropout_is_at_the_end_of_the_contracting_path_and_only_while_training() -> None:
    network = unet2015()
    where = [name.rpartition(".")[0] for name, module in network.named_modules() if isinstance(module, nn.Dropout)]
    assert where == ["down.3", "bottom"]
    picture = noise(1, 1, 20, 20)
    assert torch.equal(network(picture), network(picture))
    network.train()
    assert not torch.equal(network(picture), network(picture))


@pytest.mark.parametrize(("side", "fitting"), [(571, 572), (573, 588), (512, 524), (100, 188), (187, 188)])
def test_a_size_that_a_pooling_would_cut_is_refused_with_one_that_fits(side: int, fitting: int) -> None:
    network = unet2015()
    with pytest.raises(ShapeError, match=str(side)) as refused:
        network.valid(torch.zeros(1, 1, side, 572))
    assert f"{fitting} pixels" in refused.value.hint
    assert network.valid(torch.zeros(1, 1, fitting, 188)).shape == (1, 2, fitting - 184, 4)


@pytest.mark.parametrize("size", [(388, 52), (37, 200), (5, 3), (1, 1)])
def test_any_picture_is_decided_as_if_it_were_mirrored_at_its_borders(size: tuple[int, int]) -> None:
    network = unet2015(channels=2)
    picture = noise(1, 2, *size)
    # An independent mirror, wide enough for any size: numpy's, cut to a side that fits.
    mirrored = np.pad(picture.numpy(), ((0, 0), (0, 0), (92, 120), (92, 120)), mode="reflect")
    sides = [188 + 16 * math.ceil(max(0, n - 4) / 16) for n in size]
    with torch.no_grad():
        expected = network.valid(torch.from_numpy(mirrored[:, :, : sides[0], : sides[1]]))[:, :, : size[0], : size[1]]
        logits = network(picture)
    assert logits.shape == (1, 2, *size)
    torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("shape", [(245, 21), (20, 288), (250, 12)])  # 245 ends 5 pixels within a stride: what is mirrored there lies deepest inside
def test_tiled_output_is_the_untiled_one(monkeypatch: pytest.MonkeyPatch, shape: tuple[int, int]) -> None:
    monkeypatch.setattr(Forward, "largest_px", lambda self, gradient=False: 1)  # cores of one stride
    network = unet2015(classes=3)
    pixels = noise(*shape).numpy()
    model = loaded_by_hand(network, values=(0, 1, 2))
    seen: list[object] = []
    result = drain(predict_steps(model.bundle, Stack(pixels, "YX"), loaded=model, precision="float32", probabilities=True), seen.append)
    with torch.no_grad():
        expected = network(torch.from_numpy(pixels)[None, None]).softmax(1)[0].numpy()
    np.testing.assert_allclose(result.probabilities.data, expected, atol=1e-5)
    assert len(seen) > 12


def test_mirrored_and_turned_predictions_are_averaged_tile_by_tile(monkeypatch: pytest.MonkeyPatch) -> None:
    network = unet2015()
    pixels = noise(52, 68).numpy()  # sides that the unpadded network itself decides: its grid is symmetric
    model = loaded_by_hand(network)
    options = {"loaded": model, "precision": "float32", "probabilities": True, "mirror": "on"}
    result = drain(predict_steps(model.bundle, Stack(pixels, "YX"), **options)).probabilities.data
    views = []
    for flip in (False, True):
        for quarters in range(4):
            view = np.rot90(pixels[:, ::-1] if flip else pixels, quarters)
            with torch.no_grad():
                chances = np.rot90(network(torch.from_numpy(view.copy())[None, None]).softmax(1)[0].numpy(), -quarters, (1, 2))
            views.append(chances[:, :, ::-1] if flip else chances)
    np.testing.assert_allclose(result, np.mean(views, 0), atol=1e-5)


def test_a_tile_is_shown_its_own_border_and_no_other() -> None:
    forward = Forward(unet2015(), device="cpu", precision="float32")
    picture = noise(1, 1, 500, 500)
    shown, (inner,) = forward.prepared(picture, [(slice(112, 132), slice(208, 224))])
    assert shown.shape == (1, 1, 20 + 184, 16 + 188)
    assert inner == (slice(0, 20), slice(0, 16))
    torch.testing.assert_close(forward.decided(shown)[0, :, :20, :16], forward.logits(picture)[0, :, 112:132, 208:224], rtol=1e-4, atol=1e-5)


def test_a_gradient_reaches_every_weight() -> None:
    network = unet2015(base_channels=4, dropout=0.1).train()
    network(noise(1, 1, 20, 20)).square().mean().backward()
    assert [name for name, weight in network.named_parameters() if weight.grad is None or not weight.grad.abs().sum() > 0] == []


def test_a_saved_model_gives_the_same_logits(tmp_path: Path) -> None:
    network = unet2015(classes=2)
    bundle = save_bundle(tmp_path / "model", network, card_of(network="unet2015", params={"base_channels": 2, "dropout": 0.5}))
    picture = noise(1, 1, 30, 40)
    assert torch.equal(load_network(bundle)(picture), network(picture))


def test_volumes_are_refused_with_a_hint() -> None:
    with pytest.raises(ParameterError, match="pictures") as refused:
        build_unet2015(UNet2015Params(), 1, 2, 3)
    assert refused.value.hint
    assert NETWORKS.get("unet2015").dimensions == (2,)


def test_it_is_explained_by_its_pixels_and_not_by_its_layers_which_lie_on_no_grid_of_the_picture() -> None:
    model = loaded_by_hand(unet2015())
    stack = Stack(noise(2, 30, 41).numpy(), "ZYX")
    assert api.explain(model.bundle, stack, "gradient", Target(1, plane=(1,)), loaded=model).shape == (1, 30, 41)
    with pytest.raises(ParameterError, match="without padding") as refused:
        api.explain(model.bundle, stack, "gradcam", Target(1, plane=(1,)), loaded=model)
    assert "gradient" in refused.value.hint
