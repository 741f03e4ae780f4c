"""What every metric promises."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_segtool.core.errors import DataError
from napari_segtool.core.progress import Progress, drain
from napari_segtool.core.registry import METRICS, Entry
from napari_segtool.core.result import Scores
from napari_segtool.core.stack import Stack
from napari_segtool.evaluate._evaluate import Case, make_case

pytestmark = pytest.mark.parametrize("entry", list(METRICS), ids=lambda entry: entry.name)

ERRORS = ("error",)


def case_of(guess: np.ndarray, truth: np.ndarray, probabilities: np.ndarray | None = None) -> Case:
    axes = "TZYX"[-truth.ndim :]
    for array in (guess, truth):
        array.flags.writeable = False
    return make_case(Stack(guess, axes), Stack(truth, axes), probabilities)


def random_case(shape: tuple[int, ...], classes: int = 3, seed: int = 0) -> Case:
    generator = np.random.default_rng(seed)
    return case_of(generator.integers(0, classes, shape), generator.integers(0, classes, shape))


def case_or_refusal(shape: tuple[int, ...], classes: int, seed: int) -> Case | DataError:
    """In a picture of a few pixels prediction and truth may share no value: which class is which cannot be told, and that is said."""
    try:
        return random_case(shape, classes, seed)
    except DataError as refusal:
        return refusal


def values_of(entry: Entry, case: Case) -> dict[str, float]:
    scores: Scores = drain(entry.function(case))
    return dict(scores.overall) | {f"{name} {key}": value for name, row in scores.classes.items() for key, value in row.items()}


@pytest.mark.parametrize("shape", [(9, 8), (3, 9, 8), (2, 3, 9, 8), (1, 7), (7, 1), (1, 1)])
def test_scores_lie_between_0_and_1_or_are_undefined(entry, shape):
    for name, value in values_of(entry, random_case(shape)).items():
        assert np.isnan(value) or 0 <= value <= 1, name


def test_a_perfect_prediction_has_full_marks_and_no_error(entry):
    truth = np.zeros((2, 12, 12), int)
    truth[:, 1:5, 1:11], truth[:, 6:11, 1:11] = 1, 2
    for name, value in values_of(entry, case_of(truth.copy(), truth)).items():
        if "threshold" not in name:
            assert value == pytest.approx(0 if any(word in name for word in ERRORS) else 1), name


def test_a_worse_prediction_has_no_better_scores(entry):
    truth = np.zeros((1, 16, 16), int)
    truth[:, 1:7], truth[:, 9:15] = 1, 1
    worse = truth.copy()
    worse[0, 3:13, 3:13] = 1  # joins both
    good, bad = values_of(entry, case_of(truth.copy(), truth.copy())), values_of(entry, case_of(worse, truth.copy()))
    for name in good:
        if "threshold" not in name:
            assert (bad[name] >= good[name]) if any(word in name for word in ERRORS) else (bad[name] <= good[name]), name


def test_it_reports_slice_by_slice_and_can_be_left(entry):
    steps = entry.function(random_case((5, 9, 9)))
    assert isinstance(next(steps), Progress)
    steps.close()
    with pytest.raises(StopIteration):
        next(steps)


def test_arrays_mapped_from_disk_are_scored_the_same(entry, tmp_path):
    case = random_case((3, 9, 9), classes=2)
    probabilities = np.random.default_rng(1).random((2, 3, 9, 9)).astype(np.float32)
    np.save(tmp_path / "p.npy", probabilities)
    mapped = np.load(tmp_path / "p.npy", mmap_mode="r")
    one, other = (values_of(entry, case_of(np.array(case.prediction), np.array(case.truth), array)) for array in (probabilities, mapped))
    assert one == pytest.approx(other, nan_ok=True)


def test_its_scores_have_names_of_the_contract(entry):
    known = {"dice", "iou", "precision", "recall", "accuracy", "pixel_error", "mean_iou", "v_rand", "v_info", "adapted_rand_error"}
    for name in values_of(entry, random_case((9, 9))):
        assert re.sub(r"_threshold$|^\d+ ", "", name) in known


def test_it_says_where_it_comes_from(entry):
    assert "doi:10." in entry.reference
    assert entry.summary.endswith(".")


@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_any_labels_are_scored(entry, data):
    shape = tuple(data.draw(st.lists(st.integers(1, 6), min_size=2, max_size=4)))
    classes = data.draw(st.integers(1, 4))
    case = case_or_refusal(shape, classes, data.draw(st.integers(0, 999)))
    if isinstance(case, DataError):
        assert case.hint
        return
    for value in values_of(entry, case).values():
        assert np.isnan(value) or 0 <= value <= 1
