"""Augmentation moves image and labels together, invents nothing, and leaves what lies outside unlabelled."""

from __future__ import annotations

import numpy as np
import pytest

from napari_segtool.training._augment import STILL, Augmentation, cut, draw_map, vary_intensity

EVERYTHING = Augmentation(rotation_deg=180, scale=0.3, elastic_px=6)


def coordinate_image(height: int, width: int) -> np.ndarray:
    """Channel 0 holds each pixel's row, channel 1 its column."""
    return np.stack(np.mgrid[:height, :width]).astype(np.float32)[None]


@pytest.mark.parametrize("seed", range(8))
def test_image_and_labels_are_moved_by_the_same_map(seed: int) -> None:
    image = coordinate_image(200, 240)
    marks = ((image[0, 0] // 20 + image[0, 1] // 20) % 4).astype(np.uint8)[None]
    rng = np.random.default_rng(seed)
    patch, classes = cut(image, marks, (0, 100.0, 120.0), 1, draw_map(rng, (96, 64), EVERYTHING))
    rows, columns = patch[0, 0], patch[1, 0]
    expected = (np.rint(rows) // 20 + np.rint(columns) // 20) % 4
    inside = (classes[0] != 255) & (np.abs(rows % 20 - 9.5) < 9) & (np.abs(columns % 20 - 9.5) < 9)
    assert inside.mean() > 0.5
    assert (classes[0][inside] == expected[inside]).all()


def test_the_map_says_where_a_pixel_comes_from() -> None:
    image = coordinate_image(200, 240)
    field = draw_map(np.random.default_rng(1), (32, 48), EVERYTHING)
    patch, _ = cut(image, np.zeros((1, 200, 240), np.uint8), (0, 90.5, 130.0), 1, field)
    assert np.allclose(patch[0, 0], field[0] + 90.5, atol=0.05)  # OpenCV rounds places to 1/32 px
    assert np.allclose(patch[1, 0], field[1] + 130.0, atol=0.05)


def test_no_variation_cuts_the_pixels_as_they_are() -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 60000, (3, 2, 50, 60)).astype(np.uint16)
    marks = rng.integers(0, 3, (3, 50, 60)).astype(np.uint8)
    patch, classes = cut(image, marks, (1, 20 + 7.5, 30 + 7.5), 2, draw_map(rng, (16, 16), STILL))
    assert (patch == image[1:3, :, 20:36, 30:46].swapaxes(0, 1)).all()
    assert (classes == marks[1:3, 20:36, 30:46]).all()


def test_outside_the_image_is_mirrored_and_unlabelled() -> None:
    image = coordinate_image(30, 30)
    patch, classes = cut(image, np.ones((1, 30, 30), np.uint8), (0, 0.0, 15.0), 1, draw_map(np.random.default_rng(0), (11, 11), STILL))
    assert (classes[0, :5] == 255).all()
    assert (classes[0, 5:] == 1).all()
    assert patch[0, 0, :, 0].tolist() == [5, 4, 3, 2, 1, 0, 1, 2, 3, 4, 5]


def test_a_patch_far_larger_than_the_image_still_has_all_of_it() -> None:
    marks = np.arange(12, dtype=np.uint8).reshape(1, 3, 4)
    patch, classes = cut(marks[:, None], marks, (0, 1.0, 1.5), 1, draw_map(np.random.default_rng(0), (65, 64), STILL))
    assert np.isfinite(patch).all()
    assert sorted(classes[classes != 255].tolist()) == list(range(12))


def test_sections_before_the_first_are_mirrored_and_unlabelled() -> None:
    image = np.arange(4, dtype=np.uint8)[:, None, None, None] * np.ones((1, 1, 8, 8), np.uint8)
    patch, classes = cut(image, np.zeros((4, 8, 8), np.uint8), (-2, 3.5, 3.5), 8, draw_map(np.random.default_rng(0), (4, 4), STILL))
    assert patch[0, :, 0, 0].tolist() == [2, 1, 0, 1, 2, 3, 2, 1]
    assert (classes[:, 0, 0] == 255).tolist() == [True, True, False, False, False, False, True, True]


def test_the_angle_scale_and_flips_stay_within_what_was_asked() -> None:
    settings = Augmentation(flip_x=False, flip_y=False, rotation_deg=20, scale=0.25, elastic_px=0)
    for seed in range(50):
        field = draw_map(np.random.default_rng(seed), (33, 33), settings)
        down, right = field[:, 20, 16] - field[:, 16, 16], field[:, 16, 20] - field[:, 16, 16]
        zoom = np.hypot(*down) / 4
        assert 1 / 1.2501 <= zoom <= 1.2501
        assert abs(np.degrees(np.arctan2(right[0], right[1]))) <= 20.01
        assert down[0] * right[1] - down[1] * right[0] > 0  # not mirrored


def test_half_of_the_maps_are_mirrored_along_each_axis() -> None:
    settings = Augmentation(rotation_deg=0, scale=0, elastic_px=0)
    fields = [draw_map(np.random.default_rng(seed), (9, 9), settings) for seed in range(200)]
    assert 60 < sum(field[0, 8, 4] < 0 for field in fields) < 140
    assert 60 < sum(field[1, 4, 8] < 0 for field in fields) < 140
    upright = Augmentation(flip_y=False, rotation_deg=0, scale=0, elastic_px=0)
    assert all(draw_map(np.random.default_rng(seed), (9, 9), upright)[0, 8, 4] > 0 for seed in range(50))


def test_bending_is_smooth_and_as_strong_as_asked() -> None:
    straight = Augmentation(False, False, False, 0, 0, 0, 0)
    bent = Augmentation(False, False, False, 0, 0, 5.0, 0)
    still = draw_map(np.random.default_rng(0), (128, 128), straight)
    moves = np.stack([draw_map(np.random.default_rng(seed), (128, 128), bent) - still for seed in range(40)])
    assert 1 < moves.std() < 5
    assert np.abs(np.diff(moves, axis=-1)).max() < 1  # nothing folds over


def test_intensity_variation_keeps_shape_and_finite_values_and_can_be_switched_off() -> None:
    patch = np.random.default_rng(0).normal(0, 1, (2, 1, 32, 32)).astype(np.float32)
    for seed in range(30):
        varied = vary_intensity(patch.copy(), np.random.default_rng(seed), 1.0)
        assert varied.shape == patch.shape
        assert varied.dtype == np.float32
        assert np.isfinite(varied).all()
        assert np.corrcoef(varied.ravel(), patch.ravel())[0, 1] > 0.5
    assert (vary_intensity(patch.copy(), np.random.default_rng(0), 0.0) == patch).all()
    assert np.isfinite(vary_intensity(np.zeros((1, 1, 8, 8), np.float32), np.random.default_rng(2), 1.0)).all()
