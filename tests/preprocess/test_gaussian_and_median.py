"""Gaussian and median against SciPy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter, median_filter

from napari_segtool.api import apply_filter
from napari_segtool.core.errors import AxesError, SpacingError
from napari_segtool.core.stack import Stack
from napari_segtool.preprocess._smooth import smooth_plane
from napari_segtool.preprocess.median import median_box

RANDOM = np.random.default_rng(0)


def noise(shape: tuple[int, ...], dtype: str = "float64") -> np.ndarray:
    return (np.random.default_rng(1).random(shape) * 100).astype(dtype)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", ">u2", "int8", "int16", "uint32", "float16", "float32", ">f4", "float64"])
@pytest.mark.parametrize("sigma", [(0.3, 0.3), (2, 2), (0, 3), (9, 1.5), (40, 0.5), (300, 300)])
def test_a_smoothed_plane_is_that_of_scipy(dtype, sigma):
    for shape in ((50, 40), (1, 7), (5, 1), (1, 1), (3, 2)):
        plane = noise(shape, dtype)
        wide = gaussian_filter(plane.astype(float), sigma, truncate=7 if max(sigma) > 16 else 4)
        found = smooth_plane(plane, *sigma)
        assert found.dtype == plane.dtype.newbyteorder("=")
        allowed = 0.5 + 1e-3 if found.dtype.kind in "iu" else 0.05 if found.dtype == np.float16 else 2e-3
        assert np.abs(found.astype(float) - wide).max() <= allowed


def test_a_width_beyond_the_picture_leaves_its_mean_and_takes_no_longer():
    plane = noise((64, 48))
    assert np.allclose(smooth_plane(plane, 1e6, 1e6), plane.mean())


def test_the_sum_of_grey_is_kept():
    plane = noise((33, 47))
    for sigma in (1.0, 5.0, 50.0):
        assert smooth_plane(plane, sigma, sigma).sum() == pytest.approx(plane.sum(), rel=1e-6)


def test_neighbours_of_a_missing_pixel_are_averaged_without_it():
    plane = np.full((9, 9), 5.0)
    plane[4, 4] = np.nan
    found = smooth_plane(plane, 1.5, 1.5)
    assert np.isnan(found[4, 4])
    assert np.allclose(np.delete(found.ravel(), 40), 5)
    weight = np.isfinite(plane).astype(float)
    expected = gaussian_filter(np.nan_to_num(noise((9, 9)) * weight), 1) / gaussian_filter(weight, 1)
    data = noise((9, 9))
    data[4, 4] = np.nan
    assert np.allclose(smooth_plane(data, 1, 1)[weight > 0], expected[weight > 0])


def test_width_is_in_pixels_along_x_and_as_wide_in_um_along_y():
    data = noise((30, 30))
    stack = Stack(data, "YX", (0.2, 0.1))
    assert np.allclose(apply_filter(stack, "gaussian", sigma_px=4).data, gaussian_filter(data, (2, 4)), atol=1e-6)
    assert np.allclose(apply_filter(stack, "gaussian", sigma_um=0.3).data, gaussian_filter(data, (1.5, 3)), atol=1e-6)


@pytest.mark.parametrize(("spacing", "sigmas"), [((), (2, 2, 2)), ((0.05, 0.01, 0.01), (0.4, 2, 2)), ((0.01, 0.02, 0.01), (2, 1, 2))])
def test_a_volume_is_smoothed_along_all_axes_as_wide_in_um(spacing, sigmas):
    data = noise((9, 20, 18))
    assert np.allclose(apply_filter(Stack(data, "ZYX", spacing), "gaussian", sigma_px=2, volume=True).data, gaussian_filter(data, sigmas), atol=1e-6)
    turned = apply_filter(Stack(data.transpose(1, 0, 2), "YZX", (spacing[1], spacing[0], spacing[2]) if spacing else ()), "gaussian", sigma_px=2, volume=True)
    assert np.allclose(turned.data, gaussian_filter(data, sigmas).transpose(1, 0, 2), atol=1e-6)


def test_each_time_and_channel_is_a_volume_of_its_own():
    data = noise((2, 4, 2, 12, 12), "float32")
    found = apply_filter(Stack(data, "TZCYX"), "gaussian", sigma_px=1.5, volume=True).data
    for time in range(2):
        for channel in range(2):
            assert np.allclose(found[time, :, channel], gaussian_filter(data[time, :, channel], 1.5), atol=1e-3)


def test_a_volume_with_holes_is_averaged_without_them():
    data = noise((5, 12, 12))
    data[2, 4:6, 5] = np.nan
    weight = np.isfinite(data).astype(float)
    expected = gaussian_filter(np.nan_to_num(data), 1.5) / gaussian_filter(weight, 1.5)
    found = apply_filter(Stack(data, "ZYX"), "gaussian", sigma_px=1.5, volume=True).data
    assert np.array_equal(np.isnan(found), np.isnan(data))
    assert np.allclose(found[weight > 0], expected[weight > 0])


def test_very_wide_smoothing_along_z_is_that_of_scipy_too():
    data = noise((30, 6, 6))
    assert np.allclose(apply_filter(Stack(data, "ZYX"), "gaussian", sigma_px=20, volume=True).data, gaussian_filter(data, 20, truncate=8), atol=1e-3)


def test_um_without_a_spacing_and_a_volume_without_slices_are_refused():
    with pytest.raises(SpacingError, match="no spacing"):
        apply_filter(Stack(noise((4, 4)), "YX"), "gaussian", sigma_um=0.1)
    with pytest.raises(AxesError, match="no slices"):
        apply_filter(Stack(noise((4, 4)), "YX"), "gaussian", volume=True)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_median_plane_is_that_of_scipy(data):
    shape = (data.draw(st.integers(1, 12)), data.draw(st.integers(1, 12)))
    dtype = data.draw(st.sampled_from(["uint8", "uint16", ">u2", "int16", "int32", "float32", ">f4", "float64", "float16"]))
    radius = data.draw(st.integers(1, 6))
    plane = (np.random.default_rng(data.draw(st.integers(0, 999))).random(shape) * 100).astype(dtype)
    assert np.array_equal(median_box(plane[None], (0, radius, radius))[0].astype(float), median_filter(plane.astype(float), 2 * radius + 1, mode="nearest"))


def test_a_median_removes_single_pixels_and_keeps_an_edge():
    plane = np.zeros((20, 20), np.uint8)
    plane[:, 10:] = 200
    spoilt = plane.copy()
    spoilt[3, 3], spoilt[12, 15] = 255, 0
    assert np.array_equal(median_box(spoilt[None], (0, 1, 1))[0], plane)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32", "float64", "bool", ">i2"])
def test_a_median_through_the_volume_reaches_as_far_in_um_along_each_axis(dtype):
    data = noise((7, 14, 13), "float64")
    data = data > 50 if dtype == "bool" else data.astype(dtype)
    found = apply_filter(Stack(data, "ZYX", (0.2, 0.1, 0.1)), "median", radius_px=2, volume=True).data
    assert np.array_equal(found, median_filter(data.astype(float), (3, 5, 5), mode="nearest").astype(found.dtype))
    found = apply_filter(Stack(data, "ZYX", (0.2, 0.2, 0.1)), "median", radius_um=0.3).data
    assert np.array_equal(found, median_filter(data.astype(float), (1, 5, 7), mode="nearest").astype(found.dtype))


def test_blocks_of_a_large_window_make_the_same_median():
    data = noise((30, 40, 50), "float32")
    found = apply_filter(Stack(data, "ZYX"), "median", radius_px=2, volume=True).data
    assert np.array_equal(found, median_filter(data, 5, mode="nearest"))


@pytest.mark.parametrize("volume", [False, True])
def test_a_median_is_taken_without_missing_pixels(volume):
    data = noise((4, 20, 18))
    data[1, 5:9, 4:12] = np.nan
    data[2, 0, 0], data[2, 10, 10] = np.inf, -np.inf
    found = apply_filter(Stack(data, "ZYX"), "median", radius_px=2, volume=volume).data
    known = np.isfinite(data)
    reach = (2 if volume else 0, 2, 2)
    padded = np.pad(np.where(known, data, np.nan), [(r, r) for r in reach], mode="edge")
    for z, y, x in np.argwhere(known):
        window = padded[z : z + 2 * reach[0] + 1, y : y + 5, x : x + 5]
        assert found[z, y, x] == pytest.approx(np.nanmedian(window), rel=1e-12)
    assert np.array_equal(found[~known], data[~known], equal_nan=True)
