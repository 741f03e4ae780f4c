"""Filters of brightness and background against NumPy, scikit-image, OpenCV and SciPy."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from skimage import exposure, restoration

from napari_segtool.api import apply_filter
from napari_segtool.core.errors import SpacingError
from napari_segtool.core.stack import Stack
from napari_segtool.preprocess.background_polynomial import fitted_polynomial
from napari_segtool.preprocess.clahe import equalised_tiles
from napari_segtool.preprocess.rolling_ball import ball_surface

TYPES = ["uint8", "uint16", ">u2", "int16", "int32", "float32", "float64"]


def hills(shape: tuple[int, ...], dtype: str = "float64", seed: int = 0) -> np.ndarray:
    """Soft structure with noise, 20 to 200."""
    generator = np.random.default_rng(seed)
    soft = gaussian_filter(generator.normal(0, 1, shape), [0] * (len(shape) - 2) + [4, 4])
    values = 110 + 70 * soft / np.abs(soft).max() + generator.normal(0, 4, shape)
    return values.astype(dtype)


@pytest.mark.parametrize("dtype", TYPES)
def test_normalised_grey_values_are_those_of_numpy(dtype):
    data = hills((3, 30, 40), dtype)
    stack, values = Stack(data, "ZYX"), data.astype(float)
    low, high = np.percentile(values, (5, 90))
    assert np.allclose(apply_filter(stack, "normalise", low=5, high=90, clip=False).data, (values - low) / (high - low), atol=1e-5)
    assert np.allclose(apply_filter(stack, "normalise", low=5, high=90).data, np.clip((values - low) / (high - low), 0, 1), atol=1e-5)
    assert np.allclose(apply_filter(stack, "normalise", by="min-max").data, (values - values.min()) / np.ptp(values), atol=1e-5)
    assert np.allclose(apply_filter(stack, "normalize", by="z-score").data, (values - values.mean()) / values.std(), atol=1e-4)
    each = apply_filter(stack, "normalise", by="z-score", per_slice=True).data
    assert np.allclose(each.mean((1, 2)), 0, atol=1e-5)
    assert np.allclose(each.std((1, 2)), 1, atol=1e-5)


def test_missing_pixels_are_not_counted_when_normalising():
    data = hills((2, 20, 30))
    holes = data.copy()
    holes[:, 4:9, 3:11], holes[0, 0, 0] = np.nan, np.inf
    known = np.isfinite(holes)
    found = apply_filter(Stack(holes, "ZYX"), "normalise", by="z-score").data
    assert np.allclose(found[known], (data[known] - data[known].mean()) / data[known].std(), atol=1e-5)


def test_a_stretch_is_that_of_scikit_image():
    data = hills((40, 50), "uint8")
    found = apply_filter(Stack(data, "YX"), "contrast-stretch", low=2, high=98).data
    wanted = exposure.rescale_intensity(data.astype(float), tuple(np.percentile(data, (2, 98))), (0, 255))
    assert np.abs(found - wanted).max() <= 0.5
    wide = hills((40, 50)).astype(np.float32) / 7
    found = apply_filter(Stack(wide, "YX"), "contrast-stretch", low=2, high=98).data
    assert np.allclose(found, exposure.rescale_intensity(wide, tuple(np.percentile(wide, (2, 98))), (wide.min(), wide.max())), atol=1e-4)


def test_each_slice_is_stretched_on_its_own_where_that_is_asked_for():
    data = np.stack([hills((20, 30)) / 2, hills((20, 30))]).astype(np.uint8)
    found = apply_filter(Stack(data, "ZYX"), "contrast-stretch", per_slice=True).data
    assert (found.max((1, 2)) == 255).all()
    assert (found.min((1, 2)) == 0).all()
    together = apply_filter(Stack(data, "ZYX"), "contrast-stretch").data
    assert together[0].max() < 200


@pytest.mark.parametrize("exponent", [0.1, 0.5, 1.0, 2.2])
def test_gamma_is_that_of_scikit_image(exponent):
    data = hills((40, 50), "uint8")
    found = apply_filter(Stack(data, "YX"), "gamma", gamma=exponent).data
    assert np.abs(found - exposure.adjust_gamma(data / 255.0, exponent) * 255).max() <= 0.5 + 1e-9
    unit = (hills((40, 50)) - 10) / 200
    unit.flat[:2] = 0, 1  # black and white of a wider type are those of the stack
    assert np.allclose(apply_filter(Stack(unit, "YX"), "gamma", gamma=exponent).data, exposure.adjust_gamma(unit.clip(0, 1), exponent), atol=1e-6)


def test_an_equalised_byte_picture_is_that_of_opencv():
    data = hills((60, 70), "uint8")
    assert np.array_equal(apply_filter(Stack(data, "YX"), "equalise").data, cv2.equalizeHist(data))


@pytest.mark.parametrize("dtype", ["uint16", "float32", "float64", "int32"])
def test_an_equalised_picture_has_as_many_pixels_in_each_part_of_the_scale(dtype):
    data = (hills((50, 60)) ** 2).astype(dtype)
    found = apply_filter(Stack(data, "YX"), "equalize").data
    counts, _ = np.histogram(found, bins=10, range=(data.min(), data.max()))
    assert np.abs(counts - data.size / 10).max() <= data.size / 100
    shares = exposure.equalize_hist(data.astype(float), nbins=60_000)
    assert np.allclose((found - data.min()) / float(np.ptp(data)), shares, atol=0.01)


def test_a_byte_picture_in_tiles_is_that_of_opencv_and_other_types_are_nearly_so():
    data = hills((128, 192), "uint8")
    quick = apply_filter(Stack(data, "YX"), "clahe", limit=3, tile_px=32).data
    assert np.array_equal(quick, cv2.createCLAHE(3, (6, 4)).apply(data))
    large = hills((256, 384), "uint8")
    slow = equalised_tiles(large.astype(np.float32), 3.0, (2, 3), (0.0, 255.0))
    difference = np.abs(slow - cv2.createCLAHE(3, (3, 2)).apply(large).astype(float))
    assert difference.mean() < 1  # OpenCV hands what is clipped to whole bins, dark ones first: that shows in small tiles
    assert difference.max() < 6


def test_tiles_of_other_types_are_equalised_as_by_scikit_image():
    data = hills((128, 128), "float32")
    found = apply_filter(Stack(data, "YX"), "clahe", limit=4, tile_px=32).data
    unit = (data - data.min()) / np.ptp(data)
    peer = exposure.equalize_adapthist(unit, kernel_size=32, clip_limit=4 / 256, nbins=256)
    assert np.corrcoef(found.ravel(), peer.ravel())[0, 1] > 0.98


def test_pixels_outside_a_mask_are_not_counted_in_any_tile():
    left = hills((64, 64), "float32")
    both = np.concatenate([left, np.full((64, 64), np.nan, np.float32)], axis=1)
    alone = equalised_tiles(left, 2.0, (2, 2), (20.0, 200.0))
    found = equalised_tiles(both, 2.0, (2, 4), (20.0, 200.0))
    assert np.allclose(found[:, :64], alone, atol=1e-4)
    assert np.isnan(found[:, 64:]).all()


@pytest.mark.parametrize("degree", [1, 2, 3, 4])
def test_a_fitted_polynomial_is_that_of_least_squares(degree):
    data = hills((31, 44))
    data[3:9, 5:20] = np.nan
    known = np.isfinite(data)
    y, x = np.mgrid[:31, :44] / 40
    terms = np.stack([y**i * x**j for i in range(degree + 1) for j in range(degree + 1 - i)], axis=-1)
    weights, *_ = np.linalg.lstsq(terms[known], data[known], rcond=None)
    assert np.allclose(fitted_polynomial(data, degree), terms @ weights, atol=1e-7)


@pytest.mark.parametrize("how", ["subtract", "divide"])
def test_a_polynomial_background_becomes_flat(how):
    y, x = np.mgrid[:50, :60] / 60
    shading = 100 + 30 * x - 40 * y * x + 20 * y**2
    found = apply_filter(Stack(shading, "YX"), "background-polynomial", degree=2, how=how).data
    assert np.allclose(found, shading.mean(), rtol=1e-9)


def test_a_gaussian_background_is_that_of_scipy_and_as_wide_in_um():
    data = hills((40, 50))
    wide = gaussian_filter(data, (5, 10), truncate=6)
    stack = Stack(data, "YX", (0.2, 0.1))
    assert np.allclose(apply_filter(stack, "background-gaussian", sigma_px=10).data, data - wide + wide.mean(), atol=0.05)
    assert np.allclose(apply_filter(stack, "background-gaussian", sigma_um=1, how="divide").data, data / wide * wide.mean(), atol=0.05)
    with pytest.raises(SpacingError):
        apply_filter(Stack(data, "YX"), "background-gaussian", sigma_um=1)


def test_a_gaussian_background_goes_through_the_volume():
    data = hills((9, 30, 32))
    wide = gaussian_filter(data, (2, 8, 8))
    found = apply_filter(Stack(data, "ZYX", (0.04, 0.01, 0.01)), "background-gaussian", sigma_px=8, volume=True).data
    assert np.allclose(found, data - wide + wide.mean(), atol=1e-6)


def test_where_nothing_is_lit_division_changes_nothing():
    data = np.zeros((30, 30), np.float32)
    assert not apply_filter(Stack(data, "YX"), "background-gaussian", how="divide").data.any()


def opened(heights: np.ndarray, radius: int) -> np.ndarray:
    """scikit-image's rolling ball finds how high the ball's top gets; the ball's surface there is what Sternberg and Fiji call the background."""
    tops = restoration.rolling_ball(heights, radius=radius)
    reach = np.arange(-radius, radius + 1)
    inside = radius**2 - reach[:, None] ** 2 - reach**2
    padded = np.pad(tops, radius, constant_values=-np.inf)
    surface = np.full(heights.shape, -np.inf)
    for y, x in np.argwhere(inside >= 0):
        drop = radius - np.sqrt(inside[y, x])
        surface = np.maximum(surface, padded[y : y + heights.shape[0], x : x + heights.shape[1]] - drop)
    return surface


@pytest.mark.parametrize(("radius", "most", "usual"), [(5, 1e-9, 1e-9), (9, 1e-9, 1e-9), (20, 12, 2), (35, 12, 2.5)])
def test_the_ball_reaches_what_that_of_scikit_image_reaches(radius, most, usual):
    heights = hills((80, 70)) + 60 * (hills((80, 70), seed=3) > 130)
    found = ball_surface(heights, radius, radius)
    assert (found <= heights).all()
    difference = np.abs(found - opened(heights, radius))  # beyond 10 pixels, the picture is shrunken first
    assert difference.max() <= most
    assert difference.mean() <= usual


def test_a_ball_does_not_feel_missing_pixels():
    heights = np.full((40, 40), 50.0)
    heights[10:20, 10:20] = np.nan
    for radius in (6, 25):
        assert np.allclose(ball_surface(heights, radius, radius)[np.isfinite(heights)], 50)


def test_a_bright_background_is_a_dark_one_of_the_negative():
    data = (hills((60, 60)) - 60 * (hills((60, 60), seed=4) > 135)).clip(0, 255).astype(np.uint8)
    bright = apply_filter(Stack(data, "YX"), "rolling-ball", radius_px=15, background="bright", smooth_first=False).data.astype(int)
    dark = apply_filter(Stack(255 - data, "YX"), "rolling-ball", radius_px=15, smooth_first=False).data.astype(int)
    assert np.abs((bright.max() - bright) - dark).max() <= 1
    assert dark.min() == 0


def test_the_ball_is_the_same_for_bytes_and_for_wider_types_of_the_same_picture():
    data = hills((60, 60), "uint8")
    data.flat[:2] = 0, 255
    narrow = apply_filter(Stack(data, "YX"), "rolling-ball", radius_px=12).data
    wide = apply_filter(Stack(data.astype(np.uint16) * 257, "YX"), "rolling-ball", radius_px=12).data
    unit = apply_filter(Stack(data.astype(np.float32) / 255, "YX"), "rolling-ball", radius_px=12).data
    assert np.abs(wide / 257 - narrow).max() <= 0.51
    assert np.abs(unit * 255 - narrow).max() <= 0.51
