"""Each gradient method against captum's, on tiny networks."""

import numpy as np
import pytest
import torch
from captum.attr import Deconvolution, GuidedBackprop, GuidedGradCam, IntegratedGradients, NoiseTunnel, Saliency
from torch import nn

from napari_segtool.core.progress import drain
from napari_segtool.core.stack import Stack
from napari_segtool.core.target import Target
from napari_segtool.explain._explain import explain_steps
from napari_segtool.explain.smoothgrad import standard_noise
from tests.hand_models import loaded_by_hand, small_unet

TARGETS = [Target(1), Target(0, point=(20, 9)), Target(1, against=0)]


def noise(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def explained(model, stack, explainer, target, **params):
    return drain(explain_steps(model.bundle, stack, explainer, target, loaded=model, **params)).data


class Score(nn.Module):
    """What is asked about, as captum wants it: one number for each picture, from a network whose layers captum can hook."""

    def __init__(self, network, target, batch):
        super().__init__()
        self.network, self.target = network, target
        with torch.no_grad():
            self.chosen = (network(batch).argmax(1) == target.class_value).float()

    def forward(self, batch):
        logits = self.network(batch)
        values = logits[:, self.target.class_value]
        if self.target.against >= 0:
            values = values - logits[:, self.target.against]
        if self.target.point:
            return values[(slice(None), *self.target.point)]
        return (values * self.chosen).flatten(1).sum(1)


@pytest.fixture
def asked(request):
    """A small U-Net, a picture of two channels, and a function that makes the score of a target for captum."""
    network, _ = small_unet(channels=2, base_channels=8, seed=1)
    for module in network.modules():
        if isinstance(module, nn.ReLU):
            module.inplace = False
    pixels = noise(2, 40, 36)
    batch = torch.from_numpy(pixels)[None]
    return loaded_by_hand(network), Stack(pixels, "CYX"), batch.clone().requires_grad_(), lambda target: Score(network, target, batch)


def agree(drawn, expected):
    assert np.abs(expected).max() > 0
    np.testing.assert_allclose(drawn, expected, rtol=2e-3, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("target", TARGETS)
def test_gradient_is_captums_saliency(asked, target):
    model, stack, batch, score = asked
    expected = Saliency(score(target)).attribute(batch)[0].amax(0)
    agree(explained(model, stack, "gradient", target), expected.numpy())


@pytest.mark.filterwarnings("ignore:Setting backward hooks on ReLU activations:UserWarning")  # captum
@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize(("name", "peer"), [("guided-backprop", GuidedBackprop), ("deconvnet", Deconvolution)])
def test_guided_backpropagation_and_deconvnet_are_captums(asked, name, peer, target):
    model, stack, batch, score = asked
    expected = peer(score(target)).attribute(batch)[0].detach()
    agree(explained(model, stack, name, target, show="sign"), expected.sum(0).numpy())
    agree(explained(model, stack, name, target), expected.abs().amax(0).numpy())


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("baseline", ["mean", "dark", "bright"])
def test_integrated_gradients_are_captums(asked, target, baseline):
    model, stack, batch, score = asked
    empty = {"mean": torch.zeros(1, 2, 1, 1), "dark": batch.amin((2, 3), keepdim=True), "bright": batch.amax((2, 3), keepdim=True)}[baseline].detach()
    expected = IntegratedGradients(score(target)).attribute(batch, baselines=empty.expand_as(batch), n_steps=16, method="gausslegendre")[0].detach()
    agree(explained(model, stack, "integrated-gradients", target, steps=16, baseline=baseline), expected.sum(0).numpy())


@pytest.mark.parametrize("target", TARGETS)
def test_smoothgrad_with_the_same_noise_is_captums_noise_tunnel(asked, monkeypatch, target):
    model, stack, batch, score = asked
    samples, share = 5, 0.1
    bounds = [(0, 40), (0, 36)]
    deviation = (share * (stack.data.max((1, 2)) - stack.data.min((1, 2))))[:, None, None]
    made = torch.from_numpy(np.stack([standard_noise(2, bounds, (7, sample)) * deviation for sample in range(samples)]))
    monkeypatch.setattr(torch, "normal", lambda *_: made)
    expected = NoiseTunnel(Saliency(score(target))).attribute(batch, nt_type="smoothgrad", nt_samples=samples, stdevs=1.0, abs=False)[0]
    agree(explained(model, stack, "smoothgrad", target, samples=samples, noise=share, seed=7, show="sign"), expected.sum(0).detach().numpy())


@pytest.mark.filterwarnings("ignore:Setting backward hooks on ReLU activations:UserWarning")  # captum
@pytest.mark.parametrize("layer", ["bottom", "up.1"])
@pytest.mark.parametrize("target", TARGETS)
def test_guided_grad_cam_is_captums(asked, layer, target):
    model, stack, batch, score = asked
    measured = score(target)
    peer = GuidedGradCam(measured, measured.network.get_submodule(layer))
    expected = peer.attribute(batch, interpolate_mode="bilinear")[0].detach()
    agree(explained(model, stack, "guided-gradcam", target, layer=layer, show="sign"), expected.sum(0).numpy())


@pytest.mark.filterwarnings("ignore:Setting backward hooks on ReLU activations:UserWarning")  # captum
@pytest.mark.parametrize(("name", "peer"), [("gradient", None), ("guided-backprop", GuidedBackprop), ("deconvnet", Deconvolution)])
def test_volumes_and_neighbouring_slices_are_captums_too(name, peer):
    network, _ = small_unet(spatial=3, depth=1, base_channels=8, seed=1)
    for module in network.modules():
        if isinstance(module, nn.ReLU):
            module.inplace = False
    pixels = noise(4, 20, 18)
    target, batch = Target(1, point=(2, 9, 8)), torch.from_numpy(pixels)[None, None].requires_grad_()
    measured = Score(network, target, batch)
    expected = (peer(measured).attribute(batch) if peer else Saliency(measured).attribute(batch, abs=False))[0, 0, 2].detach()
    agree(explained(loaded_by_hand(network), Stack(pixels, "ZYX"), name, target, show="sign")[0], expected.numpy())
