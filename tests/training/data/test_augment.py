"""Augmentation moves image, labels and weights together, invents nothing, and leaves what lies outside unlabelled."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.ndimage import map_coordinates

from napari_segtool.training.data._augment import STILL, Augmentation
from napari_segtool.training.data._cut import cut
from napari_segtool.training.data._warp import draw_map, joined

PLAIN = {"flip_x": False, "flip_y": False, "flip_z": False, "rotation_deg": 0.0, "scale": 0.0, "elastic_px": 0.0}
EVERYTHING = Augmentation(rotation_deg=180, scale=0.3, elastic_px=3, shift=0.1, shear_deg=10, tilt_deg=15, elastic_sigma_px=5)


def coordinate_image(*shape: int) -> np.ndarray:
    """``(Z, axes, Y, X)``: channel ``i`` holds each pixel's place along axis ``i`` of ``shape``."""
    channels = np.stack(np.mgrid[tuple(slice(n) for n in shape)]).astype(np.float32)
    return channels[None] if len(shape) == 2 else channels.swapaxes(0, 1)


def still(shape: tuple[int, int, int]) -> np.ndarray:
    return draw_map(np.random.default_rng(0), shape, STILL)


@pytest.mark.parametrize("seed", range(8))
def test_image_labels_and_weights_of_a_plane_are_moved_by_the_same_map(seed: int) -> None:
    image = coordinate_image(200, 240)
    marks = ((image[0, 0] // 20 + image[0, 1] // 20) % 4).astype(np.uint8)[None]
    weights = (image[:, 0] + 1000 * image[:, 1]).astype(np.float32)
    rng = np.random.default_rng(seed)
    patch = cut(image, marks, (0, 100.0, 120.0), 1, draw_map(rng, (1, 96, 64), EVERYTHING), weights=weights)
    rows, columns = patch.image[:, 0]
    expected = (np.rint(rows) // 20 + np.rint(columns) // 20) % 4
    inside = (patch.classes[0] != 255) & (np.abs(rows % 20 - 9.5) < 9) & (np.abs(columns % 20 - 9.5) < 9)
    assert inside.mean() > 0.4
    assert (patch.classes[0][inside] == expected[inside]).all()
    assert patch.weights is not None
    assert np.allclose(patch.weights[0][inside], (rows + 1000 * columns)[inside], atol=0.1 * 1000)


@pytest.mark.parametrize("z_ratio", [0.0, 1.0, 2.5, 8.0])
def test_image_labels_and_weights_of_a_volume_are_moved_by_the_same_map(z_ratio: float) -> None:
    image = coordinate_image(40, 90, 100)
    marks = ((image[:, 0] // 8 + image[:, 1] // 16 + image[:, 2] // 16) % 4).astype(np.uint8)
    weights = image[:, 0] + 100 * image[:, 1]
    for seed in range(3):
        field = draw_map(np.random.default_rng(seed), (12, 48, 32), EVERYTHING, z_ratio=z_ratio)
        patch = cut(image, marks, (19.5, 45.0, 50.0), 12, field, weights=weights)
        z, rows, columns = patch.image
        expected = (np.rint(z) // 8 + np.rint(rows) // 16 + np.rint(columns) // 16) % 4
        inside = patch.classes != 255
        for part, size in ((z, 8), (rows, 16), (columns, 16)):
            inside &= np.abs(part % size - (size - 1) / 2) < size / 2 - 0.6
        assert inside.mean() > 0.3
        assert (patch.classes[inside] == expected[inside]).all()
        assert patch.weights is not None
        assert np.allclose(patch.weights[inside], (z + 100 * rows)[inside], atol=10)


@pytest.mark.parametrize("z_ratio", [0.0, 1.5, 10.0])
def test_the_map_says_where_a_pixel_comes_from(z_ratio: float) -> None:
    image = coordinate_image(40, 200, 240)
    field = draw_map(np.random.default_rng(1), (6, 32, 48), EVERYTHING, z_ratio=z_ratio)
    assert field.shape == {0.0: (2, 32, 48), 1.5: (3, 6, 32, 48), 10.0: (2, 6, 32, 48)}[z_ratio]
    patch = cut(image, np.zeros((40, 200, 240), np.uint8), (20.5, 90.5, 130.0), 6, field)
    assert np.allclose(patch.image[1], field[-2] + 90.5, atol=0.08)  # OpenCV rounds places to 1/32 px, and its cubic bends a ramp by 0.05 px
    assert np.allclose(patch.image[2], field[-1] + 130.0, atol=0.08)
    planes = field[0] + 20.5 if len(field) == 3 else np.arange(18, 24)[:, None, None]
    assert np.allclose(patch.image[0], planes, atol=0.01)


@pytest.mark.parametrize("samples", [(40,), (33, 57), (9, 20, 31)])
def test_displacements_on_a_grid_are_joined_as_scipy_joins_them(samples: tuple[int, ...]) -> None:
    heights = np.random.default_rng(0).normal(0, 10, (2, *[3 + len(samples)] * len(samples))).astype(np.float32)
    axes = [np.linspace(0, n - 1, size) for n, size in zip(heights.shape[1:], samples, strict=True)]
    places = np.stack(np.meshgrid(*axes, indexing="ij"))
    wanted = [map_coordinates(part.astype(np.float64), places, order=3, mode="mirror") for part in heights]
    assert np.allclose(joined(heights, samples), wanted, atol=1e-3)


@pytest.mark.parametrize("z_ratio", [0.0, 1.0])
def test_elastic_deformation_agrees_with_map_coordinates(z_ratio: float) -> None:
    z, y, x = np.mgrid[:30, :100, :110].astype(np.float32)
    volume = np.sin(y / 9) * np.cos(x / 11) + np.sin(z / 15)
    marks = ((y // 12 + x // 12 + z // 6) % 3).astype(np.uint8)
    settings = Augmentation(**PLAIN, elastic_sigma_px=4)
    field = draw_map(np.random.default_rng(3), (8, 50, 60), settings, z_ratio=z_ratio)
    centre = (14.5, 48.5, 54.5)
    patch = cut(volume[:, None], marks, centre, 8, field)
    full = field if len(field) == 3 else np.broadcast_to(field[:, None], (2, 8, 50, 60))
    planes = [full[0] + centre[0]] if len(field) == 3 else [np.broadcast_to(np.arange(11.0, 19.0)[:, None, None], (8, 50, 60))]
    places = np.stack([*planes, full[-2] + centre[1], full[-1] + centre[2]])
    assert np.abs(patch.image[0] - map_coordinates(volume, places, order=3, mode="mirror")).max() < 0.02
    wanted = map_coordinates(marks, places, order=0, mode="constant", cval=255)
    assert (patch.classes == wanted).mean() > 0.995  # places half way between two pixels may go either way
    assert np.ptp(full[-1] - np.arange(60)) > 3  # and it did bend


def test_gaussian_displacements_have_the_published_width_on_a_3_by_3_grid() -> None:
    settings = Augmentation(**PLAIN, elastic_sigma_px=10)
    fields = np.stack([draw_map(np.random.default_rng(seed), (1, 65, 65), settings) for seed in range(300)])
    moves = fields - still((1, 65, 65))
    assert abs(moves[:, :, ::32, ::32].std() - 10) < 0.5
    corner, middle = moves[:, 0, 0, 0], moves[:, 0, 32, 32]
    assert abs(np.corrcoef(corner, middle)[0, 1]) < 0.15  # each point is drawn by itself


def test_no_variation_cuts_the_pixels_as_they_are() -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 60000, (3, 2, 50, 60)).astype(np.uint16)
    marks = rng.integers(0, 3, (3, 50, 60)).astype(np.uint8)
    weights = rng.random((3, 50, 60)).astype(np.float32)
    for z_ratio in (0.0, 1.0, 5.0):
        field = draw_map(rng, (2, 16, 16), STILL, z_ratio=z_ratio)
        patch = cut(image, marks, (1.5, 20 + 7.5, 30 + 7.5), 2, field, weights=weights)
        assert (patch.image == image[1:3, :, 20:36, 30:46].swapaxes(0, 1)).all()
        assert (patch.classes == marks[1:3, 20:36, 30:46]).all()
        assert patch.weights is not None
        assert np.allclose(patch.weights, weights[1:3, 20:36, 30:46])


def test_outside_the_image_is_mirrored_and_unlabelled() -> None:
    image = coordinate_image(30, 30)
    weights = np.ones((1, 30, 30), np.float32)
    patch = cut(image, np.ones((1, 30, 30), np.uint8), (0, 0.0, 15.0), 1, still((1, 11, 11)), weights=weights)
    assert (patch.classes[0, :5] == 255).all()
    assert (patch.classes[0, 5:] == 1).all()
    assert patch.image[0, 0, :, 0].tolist() == [5, 4, 3, 2, 1, 0, 1, 2, 3, 4, 5]
    assert patch.weights is not None
    assert patch.weights[0, :, 0].tolist() == [0] * 5 + [1] * 6


def test_a_volume_is_mirrored_and_unlabelled_outside_along_every_axis() -> None:
    image = coordinate_image(12, 30, 30)
    field = draw_map(np.random.default_rng(0), (7, 9, 9), STILL, z_ratio=1.0)
    patch = cut(image, np.ones((12, 30, 30), np.uint8), (0.0, 29.0, 15.0), 7, field, weights=np.ones((12, 30, 30), np.float32))
    assert patch.image[0, :, 0, 0].tolist() == [3, 2, 1, 0, 1, 2, 3]
    assert patch.image[1, 0, :, 0].tolist() == [25, 26, 27, 28, 29, 28, 27, 26, 25]
    inside = np.zeros((7, 9, 9), bool)
    inside[3:, :5] = True
    assert ((patch.classes == 1) == inside).all()
    assert patch.weights is not None
    assert (patch.weights == inside).all()


def test_a_patch_far_larger_than_the_image_still_has_all_of_it() -> None:
    marks = np.arange(12, dtype=np.uint8).reshape(1, 3, 4)
    patch = cut(marks[:, None], marks, (0, 1.0, 1.5), 1, still((1, 65, 64)))
    assert np.isfinite(patch.image).all()
    assert sorted(patch.classes[patch.classes != 255].tolist()) == list(range(12))


def test_sections_before_the_first_are_mirrored_and_unlabelled() -> None:
    image = np.arange(4, dtype=np.uint8)[:, None, None, None] * np.ones((1, 1, 8, 8), np.uint8)
    patch = cut(image, np.zeros((4, 8, 8), np.uint8), (1.5, 3.5, 3.5), 8, still((8, 4, 4)))
    assert patch.image[0, :, 0, 0].tolist() == [2, 1, 0, 1, 2, 3, 2, 1]
    assert (patch.classes[:, 0, 0] == 255).tolist() == [True, True, False, False, False, False, True, True]


def test_a_volume_of_many_wide_planes_is_laid_out_within_what_opencv_can_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("napari_segtool.training.data._cut._LONGEST", 130)
    image = coordinate_image(40, 60, 50)
    field = draw_map(np.random.default_rng(2), (10, 24, 24), Augmentation(tilt_deg=40), z_ratio=1.0)
    patch = cut(image, np.zeros((40, 60, 50), np.uint8), (20.0, 30.0, 25.0), 10, field)
    inside = patch.classes != 255
    for axis, middle in enumerate((20.0, 30.0, 25.0)):
        assert np.allclose(patch.image[axis][inside], (field[axis] + middle)[inside], atol=0.08)


def test_the_angle_scale_and_flips_stay_within_what_was_asked() -> None:
    settings = Augmentation(flip_x=False, flip_y=False, rotation_deg=20, scale=0.25, elastic_px=0)
    for seed in range(50):
        field = draw_map(np.random.default_rng(seed), (1, 33, 33), settings)
        down, right = field[:, 20, 16] - field[:, 16, 16], field[:, 16, 20] - field[:, 16, 16]
        zoom = np.hypot(*down) / 4
        assert 1 / 1.2501 <= zoom <= 1.2501
        assert abs(np.degrees(np.arctan2(right[0], right[1]))) <= 20.01
        assert down[0] * right[1] - down[1] * right[0] > 0  # not mirrored


def test_shear_leans_columns_and_keeps_areas_and_shift_moves_the_centre() -> None:
    leaning = Augmentation(**PLAIN, shear_deg=30)
    angles, centres = [], []
    for seed in range(60):
        field = draw_map(np.random.default_rng(seed), (1, 33, 33), leaning)
        down, right = field[:, 20, 16] - field[:, 16, 16], field[:, 16, 20] - field[:, 16, 16]
        assert np.isclose(down[0] * right[1] - down[1] * right[0], 16, atol=1e-3)
        assert np.allclose(right, (0, 4), atol=1e-5)
        angles.append(np.degrees(np.arctan2(down[1], down[0])))
        centres.append(draw_map(np.random.default_rng(seed), (1, 33, 65), Augmentation(**PLAIN, shift=0.2))[:, 16, 32])
    assert 20 < np.abs(angles).max() <= 30.01
    assert (np.abs(centres) <= (6.6, 13)).all()
    assert (np.abs(centres).max(axis=0) > (4, 8)).all()


def test_a_tilt_turns_in_space_by_what_was_asked() -> None:
    settings = Augmentation(**PLAIN, tilt_deg=25)
    for seed in range(20):
        field = draw_map(np.random.default_rng(seed), (9, 21, 21), settings, z_ratio=2.0)
        space = field * np.array([2.0, 1, 1]).reshape(3, 1, 1, 1)  # in pixels of the plane
        steps = np.stack(
            [(space[:, 6, 10, 10] - space[:, 4, 10, 10]) / 4, space[:, 4, 11, 10] - space[:, 4, 10, 10], space[:, 4, 10, 11] - space[:, 4, 10, 10]]
        )
        assert np.allclose(steps @ steps.T, np.eye(3), atol=1e-4)  # lengths and right angles stay
        assert np.linalg.det(steps) > 0
        assert np.degrees(np.arccos(steps[0, 0])) <= 25 * np.sqrt(2) + 0.1


def test_half_of_the_maps_are_mirrored_along_each_axis() -> None:
    settings = Augmentation(rotation_deg=0, scale=0, elastic_px=0)
    fields = [draw_map(np.random.default_rng(seed), (1, 9, 9), settings) for seed in range(200)]
    assert 60 < sum(field[0, 8, 4] < 0 for field in fields) < 140
    assert 60 < sum(field[1, 4, 8] < 0 for field in fields) < 140
    upright = Augmentation(flip_y=False, rotation_deg=0, scale=0, elastic_px=0)
    assert all(draw_map(np.random.default_rng(seed), (1, 9, 9), upright)[0, 8, 4] > 0 for seed in range(50))


def test_bending_is_smooth_and_as_strong_as_asked() -> None:
    bent = Augmentation(**{**PLAIN, "elastic_px": 5.0})
    moves = np.stack([draw_map(np.random.default_rng(seed), (1, 128, 128), bent) - still((1, 128, 128)) for seed in range(40)])
    assert 1 < moves.std() < 5
    assert np.abs(np.diff(moves, axis=-1)).max() < 1  # nothing folds over


@pytest.mark.parametrize("strength_px", [4.0, 8.0, 26.0])
def test_nothing_folds_over_however_strong_the_bending(strength_px: float) -> None:
    bent = Augmentation(**{**PLAIN, "elastic_px": strength_px})
    areas = []
    for seed in range(40):
        field = draw_map(np.random.default_rng(seed), (1, 512, 384), bent).astype(np.float64)
        down, right = np.diff(field, axis=1)[:, :, :-1], np.diff(field, axis=2)[:, :-1]
        areas.append((down[0] * right[1] - down[1] * right[0]).ravel())
    assert (np.concatenate(areas) > 0).mean() > 0.9995
    assert np.mean([area.min() > 0 for area in areas]) > 0.8


def test_bending_of_coarse_volumes_stays_in_the_planes_and_goes_through_them_smoothly() -> None:
    bent = Augmentation(**{**PLAIN, "elastic_px": 5.0})
    field = draw_map(np.random.default_rng(0), (12, 64, 64), bent, z_ratio=10.0)
    assert len(field) == 2
    steps = np.abs(np.diff(field, axis=1))
    assert 0 < steps.max() < 10  # planes lie 10 px apart: nothing slants by more than 45°


@pytest.mark.parametrize("shape", [(1, 64, 64), (8, 32, 32)])
def test_another_spacing_is_resampled_by_the_same_map(shape: tuple[int, int, int]) -> None:
    field = draw_map(np.random.default_rng(0), shape, STILL, zoom=(1.0 if shape[0] == 1 else 0.5, 2.0, 1.5))
    image = coordinate_image(60, 200, 240)
    patch = cut(image, np.zeros((60, 200, 240), np.uint8), (20.0, 100.0, 120.0), shape[0], field)
    assert np.allclose(np.diff(patch.image[1], axis=1), 2.0, atol=0.12)
    assert np.allclose(np.diff(patch.image[2], axis=2), 1.5, atol=0.12)
    assert shape[0] == 1 or np.allclose(np.diff(patch.image[0], axis=0), 0.5, atol=0.01)


def test_only_the_box_that_is_needed_is_read_once() -> None:
    class Watched:
        """An array on disk that notes what is asked of it."""

        def __init__(self, data: np.ndarray) -> None:
            self.data, self.shape, self.asked = data, data.shape, []

        def __getitem__(self, key: Any) -> np.ndarray:
            self.asked.append(self.data[key].shape)
            return self.data[key]

    image, marks = Watched(np.zeros((50, 2, 400, 400), np.uint16)), Watched(np.zeros((50, 400, 400), np.uint8))
    for z_ratio in (0.0, 1.0, 8.0):
        image.asked.clear()
        marks.asked.clear()
        cut(image, marks, (20.5, 200.0, 200.0), 4, draw_map(np.random.default_rng(0), (4, 32, 32), Augmentation(elastic_px=2), z_ratio=z_ratio))
        assert len(image.asked) == len(marks.asked) == 1
        assert image.asked[0][0] <= 14
        assert max(image.asked[0][2:]) < 80
