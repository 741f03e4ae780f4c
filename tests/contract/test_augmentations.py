"""What every augmentation of grey values promises, and what each is made for."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest

from napari_segtool.core.errors import ParameterError
from napari_segtool.core.params import describe
from napari_segtool.core.registry import AUGMENTATIONS, Entry
from napari_segtool.core.terms import Term
from napari_segtool.training.augment._patch import UNLABELLED, Patch
from napari_segtool.training.augment._presets import PRESETS, prepare, preset, vary

ENTRIES = {entry.name: entry for entry in AUGMENTATIONS}
SHAPES = [(1, 1, 40, 48), (3, 1, 33, 20), (1, 6, 24, 32), (2, 5, 16, 17), (1, 1, 1, 1), (1, 2, 1, 9)]


def picture(shape: tuple[int, ...], seed: int = 0, weighted: bool = True) -> Patch:
    """A smooth normalised picture with sparse labels."""
    rng = np.random.default_rng(seed)
    _, depth, height, width = shape
    y, x = np.mgrid[:height, :width]
    image = (np.sin(y / 5 + seed) * np.cos(x / 6) + rng.normal(0, 0.3, shape)).astype(np.float32)
    classes = np.where(rng.random((depth, height, width)) < 0.2, rng.integers(0, 3, (depth, height, width)), UNLABELLED).astype(np.uint8)
    classes[0, 0, 0] = 1
    return Patch(image, classes, rng.random(classes.shape).astype(np.float32) if weighted else None)


def call(entry: Entry, patch: Patch, seed: int = 0, **params: Any) -> Patch:
    result: Patch = entry.function(copy.deepcopy(patch), np.random.default_rng(seed), entry.params.build(**params))
    return result


def same(one: Patch, other: Patch) -> bool:
    return bool((one.image == other.image).all() and (one.classes == other.classes).all() and np.array_equal(one.weights, other.weights))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ENTRIES)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_shape_and_type_stay_and_values_are_finite(name: str, shape: tuple[int, ...]) -> None:
    entry = ENTRIES[name]
    most = next(field.maximum for field in describe(entry.params) if field.name == "strength")
    for seed in range(6):
        for strength in (0.5, 1.0, most):
            patch = call(entry, picture(shape, seed, weighted=seed % 2 == 0), seed, strength=strength)
            assert patch.image.shape == shape
            assert patch.image.dtype == np.float32
            assert np.isfinite(patch.image).all()
            assert patch.classes.shape == shape[1:]
            assert patch.classes.dtype == np.uint8
            assert (patch.classes != UNLABELLED).any()
            assert (patch.weights is None) == (seed % 2 == 1)
            assert patch.weights is None or (patch.weights.shape == shape[1:] and patch.weights.dtype == np.float32)


@pytest.mark.parametrize("name", ENTRIES)
@pytest.mark.parametrize("value", [0.0, -3.5])
def test_constant_pictures_stay_finite(name: str, value: float) -> None:
    for shape in SHAPES[:4]:
        patch = Patch(np.full(shape, value, np.float32), np.zeros(shape[1:], np.uint8))
        assert np.isfinite(call(ENTRIES[name], patch).image).all()


@pytest.mark.parametrize("name", ENTRIES)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_strength_zero_changes_nothing(name: str, shape: tuple[int, ...]) -> None:
    assert same(call(ENTRIES[name], picture(shape), strength=0.0), picture(shape))


@pytest.mark.parametrize("name", ENTRIES)
def test_the_same_seed_gives_the_same_patch_and_others_differ(name: str) -> None:
    entry, shape = ENTRIES[name], SHAPES[2 if ENTRIES[name].dimensions == (3,) else 0]
    assert same(call(entry, picture(shape), 5), call(entry, picture(shape), 5))
    results = [call(entry, picture(shape), seed).image for seed in range(6)]
    assert sum(not np.array_equal(results[0], other) for other in results[1:]) >= 4
    assert any(not np.array_equal(result, picture(shape).image) for result in results)


@pytest.mark.parametrize("name", ENTRIES)
def test_a_stronger_setting_changes_more(name: str) -> None:
    entry, patch = ENTRIES[name], picture(SHAPES[2 if ENTRIES[name].dimensions == (3,) else 0])
    weak, strong = (np.mean([np.abs(call(entry, patch, seed, strength=s).image - patch.image).mean() for seed in range(40)]) for s in (0.2, 1.0))
    assert 0 < weak < strong


@pytest.mark.parametrize("name", ENTRIES)
def test_a_source_or_a_family_is_named(name: str) -> None:
    entry = ENTRIES[name]
    assert entry.family == "general" or entry.reference
    assert entry.summary.endswith(".")


def test_presets_name_entries_and_scale_with_strength() -> None:
    for modality, effects in PRESETS.items():
        assert len(prepare(effects, 1.0)) == len(effects)
        assert [(effect.name, effect.weight) for effect in preset(modality, 2.0)] == [(effect.name, 2 * effect.weight) for effect in effects]
    assert {effect.name for effects in PRESETS.values() for effect in effects} == set(ENTRIES)
    assert prepare(PRESETS["em"], 0.0) == ()
    with pytest.raises(ParameterError, match="x-ray"):
        preset("x-ray")
    with pytest.raises(ParameterError):
        prepare((Term("no such thing"),), 1.0)


def test_the_general_preset_is_the_variation_whose_quality_was_measured() -> None:
    """Contrast ×exp(±¼), brightness ±¼, gamma in three of ten, blur in two, noise in three; written out here by hand."""
    import cv2

    prepared = prepare(PRESETS["general"], 1.6)
    for seed in range(40):
        rng = np.random.default_rng(seed)
        image = picture(SHAPES[0], weighted=False).image
        image *= np.float32(np.exp(1.6 * rng.uniform(-0.25, 0.25)))
        image += np.float32(1.6 * rng.uniform(-0.25, 0.25))
        if rng.random() < 0.3:
            low, high = image.min(), image.max()
            image = ((image - low) / (high - low)) ** np.exp(1.6 * rng.uniform(-0.35, 0.35)) * (high - low) + low
        if rng.random() < 0.2:
            image[0, 0] = cv2.GaussianBlur(image[0, 0], (0, 0), 1.6 * rng.uniform(0.3, 1.2))
        if rng.random() < 0.3:
            image = image + rng.standard_normal(image.shape, dtype=np.float32) * 1.6 * rng.uniform(0, 0.25)
        varied = vary(picture(SHAPES[0], weighted=False), np.random.default_rng(seed), prepared)
        assert np.allclose(varied.image, image, atol=1e-4)


def test_a_missing_section_keeps_its_labels_and_a_missing_strip_of_a_single_plane_does_not() -> None:
    entry = ENTRIES["missing-section"]
    volume = picture((2, 6, 20, 20))
    lost = call(entry, volume)
    gone = [z for z in range(6) if all(np.ptp(lost.image[c, z]) == 0 for c in range(2))]
    assert len(gone) == 1
    assert (lost.classes == volume.classes).all()
    plane = Patch(picture((1, 1, 40, 40)).image, np.ones((1, 40, 40), np.uint8))
    lost = call(entry, plane)
    changed = lost.image[0, 0] != plane.image[0, 0]
    assert changed.any()
    assert (lost.classes[0][changed] == UNLABELLED).all()
    assert (lost.classes[0] == UNLABELLED).mean() <= 0.26


def test_misaligned_sections_move_with_their_labels_and_weights() -> None:
    rows = np.broadcast_to(np.arange(30, dtype=np.float32)[:, None], (30, 40))
    columns = np.broadcast_to(np.arange(40, dtype=np.float32), (30, 40))
    image = np.stack([np.stack([rows, columns])] * 5, axis=1)
    classes = np.broadcast_to((rows // 5 + columns // 5) % 3, (5, 30, 40)).astype(np.uint8)
    moved_sections = set()
    for seed in range(20):
        patch = call(ENTRIES["misalignment"], Patch(image.copy(), classes.copy(), np.stack([rows + 100 * columns] * 5)), seed)
        known = patch.classes != UNLABELLED
        assert (patch.classes == (patch.image[0] // 5 + patch.image[1] // 5) % 3)[known].all()
        assert patch.weights is not None
        assert (patch.weights == patch.image[0] + 100 * patch.image[1]).all()
        moved = tuple(z for z in range(5) if (patch.image[:, z] != image[:, z]).any())
        assert 0 not in moved
        moved_sections.add(len(moved))
    assert {1, 2} <= moved_sections  # one slips, or all from one on
    plane = picture((1, 1, 30, 40))
    assert same(call(ENTRIES["misalignment"], plane), plane)


def test_speckle_is_multiplicative_and_follows_rayleighs_law() -> None:
    image = np.zeros((1, 1, 256, 256), np.float32)
    image[..., 128:] = 4.0
    image[..., 0, 0] = -1.0  # black: where nothing is to be multiplied
    patch = call(ENTRIES["speckle"], Patch(image, np.zeros((1, 256, 256), np.uint8)), seed=3)
    signal = patch.image[0, 0] + 1
    dim, bright = signal[1:, :128].ravel(), signal[1:, 128:].ravel()
    assert abs(signal[0, 0]) < 1e-6
    assert np.isclose(bright.std() / dim.std(), 5, rtol=0.1)
    assert np.isclose(dim.mean(), 1, atol=0.05)
    grain = (bright / 5 - 1) / (bright / 5).std()  # Rayleigh, whatever its share: skewness 0.631
    assert np.isclose((grain**3).mean(), 0.631, atol=0.1)


def test_a_shadow_lies_below_where_it_begins_and_time_gain_changes_with_depth_only() -> None:
    image = np.ones((1, 1, 80, 60), np.float32)
    image[..., 0, 0] = 0
    image[..., 20, 30] = 1.5
    for seed in range(10):
        dark = image[0, 0] - call(ENTRIES["shadow"], Patch(image.copy(), np.zeros((1, 80, 60), np.uint8)), seed).image[0, 0]
        assert dark.min() > -1e-5
        column = dark[:, int(dark[-1].argmax())]
        assert column[-1] > 0.1
        assert (np.diff(column[1:])[25:] > -0.02).all()  # it does not end again
        gained = call(ENTRIES["gain"], Patch(image.copy(), np.zeros((1, 80, 60), np.uint8)), seed).image[0, 0]
        assert np.allclose(gained[:20, 1:], gained[:20, 1:2], atol=1e-6)
        assert np.ptp(gained[:, 40]) > 0.01


def test_contrast_jumps_between_sections_and_at_a_seam_of_a_single_plane() -> None:
    entry, seam = ENTRIES["contrast-jump"], np.ones((1, 1, 50, 50), np.float32)
    volume = call(entry, Patch(np.ones((1, 6, 8, 8), np.float32), np.zeros((6, 8, 8), np.uint8))).image[0]
    assert all(np.ptp(section) == 0 for section in volume)
    assert len(np.unique(volume[:, 0, 0])) == 6
    values = np.unique(call(entry, Patch(seam, np.zeros((1, 50, 50), np.uint8))).image)
    assert len(values) == 2
    assert 1.0 in values
