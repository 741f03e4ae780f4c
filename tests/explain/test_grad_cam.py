import numpy as np
import pytest
import torch
from captum.attr import LayerAttribution, LayerGradCam
from torch import nn

from napari_segtool.core.errors import ParameterError
from napari_segtool.core.progress import drain
from napari_segtool.core.stack import Stack
from napari_segtool.core.target import Target
from napari_segtool.explain._explain import explain_steps
from napari_segtool.explain._layers import deepest_layer, named_layers
from napari_segtool.nets._forward import Forward
from tests.hand_models import convolution, loaded_by_hand, small_unet


def noise(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def explained(model, stack, target, **params):
    return drain(explain_steps(model.bundle, stack, "gradcam", target, loaded=model, **params)).data


@pytest.mark.parametrize("layer", ["bottom", "down.1", "up.1"])
@pytest.mark.parametrize("positive", [True, False])
@pytest.mark.parametrize("target", [Target(1), Target(0, point=(20, 9))])
def test_it_is_captums_layer_grad_cam_enlarged(layer, target, positive):
    network, _ = small_unet()
    pixels = noise(40, 36)  # a multiple of the stride: captum enlarges to the network's own grid
    drawn = explained(loaded_by_hand(network), Stack(pixels, "YX"), target, layer=layer, positive=positive)
    for module in network.modules():
        if isinstance(module, nn.ReLU):
            module.inplace = False
    batch = torch.from_numpy(pixels)[None, None]
    with torch.no_grad():
        chosen = (network(batch).argmax(1) == target.class_value).float()

    def score(batch):
        logits = network(batch)[:, target.class_value]
        return logits[:, target.point[0], target.point[1]] if target.point else (logits * chosen).sum((1, 2))

    cam = LayerGradCam(score, network.get_submodule(layer)).attribute(batch, relu_attributions=positive)
    expected = LayerAttribution.interpolate(cam, pixels.shape, "bilinear")[0, 0].detach().numpy()
    assert positive or expected.any()
    np.testing.assert_allclose(drawn, expected, rtol=1e-3, atol=1e-5 * np.abs(expected).max())


def test_with_a_linear_head_it_is_the_class_activation_map():
    # CAM (Zhou et al. 2016): feature maps weighted by the head's weights of the class.
    features, weights = torch.tensor([1.0, -2.0, 0.5]), torch.tensor([[0.3, -0.2, 1.0], [0.5, 0.7, -0.1]])
    network = nn.Sequential(convolution(features.reshape(3, 1, 1, 1)), nn.ReLU(), convolution(weights.reshape(2, 3, 1, 1)))
    pixels = noise(12, 15)
    maps = np.maximum(features.numpy()[:, None, None] * pixels, 0)
    logits = np.einsum("kf,fyx->kyx", weights.numpy(), maps)
    cam = np.einsum("f,fyx->yx", weights[1].numpy(), maps)
    share = (logits.argmax(0) == 1).mean()  # mean slope = the head's weight × the share of pixels that are asked about
    for positive, expected in ((True, np.maximum(cam, 0)), (False, cam)):
        drawn = explained(loaded_by_hand(network), Stack(pixels, "YX"), Target(1), layer="1", positive=positive)
        np.testing.assert_allclose(drawn, share * expected, rtol=1e-4, atol=1e-6)


def test_blocks_are_listed_in_working_order_with_their_scale_and_auto_is_the_bottom():
    layers = named_layers(loaded_by_hand(small_unet(depth=2)[0]).forward)
    assert list(layers) == ["down.0", "down.1", "bottom", "unpool.0", "up.0", "unpool.1", "up.1"]
    assert [scale[0] for scale in layers.values()] == [1, 2, 4, 2, 2, 1, 1]
    assert deepest_layer(layers) == "bottom"


def test_auto_of_a_network_without_pooling_is_the_block_before_the_logits():
    network = nn.Sequential(convolution(torch.ones(3, 1, 3, 3)), nn.ReLU(), convolution(torch.ones(2, 3, 1, 1)))
    assert deepest_layer(named_layers(loaded_by_hand(network).forward)) == "1"


def test_auto_is_the_named_layer_it_chooses():
    model, stack = loaded_by_hand(small_unet()[0]), Stack(noise(24, 24), "YX")
    np.testing.assert_array_equal(explained(model, stack, Target(1)), explained(model, stack, Target(1), layer="bottom"))


@pytest.mark.parametrize("layer", ["", "bottom.99", "deepest", "head", "pool.0"])
def test_a_layer_that_cannot_be_looked_at_is_refused_with_those_that_can(layer):
    with pytest.raises(ParameterError, match="layer") as refused:
        explained(loaded_by_hand(small_unet()[0]), Stack(noise(24, 24), "YX"), Target(1), layer=layer)
    assert "bottom" in refused.value.hint


@pytest.mark.parametrize("target", [Target(1), Target(1, point=(41, 60))])
def test_a_map_made_in_parts_is_that_made_at_once(monkeypatch, target):
    model, stack = loaded_by_hand(small_unet(depth=1)[0]), Stack(noise(101, 90), "YX")
    monkeypatch.setattr("napari_segtool.nets._loaded._CHEAP", 100)
    whole = explained(model, stack, target, positive=False)
    monkeypatch.setattr(Forward, "largest_px", lambda self, gradient=False: 40 * 40)
    np.testing.assert_allclose(explained(model, stack, target, positive=False), whole, rtol=1e-3, atol=1e-4 * np.abs(whole).max())


def test_of_a_volume_the_layers_plane_nearest_in_z_is_shown():
    features, weights = torch.tensor([1.0, -2.0]), torch.tensor([[0.0, 0.0], [1.0, 1.0]])
    network = nn.Sequential(convolution(features.reshape(2, 1, 1, 1, 1)), nn.ReLU(), convolution(weights.reshape(2, 2, 1, 1, 1)))
    pixels = noise(5, 8, 9)
    drawn = explained(loaded_by_hand(network), Stack(pixels, "ZYX"), Target(1, plane=(3,)), layer="1")
    cam = np.maximum(pixels[3], 0) + np.maximum(-2 * pixels[3], 0)
    assert drawn.shape == (1, 8, 9)
    np.testing.assert_allclose(drawn[0] / drawn.max(), cam / cam.max(), rtol=1e-4, atol=1e-6)


@pytest.mark.skipif(not torch.ops.mkldnn._is_mkldnn_bf16_supported(), reason="this processor has no bfloat16")
def test_a_class_is_drawn_in_the_models_number_format_and_points_the_same_way_and_a_pixel_in_float32():
    network, _ = small_unet(base_channels=16, depth=3)
    stack = Stack(noise(120, 130), "YX")
    exact, rounded = (loaded_by_hand(network, precision=name) for name in ("float32", "bfloat16"))
    fine, coarse = (explained(model, stack, Target(1), positive=False).ravel() for model in (exact, rounded))
    assert 0.99 <= fine @ coarse / np.linalg.norm(fine) / np.linalg.norm(coarse) < 1
    pixel = Target(1, point=(60, 70))
    np.testing.assert_array_equal(explained(exact, stack, pixel), explained(rounded, stack, pixel))
