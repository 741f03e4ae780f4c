"""What is given to `train` lies over its image, whatever form it comes in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_segtool.api._pairs import pair_of, pairs_of
from napari_segtool.core.labels import Labels, Paint
from napari_segtool.core.registry import LEARNERS
from napari_segtool.core.result import Segmentation
from napari_segtool.core.stack import Stack
from napari_segtool.training.runs._run import Run, create_run

RNG = np.random.default_rng(0)


def create(folder: Path, image: Stack, marks: Any, labels_are: Any = "mask", weights: Any = None) -> Run:
    pair = pairs_of([(image, marks) if weights is None else (image, marks, weights)], labels_are, "")[0]
    return create_run(folder, [pair], "unet", LEARNERS.get("unet").params(), labels_are=labels_are)


def stored(run: Run, what: str) -> np.ndarray:
    return np.asarray(np.load(run.folder / "data" / getattr(run.stored[0], what)))


@pytest.mark.parametrize("shape", [(8, 8, 8), (4, 6, 8)])
@pytest.mark.parametrize("kind", [Labels, Stack, Segmentation])
def test_labels_with_axes_of_their_own_lie_over_an_image_in_another_order(tmp_path: Path, shape: tuple[int, ...], kind: Any) -> None:
    volume = RNG.integers(0, 200, shape).astype(np.uint8)
    labels, weights = (volume > 100).astype(np.uint8), volume + 1.0
    marks = Segmentation(Labels(labels, "ZYX")) if kind is Segmentation else kind(labels, "ZYX")
    run = create(tmp_path / "run", Stack(volume.T, "XYZ"), marks, weights=weights)
    assert (stored(run, "labels") == (stored(run, "image")[:, 0] > 100)).all()
    assert (stored(run, "weights") == stored(run, "image")[:, 0] + 1.0).all()


def test_plain_arrays_have_the_axes_of_the_image(tmp_path: Path) -> None:
    volume = RNG.integers(0, 200, (8, 8, 8)).astype(np.uint8)
    for number, image in enumerate((Stack(volume, "XYZ"), Stack(volume, "TYX"))):
        run = create(tmp_path / str(number), image, (volume > 100).astype(np.uint8))
        assert (stored(run, "labels") == (stored(run, "image")[:, 0] > 100)).all()


@pytest.mark.parametrize(
    ("marks", "labels_are", "names"),
    [
        (lambda array: Labels(array, "YX", ("background", "nucleus", "wall")), "mask", ["background", "nucleus", "wall"]),
        (lambda array: Paint(array, "YX", ("nucleus", "wall")), "paint", ["nucleus", "wall"]),
        (lambda array: Labels(array, "YX", ("background", "nucleus", "wall")), "paint", ["nucleus", "wall"]),
        (lambda array: array, "paint", ["class 1", "class 2"]),
    ],
)
def test_class_names_come_with_the_labels(tmp_path: Path, marks: Any, labels_are: str, names: list[str]) -> None:
    array = RNG.integers(0, 3, (8, 8)).astype(np.uint8)
    run = create(tmp_path / "run", Stack(array * 50, "YX"), marks(array), labels_are)
    assert [entry["name"] for entry in run.classes] == names


def test_one_picture_of_labels_lies_over_the_one_slice_that_is_learned() -> None:
    volume = RNG.integers(0, 200, (5, 8, 9)).astype(np.uint8)
    for marks in (volume, volume[2]):
        stack, labels = pair_of(Stack(volume, "ZYX"), marks, "mask", "2:3")
        assert (np.squeeze(labels.data) == stack.data[0]).all()
