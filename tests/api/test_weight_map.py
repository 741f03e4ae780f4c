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
from napari_segtool.training.data._weights import border_weights
from napari_segtool.training.losses._text import parse_loss

RNG = np.random.default_rng(0)
MASK = (RNG.random((3, 20, 24)) < 0.08).astype(np.uint8) * 255
IMAGE = Stack(RNG.integers(0, 200, MASK.shape).astype(np.uint8), "ZYX", (0.04, 0.01, 0.01), "em")


def test_every_slice_is_weighed_by_itself_with_the_class_weights_of_the_training() -> None:
    shown = api.weight_map(IMAGE, MASK, labels_are="mask", border_weight=8, border_sigma_px=4, class_balance=1.0)
    share = (MASK == 255).mean()
    per_class = (0.5 / (1 - share), 0.5 / share)
    wanted = [border_weights(plane // 255, w0=8, sigma_px=4, class_weights=per_class) for plane in MASK]
    assert np.allclose(shown.data, wanted, rtol=1e-5)
    assert shown.axes == "ZYX"
    assert shown.spacing_um == IMAGE.spacing_um
    assert shown.data.dtype == np.float32


def test_volumes_are_weighed_in_their_spacing() -> None:
    shown = api.weight_map(IMAGE, MASK, labels_are="mask", class_balance=0.0, volumes=True)
    assert np.allclose(shown.data, border_weights(MASK // 255, sampling=(4, 1, 1)), rtol=1e-5)
    assert not np.allclose(shown.data, border_weights(MASK // 255))


@pytest.mark.parametrize("axes", ["TZYX", "ZTYX"])
def test_films_of_volumes_keep_their_axes(axes: str) -> None:
    labels = RNG.integers(0, 2, (2, 3, 9, 8)).astype(np.uint8)
    shown = api.weight_map(Stack(np.zeros((2, 3, 9, 8), np.uint8), axes), labels, labels_are="mask", class_balance=0.0)
    assert shown.axes == axes
    for index in np.ndindex(2, 3):
        assert np.allclose(shown.data[index], border_weights(labels[index]))
    deep = api.weight_map(Stack(np.zeros((2, 3, 9, 8), np.uint8), axes), labels, labels_are="mask", class_balance=0.0, volumes=True)
    for time in range(2 if axes == "TZYX" else 3):
        place = (time,) if axes == "TZYX" else (slice(None), time)
        assert np.allclose(deep.data[place], border_weights(labels[place]))


def test_paint_is_weighed_where_it_is_and_one_elsewhere() -> None:
    paint = np.zeros((10, 30), np.uint8)
    paint[:, 4:8], paint[:, 8:12], paint[:, 12:16] = 5, 2, 5
    shown = api.weight_map(Stack(np.zeros((10, 30), np.uint8), "YX"), paint, labels_are="paint", class_balance=0.0)
    classes = np.select([paint == 2, paint == 5], [0, 1], 255).astype(np.uint8)
    assert np.allclose(shown.data, border_weights(classes))
    assert (shown.data[paint == 0] == 1).all()
    assert shown.data[5, 9] > 5


def test_the_map_can_be_left_between_slices() -> None:
    steps = api.weight_map_steps(IMAGE, MASK, labels_are="mask")
    assert next(steps).total == 3
    steps.close()


def test_labels_that_cannot_be_learned_have_no_map() -> None:
    with pytest.raises(PaintError):
        api.weight_map(IMAGE, np.zeros_like(MASK), labels_are="mask")


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
