"""Bilateral, non-local means and total variation against OpenCV, scikit-image and plain loops."""

from __future__ import annotations

import itertools

import cv2
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from skimage.restoration import denoise_tv_chambolle

from napari_segtool.api import apply_filter
from napari_segtool.core.errors import ParameterError
from napari_segtool.core.stack import Stack
from napari_segtool.preprocess._noise import white_noise
from napari_segtool.preprocess.bilateral import REACH, bilateral_steps
from napari_segtool.preprocess.non_local_means import non_local_means_steps
from napari_segtool.preprocess.total_variation import total_variation_steps


def finished(steps) -> np.ndarray:
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            return stop.value


def steps_with_noise(shape: tuple[int, ...], noise: float = 0.05) -> np.ndarray:
    """Soft-edged regions of grey 0.2 and 0.7 with noise; float32."""
    generator = np.random.default_rng(0)
    soft = gaussian_filter(generator.normal(0, 1, shape), 3)
    return (np.where(soft > 0, 0.7, 0.2) + generator.normal(0, noise, shape)).astype(np.float32)


def test_a_bilateral_plane_is_that_of_opencv():
    plane = steps_with_noise((60, 50))
    found = finished(bilateral_steps(plane[None], (0, 2, 2), 0.15))[0]
    peer = cv2.bilateralFilter(plane, d=11, sigmaColor=0.15, sigmaSpace=2)
    inner = np.s_[5:-5, 5:-5]  # at the border OpenCV mirrors the picture
    assert np.abs(found - peer)[inner].max() < 1e-4


def plain_bilateral(values: np.ndarray, sigmas: tuple[float, float, float], contrast: float) -> np.ndarray:
    places = np.argwhere(np.isfinite(values))
    grey = values[tuple(places.T)].astype(float)
    found = values.astype(float)
    for place, own in zip(places, grey, strict=True):
        apart = places - place
        squared = sum(np.where(apart[:, axis] == 0, 0, (apart[:, axis] / max(sigma, 1e-9)) ** 2) for axis, sigma in enumerate(sigmas))
        weight = np.where(squared <= REACH**2, np.exp(-squared / 2 - (grey - own) ** 2 / (2 * contrast**2)), 0)
        found[tuple(place)] = (weight * grey).sum() / weight.sum()
    return found


@pytest.mark.parametrize("sigmas", [(0, 1.5, 1.5), (0.8, 1.6, 1.6), (1, 0.7, 1.4)])
def test_a_bilateral_volume_with_holes_is_that_of_a_plain_loop(sigmas):
    values = steps_with_noise((5, 12, 13))
    values[2, 3:6, 4:8] = np.nan
    found = finished(bilateral_steps(values, sigmas, 0.2))
    known = np.isfinite(values)
    assert np.allclose(found[known], plain_bilateral(values, sigmas, 0.2)[known], atol=1e-5)


def test_widths_of_the_bilateral_filter_are_as_wide_in_um_along_each_axis():
    values = steps_with_noise((6, 14, 12))
    values.flat[:2] = 0, 1
    found = apply_filter(Stack(values, "ZYX", (0.2, 0.1, 0.1)), "bilateral", sigma_px=1.6, contrast=20, volume=True).data
    scale = float(np.ptp(values))
    assert np.allclose(found, plain_bilateral(values, (0.8, 1.6, 1.6), 0.2 * scale), atol=1e-5)
    with pytest.raises(ParameterError, match="pixels"):
        apply_filter(Stack(values, "ZYX", (0.2, 0.1, 0.1)), "bilateral", sigma_um=10)


def test_a_plane_of_non_local_means_is_that_of_opencv():
    plane = np.round(steps_with_noise((60, 50)) * 255).astype(np.uint8)
    found = finished(non_local_means_steps((plane / 255).astype(np.float32)[None], (0, 4, 4), (0, 2, 2), 0, 12 / 255))[0] * 255
    peer = cv2.fastNlMeansDenoising(plane, h=12, templateWindowSize=5, searchWindowSize=9)
    inner = np.s_[6:-6, 6:-6]  # beyond the border OpenCV mirrors the picture
    difference = np.abs(found[inner] - peer[inner].astype(float))
    assert difference.max() < 2  # OpenCV rounds weights and leaves out those below 0.001
    assert difference.mean() < 0.5


@pytest.mark.parametrize(("search", "patch"), [((0, 2, 2), (0, 1, 1)), ((1, 2, 2), (1, 1, 2))])
def test_non_local_means_neither_average_nor_compare_missing_pixels(search, patch):
    values = steps_with_noise((5, 14, 16))
    values[1:3, 5:8, 6:10] = np.nan
    found = finished(non_local_means_steps(values, search, patch, 0.05, 0.06))
    known = np.isfinite(values)
    padded = np.pad(values.astype(float), [(r, r) for r in patch], constant_values=np.nan)
    patches = np.lib.stride_tricks.sliding_window_view(padded, [2 * r + 1 for r in patch])
    for place in ((1, 6, 5), (2, 4, 8), (0, 0, 0), (4, 13, 15), (3, 6, 7), (2, 9, 10)):
        total = weights = 0.0
        around = [range(max(0, p - r), min(n, p + r + 1)) for p, r, n in zip(place, search, values.shape, strict=True)]
        for other in itertools.product(*around):
            if known[other]:
                distance = np.nanmean((patches[place] - patches[other]) ** 2)
                weight = np.exp(-max(distance - 2 * 0.05**2, 0) / 0.06**2)
                total, weights = total + weight * values[other], weights + weight
        assert found[place] == pytest.approx(total / weights, abs=1e-5)


def test_non_local_means_of_a_volume_made_in_blocks_are_those_of_the_whole(monkeypatch):
    from napari_segtool.preprocess import _volumes

    values = np.round(steps_with_noise((7, 20, 22)) * 200).astype(np.uint8)
    stack = Stack(values, "ZYX", (0.2, 0.1, 0.1))
    whole = apply_filter(stack, "nlm", volume=True, search_px=2, patch_px=2, noise=2).data
    alone = finished(non_local_means_steps((values / 255).astype(np.float32), (1, 2, 2), (1, 2, 2), 0.02, 0.016)) * 255
    assert np.abs(whole - alone).max() <= 0.51
    monkeypatch.setattr(_volumes.blocks_steps, "__defaults__", (900,))
    assert np.abs(apply_filter(stack, "nlm", volume=True, search_px=2, patch_px=2, noise=2).data.astype(int) - whole).max() <= 1


def test_white_noise_is_measured_beside_edges_slopes_and_holes():
    generator = np.random.default_rng(3)
    y, x = np.mgrid[:200, :200]
    plane = 0.5 * x + np.where((x // 25 + y // 25) % 2, 100, 0) + generator.normal(0, 4, (200, 200))
    assert white_noise(plane) == pytest.approx(4, rel=0.1)
    plane[50:90, 60:130] = np.nan
    assert white_noise(plane) == pytest.approx(4, rel=0.1)
    half_black = plane.copy()
    half_black[:, :110] = 0
    assert white_noise(half_black) == pytest.approx(4, rel=0.12)
    assert white_noise(np.full((9, 9), 7.0)) == 0
    assert white_noise(np.ones((2, 9))) == 0


@pytest.mark.parametrize("shape", [(1, 40, 45), (10, 18, 16)])
def test_total_variation_is_that_of_scikit_image(shape):
    values = steps_with_noise(shape)
    flat = shape[0] == 1
    found = finished(total_variation_steps(values, 0.1, (0 if flat else 1, 1, 1), 200))
    peer = denoise_tv_chambolle(values[0] if flat else values, weight=0.1)
    assert np.abs(found[0] - peer if flat else found - peer).max() < 1e-3


def test_slabs_of_a_volume_make_the_same_total_variation(monkeypatch):
    from napari_segtool.preprocess import total_variation as module

    values = steps_with_noise((7, 12, 14))
    values[3, 4, 5] = np.nan
    whole = finished(total_variation_steps(values, 0.1, (0.5, 1, 1), 30))
    monkeypatch.setattr(module, "_SLAB_VOXELS", 2 * 12 * 14)
    assert np.abs(finished(total_variation_steps(values, 0.1, (0.5, 1, 1), 30)) - whole).max() < 1e-5


def test_nothing_passes_through_missing_pixels():
    left, right = steps_with_noise((1, 20, 15)), steps_with_noise((1, 20, 15)) + 5
    wall = np.full((1, 20, 1), np.nan, np.float32)
    both = finished(total_variation_steps(np.concatenate([left, wall, right], axis=2), 0.1, (0, 1, 1), 400))
    assert np.abs(both[:, :, :15] - finished(total_variation_steps(left, 0.1, (0, 1, 1), 400))).max() < 5e-3
    assert both[:, :, 16:].mean() == pytest.approx(float(right.mean()), abs=1e-4)  # what the filter takes here it gives there


def test_slices_far_apart_do_not_smooth_each_other():
    values = steps_with_noise((4, 24, 24))
    near = apply_filter(Stack(values, "ZYX", (0.1, 0.1, 0.1)), "tv", volume=True).data
    far = apply_filter(Stack(values, "ZYX", (50.0, 0.1, 0.1)), "tv", volume=True).data
    alone = apply_filter(Stack(values, "ZYX"), "tv").data
    assert np.abs(far - alone).max() < 0.01
    assert np.abs(near - alone).max() > 0.05
