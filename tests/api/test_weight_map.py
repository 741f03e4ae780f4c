"""The weight map as it is shown before a training, and weights given for pixels, through the public verbs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_segtool import api
from napari_segtool.core.errors import PaintError, ShapeError
from napari_segtool.core.labels import Labels
from napari_segtool.core.progress import drain
from napari_segtool.core.registry import LOSSES
from napari_segtool.core.stack import Stack
from napari_segtool.training.configure._planning import settle
from napari_segtool.training.data._weights import border_weights
from napari_segtool.training.engine._session import Sitting
from napari_segtool.training.losses._text import parse_loss
from napari_segtool.training.runs._events import EventLog
from tests.training.blobs import TINY, blobs, tiny_run

RNG = np.random.default_rng(0)
MASK = (RNG.random((3, 20, 24)) < 0.08).astype(np.uint8) * 255
IMAGE = Stack(RNG.integers(0, 200, MASK.shape).astype(np.uint8), "ZYX", (0.04, 0.01, 0.01), "em")
SMALL = {**TINY, "dimensions": "2-D", "resolution": "full", "device": "cpu"}
EVEN = {**SMALL, "labels_are": "mask", "border_weight": 10, "border_sigma_px": 5, "class_balance": 0.0}


def shades(shape: tuple[int, ...]) -> np.ndarray:
    """An image that can be learned from: not constant."""
    return np.arange(int(np.prod(shape)), dtype=np.uint16).reshape(shape)


def two_pairs(labels_are: str) -> list[tuple[Any, ...]]:
    """Two images whose classes differ in frequency, the first with weights for its pixels."""
    pairs: list[tuple[Any, ...]] = []
    for planes, first in ((5, 0), (4, 3)):
        image, mask = blobs(planes, 48)
        labels = mask // 255
        if labels_are == "paint":
            labels = np.where(RNG.random(mask.shape) < 0.02, labels + 1, 0).astype(np.uint8)
        labels[:, : 4 * first] = 1 if labels_are == "paint" else 0  # so that the images differ in how much they have of each class
        pairs.append((Stack(image, "ZYX", (0.04, 0.01, 0.01)), labels))
    return [(*pairs[0], RNG.choice([0.0, 0.5, 2.0], pairs[0][1].shape).astype(np.float32)), pairs[1]]


def as_trained(folder: Path, pairs: Any, labels_are: Any, **params: Any) -> list[tuple[np.ndarray, np.ndarray]]:
    """What the engine multiplies the loss of each pixel by, and where it learns, for each image ``(P, Y, X)``."""
    run = tiny_run(folder, pairs=pairs, labels_are=labels_are, seed=5, **params)
    sitting = Sitting(run, settle(run)[1], EventLog(run.event_path))
    list(sitting.prepare())
    found = [(np.zeros(picture.marks.shape, np.float32), np.zeros(picture.marks.shape, bool)) for picture in sitting.pictures]
    per_class = np.append(sitting.trainer.weights.numpy(), np.zeros(256, np.float32))
    for field in sitting.fields:
        if field.learn.size:
            weights, learned = (each[field.picture][field.first : field.first + len(field.learn)] for each in zip(*found, strict=True))
            given = np.float32(1) if field.weights is None else field.weights
            weights[...] = given if params["border_weight"] else given * per_class[field.learn]
            learned[...] = field.learn != 255
    return found


@pytest.mark.parametrize("border_weight", [0.0, 8.0])
@pytest.mark.parametrize("labels_are", ["mask", "paint"])
def test_the_map_is_what_training_uses_for_all_images_with_their_weights(tmp_path: Path, labels_are: Any, border_weight: float) -> None:
    pairs, params = two_pairs(labels_are), {**SMALL, "border_weight": border_weight, "class_balance": 0.7}
    shown = api.weight_map(pairs, labels_are=labels_are, seed=5, **params)
    del params["device"]
    for found, (weights, learned), pair in zip(shown, as_trained(tmp_path / "run", pairs, labels_are, **params), pairs, strict=True):
        assert learned.mean() > (0.5 if labels_are == "mask" else 0.005)
        assert np.allclose(found.weights.data[learned], weights[learned], rtol=1e-6)
        assert found.weights.data.dtype == np.float32
        labelled = np.ones(learned.shape, bool) if labels_are == "mask" else pair[1] > 0
        assert not found.weights.data[~labelled].any()
        assert found.border_weight == (border_weight if labels_are == "mask" else 0)
        assert ("needs masks" in found.why) == (labels_are == "paint")
        assert not found.preview


@pytest.mark.parametrize("dimensions", ["2-D", "3-D"])
def test_beside_a_strip_that_is_held_out_the_map_is_what_training_uses_too(tmp_path: Path, dimensions: str) -> None:
    params = {**SMALL, "dimensions": dimensions, "border_weight": 10.0, "patch_planes": 4}
    (found,) = api.weight_map([(IMAGE, MASK)], labels_are="mask", seed=5, **params)
    del params["device"]
    ((weights, learned),) = as_trained(tmp_path / "run", [(IMAGE, MASK)], "mask", **params)
    assert 0.5 < learned.mean() < 1
    assert np.allclose(found.weights.data[learned], weights[learned], rtol=1e-6)
    assert (found.weights.data > 0).all()


def test_with_equal_classes_every_slice_is_weighed_as_published() -> None:
    image, mask = blobs(6, 40)
    (shown,) = api.weight_map([(Stack(image, "ZYX", (0.04, 0.01, 0.01)), mask)], **EVEN)
    assert np.allclose(shown.weights.data, [border_weights(plane // 255) for plane in mask], rtol=1e-5)
    assert (shown.weights.axes, shown.weights.spacing_um) == ("ZYX", (0.04, 0.01, 0.01))


@pytest.mark.parametrize("axes", ["TZYX", "ZTYX"])
def test_films_of_volumes_keep_their_axes(axes: str) -> None:
    labels = RNG.integers(0, 2, (4, 5, 9, 8)).astype(np.uint8)
    (shown,) = api.weight_map([(Stack(shades(labels.shape), axes), labels)], **EVEN)
    assert shown.weights.axes == axes
    for index in np.ndindex(4, 5):
        assert np.allclose(shown.weights.data[index], border_weights(labels[index]))
    (deep,) = api.weight_map([(Stack(shades(labels.shape), axes), labels)], **{**EVEN, "dimensions": "3-D", "patch_planes": 4})
    for time in range(4 if axes == "TZYX" else 5):
        place = (time,) if axes == "TZYX" else (slice(None), time)
        assert np.allclose(deep.weights.data[place], border_weights(labels[place]))


def test_where_borders_are_not_weighed_it_says_why_and_previews_the_usual_weight() -> None:
    image, mask = blobs(6, 40)
    pairs, settings = [(Stack(image, "ZYX"), mask)], {**EVEN, "border_weight": 0}
    (plain,) = api.weight_map(pairs, **settings)
    assert (plain.weights.data == 1).all()
    assert (plain.border_weight, plain.why, plain.preview) == (0, "It is set to 0.", False)
    (preview,) = api.weight_map(pairs, preview=True, **settings)
    assert np.allclose(preview.weights.data, [border_weights(plane // 255) for plane in mask], rtol=1e-5)
    assert (preview.border_weight, preview.why, preview.preview) == (10, "It is set to 0.", True)


def test_only_so_many_maps_are_made_as_are_wanted() -> None:
    assert len(api.weight_map(two_pairs("mask"), most=1, **EVEN)) == 1


def test_the_map_can_be_left_between_slices() -> None:
    steps = api.weight_map_steps([(IMAGE, MASK)], **EVEN)
    assert [next(steps).label for _ in range(2)] == ["reading images and labels", "weights"]
    steps.close()


def test_labels_that_cannot_be_learned_have_no_map() -> None:
    with pytest.raises(PaintError):
        api.weight_map([(IMAGE, np.zeros_like(MASK))], **EVEN)


def trained_on(folder: Path, pair: tuple[Any, ...], **more: Any) -> np.ndarray:
    steps = api.train_steps([pair], "unet", run=folder, labels_are="mask", steps=1, device="cpu", base_channels=2, depth=1, patch_px=32, **more)
    next(steps)
    steps.close()
    return np.asarray(np.load(folder / "data" / "0-weights.npy"))


def test_weights_of_pixels_come_as_arrays_stacks_or_files(tmp_path: Path) -> None:
    weights = RNG.uniform(0.5, 2, MASK.shape).astype(np.float32)
    api.write(Stack(weights, "ZYX", IMAGE.spacing_um), tmp_path / "weights.tif")
    assert np.array_equal(trained_on(tmp_path / "a", (IMAGE, MASK, weights)), weights)
    assert np.array_equal(trained_on(tmp_path / "b", (IMAGE, MASK, tmp_path / "weights.tif")), weights)
    assert np.array_equal(trained_on(tmp_path / "c", (IMAGE, MASK, Stack(weights, "ZYX")), slices="1:3"), weights[1:])
    assert np.array_equal(trained_on(tmp_path / "d", (IMAGE, MASK, weights), slices="1:3"), weights[1:])
    assert np.array_equal(trained_on(tmp_path / "e", (IMAGE, MASK, weights[1:]), slices="1:3"), weights[1:])


def test_weights_of_another_image_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ShapeError, match="weights"):
        drain(api.train_steps([(IMAGE, Labels(MASK, "ZYX"), np.ones((20, 24)))], "unet", run=tmp_path / "run", labels_are="mask", steps=1))
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_the_guide_to_losses_runs_as_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    page = (Path(__file__).parents[2] / "docs" / "losses.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```", page, flags=re.MULTILINE | re.DOTALL)
    given: dict[str, Any] = {}
    for block in blocks:
        exec(compile(block, "losses.md", "exec"), given)
    assert "ZYX (2, 256, 256)" in capsys.readouterr().out
    assert (tmp_path / "weighted-run" / "data" / "0-weights.npy").exists()
    for text in re.findall(r"loss=\"([^\"]*)\"", page):
        assert parse_loss(text)
    for name in LOSSES.names():
        assert f"`{name}" in page or f"{name} +" in page, name
