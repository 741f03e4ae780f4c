import numpy as np
import pytest
import torch

from napari_segtool.core.progress import drain
from napari_segtool.core.stack import Stack
from napari_segtool.core.target import Region, Target
from napari_segtool.explain._explain import explain_steps
from napari_segtool.explain.smoothgrad import standard_noise
from napari_segtool.nets._forward import Forward
from tests.hand_models import convolution, loaded_by_hand, small_unet


def noise(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def explained(model, stack, explainer, target, **params):
    return drain(explain_steps(model.bundle, stack, explainer, target, loaded=model, **params)).data


@pytest.mark.parametrize("baseline", ["mean", "dark", "bright"])
@pytest.mark.parametrize("target", [Target(1), Target(1, point=(20, 9)), Target(0, against=1), Target(1, region=Region.of_pixels([(5, 5), (30, 20)]))])
def test_the_shares_add_up_to_what_the_picture_changes_the_logits_by(baseline, target):
    network, _ = small_unet(channels=2, seed=1)
    pixels = noise(2, 40, 36)
    drawn = explained(loaded_by_hand(network), Stack(pixels, "CYX"), "integrated-gradients", target, steps=128, baseline=baseline)
    empty = {"mean": np.zeros((2, 1, 1)), "dark": pixels.min((1, 2), keepdims=True), "bright": pixels.max((1, 2), keepdims=True)}[baseline]
    with torch.no_grad():
        there, none = (network(torch.from_numpy(shown)[None])[0].double() for shown in (pixels, np.broadcast_to(empty, pixels.shape).astype(np.float32)))
    asked = there.argmax(0) == target.class_value
    if target.point:
        asked = torch.zeros_like(asked)
        asked[target.point] = True
    if target.region is not None:
        asked = torch.zeros_like(asked)
        asked[5, 5] = asked[30, 20] = True
    values = [logits[target.class_value] - (logits[target.against] if target.against >= 0 else 0) for logits in (there, none)]
    expected = float(((values[0] - values[1]) * asked).sum())
    assert drawn.sum() == pytest.approx(expected, rel=0.01, abs=0.01 * float(np.abs(drawn).sum()))
    assert abs(expected) > 0.01


def test_of_a_sum_each_pixel_gets_its_summand():
    kernels = torch.zeros(2, 1, 1, 3)
    kernels[1, 0, 0] = torch.tensor([2.0, 0.0, -3.0])
    pixels = noise(6, 9)
    drawn = explained(loaded_by_hand(convolution(kernels)), Stack(pixels, "YX"), "integrated-gradients", Target(1, point=(3, 4)))
    expected = np.zeros_like(pixels)
    expected[3, 3], expected[3, 5] = 2 * pixels[3, 3], -3 * pixels[3, 5]
    np.testing.assert_allclose(drawn, expected, rtol=1e-5, atol=1e-7)


def test_of_a_linear_model_smoothgrad_is_the_gradient_and_more_noise_blurs_a_kink():
    kernels = torch.zeros(2, 1, 1, 1)
    kernels[1] = 3
    stack = Stack(noise(8, 9), "YX")
    assert np.allclose(explained(loaded_by_hand(convolution(kernels)), stack, "smoothgrad", Target(1, point=(3, 4)), samples=7)[3, 4], 3)
    kink = torch.nn.Sequential(convolution(torch.ones(1, 1, 1, 1)), torch.nn.ReLU(), convolution(torch.tensor([0.0, 1.0]).reshape(2, 1, 1, 1)))
    pixels = np.zeros((40, 40), np.float32)
    pixels[:, 20:] = 1  # at 0 the ReLU's slope is 0 on one side and 1 on the other: half the noisy copies see either
    drawn = explained(loaded_by_hand(kink), Stack(pixels, "YX"), "smoothgrad", Target(1, region=Region(pixels < 0.5)), samples=200, noise=0.2)
    assert drawn[:, :20].mean() == pytest.approx(0.5, abs=0.01)


def test_noise_is_gaussian_independent_and_the_same_for_every_part_of_the_picture():
    whole = standard_noise(2, [(0, 300), (0, 260)], (3, 1))
    assert whole.shape == (2, 300, 260)
    assert abs(whole.mean()) < 0.01
    assert whole.std() == pytest.approx(1, abs=0.01)
    assert abs(np.corrcoef(whole[0].ravel(), whole[1].ravel())[0, 1]) < 0.02
    assert abs(np.corrcoef(whole[0, :128].ravel(), whole[0, 128:256].ravel())[0, 1]) < 0.02
    np.testing.assert_array_equal(standard_noise(2, [(70, 299), (127, 130)], (3, 1)), whole[:, 70:299, 127:130])
    assert not np.array_equal(standard_noise(2, [(0, 300), (0, 260)], (3, 2)), whole)
    volume = standard_noise(1, [(2, 5), (0, 20), (9, 20)], (0,))
    np.testing.assert_array_equal(standard_noise(1, [(4, 5), (3, 9), (9, 20)], (0,)), volume[:, 2:, 3:9])


@pytest.mark.parametrize("name", ["smoothgrad", "integrated-gradients", "guided-backprop", "guided-gradcam", "gradcam++", "cam", "deconvnet"])
@pytest.mark.parametrize("target", [Target(1), Target(1, point=(40, 60)), Target(1, region=Region(noise(101, 90, seed=1)[:60] > 0.5))])
def test_a_map_made_in_parts_is_that_made_at_once(monkeypatch, name, target):
    model, stack = loaded_by_hand(small_unet(depth=1, base_channels=8, seed=1)[0]), Stack(noise(101, 90), "YX")
    monkeypatch.setattr("napari_segtool.nets._loaded._CHEAP", 100)
    whole = explained(model, stack, name, target)
    monkeypatch.setattr(Forward, "largest_px", lambda self, gradient=False: 40 * 40)
    assert whole.any()
    np.testing.assert_allclose(explained(model, stack, name, target), whole, rtol=1e-3, atol=1e-4 * np.abs(whole).max())
