import time

import numpy as np
import pytest
import torch
from captum.attr import Occlusion
from torch import nn

from napari_segtool.core.errors import ParameterError
from napari_segtool.core.progress import drain
from napari_segtool.core.stack import Stack
from napari_segtool.core.target import Region, Target
from napari_segtool.explain import _occlude
from napari_segtool.explain._explain import explain_steps
from napari_segtool.explain._windows import Windows
from tests.hand_models import convolution, loaded_by_hand, small_unet


def noise(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def drawn_by_us(model, stack, target, **params):
    return drain(explain_steps(model.bundle, stack, "occlusion", target, loaded=model, **params)).data


def drawn_by_captum(network, pixels, score, window, stride, fill=0.0):
    """captum's map of one scene ``([Z,] Y, X)`` at its defaults."""
    with torch.no_grad():
        batch = torch.from_numpy(pixels)[None, None]
        return Occlusion(lambda x: score(network(x).double())).attribute(batch, (1, *window), strides=(1, *stride), baselines=fill)[0, 0].numpy()


@pytest.mark.parametrize(("patch", "stride"), [(8, 4), (7, 3)])
@pytest.mark.parametrize("point", [(30, 41), (0, 63), (50, 3)])
def test_the_map_of_a_pixel_is_captums_of_the_whole_picture(patch, stride, point):
    network, _ = small_unet(depth=1)
    pixels = noise(57, 64)
    ours = drawn_by_us(loaded_by_hand(network), Stack(pixels, "YX"), Target(1, point=point), patch_px=patch, stride_px=stride, fill="zero")
    theirs = drawn_by_captum(network, pixels, lambda logits: logits[:, 1, point[0], point[1]], (patch,) * 2, (stride,) * 2)
    assert np.abs(theirs).max() > 0.01
    np.testing.assert_allclose(ours, theirs, atol=1e-5 * np.abs(theirs).max())


def test_windows_far_apart_are_covered_at_once_and_the_map_of_a_class_is_still_captums():
    network, _ = small_unet(depth=1, normalisation="none")
    pixels = noise(96, 96, seed=3)
    with torch.no_grad():  # both classes are there
        logits = network(torch.from_numpy(pixels)[None, None])[0]
        network.head.bias[0] += (logits[1] - logits[0]).median()
        mask = network(torch.from_numpy(pixels)[None, None])[0].argmax(0) == 1
    assert 0.4 < mask.float().mean() < 0.6
    model = loaded_by_hand(network)
    assert 2 * model.halo[0] + 2 * 2 + 8 < 96 / 2  # so that several windows do fit into one picture
    ours = drawn_by_us(model, Stack(pixels, "YX"), Target(1), patch_px=8, stride_px=8, fill="zero", exact=True)
    theirs = drawn_by_captum(network, pixels, lambda logits: (logits[:, 1] * mask).flatten(1).sum(1), (8, 8), (8, 8))
    np.testing.assert_allclose(ours, theirs, atol=1e-4 * np.abs(theirs).max())


def test_a_region_and_the_difference_of_two_classes_are_captums_too():
    network, _ = small_unet(depth=1, base_channels=2)
    pixels, inside = noise(48, 48), np.zeros((48, 48), bool)
    inside[20:26, 10:13] = True
    target = Target(1, region=Region(inside), against=0)
    ours = drawn_by_us(loaded_by_hand(network), Stack(pixels, "YX"), target, patch_px=6, stride_px=3, fill="zero", exact=True)
    wanted = torch.from_numpy(inside)
    theirs = drawn_by_captum(network, pixels, lambda logits: ((logits[:, 1] - logits[:, 0]) * wanted).flatten(1).sum(1), (6, 6), (3, 3))
    np.testing.assert_allclose(ours, theirs, atol=1e-4 * np.abs(theirs).max())


@pytest.mark.parametrize("target", [Target(1), Target(1, point=(60, 70))])
def test_a_shorter_way_is_taken_where_it_agrees_and_the_map_is_nearly_the_same(monkeypatch, target):
    monkeypatch.setattr(_occlude, "_FEW", 0)
    model, passes = loaded_by_hand(small_unet(depth=3, normalisation="none")[0]), []
    logits = model.forward.logits
    monkeypatch.setattr(model.forward, "logits", lambda batch: (passes.append(batch.numel()), logits(batch))[1])
    pixels = Stack(noise(160, 160), "YX")
    whole = drawn_by_us(model, pixels, target, patch_px=8, stride_px=8, exact=True)
    work = sum(passes)
    passes.clear()
    quick = drawn_by_us(model, pixels, target, patch_px=8, stride_px=8)
    assert sum(passes) < 0.8 * work
    assert np.corrcoef(whole.ravel(), quick.ravel())[0, 1] > 0.999


def test_the_long_way_is_taken_where_far_pixels_count_as_much_as_near_ones(monkeypatch):
    monkeypatch.setattr(_occlude, "_FEW", 0)
    model = loaded_by_hand(convolution(torch.ones(2, 1, 31, 31)))
    whole, other = (drawn_by_us(model, Stack(noise(64, 64), "YX"), Target(1, point=(30, 30)), patch_px=4, stride_px=4, exact=exact) for exact in (True, False))
    np.testing.assert_array_equal(whole, other)
    assert whole[16, 16] != 0


@pytest.mark.parametrize("depth", [1, 2])
def test_in_a_volume_windows_have_depth_and_the_plane_is_that_of_captums_volume(depth):
    network, _ = small_unet(depth=1, base_channels=2, spatial=3)
    pixels = noise(5, 20, 22)
    target = Target(1, point=(3, 9, 12))
    ours = drawn_by_us(loaded_by_hand(network), Stack(pixels, "ZYX"), target, patch_px=5, stride_px=4, depth_px=depth, fill="zero")
    theirs = drawn_by_captum(network, pixels, lambda logits: logits[:, 1, 3, 9, 12], (depth, 5, 5), (depth, 4, 4))
    np.testing.assert_allclose(ours[0], theirs[3], atol=1e-4 * np.abs(theirs).max())


def test_normalisation_over_the_picture_lets_every_window_reach_every_logit():
    network, _ = small_unet(depth=1, base_channels=2, normalisation="instance")
    pixels = noise(40, 40)
    ours = drawn_by_us(loaded_by_hand(network), Stack(pixels, "YX"), Target(1, point=(5, 5)), patch_px=10, stride_px=10, fill="zero")
    theirs = drawn_by_captum(network, pixels, lambda logits: logits[:, 1, 5, 5], (10, 10), (10, 10))
    assert np.abs(theirs[30:, 30:]).min() > 0
    np.testing.assert_allclose(ours, theirs, atol=1e-4 * np.abs(theirs).max())


def test_the_fill_is_the_slices_mean_or_what_the_network_calls_zero_or_a_blurred_slice():
    """The network gives back the pixel: the map says by how much the covered pixel is darker."""
    network = convolution(torch.tensor([-1.0, 1.0]).reshape(2, 1, 1, 1))
    pixels = np.full((15, 15), 3.0, np.float32)
    pixels[7, 7] = 9
    asked = Target(1, point=(7, 7))
    fall = {
        fill: drawn_by_us(loaded_by_hand(network), Stack(pixels, "YX"), asked, patch_px=5, stride_px=5, fill=fill)[7, 7] for fill in ("mean", "zero", "blur")
    }
    assert fall["mean"] == pytest.approx(9 - pixels.mean(), rel=1e-5)
    assert fall["zero"] == pytest.approx(9)
    assert 0 < fall["blur"] < fall["mean"]


def test_every_pixel_has_the_mean_of_the_windows_that_cover_it():
    windows = Windows((2, 2), (1, 1))
    drawn = windows.mean_over(np.array([[4.0, 0.0], [0.0, 0.0]]), (3, 3))
    np.testing.assert_allclose(drawn, [[4, 2, 0], [2, 1, 0], [0, 0, 0]])


def test_a_stride_wider_than_the_window_leaves_no_gaps():
    network = convolution(torch.tensor([-1.0, 1.0]).reshape(2, 1, 1, 1))
    drawn = drawn_by_us(loaded_by_hand(network), Stack(np.ones((12, 12), np.float32), "YX"), Target(1), patch_px=3, stride_px=9, fill="zero")
    assert (drawn > 0).all()
    with pytest.raises(ParameterError):
        drawn_by_us(loaded_by_hand(network), Stack(np.ones((12, 12), np.float32), "YX"), Target(1), patch_px=0)


def test_it_tells_how_far_it_is_and_stops_within_a_second():
    model = loaded_by_hand(nn.Sequential(*[small_unet(base_channels=16, classes=1, depth=2, seed=seed)[0] for seed in range(2)], nn.Conv2d(1, 2, 1)))
    steps = explain_steps(model.bundle, Stack(noise(160, 160), "YX"), "occlusion", Target(1), loaded=model, patch_px=8, stride_px=4)
    seen = [next(steps) for _ in range(4)]
    assert any(progress.total > 1 and 0 < progress.done < progress.total for progress in seen)
    begin = time.monotonic()
    next(steps)
    steps.close()
    assert time.monotonic() - begin < 2  # one batch, on a machine that also does other things
