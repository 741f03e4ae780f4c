"""What a U-Net can be built of: activations, residual blocks, coarser outputs; and layers joined for prediction."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

from napari_segtool.nets._blocks import ResidualBlock
from napari_segtool.nets._bundle import build_network
from napari_segtool.nets._forward import Forward
from napari_segtool.nets._fuse import ConvActivation, fold_batchnorm, fuse_activations
from napari_segtool.nets.unet import UNetParams, build_unet
from tests.hand_models import card_of, small_unet

ACTIVATIONS = {"relu": F.relu, "leaky-relu": lambda x: F.leaky_relu(x, 0.01), "elu": F.elu, "gelu": F.gelu}


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def unet(spatial: int = 2, classes: int = 3, **params: object) -> nn.Module:
    torch.manual_seed(0)
    return build_unet(UNetParams.build(**{"base_channels": 4, "depth": 2, **params}), 1, classes, spatial)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_a_residual_block_whose_second_convolution_is_zero_gives_the_activation_of_its_input(activation: str) -> None:
    block = ResidualBlock(3, 3, 2, "none", activation).eval()
    nn.init.zeros_(block.body[3].weight)
    nn.init.zeros_(block.body[3].bias)
    picture = noise(1, 3, 8, 8)
    torch.testing.assert_close(block(picture.clone()), ACTIVATIONS[activation](picture))


def test_a_residual_block_that_changes_the_channels_adds_its_input_through_a_convolution_one_pixel_wide() -> None:
    block = ResidualBlock(1, 2, 2, "none").eval()
    for index in (0, 3):
        nn.init.zeros_(block.body[index].weight)
        nn.init.zeros_(block.body[index].bias)
    with torch.no_grad():
        block.shortcut[0].weight.copy_(torch.tensor([2.0, -3.0]).reshape(2, 1, 1, 1))
        block.shortcut[0].bias.copy_(torch.tensor([0.5, 0.0]))
    picture = noise(1, 1, 5, 6)
    torch.testing.assert_close(block(picture), torch.cat([2 * picture + 0.5, -3 * picture], 1).clamp_min(0))


@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("spatial", [2, 3])
def test_a_gradient_reaches_every_weight_of_every_kind_of_block(spatial: int, activation: str, residual: bool) -> None:
    network = unet(spatial, activation=activation, residual=residual, dropout=0.2, deep_supervision=True)
    sum(logits.square().mean() for logits in network(noise(2, 1, *[16] * spatial))).backward()
    assert [name for name, weight in network.named_parameters() if weight.grad is None or not weight.grad.abs().sum() > 0] == []


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_the_chosen_activation_is_the_only_one(activation: str) -> None:
    kinds = {"relu": nn.ReLU, "leaky-relu": nn.LeakyReLU, "elu": nn.ELU, "gelu": nn.GELU}
    for residual in (False, True):
        modules = [type(module) for module in unet(activation=activation, residual=residual, reduction=2).modules()]
        assert {kind for kind in modules if kind in kinds.values()} == {kinds[activation]}


@pytest.mark.parametrize("params", [{"residual": True}, {"residual": True, "reduction": 2}, {"residual": True, "activation": "gelu"}, {"activation": "elu"}])
@pytest.mark.parametrize("spatial", [2, 3])
def test_folding_leaves_no_batchnorm_and_the_logits_to_fifteen_digits(spatial: int, params: dict[str, object]) -> None:
    network = small_unet(spatial=spatial, classes=3, **params)[0].double()
    folded = fold_batchnorm(network)
    assert not any(isinstance(module, nn.BatchNorm2d | nn.BatchNorm3d) for module in folded.modules())
    batch = noise(2, 1, *[20] * spatial).double()
    with torch.no_grad():
        torch.testing.assert_close(folded(batch), network(batch), rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("params", [{}, {"residual": True}, {"residual": True, "activation": "gelu"}, {"activation": "leaky-relu"}, {"activation": "elu"}])
@pytest.mark.parametrize("spatial", [2, 3])
def test_a_network_made_ready_gives_the_logits_of_the_plain_one(spatial: int, params: dict[str, object]) -> None:
    network, _ = small_unet(spatial=spatial, **params)
    batch = noise(1, 1, *[24] * spatial)
    with torch.no_grad():
        expected = network(batch)
    torch.testing.assert_close(Forward(network, device="cpu", precision="float32").logits(batch), expected, rtol=1e-4, atol=1e-5)


def test_a_sum_is_formed_before_the_activation_that_follows_it_so_only_the_first_of_two_is_joined() -> None:
    fused = fuse_activations(fold_batchnorm(small_unet(residual=True)[0]))
    assert fused is not None
    for block in (fused.down[0], fused.bottom, fused.up[1]):
        assert isinstance(block.body[0], ConvActivation)
        assert isinstance(block.body[3], nn.Conv2d)
        assert isinstance(block.activation, nn.ReLU)


@pytest.mark.parametrize(("depth", "sizes"), [(1, [(37, 50)]), (2, [(37, 50), (19, 25)]), (3, [(37, 50), (19, 25)]), (4, [(37, 50), (19, 25), (10, 13)])])
def test_while_training_coarser_levels_answer_too_from_fine_to_coarse(depth: int, sizes: list[tuple[int, int]]) -> None:
    network = unet(depth=depth, deep_supervision=True)
    outputs = network.train()(noise(2, 1, 37, 50))
    assert isinstance(outputs, tuple)
    assert [tuple(output.shape) for output in outputs] == [(2, 3, *size) for size in sizes]
    assert network.eval()(noise(1, 1, 37, 50)).shape == (1, 3, 37, 50)


def test_coarser_levels_of_a_volume_follow_its_pooling() -> None:
    outputs = unet(3, depth=3, z_factors="1,2,2", deep_supervision=True)(noise(1, 1, 9, 16, 24))
    assert [tuple(output.shape[2:]) for output in outputs] == [(9, 16, 24), (9, 8, 12)]


def test_what_a_coarser_level_says_depends_on_its_own_head_alone_and_the_finest_on_none_of_them() -> None:
    network = unet(depth=4, deep_supervision=True, normalisation="none")
    picture = noise(1, 1, 32, 32)
    before = network(picture)
    nn.init.zeros_(network.deep[1].weight)
    nn.init.zeros_(network.deep[1].bias)
    after = network(picture)
    assert torch.equal(before[0], after[0])
    assert torch.equal(before[1], after[1])
    assert not after[2].any()


def test_without_deep_supervision_training_returns_one_tensor_and_has_no_further_weights() -> None:
    plain, deep = unet(depth=3), unet(depth=3, deep_supervision=True)
    assert isinstance(plain.train()(noise(1, 1, 16, 16)), torch.Tensor)
    assert set(deep.state_dict()) - set(plain.state_dict()) == {"deep.0.weight", "deep.0.bias"}


def test_a_card_written_before_these_choices_existed_builds_the_network_it_described() -> None:
    old = {"base_channels": 4, "depth": 2, "reduction": 1, "max_channels": 256, "normalisation": "batch", "dropout": 0.0, "z_factors": ""}
    network = build_network(card_of(params=old))
    names = [f"{block}.{index}" for block in ("down.0", "down.1", "bottom", "up.0", "up.1") for index in (0, 1, 3, 4)]
    assert {name.rpartition(".")[0] for name in network.state_dict()} == {*names, "unpool.0", "unpool.1", "head"}
    assert all(isinstance(network.get_submodule(f"bottom.{index}"), nn.ReLU) for index in (2, 5))
