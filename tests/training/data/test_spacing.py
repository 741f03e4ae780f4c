"""Images of different pixel size in one run: patches, validation, previews and the card go by one size."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import napari_segtool as segtool
from napari_segtool.core.progress import drain
from napari_segtool.core.stack import Stack
from napari_segtool.nets._normalise import Normalisation
from napari_segtool.nets._resample import Grid
from napari_segtool.training.data._augment import STILL
from napari_segtool.training.data._cut import cut
from napari_segtool.training.data._holdout import Field, open_pictures, split_fields
from napari_segtool.training.data._loader import BatchMaker
from napari_segtool.training.data._patches import PatchSampler
from napari_segtool.training.data._spacing import alike, common_spacing, zoom_of
from napari_segtool.training.data._warp import draw_map
from napari_segtool.training.validate._scoring import plan_windows, predict_plane, read_box, validate
from tests.training.blobs import blobs, kinds, messages, tiny_run, train

RAW = Normalisation("fixed", (0.0,), (1.0,))


def test_the_pixel_size_that_most_images_have_is_learned_at() -> None:
    fine, coarse = (0.05, 0.004, 0.004), (0.05, 0.008, 0.008)
    assert common_spacing([fine, coarse, coarse]) == coarse
    assert common_spacing([fine, coarse]) == fine
    assert common_spacing([fine, coarse, (0.03, 0.0042, 0.004)]) == fine
    assert common_spacing([fine, ()]) == common_spacing([]) == ()
    assert alike(fine, (0.5, 0.0045, 0.0035))
    assert not alike(fine, (0.05, 0.0047, 0.004))
    assert zoom_of(coarse, fine) == (0.5, 0.5)
    assert zoom_of(fine, (0.05, 0.0045, 0.004)) == zoom_of((), fine) == zoom_of(fine, ()) == (1.0, 1.0)


@pytest.mark.parametrize("zoom", [(0.5, 0.5), (2.0, 2.0), (1.7, 0.6)])
@pytest.mark.parametrize("deep", [False, True])
def test_a_patch_shows_what_prediction_will(zoom: tuple[float, float], deep: bool) -> None:
    """A patch that is not varied is a part of the planes on the model's grid, but for the 32nd of a pixel that OpenCV rounds places to."""
    side, count = 102, 24
    y, x = np.mgrid[:side, :side]
    image = np.stack([100 + 40 * np.sin(y / 9 + z) * np.cos(x / 8) for z in range(4)]).astype(np.float32)[:, None]
    grid = Grid((side, side), zoom)
    first = (2, 5)
    shown = tuple(slice(start, start + count) for start in first)
    expected = grid.read(image[1:3, 0], *shown)
    row, column = ((start + count / 2) * factor - 0.5 for start, factor in zip(first, zoom, strict=True))
    places = draw_map(np.random.default_rng(0), (2, count, count), STILL, z_ratio=1.0 if deep else 0.0, zoom=(1.0, *zoom))
    assert len(places) == (3 if deep else 2)
    patch = cut(image, np.zeros((4, side, side), np.uint8), (1.5, row, column), 2, places, zoom=zoom)
    np.testing.assert_allclose(patch.image[0], expected, atol=0.3)


def test_a_training_cuts_its_patches_with_that_blur() -> None:
    noise = np.random.default_rng(0).normal(size=(1, 1, 300, 300)).astype(np.float32)
    fields = tuple(Field(0, 0, noise, np.zeros((1, 300, 300), np.uint8), zoom=(factor, factor)) for factor in (1.0, 4.0))
    spread = []
    for one in fields:
        maker = BatchMaker((one,), PatchSampler((one,), 1, balance=1.0, seed=0), RAW, STILL, patch=(1, 32, 32), count=4, seed=0, flat=True)
        spread.append(float(maker.make(0).images.std()))
    assert spread[0] > 0.9
    assert 0.15 < spread[1] < 0.4  # a quarter, where sixteen pixels are added up


def half(side: int = 64) -> np.ndarray:
    """Bright to the right of the middle, ``(1, 1, Y, X)``."""
    return np.repeat(np.where(np.arange(side) >= side // 2, 1.0, -1.0)[None], side, 0).astype(np.float32)[None, None]


@pytest.mark.parametrize("zoom", [(0.5, 0.5), (2.0, 2.0), (1.0, 0.5)])
@pytest.mark.parametrize("spatial", [2, 3])
def test_validation_asks_at_the_size_learned_at_and_scores_the_pixels_of_the_image(zoom: tuple[float, float], spatial: int) -> None:
    image = np.repeat(half(), 4 if spatial == 3 else 1, 0)
    truth = (image[:, 0] > 0).astype(np.uint8)
    field = Field(0, 0, image, np.full_like(truth, 255), truth, zoom=zoom)
    asked = []

    def ask(pixels: torch.Tensor) -> torch.Tensor:
        asked.append(tuple(pixels.shape[-2:]))
        return torch.cat([-20 * pixels, 20 * pixels], 1)

    core = (4 if spatial == 3 else 1, 64, 64)
    windows = plan_windows((field,), spatial, core, (1, 1, 1)[-spatial:])
    *_, result = validate(windows, ask, RAW, torch.ones(2), spatial)
    assert set(asked) == {(round(64 / zoom[0]), round(64 / zoom[1]))}
    assert result.dice > 0.98
    assert np.isfinite(result.loss)
    if spatial == 2:
        *_, plane = predict_plane(field, 0, ask, RAW, 2, (1, 64, 64), (1, 1))
        assert (plane == truth[0]).mean() > 0.98


def test_a_box_of_a_field_that_is_not_resampled_is_that_of_the_image() -> None:
    field = Field(0, 0, half(), np.zeros((1, 64, 64), np.uint8))
    np.testing.assert_array_equal(read_box(field, (slice(0, 1), slice(3, 9), slice(20, 50)), RAW, True)[0, 0], half()[0, 0, 3:9, 20:50])


def twice(image: np.ndarray) -> np.ndarray:
    return image.repeat(2, -1).repeat(2, -2)


@pytest.mark.parametrize("dimensions", ["2-D", "3-D"])
def test_a_run_on_images_of_different_pixel_size_resamples_the_odd_one_and_says_so(tmp_path: Path, dimensions: str) -> None:
    image, mask = blobs(6, 48)
    fine = Stack(twice(image), "ZYX", (0.05, 0.005, 0.005), "fine")
    pairs = [
        (Stack(image, "ZYX", (0.05, 0.01, 0.01), "first"), mask),
        (fine, twice(mask)),
        (Stack(image[::-1].copy(), "ZYX", (0.05, 0.011, 0.01), "third"), mask[::-1].copy()),
    ]
    run = tiny_run(tmp_path / "run", pairs=pairs, steps=3, dimensions=dimensions)
    pictures = open_pictures(run, 3 if dimensions == "3-D" else 2)
    assert [picture.zoom for picture in pictures] == [(1.0, 1.0), (2.0, 2.0), (1.0, 1.0)]
    assert {field.zoom for field in split_fields(pictures, 2, sparse=False, seed=0) if field.picture == 1} == {(2.0, 2.0)}
    run.request_preview(1, (1,))
    bundle = drain(train(run))
    assert "Images differ in pixel size: planes of fine (5 nm) are resampled to 10 nm." in messages(run)
    assert bundle.card["pixel_um"] == [0.01, 0.01]
    assert "preview" in kinds(run)
    found = segtool.predict(bundle, fine, device="cpu")
    assert found.labels.data.shape == fine.shape
    assert found.history[0].params["resampled"] is True


def test_images_of_one_size_or_of_one_unknown_size_are_taken_as_they_are(tmp_path: Path) -> None:
    image, mask = blobs(6, 48)
    known = Stack(image, "ZYX", (0.05, 0.01, 0.01), "a")
    alone = tiny_run(tmp_path / "alone", pairs=[(known, mask)], steps=1)
    assert drain(train(alone)).card["pixel_um"] == [0.01, 0.01]
    mixed = tiny_run(tmp_path / "mixed", pairs=[(known, mask), (Stack(image, "ZYX", (), "b"), mask)], steps=1)
    bundle = drain(train(mixed))
    assert bundle.card["pixel_um"] == []
    assert "pixel size" not in messages(alone) + messages(mixed)
    result = segtool.predict(bundle, Stack(image, "ZYX", (0.05, 0.02, 0.02)), device="cpu")
    assert "resampled" not in result.history[0].params
