import numpy as np
import pytest
import torch
from captum.attr import Saliency
from torch import nn

from napari_segtool.core.progress import drain
from napari_segtool.core.stack import Stack
from napari_segtool.core.target import Region, Target
from napari_segtool.explain._explain import explain_steps
from napari_segtool.explain._question import Question
from napari_segtool.nets._forward import Forward
from tests.hand_models import convolution, loaded_by_hand, small_unet

HAS_BFLOAT16 = bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def noise(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def explained(model, stack, target, explainer="gradient", **params):
    return drain(explain_steps(model.bundle, stack, explainer, target, loaded=model, **params))


def looks_at(dy: int, dx: int, weight: float = 1.0):
    """Class 1's logit at a pixel is ``weight`` times the pixel ``dy`` below and ``dx`` to the right; class 0's is 0."""
    kernels = torch.zeros(2, 1, 5, 5)
    kernels[1, 0, 2 + dy, 2 + dx] = weight
    return convolution(kernels)


def test_the_one_pixel_that_decides_gets_all_the_saliency():
    drawn = explained(loaded_by_hand(looks_at(1, -2, weight=3)), Stack(noise(20, 30), "YX"), Target(1, point=(7, 11))).data
    expected = np.zeros((20, 30), np.float32)
    expected[8, 9] = 3
    np.testing.assert_array_equal(drawn, expected)


def test_a_pixel_in_a_stack_is_explained_in_its_own_plane():
    stack = Stack(noise(4, 20, 30), "ZYX", (0.05, 0.01, 0.01), "em")
    overlay = explained(loaded_by_hand(looks_at(0, 1)), stack, Target(1, point=(2, 7, 11)))
    assert overlay.shape == (1, 20, 30)
    assert overlay.axes == "ZYX"
    assert overlay.spacing_um == (0.05, 0.01, 0.01)
    assert overlay.memo["plane"] == (2,)
    assert overlay.memo["history"][0].name == "explain:gradient"
    assert np.argwhere(overlay.data).tolist() == [[0, 7, 12]]


def test_axes_in_another_order_keep_the_pixel_where_it_is():
    overlay = explained(loaded_by_hand(looks_at(0, 1)), Stack(noise(30, 4, 20), "XTY"), Target(1, point=(11, 2, 7)))
    assert overlay.shape == (30, 1, 20)
    assert np.argwhere(overlay.data).tolist() == [[12, 0, 7]]


def test_a_class_is_explained_by_the_sum_over_the_pixels_that_have_it():
    pixels = noise(25, 33)
    drawn = explained(loaded_by_hand(looks_at(0, 1, weight=2)), Stack(pixels, "YX"), Target(1)).data
    has_class = np.zeros_like(pixels, bool)
    has_class[:, :-1] = pixels[:, 1:] > 0  # where class 1's logit is above class 0's
    expected = np.zeros_like(pixels)
    expected[:, 1:] = 2 * has_class[:, :-1]
    np.testing.assert_array_equal(drawn, expected)


def test_the_strongest_channel_is_shown_or_the_sum_of_all():
    kernels = torch.zeros(2, 3, 1, 1)
    kernels[1, :, 0, 0] = torch.tensor([1.0, -4.0, 2.0])
    model, stack = loaded_by_hand(convolution(kernels)), Stack(noise(10, 10, 3), "YXS")
    assert explained(model, stack, Target(1, point=(3, 4))).data[3, 4] == 4
    assert explained(model, stack, Target(1, point=(3, 4)), show="sign").data[3, 4] == -1


def test_smoothing_spreads_the_saliency_and_keeps_its_sum():
    drawn = explained(loaded_by_hand(looks_at(0, 0)), Stack(noise(41, 41), "YX"), Target(1, point=(20, 20)), smoothing_px=2).data
    assert drawn.sum() == pytest.approx(1, abs=1e-4)
    assert np.unravel_index(drawn.argmax(), drawn.shape) == (20, 20)
    assert drawn[20, 20] == pytest.approx(1 / (2 * np.pi * 2**2), rel=0.02)


@pytest.mark.parametrize("target", [Target(1), Target(0, point=(20, 9))])
def test_it_is_captums_saliency(target):
    network, _ = small_unet()
    pixels = noise(40, 37)
    drawn = explained(loaded_by_hand(network), Stack(pixels, "YX"), target).data
    plain = network.eval()

    def score(batch):
        logits = plain(batch)
        if target.point:
            return logits[:, target.class_value, target.point[0], target.point[1]]
        return (logits[:, target.class_value] * chosen).sum((1, 2))

    batch = torch.from_numpy(pixels)[None, None]
    with torch.no_grad():
        chosen = (plain(batch).argmax(1) == target.class_value).float()
    assert target.point or 0 < chosen.mean() < 1
    expected = Saliency(score).attribute(batch.requires_grad_(), abs=True)[0, 0].numpy()
    np.testing.assert_allclose(drawn, expected, rtol=1e-3, atol=1e-5 * expected.max())


def test_it_is_the_slope_of_the_logit_by_finite_differences():
    network, _ = small_unet(depth=1)
    network = network.double()
    pixels = noise(20, 20).astype(np.float64)
    drawn = explained(loaded_by_hand(network.float()), Stack(pixels, "YX"), Target(1, point=(10, 10)), show="sign").data
    network = network.double()

    def logit(values):
        with torch.no_grad():
            return float(network(torch.from_numpy(values)[None, None])[0, 1, 10, 10])

    for y, x in ((10, 10), (9, 12), (12, 8), (14, 10)):
        step = np.zeros_like(pixels)
        step[y, x] = 1e-6
        assert drawn[y, x] == pytest.approx((logit(pixels + step) - logit(pixels - step)) / 2e-6, rel=1e-3, abs=1e-5)


def test_a_pixels_saliency_needs_only_the_picture_it_can_see():
    network, _ = small_unet(depth=1)
    model, pixels = loaded_by_hand(network), noise(90, 100)
    drawn = explained(model, Stack(pixels, "YX"), Target(1, point=(41, 60))).data
    batch = torch.from_numpy(pixels)[None, None].requires_grad_()
    (slope,) = torch.autograd.grad(network(batch)[0, 1, 41, 60], batch)
    np.testing.assert_allclose(drawn, slope[0, 0].abs().numpy(), rtol=1e-3, atol=1e-6)
    (part,) = Question(model, Stack(pixels, "YX"), Target(1, point=(41, 60))).parts()
    assert part.pixels.numel() < pixels.size / 4


def test_a_class_explained_in_parts_is_that_explained_at_once(monkeypatch):
    model, stack = loaded_by_hand(small_unet(depth=1)[0]), Stack(noise(100, 90), "YX")
    monkeypatch.setattr("napari_segtool.nets._loaded._CHEAP", 100)  # overlap by the whole reach
    whole = explained(model, stack, Target(1)).data
    monkeypatch.setattr(Forward, "largest_px", lambda self, gradient=False: 40 * 40)
    assert len(list(Question(model, stack, Target(1)).parts())) > 4
    np.testing.assert_allclose(explained(model, stack, Target(1)).data, whole, rtol=1e-3, atol=1e-5 * whole.max())


def test_a_class_that_is_predicted_nowhere_is_asked_about_everywhere_and_that_is_said():
    network = convolution(torch.tensor([0.0, 2.0]).reshape(2, 1, 1, 1), (0.0, -1000.0))
    overlay = explained(loaded_by_hand(network), Stack(noise(8, 9), "YX"), Target(1))
    assert (overlay.data == 2).all()
    assert "nowhere" in overlay.memo["note"]
    assert "note" not in explained(loaded_by_hand(network), Stack(noise(8, 9), "YX"), Target(0)).memo


def test_of_a_volume_the_asked_for_plane_is_shown_and_all_its_neighbours_count():
    kernels = torch.zeros(2, 1, 3, 3, 3)
    kernels[1, 0, 0, 1, 1], kernels[1, 0, 1, 1, 2] = 5, 7  # one section up; one pixel to the right
    model, stack = loaded_by_hand(convolution(kernels)), Stack(noise(6, 12, 14), "ZYX")
    overlay = explained(model, stack, Target(1, point=(3, 5, 6)))
    assert overlay.shape == (1, 12, 14)
    assert np.argwhere(overlay.data).tolist() == [[0, 5, 7]]
    whole = explained(model, stack, Target(1, plane=(3,))).data[0]
    logit = np.zeros((12, 14))
    logit += 5 * np.asarray(stack.data[2])
    logit[:, :-1] += 7 * np.asarray(stack.data[3])[:, 1:]
    expected = np.zeros((12, 14))
    expected[:, 1:] = 7 * (logit > 0)[:, :-1]
    np.testing.assert_allclose(whole, expected)


@pytest.mark.skipif(not HAS_BFLOAT16, reason="this processor has no bfloat16")
def test_a_class_is_explained_in_the_models_number_format_which_points_the_same_way_and_a_pixel_or_region_in_float32():
    network, _ = small_unet(base_channels=16, depth=3)
    stack, model, exact = Stack(noise(120, 130), "YX"), loaded_by_hand(network, precision="bfloat16"), loaded_by_hand(network)
    expected, coarse = (explained(each, stack, Target(1), show="sign") for each in (exact, model))
    assert [overlay.memo["history"][0].params["precision"] for overlay in (expected, coarse)] == ["float32", "bfloat16"]
    assert 0.98 <= np.sum(expected.data * coarse.data) / np.linalg.norm(expected.data) / np.linalg.norm(coarse.data) < 1
    for target in (Target(1, point=(60, 70)), Target(1, region=Region.of_pixels([(60, 70), (61, 80)]))):
        np.testing.assert_array_equal(explained(model, stack, target).data, explained(exact, stack, target).data)
    np.testing.assert_array_equal(explained(model, stack, Target(1), show="sign", precision="float32").data, expected.data)
    rounded = explained(model, stack, Target(1, point=(60, 70)), precision="bfloat16")
    assert rounded.memo["history"][0].params["precision"] == "bfloat16"


def test_too_little_memory_makes_the_parts_smaller(monkeypatch):
    model, stack = loaded_by_hand(small_unet(depth=1)[0]), Stack(noise(64, 64), "YX")
    expected = explained(model, stack, Target(1)).data
    plain = Forward.differentiable

    def limited(self, batch):
        if batch.numel() > 50 * 50:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return plain(self, batch)

    monkeypatch.setattr("napari_segtool.nets._loaded._CHEAP", 100)
    monkeypatch.setattr(Forward, "differentiable", limited)
    np.testing.assert_allclose(explained(model, stack, Target(1)).data, expected, rtol=1e-3, atol=1e-5 * expected.max())


def test_layers_that_work_in_place_do_so_again_afterwards():
    network = nn.Sequential(convolution(torch.ones(2, 1, 1, 1)), nn.ReLU(inplace=True), convolution(torch.ones(2, 2, 1, 1)))
    model = loaded_by_hand(network)
    explained(model, Stack(noise(5, 5), "YX"), Target(1))
    assert model.forward.network[1].inplace is True
