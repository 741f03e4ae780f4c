"""The border weight map against the definition worked out pixel by pixel in double precision, and what the paper says of it."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from napari_segtool.core.errors import ParameterError, ShapeError
from napari_segtool.training.data._weights import border_steps, border_weights


def parts_of(classes: NDArray[np.uint8], background: int) -> list[NDArray[np.intp]]:
    """Places of each object, found by flooding through faces."""
    left = {tuple(place) for place in np.argwhere((classes != background) & (classes != 255))}
    parts = []
    while left:
        front = [left.pop()]
        part = list(front)
        while front:
            place = front.pop()
            for axis, step in itertools.product(range(classes.ndim), (-1, 1)):
                near = tuple(n + step * (a == axis) for a, n in enumerate(place))
                if near in left and classes[near] == classes[place]:
                    left.remove(near)
                    front.append(near)
                    part.append(near)
        parts.append(np.array(part))
    return parts


def by_definition(
    classes: NDArray[np.uint8], w0: float, sigma: float, class_weights: Any = None, sampling: Any = None, background: int = 0
) -> NDArray[np.float64]:
    size = np.array(sampling if sampling is not None else (1,) * classes.ndim, float)
    parts = parts_of(classes, background)
    out = np.ones(classes.shape)
    for place in np.ndindex(*classes.shape):
        if classes[place] == 255:
            continue
        if class_weights is not None:
            out[place] = class_weights[classes[place]]
        if classes[place] == background and len(parts) >= 2:
            first, second = sorted(np.sqrt((((part - place) * size) ** 2).sum(1)).min() for part in parts)[:2]
            out[place] += w0 * np.exp(-((first + second) ** 2) / (2 * sigma**2))
    return out


def scattered(shape: tuple[int, ...], seed: int, share: float = 0.06, classes: int = 3) -> NDArray[np.uint8]:
    rng = np.random.default_rng(seed)
    marks = np.where(rng.random(shape) < share, rng.integers(1, classes, shape), 0).astype(np.uint8)
    marks[rng.random(shape) < 0.05] = 255
    return marks


@pytest.mark.parametrize("seed", range(3))
def test_planes_are_weighed_as_defined(seed: int) -> None:
    marks = scattered((23, 31), seed)
    weights = (0.5, 2.0, 3.0)
    assert np.allclose(border_weights(marks, w0=7.0, sigma_px=3.0, class_weights=weights), by_definition(marks, 7.0, 3.0, weights), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("objects", [1, 2, 3, 4, 5, 8, 9])
def test_any_number_of_objects_is_told_apart(objects: int) -> None:
    marks = np.zeros((9, 40), np.uint8)
    rng = np.random.default_rng(objects)
    for column in rng.choice(np.arange(0, 40, 4), objects, replace=False):
        marks[rng.integers(0, 9), column] = 1
    assert np.allclose(border_weights(marks), by_definition(marks, 10.0, 5.0), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("sampling", [None, (4.0, 1.0, 1.0), (3.0, 1.0, 1.5)])
def test_volumes_are_weighed_as_defined_whatever_the_sampling(sampling: Any) -> None:
    marks = scattered((6, 9, 11), 5, share=0.03)
    assert np.allclose(border_weights(marks, sampling=sampling), by_definition(marks, 10.0, 5.0, sampling=sampling), rtol=1e-5, atol=1e-6)


def test_distances_beyond_reach_make_no_difference() -> None:
    marks = np.zeros((60, 4, 4), np.uint8)
    marks[0, 0, 0] = marks[0, 3, 3] = marks[59, 1, 1] = 1
    assert np.allclose(border_weights(marks, sigma_px=1.5), by_definition(marks, 10.0, 1.5), rtol=1e-6, atol=1e-6)


def test_one_plane_of_a_stack_is_weighed_as_the_plane() -> None:
    marks = scattered((20, 24), 8)
    assert np.array_equal(border_weights(marks[None])[0], border_weights(marks))


def test_the_gap_between_cells_counts_most_where_it_is_narrowest() -> None:
    marks = np.zeros((60, 60), np.uint8)
    rows, columns = np.mgrid[:60, :60]
    marks[(rows - 30) ** 2 + (columns - 18) ** 2 <= 100] = 1
    marks[(rows - 30) ** 2 + (columns - 41) ** 2 <= 100] = 1  # gap of two pixels at row 30
    weights = border_weights(marks)
    assert np.unravel_index(weights.argmax(), weights.shape) in ((30, 29), (30, 30))
    assert weights.max() == pytest.approx(1 + 10 * np.exp(-9 / 50), rel=1e-5)
    assert (weights[marks == 1] == 1).all()
    assert weights[0, 0] < 1.001
    assert np.allclose(weights[1:], weights[1:][::-1], atol=1e-6)


def test_a_thin_slanting_line_parts_two_cells() -> None:
    marks = np.ones((12, 12), np.uint8)
    marks[np.arange(12), np.arange(12)] = 0
    assert np.allclose(border_weights(marks)[np.arange(12), np.arange(12)], 1 + 10 * np.exp(-4 / 50))


def test_cells_of_two_classes_that_touch_are_two_objects() -> None:
    marks = np.zeros((5, 9), np.uint8)
    marks[2, 2:4], marks[2, 4:6] = 1, 2
    assert np.allclose(border_weights(marks), by_definition(marks, 10.0, 5.0), rtol=1e-6)
    assert border_weights(marks)[1, 3] > 1 + 10 * np.exp(-9 / 50)


def test_any_class_can_be_what_lies_between() -> None:
    marks = scattered((15, 15), 4, share=0.4, classes=2)
    swapped = np.where(marks == 255, 255, 1 - marks).astype(np.uint8)
    assert np.array_equal(border_weights(marks), border_weights(swapped, background=1))


def test_without_two_objects_or_a_weight_only_the_classes_count() -> None:
    marks = np.zeros((6, 6), np.uint8)
    marks[2, 2], marks[0, 0] = 1, 255
    expected = np.where(marks == 1, 5.0, 0.5)
    expected[0, 0] = 1
    assert np.array_equal(border_weights(marks, class_weights=(0.5, 5.0)), expected)
    marks[5, 5] = 1
    assert np.array_equal(border_weights(marks, w0=0, class_weights=(2.0, 2.0))[1:], np.full((5, 6), 2.0))
    assert np.array_equal(border_weights(np.ones((4, 4), np.uint8)), np.ones((4, 4)))


def test_the_map_is_float32_the_labels_are_left_alone_and_progress_rises() -> None:
    marks = scattered((20, 20), 3)
    before = marks.copy()
    steps = border_steps(marks)
    parts = []
    while True:
        try:
            parts.append(next(steps))
        except StopIteration as stop:
            weights = stop.value
            break
    assert weights.dtype == np.float32
    assert np.array_equal(marks, before)
    assert parts == sorted(parts)
    assert 0 <= parts[0] <= parts[-1] <= 1


@pytest.mark.parametrize(
    ("more", "error"),
    [
        ({"w0": -1.0}, ParameterError),
        ({"sigma_px": 0.0}, ParameterError),
        ({"sigma_px": float("nan")}, ParameterError),
        ({"sampling": (1.0, 0.0)}, ParameterError),
        ({"sampling": (1.0, 1.0, 1.0)}, ShapeError),
        ({"class_weights": (1.0,)}, ParameterError),
        ({"class_weights": (1.0, -2.0)}, ParameterError),
    ],
)
def test_what_makes_no_map_is_refused(more: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        border_weights(np.eye(4, dtype=np.uint8), **more)


@pytest.mark.parametrize("marks", [np.zeros(5, np.uint8), np.zeros((4, 4), np.float32)])
def test_what_is_no_class_map_is_refused(marks: Any) -> None:
    with pytest.raises(ShapeError):
        border_weights(marks)
