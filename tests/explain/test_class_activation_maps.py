import numpy as np
import pytest
import torch
from torch import nn

from napari_segtool.core.errors import ModelError, ParameterError
from napari_segtool.core.progress import drain
from napari_segtool.core.stack import Stack
from napari_segtool.core.target import Region, Target
from napari_segtool.explain import _question
from napari_segtool.explain._explain import explain_steps
from tests.hand_models import convolution, loaded_by_hand, small_unet


def noise(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def explained(network, pixels, explainer, target, **params):
    model = loaded_by_hand(network, values=(0, 1, 2) if isinstance(network, Classifier) else (0, 1))
    return drain(explain_steps(model.bundle, Stack(pixels, "YX" if np.ndim(pixels) == 2 else "ZYX"), explainer, target, loaded=model, **params))


class Classifier(nn.Module):
    """A network that classifies the whole picture: convolution, global average pooling, linear layer; every pixel gets the answer."""

    multiple = (1, 1)

    def __init__(self, linear=False):
        super().__init__()
        torch.manual_seed(4)
        self.features = nn.Sequential(nn.Conv2d(1, 5, 3, padding=1), nn.ReLU())
        self.head = nn.Linear(5, 3) if linear else nn.Conv2d(5, 3, 1)

    def forward(self, x):
        features = self.features(x).mean((2, 3), keepdim=True)
        logits = self.head(features.flatten(1))[..., None, None] if isinstance(self.head, nn.Linear) else self.head(features)
        return logits.expand(-1, -1, *x.shape[2:])


@pytest.mark.parametrize("linear", [True, False])
@pytest.mark.parametrize("target", [Target(0, point=(3, 4)), Target(2, point=(9, 9)), Target(1, point=(0, 0), against=2)])
def test_of_a_network_with_global_average_pooling_grad_cam_is_cam_up_to_a_positive_factor(linear, target):
    network, pixels = Classifier(linear), noise(16, 20)
    cam = explained(network, pixels, "cam", target, positive=False).data
    weights = network.head.weight.detach().reshape(3, 5)
    with torch.no_grad():
        maps = network.features(torch.from_numpy(pixels)[None, None])[0]
    weight = weights[target.class_value] - (weights[target.against] if target.against >= 0 else 0)
    np.testing.assert_allclose(cam, torch.einsum("f,fyx->yx", weight, maps).numpy(), rtol=1e-4, atol=1e-5)  # Zhou et al., eq. 2
    gradcam = explained(network, pixels, "gradcam", target, layer="features", positive=False).data
    factor = float((gradcam * cam).sum() / (cam * cam).sum())
    assert factor > 0
    np.testing.assert_allclose(gradcam, factor * cam, rtol=1e-3, atol=1e-5 * np.abs(gradcam).max())


@pytest.mark.parametrize("spatial", [2, 3])
def test_of_a_u_net_cam_is_the_logit_without_its_bias(spatial):
    network, _ = small_unet(spatial=spatial, depth=1)
    pixels = noise(*(3, 21, 18)[3 - spatial :])
    plane = () if spatial == 2 else (1,)
    with torch.no_grad():
        logits = network(torch.from_numpy(pixels)[None, None])[0]
    for target, expected in ((Target(1, plane=plane), logits[1] - network.head.bias[1]), (Target(0, plane=plane, against=1), None)):
        if expected is None:
            expected = logits[0] - network.head.bias[0] - logits[1] + network.head.bias[1]
        drawn = explained(network, pixels, "cam", target, positive=False).data.reshape(21, 18)
        np.testing.assert_allclose(drawn, expected.detach().numpy().reshape(-1, 21, 18)[len(plane) and 1], rtol=1e-3, atol=1e-4)
        assert (explained(network, pixels, "cam", target).data >= 0).all()


def test_cam_of_a_network_that_works_on_a_smaller_picture_is_enlarged():
    network, _ = small_unet(depth=1, reduction=2)
    pixels = noise(24, 20)
    with torch.no_grad():
        expected = network(torch.from_numpy(pixels)[None, None])[0, 1] - network.head.bias[1]
    np.testing.assert_allclose(explained(network, pixels, "cam", Target(1), positive=False).data, expected.detach().numpy(), rtol=1e-3, atol=1e-4)


def test_cam_says_that_the_pixel_asked_about_does_not_matter():
    network, pixels = small_unet(depth=1)[0], noise(20, 20)
    overlay = explained(network, pixels, "cam", Target(1, point=(3, 4)))
    assert "does not change" in overlay.memo["note"]
    np.testing.assert_allclose(overlay.data, explained(network, pixels, "cam", Target(1)).data, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "network",
    [
        convolution(torch.ones(2, 1, 3, 3)),
        nn.Sequential(convolution(torch.ones(2, 1, 1, 1)), nn.Sigmoid()),
        nn.Sequential(convolution(torch.ones(3, 1, 3, 3)), convolution(torch.ones(2, 3, 1, 1)), nn.BatchNorm2d(2, affine=False), nn.ReLU()),
    ],
)
def test_cam_of_a_network_that_ends_otherwise_is_refused_with_what_to_use_instead(network):
    with torch.no_grad():
        for weight in network.parameters():
            weight.copy_(torch.randn_like(weight))
    with pytest.raises(ModelError, match="1×1") as refused:
        explained(network, noise(16, 16), "cam", Target(1))
    assert "gradcam" in refused.value.hint


def one_layer(features, weights):
    """Feature f at a pixel is ``max(0, features[f] · pixel)``, class 1's logit their sum weighted by ``weights``."""
    head = torch.stack([torch.zeros(len(weights)), torch.tensor(weights)]).reshape(2, -1, 1, 1)
    return nn.Sequential(convolution(torch.tensor(features).reshape(-1, 1, 1, 1)), nn.ReLU(), convolution(head))


def test_grad_cam_plus_plus_is_its_formula_worked_out():
    pixels = np.abs(noise(6, 7)) + 0.1
    inside = np.zeros((6, 7), bool)
    inside[2:4, 1:5] = True
    drawn = explained(one_layer([1.0, 0.5, 2.0], [3.0, 0.2, -4.0]), pixels, "gradcam++", Target(1, region=Region(inside)), layer="1").data
    cam = np.zeros((6, 7))
    for feature, slope in ((1.0, 3.0), (0.5, 0.2)):  # the third's slope is negative: it counts nothing
        maps = feature * pixels.astype(float)
        alpha = slope**2 / (2 * slope**2 + slope**3 * maps.sum())  # eq. 19 of Chattopadhay et al. with Y = exp(S), where the logits are asked about
        cam += inside.sum() * alpha * slope * maps
    np.testing.assert_allclose(drawn, cam, rtol=1e-4)


def test_of_two_objects_grad_cam_plus_plus_shows_the_small_one_as_bright_as_the_large():
    pixels = np.full((30, 40), 0.0, np.float32)
    pixels[2:26, 2:26], pixels[10:13, 34:37] = 1, -1  # two detectors: one sees the large object, one the small
    network = one_layer([1.0, -1.0], [1.0, 1.0])
    for name, least, most in (("gradcam", 0.9, 1.1), ("gradcam++", 0.9, 60)):
        drawn = explained(network, pixels, name, Target(1, region=Region(pixels != 0)), layer="1").data
        assert least <= drawn[11, 35] / drawn[10, 10] <= most


@pytest.mark.parametrize("name", ["gradcam", "gradcam++", "guided-gradcam"])
@pytest.mark.parametrize("layer", ["bottom.0", "up.1.2", "down.0", "unpool.1"])
def test_any_layer_may_be_looked_at_inside_blocks_too(name, layer):
    network, _ = small_unet(base_channels=8, seed=1)
    assert explained(network, noise(40, 36), name, Target(1), layer=layer).data.shape == (40, 36)
    with pytest.raises(ParameterError, match="attic") as refused:
        explained(network, noise(40, 36), name, Target(1), layer="attic")
    assert "bottom" in refused.value.hint


@pytest.mark.parametrize("name", ["gradcam", "gradcam++"])
@pytest.mark.parametrize("spatial", [2, 3])
def test_of_a_pixel_and_of_the_region_of_this_pixel_the_map_is_that_of_the_untiled_network(name, spatial):
    # Slopes are taken near the pixel, features over the whole plane: together as from one pass over everything.
    network, _ = small_unet(spatial=spatial, depth=1, base_channels=8, seed=2)
    place = (1, 40, 50)[3 - spatial :]
    pixels = noise(*(3, 64, 72)[3 - spatial :])
    drawn = explained(network, pixels, name, Target(1, point=place), layer="bottom").data.reshape(64, 72)
    for module in network.modules():
        if isinstance(module, nn.ReLU):
            module.inplace = False
    caught = []
    hook = network.bottom.register_forward_hook(lambda _module, _inputs, output: caught.append(output))
    logits = network(torch.from_numpy(pixels)[None, None])
    hook.remove()
    (slope,) = torch.autograd.grad(logits[(0, 1, *place)], caught[0])
    maps, slope = (array.detach()[0].reshape(array.shape[1], -1, 32, 36) for array in (caught[0], slope))
    features = maps[:, 0]  # of a volume: plane 1 lies in the bottom's first
    if name == "gradcam":
        weights = slope.sum((1, 2, 3)) / features[0].numel()
    else:
        positive = slope[:, 0].relu()
        weights = (positive / (2 + positive * features.sum((1, 2), keepdim=True)).clamp_min(1e-3)).sum((1, 2))
    cam = torch.einsum("f,fyx->yx", weights, features).relu()
    expected = nn.functional.interpolate(cam[None, None], scale_factor=2, mode="bilinear")[0, 0].numpy()
    np.testing.assert_allclose(drawn, expected, rtol=1e-3, atol=1e-5 * expected.max())
    region = explained(network, pixels, name, Target(1, region=Region.of_pixels([place])), layer="bottom").data.reshape(64, 72)
    np.testing.assert_allclose(region, drawn, rtol=1e-4, atol=1e-6)
    assert drawn.any()


def test_a_layer_whose_maps_would_fill_the_memory_is_refused_with_what_to_do(monkeypatch):
    network, _ = small_unet()
    monkeypatch.setattr(_question, "_LARGEST_GRID_BYTES", 4 * 4 * 20 * 20)
    with pytest.raises(ParameterError, match="4 feature maps") as refused:
        explained(network, noise(40, 36), "gradcam", Target(1), layer="up.1")
    assert "deeper" in refused.value.hint
    assert explained(network, noise(40, 36), "gradcam", Target(1)).data.shape == (40, 36)  # the deepest layer's fit
