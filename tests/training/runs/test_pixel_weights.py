"""Weights that users give to pixels: stored beside the labels, and refused with a hint where they make no sense."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_segtool.core.errors import DataError, PaintError, SegtoolError, ShapeError
from napari_segtool.core.labels import Labels
from napari_segtool.core.registry import LEARNERS
from napari_segtool.core.stack import Stack
from napari_segtool.training.data._holdout import open_pictures, split_fields
from napari_segtool.training.data._patches import PatchSampler
from napari_segtool.training.runs._pairs import IGNORED
from napari_segtool.training.runs._run import Run, create_run, open_run

PARAMS = LEARNERS.get("unet").params()
RNG = np.random.default_rng(0)
IMAGE = RNG.integers(0, 200, (3, 8, 10)).astype(np.uint8)
MASK = np.repeat(np.arange(2, dtype=np.uint8), 5)[None, None].repeat(8, 1).repeat(3, 0) * 255
WEIGHTS = RNG.uniform(0.1, 3, IMAGE.shape).astype(np.float32)


def create(folder: Path, *pairs: Any, labels_are: Any = "mask") -> Run:
    return create_run(folder, pairs, "unet", PARAMS, labels_are=labels_are)


def stored(run: Run, number: int = 0) -> np.ndarray:
    return np.asarray(np.load(run.folder / "data" / run.stored[number].weights))


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16, np.uint8, bool])
def test_weights_are_stored_plane_by_plane_as_float32(tmp_path: Path, dtype: Any) -> None:
    weights = (WEIGHTS * 2).astype(dtype)
    run = create(tmp_path / "run", (Stack(IMAGE, "ZYX"), MASK, weights))
    assert run.stored[0].weights == "0-weights.npy"
    assert stored(run).dtype == np.float32
    assert np.array_equal(stored(run), weights.astype(np.float32))
    assert open_run(tmp_path / "run").stored == run.stored


def test_they_reach_the_fields_that_are_learned_from(tmp_path: Path) -> None:
    run = create(tmp_path / "run", (Stack(IMAGE, "ZYX"), MASK, WEIGHTS))
    for field in split_fields(open_pictures(run, 2), 2, sparse=False, seed=0):
        assert field.weights is not None
        assert np.array_equal(field.weights[0], WEIGHTS[field.first])


@pytest.mark.parametrize("axes", ["TZYX", "ZTYX", "ZCYX", "YXC", "ZYXC"])
def test_weights_turn_with_the_labels(tmp_path: Path, axes: str) -> None:
    shape = tuple({"T": 2, "Z": 3, "C": 2, "Y": 8, "X": 10}[letter] for letter in axes)
    plain = [n for n, letter in zip(shape, axes, strict=True) if letter != "C"]
    labels = np.broadcast_to(MASK[0], plain)
    weights = np.arange(np.prod(plain)).reshape(plain) + 1.0
    run = create(tmp_path / "run", (Stack(RNG.integers(0, 9, shape).astype(np.uint8), axes), labels, weights))
    marks = np.asarray(np.load(run.folder / "data" / run.stored[0].labels))
    assert stored(run).shape == marks.shape
    both = create(tmp_path / "same", (Stack(RNG.integers(0, 9, shape).astype(np.uint8), axes), (weights % 7).astype(np.uint8), weights % 7 + 1))
    marks = np.asarray(np.load(both.folder / "data" / both.stored[0].labels))
    assert np.array_equal(stored(both), marks + 1)


def test_weights_follow_the_axes_of_labels_given_in_another_order_or_their_own(tmp_path: Path) -> None:
    labels = Labels(np.ascontiguousarray(MASK.transpose(2, 1, 0)), "XYZ")
    same = create(tmp_path / "a", (Stack(IMAGE, "ZYX"), labels, np.ascontiguousarray(WEIGHTS.transpose(2, 1, 0))))
    own = create(tmp_path / "b", (Stack(IMAGE, "ZYX"), labels, Stack(np.ascontiguousarray(WEIGHTS.transpose(1, 0, 2)), "YZX")))
    plain = create(tmp_path / "c", (Stack(IMAGE, "ZYX"), labels, WEIGHTS))
    for run in (same, own, plain):
        assert np.array_equal(stored(run), WEIGHTS)


def test_pixels_of_weight_0_are_neither_learned_nor_checked(tmp_path: Path) -> None:
    weights = np.where(RNG.uniform(size=IMAGE.shape) < 0.5, 0, WEIGHTS)
    run = create(tmp_path / "run", (Stack(IMAGE, "ZYX"), MASK, weights))
    assert [entry["pixels"] for entry in run.classes] == [int(((weights > 0) & (value == MASK)).sum()) for value in (0, 255)]
    fields = split_fields(open_pictures(run, 2), 2, sparse=False, seed=0)
    assert any(field.check is not None for field in fields)
    for field in fields:
        for marks in (field.learn, field.check):
            if marks is not None and marks.size:
                assert (marks[0][weights[field.first] == 0] == IGNORED).all()


def test_the_one_image_whose_weights_let_a_class_be_learned_is_not_held_out(tmp_path: Path) -> None:
    background = (MASK[0] == 0).astype(np.float32)
    for only in range(5):
        pairs = [(Stack(IMAGE[0], "YX"), MASK[0], np.ones_like(background) if number == only else background) for number in range(5)]
        fields = split_fields(open_pictures(create(tmp_path / str(only), *pairs), 2), 2, sparse=False, seed=0)
        assert (PatchSampler(fields, 2, balance=1.0, seed=0).pixels > 0).all()


def test_only_some_images_need_weights(tmp_path: Path) -> None:
    run = create(tmp_path / "run", (Stack(IMAGE, "ZYX"), MASK), (Stack(IMAGE, "ZYX"), MASK, WEIGHTS), (Stack(IMAGE, "ZYX"), MASK, None))
    assert [record.weights for record in run.stored] == ["", "1-weights.npy", ""]
    assert [picture.weights is None for picture in open_pictures(run, 2)] == [True, False, True]


def test_runs_without_weights_are_as_they_were(tmp_path: Path) -> None:
    run = create(tmp_path / "run", (Stack(IMAGE, "ZYX"), MASK))
    assert sorted(path.name for path in (tmp_path / "run" / "data").iterdir()) == ["0-image.npy", "0-labels.npy", "index.json"]
    index = tmp_path / "run" / "data" / "index.json"
    records = json.loads(index.read_text())
    for record in records["pairs"]:
        del record["weights"], record["weights_sha"]
    index.write_text(json.dumps(records))
    assert open_run(tmp_path / "run").stored == run.stored


def test_the_recipe_knows_the_weights(tmp_path: Path) -> None:
    pairs = [(Stack(IMAGE, "ZYX"), MASK), (Stack(IMAGE, "ZYX"), MASK, WEIGHTS), (Stack(IMAGE, "ZYX"), MASK, WEIGHTS * 2)]
    shas = {create(tmp_path / str(number), pair).recipe.input_sha for number, pair in enumerate(pairs)}
    assert len(shas) == 3


def changed(value: float) -> np.ndarray:
    weights = WEIGHTS.astype(np.float64)
    weights[1, 2, 3] = value
    return weights


BAD: dict[str, tuple[Any, type[SegtoolError], str]] = {
    "NaN": (changed(np.nan), DataError, "NaN"),
    "negative": (changed(-0.5), DataError, "-0.5"),
    "infinite": (changed(np.inf), DataError, "not finite"),
    "too large for float32": (changed(1e300), DataError, "not finite"),
    "complex": (WEIGHTS.astype(complex), DataError, "complex128"),
    "text": (np.full(IMAGE.shape, "a"), DataError, "real numbers"),
    "another shape": (WEIGHTS[:, :-1], ShapeError, r"\(3, 7, 10\)"),
    "one plane only": (WEIGHTS[0], ShapeError, r"\(8, 10\)"),
    "a class left out": (np.where(MASK == 255, 0, WEIGHTS), PaintError, "class 255"),
    "all zero": (np.zeros_like(WEIGHTS), PaintError, "class 0"),
}


@pytest.mark.parametrize("case", BAD)
def test_weights_that_make_no_sense_are_refused_with_a_hint_and_leave_nothing(tmp_path: Path, case: str) -> None:
    weights, error, said = BAD[case]
    with pytest.raises(error, match=said) as caught:
        create(tmp_path / "run", (Stack(IMAGE, "ZYX", name="cells"), MASK, weights))
    assert caught.value.hint
    assert not (tmp_path / "run").exists()


def test_four_parts_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="4 parts"):
        create(tmp_path / "run", (Stack(IMAGE, "ZYX"), MASK, WEIGHTS, WEIGHTS))


def test_weights_of_unlabelled_pixels_do_not_matter_to_what_is_left_of_a_class(tmp_path: Path) -> None:
    paint = np.zeros(IMAGE.shape, np.uint8)
    paint[0, 0, :4], paint[1, 1, :4] = 3, 7
    create(tmp_path / "run", (Stack(IMAGE, "ZYX"), paint, (paint > 0).astype(float)), labels_are="paint")
    with pytest.raises(PaintError, match="class 7"):
        create(tmp_path / "other", (Stack(IMAGE, "ZYX"), paint, (paint != 7).astype(float)), labels_are="paint")
