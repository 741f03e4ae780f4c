"""Run folders: what is copied, what is refused with a hint, and that refusal leaves nothing behind."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from napari_segtool.core.errors import DataError, ModelError, PaintError, ParameterError, SegtoolError, ShapeError, StorageError
from napari_segtool.core.labels import Labels, Paint
from napari_segtool.core.registry import LEARNERS
from napari_segtool.core.result import data_sha
from napari_segtool.core.stack import Stack
from napari_segtool.training.runs._run import Run, create_run, open_run
from napari_segtool.training.survey._evidence import evidence_of_pairs

PARAMS = LEARNERS.get("unet").params()


def noise(*shape: int, dtype: Any = np.uint8) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 200, shape).astype(dtype)


def halves(*shape: int, low: int = 0, high: int = 255) -> np.ndarray:
    labels = np.full(shape, low, np.uint8)
    labels[..., : shape[-1] // 2] = high
    return labels


def create(folder: Path, pairs: Any, labels_are: Any = "mask", **more: Any) -> Run:
    return create_run(folder, pairs, "unet", PARAMS, labels_are=labels_are, **more)


def marks_of(run: Run, number: int = 0) -> np.ndarray:
    return np.asarray(np.load(run.folder / "data" / run.stored[number].labels))


def image_of(run: Run, number: int = 0) -> np.ndarray:
    return np.asarray(np.load(run.folder / "data" / run.stored[number].image))


def test_a_mask_becomes_classes_in_increasing_order_over_all_images(tmp_path: Path) -> None:
    first, second = halves(2, 8, 8, low=0, high=255), halves(2, 8, 8, low=0, high=7)
    run = create(tmp_path / "run", [(Stack(noise(2, 8, 8), "ZYX"), first), (Stack(noise(2, 8, 8), "ZYX"), second)])
    assert [entry["value"] for entry in run.classes] == [0, 1, 2]
    assert set(np.unique(marks_of(run, 0))) == {0, 2}
    assert set(np.unique(marks_of(run, 1))) == {0, 1}
    assert run.config["label_values"] == [0, 7, 255]


def test_paint_keeps_its_numbers_and_zero_is_unlabelled(tmp_path: Path) -> None:
    paint = np.zeros((8, 8), np.uint8)
    paint[0, :3], paint[5, :4] = 2, 9
    run = create(tmp_path / "run", [(Stack(noise(8, 8), "YX"), paint)], "paint")
    assert [(entry["value"], entry["name"], entry["pixels"]) for entry in run.classes] == [(2, "class 2", 3), (9, "class 9", 4)]
    marks = marks_of(run)
    assert (marks == 255).sum() == 64 - 7
    assert (marks[0, 0, :3] == 0).all()
    assert (marks[0, 5, :4] == 1).all()


def test_names_come_from_the_caller_or_from_the_paint_layer(tmp_path: Path) -> None:
    paint = np.zeros((8, 8), np.uint8)
    paint[0], paint[5] = 1, 2
    pairs = [(Stack(noise(8, 8), "YX"), Paint(paint, "YX", ("membrane", "cell")))]
    assert [entry["name"] for entry in create(tmp_path / "a", pairs, "paint").classes] == ["membrane", "cell"]
    assert [entry["name"] for entry in create(tmp_path / "b", pairs, "paint", class_names=("x", "y")).classes] == ["x", "y"]
    with pytest.raises(ParameterError, match="3 class names"):
        create(tmp_path / "c", pairs, "paint", class_names=("x", "y", "z"))


def test_names_of_dense_labels_start_at_class_0_and_must_name_all(tmp_path: Path) -> None:
    image = Stack(noise(8, 8), "YX")
    named = create(tmp_path / "a", [(image, Labels(halves(8, 8), "YX", ("membrane", "cell")))])
    assert [entry["name"] for entry in named.classes] == ["membrane", "cell"]
    short = create(tmp_path / "b", [(image, Labels(halves(8, 8), "YX", ("membrane",)))])
    assert [entry["name"] for entry in short.classes] == ["class 0", "class 1"]


@pytest.mark.parametrize(
    ("axes", "shape"),
    [
        ("YX", (6, 8)),
        ("ZYX", (3, 6, 8)),
        ("QYX", (3, 6, 8)),
        ("IYX", (3, 6, 8)),
        ("TYX", (3, 6, 8)),
        ("TZYX", (2, 3, 6, 8)),
        ("ZTYX", (3, 2, 6, 8)),
        ("ZXY", (3, 8, 6)),
    ],
)
def test_planes_of_any_axes_are_stored_with_their_labels(tmp_path: Path, axes: str, shape: tuple[int, ...]) -> None:
    image = noise(*shape, dtype=np.uint16)
    labels = (image % 3).astype(np.uint8)
    run = create(tmp_path / "run", [(Stack(image, axes), labels)])
    assert image_of(run).shape[1:] == (1, 6, 8)
    assert (marks_of(run) == image_of(run)[:, 0] % 3).all()
    record = run.stored[0]
    assert sorted(record.order) == sorted(set(axes) - set("YX"))
    assert not record.order or record.order[-1] == axes[Stack(image, axes).slice_axis]


@pytest.mark.parametrize(("axes", "shape"), [("CYX", (3, 6, 8)), ("YXS", (6, 8, 3)), ("ZCYX", (2, 3, 6, 8)), ("CZYX", (3, 2, 6, 8))])
def test_channels_stand_before_rows_and_labels_have_none(tmp_path: Path, axes: str, shape: tuple[int, ...]) -> None:
    image = noise(*shape)
    first_channel = np.take(image, 0, axis=next(i for i, letter in enumerate(axes) if letter in "CS"))
    run = create(tmp_path / "run", [(Stack(image, axes), (first_channel % 2).astype(np.uint8))])
    assert run.channels == 3
    assert (image_of(run)[:, 0] % 2 == marks_of(run)).all()


def test_labels_with_axes_in_another_order_are_turned(tmp_path: Path) -> None:
    image = noise(3, 6, 8)
    run = create(tmp_path / "run", [(Stack(image, "ZYX"), Labels((image % 2).transpose(2, 0, 1), "XZY"))])
    assert (marks_of(run) == image % 2).all()


def test_images_may_differ_in_shape_axes_and_depth_of_grey(tmp_path: Path) -> None:
    a, b = noise(2, 6, 8), noise(10, 12, dtype=np.float32)
    run = create(tmp_path / "run", [(Stack(a, "ZYX"), halves(2, 6, 8)), (Stack(b, "YX"), halves(10, 12))], names=("first", "second"))
    assert (image_of(run, 0).dtype, image_of(run, 1).dtype) == (np.uint8, np.float32)
    assert [record.name for record in run.stored] == ["first", "second"]


def test_big_endian_and_float64_and_bool_images_are_stored_readably(tmp_path: Path) -> None:
    for number, dtype in enumerate((">u2", np.float64, bool)):
        image = (noise(6, 8) % 2).astype(dtype)
        run = create(tmp_path / str(number), [(Stack(image, "YX"), halves(6, 8))])
        assert image_of(run).dtype in (np.uint16, np.float32, np.uint8)
        assert (image_of(run)[0, 0] == image).all()


def test_nan_pixels_stay_as_they_are_and_count_as_not_labelled(tmp_path: Path) -> None:
    image = noise(8, 8).astype(np.float32)
    image[2, 3], image[4, 5] = np.nan, np.inf
    run = create(tmp_path / "run", [(Stack(image, "YX"), halves(8, 8))])
    assert np.array_equal(image_of(run)[0, 0], image, equal_nan=True)
    assert [entry["pixels"] for entry in run.classes] == [31, 31]
    assert [tuple(place) for place in np.argwhere(marks_of(run)[0] == 255)] == [(2, 3), (4, 5)]
    texts = [event["text"] for event in run.events()[0] if event["kind"] == "message"]
    assert any("2 pixels" in text for text in texts)


def test_a_class_that_lies_in_nan_pixels_only_is_refused_before_and_in_a_run(tmp_path: Path) -> None:
    labels = halves(8, 8)
    image = np.where(labels == 255, np.nan, noise(8, 8))
    for attempt in (lambda: create(tmp_path / "run", [(Stack(image, "YX"), labels)]), lambda: evidence_of_pairs([(Stack(image, "YX"), labels)], "mask")):
        with pytest.raises(PaintError, match="class 255 are NaN") as caught:
            attempt()
        assert caught.value.hint
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("axes", "shape", "given"),
    [
        ("ZYX", (1, 8, 8), (8, 8)),
        ("YX", (8, 8), (1, 8, 8)),
        ("TZYX", (1, 3, 8, 8), (3, 8, 8)),
        ("ZYX", (1, 8, 8), (8, 8, 1)),
        ("CZYX", (2, 3, 8, 8), (1, 3, 8, 8)),
    ],
)
def test_axes_of_length_1_may_be_missing_in_labels_and_weights_or_too_many(tmp_path: Path, axes: str, shape: Any, given: Any) -> None:
    labels = halves(8, 8) if np.prod(given) == 64 else halves(3, 8, 8)
    weights = np.arange(labels.size, dtype=np.float32).reshape(labels.shape) + 1
    run = create(tmp_path / "run", [(Stack(noise(*shape), axes), labels.reshape(given), weights.reshape(given))])
    assert (marks_of(run).reshape(labels.shape) == (labels == 255)).all()
    assert (np.load(run.folder / "data" / run.stored[0].weights).reshape(labels.shape) == weights).all()


def test_the_record_says_what_went_in(tmp_path: Path) -> None:
    image, labels = noise(2, 8, 8), halves(2, 8, 8)
    run = create(tmp_path / "run", [(Stack(image, "ZYX", (0.05, 0.004, 0.004), "em"), labels)], steps=7, seed=3, device="cpu")
    assert run.stored[0].sha == data_sha(image)
    assert run.stored[0].spacing_um == (0.05, 0.004, 0.004)
    assert (run.steps, run.minutes, run.seed) == (7, 0, 3)
    assert run.recipe.name == "train:unet"
    assert run.recipe.seed == 3
    assert run.recipe.params["labels_are"] == "mask"
    assert "torch" in run.config["versions"]
    assert open_run(tmp_path / "run").config == json.loads(json.dumps(run.config))
    assert (
        sorted(path.name for path in (tmp_path / "run").iterdir()) == ["checkpoints", "config.json", "data", "events.jsonl", "preview"] or not run.events()[0]
    )


def test_without_a_budget_it_is_ten_minutes(tmp_path: Path) -> None:
    run = create(tmp_path / "run", [(Stack(noise(8, 8), "YX"), halves(8, 8))])
    assert (run.minutes, run.steps) == (10, 0)


def painted(*values: int) -> np.ndarray:
    paint = np.zeros((8, 8), np.uint8)
    for row, value in enumerate(values):
        paint[row] = value
    return paint


IMAGE = noise(8, 8)
REFUSED: dict[str, tuple[Any, Any, str, type[SegtoolError], str]] = {
    "labels of another shape": (Stack(IMAGE, "YX"), halves(8, 9), "mask", ShapeError, "another image"),
    "labels with channels": (Stack(noise(8, 8, 3), "YXS"), halves(8, 8, 3), "mask", ShapeError, "without channels"),
    "empty paint": (Stack(IMAGE, "YX"), painted(), "paint", PaintError, "strokes"),
    "one class painted": (Stack(IMAGE, "YX"), painted(1), "paint", PaintError, "second class"),
    "a mask read as paint": (Stack(IMAGE, "YX"), halves(8, 8), "paint", PaintError, "--labels-are mask"),
    "paint read as a mask of one value": (Stack(IMAGE, "YX"), np.ones((8, 8), np.uint8), "mask", PaintError, "--labels-are paint"),
    "objects instead of classes": (Stack(noise(20, 20), "YX"), np.arange(400).reshape(20, 20), "mask", PaintError, "class"),
    "a constant image": (Stack(np.full((8, 8), 7, np.uint8), "YX"), halves(8, 8), "mask", DataError, "original"),
    "an image of NaN": (Stack(np.full((8, 8), np.nan), "YX"), halves(8, 8), "mask", DataError, "original"),
    "complex pixels": (Stack(np.ones((8, 8), complex), "YX"), halves(8, 8), "mask", DataError, ""),
    "labels with fractions": (Stack(IMAGE, "YX"), np.full((8, 8), 0.5), "mask", DataError, "label image"),
    "negative labels": (Stack(IMAGE, "YX"), -halves(8, 8).astype(np.int16), "mask", DataError, ""),
    "an empty image": (Stack(np.zeros((0, 8), np.uint8), "YX"), np.zeros((0, 8), np.uint8), "mask", DataError, ""),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_learned_is_refused_with_a_hint_and_leaves_nothing(tmp_path: Path, case: str) -> None:
    stack, labels, kind, error, hint = REFUSED[case]
    with pytest.raises(error) as caught:
        create(tmp_path / "deep" / "run", [(stack, labels)], kind)
    assert hint in caught.value.hint
    assert not (tmp_path / "deep" / "run").exists()


def test_a_bad_second_image_leaves_nothing_of_the_first(tmp_path: Path) -> None:
    good, bad = (Stack(IMAGE, "YX"), halves(8, 8)), (Stack(np.full((8, 8), np.nan), "YX"), halves(8, 8))
    (tmp_path / "run").mkdir()
    with pytest.raises(DataError):
        create(tmp_path / "run", [good, bad])
    assert os.listdir(tmp_path / "run") == []


def test_different_numbers_of_channels_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ShapeError, match="3 channel"):
        create(tmp_path / "run", [(Stack(IMAGE, "YX"), halves(8, 8)), (Stack(noise(8, 8, 3), "YXS"), halves(8, 8))])


def test_no_image_at_all_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError):
        create(tmp_path / "run", [])


def test_a_mask_with_hardly_anything_marked_is_accepted_with_a_warning(tmp_path: Path) -> None:
    labels = np.zeros((100, 100), np.uint8)
    labels[0, :5], labels[1, :5] = 1, 2
    run = create(tmp_path / "run", [(Stack(noise(100, 100), "YX"), labels)])
    assert "--labels-are paint" in run.events()[0][0]["text"]


def test_a_folder_in_use_is_refused_and_left_alone(tmp_path: Path) -> None:
    pairs = [(Stack(IMAGE, "YX"), halves(8, 8))]
    create(tmp_path / "run", pairs)
    with pytest.raises(StorageError) as caught:
        create(tmp_path / "run", pairs)
    assert "--resume" in caught.value.hint
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(StorageError, match="not empty"):
        create(tmp_path / "mine", pairs)
    assert os.listdir(tmp_path / "mine") == ["thesis.txt"]
    with pytest.raises(StorageError, match="is a file"):
        create(tmp_path / "mine" / "thesis.txt", pairs)


def test_what_a_killed_creation_left_is_cleared_away(tmp_path: Path) -> None:
    (tmp_path / "run" / "data").mkdir(parents=True)
    (tmp_path / "run" / "creating").write_text("")
    assert create(tmp_path / "run", [(Stack(IMAGE, "YX"), halves(8, 8))]).channels == 1
    assert not (tmp_path / "run" / "creating").exists()


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(StorageError, match="cannot be written"):
            create(tmp_path / "run", [(Stack(IMAGE, "YX"), halves(8, 8))])
    finally:
        tmp_path.chmod(0o700)


def test_a_path_that_cannot_exist_is_refused() -> None:
    with pytest.raises(StorageError, match="cannot be written"):
        create(Path("/proc/run"), [(Stack(IMAGE, "YX"), halves(8, 8))])


def test_a_disk_that_fills_up_while_copying_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match="No space left"):
        create(tmp_path / "run", [(Stack(IMAGE, "YX"), halves(8, 8))])
    assert not (tmp_path / "run").exists()


def test_a_missing_or_damaged_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no run"):
        open_run(tmp_path / "none")
    with pytest.raises(ModelError, match="not a run"):
        open_run(tmp_path)
    for text in ("{", "[]", "{}", '{"format": 2}'):
        (tmp_path / "config.json").write_text(text)
        with pytest.raises(ModelError, match="damaged"):
            open_run(tmp_path)


def test_a_request_is_taken_once_and_an_old_one_is_forgotten(tmp_path: Path) -> None:
    run = create(tmp_path / "run", [(Stack(IMAGE, "YX"), halves(8, 8))])
    assert run.take_request() == ""
    run.request("stop")
    assert [run.take_request(), run.take_request()] == ["stop", ""]
    run.request("cancel")
    run.forget_old_request()
    assert (run.folder / "control").exists()
    os.utime(run.folder / "control", (0, 0))
    run.forget_old_request()
    assert run.take_request() == ""
    with pytest.raises(ParameterError):
        run.request("explode")  # type: ignore[arg-type]


def test_a_run_can_be_carried_to_another_place(tmp_path: Path) -> None:
    create(tmp_path / "here" / "run", [(Stack(IMAGE, "YX"), halves(8, 8))])
    shutil.move(tmp_path / "here" / "run", tmp_path / "there")
    assert (marks_of(open_run(tmp_path / "there")) <= 1).all()


def test_images_in_zarr_are_copied_like_arrays_in_memory(tmp_path: Path) -> None:
    data, marks = noise(3, 16, 16, dtype=np.uint16), halves(3, 16, 16)
    lazy = zarr.create_array(store=str(tmp_path / "image.zarr"), data=data, chunks=(1, 8, 8))
    lazy_marks = zarr.create_array(store=str(tmp_path / "marks.zarr"), data=marks, chunks=(1, 8, 8))
    run = create(tmp_path / "lazy", [(Stack(lazy, "ZYX"), Labels(lazy_marks, "ZYX"))])
    plain = create(tmp_path / "plain", [(Stack(data, "ZYX"), Labels(marks, "ZYX"))])
    assert np.array_equal(image_of(run), image_of(plain))
    assert np.array_equal(marks_of(run), marks_of(plain))
    assert [run.stored[0].sha, run.stored[0].labels_sha] == [plain.stored[0].sha, plain.stored[0].labels_sha]
