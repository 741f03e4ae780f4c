"""Patches: every class and image has its turn, and no patch is without paint."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view

from napari_segtool.core.errors import PaintError
from napari_segtool.nets._neighbours import neighbour_slices
from napari_segtool.nets._normalise import Normalisation
from napari_segtool.training.augment._presets import PRESETS, preset
from napari_segtool.training.data._augment import STILL, Augmentation
from napari_segtool.training.data._holdout import Field
from napari_segtool.training.data._loader import BatchMaker, Prefetcher
from napari_segtool.training.data._patches import PatchSampler


def field(marks: np.ndarray, number: int = 0) -> Field:
    image = np.random.default_rng(number).integers(0, 255, (len(marks), 1, *marks.shape[1:])).astype(np.uint8)
    return Field(number, 0, image, marks)


def sparse_field(seed: int = 0) -> Field:
    """One pixel of class 0 and a line of class 1 in a large picture."""
    marks = np.full((1, 300, 200), 255, np.uint8)
    marks[0, 3, 197] = 0
    marks[0, 150, 20 + seed : 60] = 1
    return field(marks, seed)


def maker(fields: tuple[Field, ...], patch: tuple[int, int, int] = (1, 64, 64), **more: object) -> BatchMaker:
    settings = {"augmentation": Augmentation(), "count": 4, "seed": 0, "flat": True, **more}
    augmentation, normalisation = settings.pop("augmentation"), settings.pop("normalisation", Normalisation())
    return BatchMaker(fields, PatchSampler(fields, 2, balance=1.0, seed=0), normalisation, augmentation, patch=patch, **settings)  # type: ignore[arg-type]


def test_classes_and_fields_come_up_equally_often() -> None:
    fields = (sparse_field(0), sparse_field(1))
    sampler, rng = PatchSampler(fields, 2, balance=1.0, seed=0), np.random.default_rng(0)
    draws = [sampler.draw(rng) for _ in range(2000)]
    assert all(fields[draw.field].learn[draw.pixel] != 255 for draw in draws)
    rare = sum(fields[draw.field].learn[draw.pixel] == 0 for draw in draws)
    assert 900 < rare < 1100
    assert 900 < sum(draw.field == 0 for draw in draws) < 1100


@pytest.mark.parametrize("settings", [{}, {"normalisation": Normalisation("fixed", (3.0,), (2.0,))}, {"neighbours": 1}, {"flat": False}])
def test_an_image_with_nan_is_shown_as_in_prediction(settings: dict[str, Any]) -> None:
    """Half of each plane is NaN: neither the mean and deviation of the other half, nor what fills the gap, may depend on it."""
    image = np.random.default_rng(0).normal(5, 3, (4, 1, 64, 64)).astype(np.float32)
    y, x = np.mgrid[:64, :64]
    image[:, 0, y < x] = np.nan
    marks = np.where(y < x, 255, x % 2).astype(np.uint8)[None].repeat(4, 0)
    depth = 1 if settings.get("flat", True) else 4
    fields = tuple(Field(0, z, image[z : z + depth], marks[z : z + depth], around=image, section=z) for z in range(0, 4, depth))
    made = maker(fields, (depth, 64, 64), augmentation=STILL, count=1, **settings).make(0).images[0]
    normalisation = settings.get("normalisation", Normalisation())
    shown = np.stack([normalisation.apply(plane) for plane in image])  # (Z, C, Y, X)
    assert np.isfinite(made).all()
    for plane in made.reshape(-1, 64, 64):
        assert min(np.abs(plane - each[0]).max() for each in shown) < 1e-4


_ONE_ROW = """
import numpy as np
from napari_segtool.nets._normalise import Normalisation
from napari_segtool.training.data._augment import Augmentation
from napari_segtool.training.data._holdout import Field
from napari_segtool.training.data._loader import BatchMaker
from napari_segtool.training.data._patches import PatchSampler
for shape in ((1, 1, 60), (1, 60, 1), (1, 1, 2)):
    image = np.arange(60, dtype=np.float32)[: max(shape)].reshape(1, *shape)
    marks = (np.arange(max(shape)) % 2).astype(np.uint8).reshape(shape)
    fields = (Field(0, 0, image, marks, weights=np.ones(shape, np.float32)),)
    maker = BatchMaker(fields, PatchSampler(fields, 2, balance=1.0, seed=0), Normalisation(), Augmentation(), patch=(1, 64, 64), count=4, seed=0, flat=True)
    assert all(np.isfinite(maker.make(step).images).all() for step in range(4))
"""


def test_pictures_one_pixel_high_or_wide_end() -> None:
    """OpenCV never comes back from mirroring a single row: in a process of its own, so that the suite would."""
    subprocess.run([sys.executable, "-c", _ONE_ROW], check=True, timeout=120)


def test_without_balance_classes_come_up_as_often_as_they_have_pixels() -> None:
    fields = (sparse_field(),)
    sampler, rng = PatchSampler(fields, 2, balance=0.0, seed=0), np.random.default_rng(0)
    rare = sum(fields[0].learn[sampler.draw(rng).pixel] == 0 for _ in range(2000))
    assert 20 < rare < 90  # 1 pixel in 41


def test_no_patch_is_without_paint_however_it_is_turned() -> None:
    strong = Augmentation(rotation_deg=180, scale=1.0, elastic_px=20)
    batches = maker((sparse_field(), sparse_field(1)), augmentation=strong)
    for step in range(60):
        batch = batches.make(step)
        assert batch.images.shape == (4, 1, 64, 64)
        assert batch.classes.shape == (4, 64, 64)
        assert (batch.classes != 255).reshape(4, -1).any(axis=1).all()


def test_a_picture_smaller_than_the_patch_is_learned_from_too() -> None:
    marks = np.full((1, 10, 300), 255, np.uint8)
    marks[0, 5, 7], marks[0, 2, 290] = 0, 1
    batch = maker((field(marks),)).make(0)
    assert (batch.classes != 255).reshape(4, -1).any(axis=1).all()


def test_a_volume_thinner_than_the_patch_is_learned_from_too() -> None:
    marks = np.random.default_rng(0).integers(0, 2, (3, 40, 40)).astype(np.uint8)
    batch = maker((field(marks),), patch=(8, 32, 32), flat=False).make(0)
    assert batch.images.shape == (4, 1, 8, 32, 32)
    assert 0.1 < (batch.classes != 255).mean() < 0.6


def test_the_drawn_section_is_in_every_volume_patch() -> None:
    marks = np.full((20, 40, 40), 255, np.uint8)
    marks[0, 20, 20], marks[19, 10, 10] = 0, 1
    batches = maker((field(marks),), patch=(4, 32, 32), flat=False)
    assert all((batches.make(step).classes != 255).reshape(4, -1).any(axis=1).all() for step in range(20))


def test_a_batch_depends_on_seed_and_step_only() -> None:
    fields = (sparse_field(),)
    first, second = maker(fields), maker(fields)
    first.make(0)
    again, fresh = first.make(5), second.make(5)
    assert (again.images == fresh.images).all()
    assert (again.classes == fresh.classes).all()
    assert (again.images != first.make(6).images).any()
    assert (again.images != maker(fields, seed=1).make(5).images).any()


def test_batches_made_ahead_are_those_made_in_place() -> None:
    fields = (sparse_field(),)
    ahead, here = Prefetcher(maker(fields)), maker(fields)
    try:
        for step in (3, 4, 5, 9, 10):
            assert (ahead.take(step).images == here.make(step).images).all()
    finally:
        ahead.close()


def test_patches_are_normalised_by_their_whole_plane() -> None:
    ramp = np.broadcast_to(np.arange(200, dtype=np.uint8), (1, 1, 100, 200))
    marks = np.zeros((1, 100, 200), np.uint8)
    marks[0, :, 100:] = 1
    still = Augmentation(False, False, False, 0.0, 0.0, 0.0, 0.0)
    batch = maker((Field(0, 0, ramp, marks),), patch=(1, 32, 32), augmentation=still, count=16).make(0)
    wanted = Normalisation().apply(ramp[0, 0])[0]
    for image in batch.images[:, 0]:
        place = int(np.abs(wanted - image[0, 0]).argmin())
        assert np.allclose(image[5], wanted[place : place + 32], atol=0.03)


def test_nothing_to_learn_from_is_refused() -> None:
    with pytest.raises(PaintError):
        PatchSampler((field(np.full((1, 8, 8), 255, np.uint8)),), 2, balance=1.0, seed=0)


def test_images_come_up_equally_often_whatever_the_number_of_their_planes() -> None:
    many = [replace(sparse_field(seed), picture=0, first=seed) for seed in range(9)]
    fields = (*many, replace(sparse_field(0), picture=1))
    sampler, rng = PatchSampler(fields, 2, balance=1.0, seed=0), np.random.default_rng(0)
    draws = [sampler.draw(rng).field for _ in range(1000)]
    assert 430 < sum(number == 9 for number in draws) < 570
    assert set(draws) == set(range(10))


def test_of_many_pixels_a_fair_choice_is_kept_and_all_are_counted() -> None:
    marks = np.zeros((6, 100, 100), np.uint8)
    marks[3:, :50] = 1
    sampler, rng = PatchSampler((field(marks),), 3, balance=1.0, seed=0), np.random.default_rng(0)
    assert sampler.pixels.tolist() == [45000, 15000, 0]
    draws = [sampler.draw(rng).pixel for _ in range(3000)]
    assert all(marks[pixel] in (0, 1) for pixel in draws)
    ones = np.array([pixel for pixel in draws if marks[pixel] == 1])
    assert 1350 < len(ones) < 1650
    assert np.allclose(np.bincount(ones[:, 0], minlength=6)[3:] / len(ones), 1 / 3, atol=0.05)


def test_weights_come_with_the_patches_and_images_without_them_count_fully() -> None:
    marks = np.random.default_rng(0).integers(0, 2, (1, 90, 90)).astype(np.uint8)
    weighted = replace(field(marks), weights=np.full(marks.shape, 2.5, np.float32))
    batch = maker((weighted,)).make(0)
    assert batch.weights is not None
    assert batch.weights.shape == batch.classes.shape
    assert set(np.unique(batch.weights[batch.classes != 255])) == {np.float32(2.5)}
    mixed = maker((weighted, replace(field(marks, 1), picture=1)), count=24).make(0)
    assert mixed.weights is not None
    assert set(np.unique(mixed.weights[mixed.classes != 255])) == {np.float32(1), np.float32(2.5)}
    assert maker((field(marks),)).make(0).weights is None


def test_pixels_that_count_nothing_are_never_drawn_and_never_all_there_is() -> None:
    weights = np.zeros((1, 300, 200), np.float32)
    weights[0, 150, 50:55] = 1
    marks = np.zeros((1, 300, 200), np.uint8)
    marks[0, :, 100:] = 1
    weights[0, 20, 120] = 0.5
    one = replace(field(marks), weights=weights)
    sampler = PatchSampler((one,), 2, balance=1.0, seed=0)
    assert sampler.pixels.tolist() == [5, 1]
    for step in range(10):
        batch = maker((one,)).make(step)
        assert batch.weights is not None
        assert ((batch.classes != 255) & (batch.weights > 0)).reshape(4, -1).any(axis=1).all()


@pytest.mark.parametrize("section", [0, 3, 6])
def test_neighbouring_sections_are_channels_mirrored_at_the_ends(section: int) -> None:
    rng = np.random.default_rng(0)
    volume = rng.integers(0, 255, (7, 2, 80, 80)).astype(np.uint8)
    marks = rng.integers(0, 2, (1, 80, 80)).astype(np.uint8)
    one = Field(0, section, volume[section : section + 1], marks, around=volume, section=section)
    still = Augmentation(False, False, False, 0.0, 0.0, 0.0, 0.0)
    batch = maker((one,), patch=(1, 32, 32), augmentation=still, neighbours=2).make(0)
    assert batch.images.shape == (4, 10, 32, 32)
    assert batch.classes.shape == (4, 32, 32)
    planes = [Normalisation().apply(volume[z])[c] for c in range(2) for z in neighbour_slices(section, 2, 7)]
    for image, classes in zip(batch.images, batch.classes, strict=True):
        y, x = (int(n) for n in np.argwhere((sliding_window_view(marks[0], (32, 32)) == classes).all(axis=(2, 3)))[0])
        assert np.allclose(image, [plane[y : y + 32, x : x + 32] for plane in planes], atol=1e-4)


def test_a_picture_without_neighbours_is_shown_as_its_own_neighbour() -> None:
    batch = maker((sparse_field(),), neighbours=1).make(0)
    assert batch.images.shape == (4, 3, 64, 64)
    assert np.abs(batch.images[:, 0] - batch.images[:, 2]).max() < 2  # but for noise that is drawn for each


def test_images_of_another_pixel_size_are_resampled_with_their_labels() -> None:
    y, x = np.mgrid[:128, :128]
    coarse = (((y // 8) + (x // 8)) % 2).astype(np.uint8)
    fine = coarse.repeat(2, 0).repeat(2, 1)
    one = Field(0, 0, (200 * fine + 20)[None, None].astype(np.uint8), fine[None], zoom=(2.0, 2.0))
    still = Augmentation(False, False, False, 0.0, 0.0, 0.0, 0.0)
    batch = maker((one,), augmentation=still, count=8).make(0)
    for image, classes in zip(batch.images, batch.classes, strict=True):
        row = image[0, int(image[0].std(axis=1).argmax())]
        edges = np.flatnonzero(np.diff((row > 0).astype(int)))
        assert len(edges) >= 6
        assert abs(np.diff(edges).mean() - 8) < 0.4  # an edge that falls on a pixel may go either way
        clear = np.abs(image[0]) > 0.5
        assert clear.mean() > 0.7
        assert ((image[0] > 0) == classes)[clear].all()


def test_an_isotropic_volume_is_bent_along_z_too_and_a_coarse_one_is_not() -> None:
    marks = np.zeros((24, 64, 64), np.uint8)
    depth = (np.arange(24) * 10).astype(np.uint8)[:, None, None, None] * np.ones((1, 1, 64, 64), np.uint8)
    bent = Augmentation(False, False, False, 0.0, 0.0, 4.0, 0.0)
    for spacing, varies in (((0.005, 0.005, 0.005), True), ((0.05, 0.005, 0.005), False)):
        one = Field(0, 0, depth, marks, spacing_um=spacing)
        as_it_is = Normalisation("fixed", (0.0,), (1.0,))
        images = maker((one,), patch=(8, 48, 48), augmentation=bent, flat=False, normalisation=as_it_is).make(0).images
        assert (np.ptp(images, axis=(-1, -2)).max() > 0) == varies


@pytest.mark.parametrize("kind", ["memory map", "zarr", "float64", "uint16"])
def test_patches_from_disk_and_of_any_depth_are_those_from_memory(kind: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    data = rng.integers(0, 255, (10, 2, 70, 90)).astype(np.uint8)
    marks = rng.integers(0, 2, (10, 70, 90)).astype(np.uint8)
    plain = maker((Field(0, 0, data, marks),), patch=(4, 32, 32), flat=False).make(1)
    other: Any = data
    if kind == "memory map":
        np.save(tmp_path / "a.npy", data)
        other = np.load(tmp_path / "a.npy", mmap_mode="r")
    elif kind == "zarr":
        zarr = pytest.importorskip("zarr")
        other = zarr.create_array(store=str(tmp_path / "a.zarr"), data=data, chunks=(4, 1, 32, 32))
    else:
        other = data.astype(kind) * 7 + 100
    batch = maker((Field(0, 0, other, marks),), patch=(4, 32, 32), flat=False).make(1)
    assert np.allclose(batch.images, plain.images, atol=1e-3)
    assert (batch.classes == plain.classes).all()


def test_several_threads_make_the_same_batches_in_order() -> None:
    fields = (sparse_field(),)
    ahead, here = Prefetcher(maker(fields), most=3), maker(fields)
    try:
        for step in (0, 1, 2, 3, 8, 9, 5):
            assert (ahead.take(step).images == here.make(step).images).all()
    finally:
        ahead.close()


def test_another_thread_is_put_to_work_only_where_the_training_waits() -> None:
    class Slow:
        """Makes batches that take a while, and notes how many are made at a time."""

        def __init__(self) -> None:
            self.now = self.most = 0
            self.lock = threading.Lock()

        def make(self, step: int) -> int:
            with self.lock:
                self.now += step > 0  # the first is made in place, for nothing was made ahead
                self.most = max(self.most, self.now)
            time.sleep(0.02)
            with self.lock:
                self.now -= step > 0
            return step

    for pause, wanted in ((0.0, 3), (0.06, 1)):
        slow = Slow()
        ahead = Prefetcher(slow, most=3)  # type: ignore[arg-type]
        ahead.take(0)
        for step in range(1, 8):
            time.sleep(pause)
            assert ahead.take(step) == step
        ahead.close()
        assert (slow.most >= 2) == (wanted == 3)


@pytest.mark.data
def test_real_images_of_different_size_and_depth_are_learned_from_in_one_run(data_folder: Path) -> None:
    """EM of two microscopes in 8 bit, and ultrasound in 16: every image has its turn, whatever the effects."""
    import tifffile

    fields = []
    for number, (name, labelled, factor) in enumerate(
        [("isbi2012_em", "labels.tif", 1), ("vnc_drosophila_sstem", "labels_membranes.tif", 1), ("usgra_nerve_vessel_us", "labels.tif", 200)]
    ):
        image, labels = (tifffile.imread(data_folder / name / file)[2] for file in ("image.tif", labelled))
        grey = (image if image.ndim == 2 else image[..., 0]).astype(np.uint16 if factor > 1 else np.uint8) * factor
        fields.append(Field(number, 0, grey[None, None], (labels > 0).astype(np.uint8)[None]))
    assert len({one.learn.shape for one in fields}) > 1
    for modality in PRESETS:
        settings = Augmentation(effects=preset(modality), elastic_sigma_px=10, shear_deg=10)
        batch = maker(tuple(fields), augmentation=settings, count=24, patch=(1, 96, 96)).make(0)
        assert np.isfinite(batch.images).all()
        assert np.abs(batch.images).max() < 30
        assert (batch.classes != 255).reshape(24, -1).any(axis=1).all()
        assert {0, 1} <= set(np.unique(batch.classes))
