"""Sobel, Prewitt, Scharr and Roberts against scikit-image, SimpleITK and slopes that are known."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK
from scipy.ndimage import gaussian_filter
from skimage import filters

from napari_segtool.api import apply_filter
from napari_segtool.core.stack import Stack

GRADIENTS = ["sobel", "prewitt", "scharr"]


def noise(shape: tuple[int, ...], dtype: str = "float64") -> np.ndarray:
    return (np.random.default_rng(5).random(shape) * 200).astype(dtype)


@pytest.mark.parametrize("name", GRADIENTS)
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int32", "float32", "float64"])
def test_a_gradient_is_that_of_scikit_image_in_grey_values_per_pixel(name, dtype):
    for shape in ((21, 17), (2, 9), (6, 1)):
        plane = noise(shape, dtype)
        expected = getattr(filters, name)(plane.astype(float)) / np.sqrt(2)  # scikit-image: a ramp of 1 per pixel has the gradient 1.41
        assert np.allclose(apply_filter(Stack(plane, "YX"), name).data, expected, rtol=1e-5, atol=1e-3)
    volume = noise((5, 9, 8), dtype)
    expected = getattr(filters, name)(volume.astype(float)) * np.sqrt(3) / 2
    assert np.allclose(apply_filter(Stack(volume, "ZYX"), name, volume=True).data, expected, rtol=1e-5, atol=1e-3)


def test_roberts_is_that_of_scikit_image():
    plane = noise((21, 17))
    assert np.allclose(apply_filter(Stack(plane, "YX"), "roberts").data[:-1, :-1], filters.roberts(plane)[:-1, :-1], atol=1e-4)


@pytest.mark.parametrize("name", [*GRADIENTS, "roberts"])
@pytest.mark.parametrize("spacing", [(), (0.3, 0.1), (0.05, 0.1)])
def test_a_ramp_has_its_true_slope_in_every_direction(name, spacing):
    length = spacing[0] / spacing[1] if spacing else 1.0
    y, x = np.mgrid[:12, :12].astype(float)
    for angle in np.linspace(0, np.pi, 7):
        ramp = 500 + 3 * (np.cos(angle) * x + np.sin(angle) * y * length)
        found = apply_filter(Stack(ramp, "YX", spacing), name).data
        assert np.allclose(found[1:-1, 1:-1], 3, rtol=1e-4)


@pytest.mark.parametrize("name", GRADIENTS)
def test_a_ramp_through_slices_has_its_slope_in_um(name):
    z, y, x = np.mgrid[:6, :7, :8].astype(float)
    stack = Stack(2 * (z * 4) + 1 * y + 2 * x, "ZYX", (0.4, 0.1, 0.1))
    assert np.allclose(apply_filter(stack, name, volume=True).data[1:-1, 1:-1, 1:-1], 3, rtol=1e-4)


@pytest.mark.parametrize("name", GRADIENTS)
def test_the_gradient_of_a_smooth_volume_is_that_of_simpleitk_in_um(name):
    spacing = (0.2, 0.05, 0.1)
    volume = gaussian_filter(noise((20, 30, 26)), (3, 6, 4))
    picture = SimpleITK.GetImageFromArray(volume)
    picture.SetSpacing(spacing[::-1])
    expected = SimpleITK.GetArrayFromImage(SimpleITK.GradientMagnitude(picture)) * spacing[2]
    found = apply_filter(Stack(volume, "ZYX", spacing), name, volume=True).data
    inner = np.s_[2:-2, 2:-2, 2:-2]
    assert np.abs(found - expected)[inner].max() < 0.05 * expected[inner].max()


@pytest.mark.parametrize("name", GRADIENTS)
def test_a_ball_in_thick_slices_has_the_same_outline_along_z_as_along_x(name):
    spacing, radius, soft = (4.0, 1.0, 1.0), 24.0, 6.0
    z, y, x = (np.arange(-n, n + 1) * step for n, step in zip((11, 44, 44), spacing, strict=True))
    distance = np.sqrt(z[:, None, None] ** 2 + y[:, None] ** 2 + x**2)
    ball = 200 / (1 + np.exp((distance - radius) / soft))
    slope = apply_filter(Stack(ball, "ZYX", spacing), name, volume=True).data
    along_z, along_x = slope[11:, 44, 44], slope[11, 44, 44::4]
    assert np.abs(along_z[: len(along_x)] - along_x[: len(along_z)])[:-1].max() < 0.06 * slope.max()
    thin = apply_filter(Stack(ball, "ZYX"), name, volume=True).data  # without a spacing the slices seem too close
    assert thin[11 + 6, 44, 44] > 3 * slope[11 + 6, 44, 44]


def test_slices_far_apart_are_hardly_averaged_with_one_another():
    volume = np.zeros((3, 9, 9))
    volume[1, :, 5:] = 100
    found = apply_filter(Stack(volume, "ZYX", (10.0, 1.0, 1.0)), "sobel", volume=True).data
    assert found[1, 4, 4] == pytest.approx(50, rel=0.01)
    assert found[0, 4, 4] < 5
    assert apply_filter(Stack(volume, "ZYX"), "sobel", volume=True).data[1, 4, 4] == pytest.approx(25)


@pytest.mark.parametrize("name", [*GRADIENTS, "roberts"])
def test_an_outside_without_values_makes_no_edge_and_changes_no_edge_inside(name):
    plane = noise((20, 20))
    hidden = plane.copy()
    hidden[:, 12:] = np.nan
    found = apply_filter(Stack(hidden, "YX"), name).data
    assert np.isnan(found[:, 12:]).all()
    assert np.allclose(found[:, :11], apply_filter(Stack(plane, "YX"), name).data[:, :11], rtol=1e-4)
    if name != "roberts":  # an outside is to its neighbours what the border is
        assert np.allclose(found[:, :12], apply_filter(Stack(plane[:, :12], "YX"), name).data, rtol=1e-4)


def test_tiny_and_huge_grey_values_have_their_gradient_too():
    plane = noise((8, 8))
    usual = apply_filter(Stack(plane, "YX"), "sobel").data
    for factor in (1e-30, 1e30):
        assert np.allclose(apply_filter(Stack(plane * factor, "YX"), "sobel").data / factor, usual, rtol=1e-4)
    assert np.allclose(apply_filter(Stack(plane + 1e6, "YX"), "sobel").data, usual, atol=1e-3)
