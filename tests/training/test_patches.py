"""Patches: every class and image has its turn, and no patch is without paint."""

from __future__ import annotations

import numpy as np
import pytest

from napari_segtool.core.errors import PaintError
from napari_segtool.nets._normalise import Normalisation
from napari_segtool.training._augment import Augmentation
from napari_segtool.training._holdout import Field
from napari_segtool.training._loader import BatchMaker, Prefetcher
from napari_segtool.training._patches import PatchSampler


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
    augmentation = settings.pop("augmentation")
    return BatchMaker(fields, PatchSampler(fields, 2, balance=1.0, seed=0), Normalisation(), augmentation, patch=patch, **settings)  # type: ignore[arg-type]


def test_classes_and_fields_come_up_equally_often() -> None:
    fields = (sparse_field(0), sparse_field(1))
    sampler, rng = PatchSampler(fields, 2, balance=1.0, seed=0), np.random.default_rng(0)
    draws = [sampler.draw(rng) for _ in range(2000)]
    assert all(fields[draw.field].learn[draw.pixel] != 255 for draw in draws)
    rare = sum(fields[draw.field].learn[draw.pixel] == 0 for draw in draws)
    assert 900 < rare < 1100
    assert 900 < sum(draw.field == 0 for draw in draws) < 1100


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
