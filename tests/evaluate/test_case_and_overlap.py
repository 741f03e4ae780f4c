"""Bringing prediction and truth together, and the overlap of classes."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from napari_segtool.core.errors import DataError, ShapeError
from napari_segtool.core.progress import drain
from napari_segtool.core.result import Probabilities
from napari_segtool.core.stack import Stack
from napari_segtool.evaluate._evaluate import Case, evaluate_steps, make_case


def case_of(prediction, truth, probabilities=None, axes="YX", **more) -> Case:
    prediction, truth = np.atleast_2d(prediction), np.atleast_2d(truth)
    return make_case(Stack(prediction, axes), Stack(truth, axes), probabilities, **more)


def scores_of(prediction, truth, probabilities=None, axes="YX"):
    return drain(evaluate_steps(case_of(prediction, truth, probabilities, axes)))


# ------------------------------------------------------------- numbering


@pytest.mark.parametrize(
    ("prediction", "truth", "expected"),
    [
        ([0, 1, 1], [0, 255, 255], [0, 1, 1]),  # a mask as it is saved
        ([0, 255, 0], [0, 1, 1], [0, 255, 255]),  # the other way round: the prediction's numbers stay
        ([1, 2, 2], [0, 1, 1], [1, 2, 2]),  # a model learned from paint
        ([1, 2, 2], [0, 255, 0], [1, 2, 1]),
        ([0, 1, 2], [0, 1, 1], [0, 1, 1]),  # a class that the truth lacks
        ([0, 1, 1], [0, 1, 2], [0, 1, 2]),  # a class that was never predicted
        ([0, 2, 2], [0, 1, 1], [0, 1, 1]),  # one numbering, each lacking a class: nothing is renamed
        ([0, 3, 3], [0, 1, 1], [0, 1, 1]),
        ([1, 1, 1], [0, 255, 255], [0, 1, 1]),  # a prediction of one class only
        ([0, 1, 1], [0, 128, 255], [0, 1, 2]),
        ([2, 2, 2], [0, 255, 255], [1, 2, 2]),
        ([0, 0, 0], [0, 0, 0], [0, 0, 0]),
    ],
)
def test_the_truth_takes_the_numbers_of_the_prediction(prediction, truth, expected):
    case = case_of(prediction, truth)
    assert case.truth[0].tolist() == expected
    assert case.prediction[0].tolist() == prediction
    assert set(case.class_values) == {*prediction, *expected}


def test_values_that_fit_no_class_are_refused_with_both_lists():
    with pytest.raises(DataError, match=r"7, 9, 11.*0, 1, 2, 3, 4") as caught:
        case_of([0, 1, 2, 3, 4], [7, 9, 11, 7, 9])
    assert caught.value.hint


def test_probabilities_say_which_classes_there_are():
    two = np.full((2, 1, 3), 0.5, np.float32)
    assert case_of([1, 1, 1], [0, 255, 255], Probabilities(two, "CYX", classes=(1, 2))).truth[0].tolist() == [1, 2, 2]
    assert case_of([0, 0, 0], [0, 255, 255], two).truth[0].tolist() == [0, 1, 1]
    assert case_of([1, 2, 2], [0, 255, 255], two).class_values == (1, 2)
    with pytest.raises(DataError, match="probabilities are of the classes 0, 1"):
        case_of([0, 3, 3], [0, 1, 1], Probabilities(two, "CYX", classes=(0, 1)))


def test_objects_are_not_taken_for_classes():
    objects = np.arange(400).reshape(20, 20)
    with pytest.raises(DataError, match="400 different values"):
        make_case(Stack(objects, "YX"), Stack(objects, "YX"))
    huge = np.array([[0, 2**31]], np.uint32)
    with pytest.raises(DataError, match="no class"):
        make_case(Stack(huge, "YX"), Stack(huge, "YX"))


# ------------------------------------------------------------ shape, axes


def test_different_shapes_are_refused_and_both_are_named():
    with pytest.raises(ShapeError, match=r"2×3×4 \(ZYX\).*3×3×4 \(ZYX\)"):
        make_case(Stack(np.zeros((2, 3, 4), int), "ZYX"), Stack(np.zeros((3, 3, 4), int), "ZYX"))
    with pytest.raises(ShapeError, match="probabilities"):
        case_of([0, 1, 1], [0, 1, 1], np.zeros((2, 1, 4), np.float32))


def test_axes_of_length_one_are_dropped_and_other_letters_do_not_matter():
    plane = np.array([[0, 1], [1, 1]], np.uint8)
    case = make_case(Stack(plane[None, None], "TZYX"), Stack(plane, "YX"))
    assert case.axes == "YX"
    assert case.prediction.shape == (2, 2)
    pages = np.stack([plane, 1 - plane])
    assert make_case(Stack(pages, "QYX"), Stack(pages, "ZYX")).axes == "ZYX"


def test_axes_in_another_order_are_put_right():
    truth = np.arange(24).reshape(2, 3, 4) % 3
    turned = Stack(truth.transpose(2, 1, 0), "XYZ")
    case = make_case(turned, Stack(truth, "ZYX", (0.05, 0.004, 0.003)), np.zeros((3, 4, 3, 2), np.float32))
    assert np.array_equal(case.prediction, case.truth)
    assert case.probabilities.shape == (3, 2, 3, 4)
    assert case.spacing_um == (0.05, 0.004, 0.003)


def test_a_single_row_or_column_is_kept_as_a_picture():
    assert case_of([[0, 1, 0]], [[0, 1, 0]]).prediction.shape == (1, 3)
    assert case_of([[0], [1]], [[0], [1]]).prediction.shape == (2, 1)
    assert case_of([[1]], [[1]]).prediction.shape == (1, 1)


def test_labels_saved_as_grey_rgb_are_read_and_colours_refused():
    plane = np.array([[0, 255], [255, 0]], np.uint8)
    grey = Stack(np.repeat(plane[..., None], 3, axis=-1), "YXS")
    assert make_case(Stack(plane // 255, "YX"), grey).truth.tolist() == [[0, 1], [1, 0]]
    colour = grey.data.copy()
    colour[0, 0, 2] = 9
    with pytest.raises(DataError, match="colour"):
        make_case(Stack(plane, "YX"), Stack(colour, "YXS"))


def test_empty_arrays_fractions_and_wrong_names_are_refused():
    with pytest.raises(DataError, match="nothing to compare"):
        make_case(Stack(np.zeros((0, 4), int), "YX"), Stack(np.zeros((0, 4), int), "YX"))
    with pytest.raises(DataError, match="whole numbers"):
        case_of([0.5, 1.0], [0, 1])
    with pytest.raises(DataError, match="3 class names"):
        case_of([0, 1], [0, 1], class_names=("a", "b", "c"))
    assert case_of([0, 1], [0, 1], class_names=("membrane", "cell")).class_names == ("membrane", "cell")


# ----------------------------------------------------------------- scores


def test_the_overlap_of_a_worked_example():
    scores = scores_of([1, 1, 1, 0, 0, 0, 2, 0], [1, 1, 0, 1, 0, 0, 0, 0])
    # class 1: TP 2, FP 1, FN 1; class 0: TP 3, FP 1, FN 2; class 2 is predicted once, wrongly
    assert scores.classes["1"] == pytest.approx({"dice": 4 / 6, "iou": 2 / 4, "precision": 2 / 3, "recall": 2 / 3})
    assert scores.classes["0"] == pytest.approx({"dice": 6 / 9, "iou": 3 / 6, "precision": 3 / 4, "recall": 3 / 5})
    assert scores.classes["2"]["dice"] == 0
    assert scores.classes["2"]["precision"] == 0
    assert math.isnan(scores.classes["2"]["recall"])
    assert scores.overall["accuracy"] == pytest.approx(5 / 8)
    assert scores.overall["pixel_error"] == pytest.approx(3 / 8)
    assert scores.overall["mean_iou"] == pytest.approx((0.5 + 0.5 + 0) / 3)


def test_a_class_in_neither_picture_is_undefined_and_counts_in_no_mean():
    probabilities = np.full((3, 1, 2), 1 / 3, np.float32)
    scores = scores_of([0, 1], [0, 1], probabilities)
    assert all(math.isnan(value) for value in scores.classes["2"].values())
    assert scores.overall["mean_iou"] == 1
    assert scores.as_dict()["classes"]["2"]["dice"] is None


def test_the_json_has_the_keys_of_the_contract():
    found = json.loads(json.dumps(scores_of([[0, 1, 1], [0, 1, 0]], [[0, 1, 1], [1, 1, 0]]).as_dict(), allow_nan=False))
    assert set(found["classes"]["1"]) == {"dice", "iou", "precision", "recall"}
    assert {"accuracy", "pixel_error", "mean_iou", "v_rand", "v_info", "adapted_rand_error"} <= set(found)


def test_with_probabilities_the_isbi_scores_are_the_best_over_thresholds():
    truth = np.array([[1, 1, 1, 1, 0, 1, 1, 1, 1]] * 3)
    foreground = np.where(truth, 0.95, 0.55).astype(np.float32)  # the labels, cut at 0.5, join both cells
    labels = (foreground > 0.5).astype(int)
    by_labels, by_probability = scores_of(labels, truth), scores_of(labels, truth, np.stack([1 - foreground, foreground]))
    assert by_labels.overall["v_rand"] == pytest.approx(2 / 3)
    assert math.isnan(by_labels.overall["v_rand_threshold"])
    assert by_probability.overall["v_rand"] == 1
    assert by_probability.overall["v_info"] == pytest.approx(1)
    assert by_probability.overall["v_rand_threshold"] == pytest.approx(0.6)
    assert by_probability.overall["adapted_rand_error"] == by_labels.overall["adapted_rand_error"] == pytest.approx(1 / 3)


def test_the_first_class_is_boundary_whatever_its_number():
    truth = np.array([[1, 1, 1, 1, 0, 1, 1, 1, 1]] * 3)
    assert scores_of(truth + 1, truth).overall["v_rand"] == 1
    assert scores_of(truth + 1, truth * 255).overall["v_info"] == pytest.approx(1)


def test_the_adapted_rand_error_punishes_a_boundary_inside_a_cell_pixel_by_pixel():
    truth, guess = np.ones((1, 9), int), np.array([[1, 1, 1, 1, 0, 1, 1, 1, 1]])
    truth_with_boundary, guess = np.hstack([truth, [[0]]]), np.hstack([guess, [[0]]])
    # pieces of 4 and 4 pixels and one alone: Σ p² = Σ s² = 33, Σ t² = 81
    assert scores_of(guess, truth_with_boundary).overall["adapted_rand_error"] == pytest.approx(1 - 2 * 33 / (33 + 81))


def test_a_truth_of_one_class_leaves_the_isbi_scores_undefined():
    scores = scores_of([[0, 1], [1, 0]], [[0, 0], [0, 0]])
    assert math.isnan(scores.overall["v_rand"])
    assert math.isnan(scores.overall["adapted_rand_error"])
    assert scores.overall["accuracy"] == 0.5


def test_scoring_can_be_left_after_a_step():
    steps = evaluate_steps(case_of(np.zeros((4, 5, 5), int), np.ones((4, 5, 5), int), axes="ZYX"))
    seen = [next(steps).fraction for _ in range(3)]
    assert seen == sorted(seen)
    steps.close()
    with pytest.raises(StopIteration):
        next(steps)


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_the_overlap_is_what_counting_pixels_one_by_one_gives(data):
    shape = data.draw(array_shapes(min_dims=2, max_dims=3, max_side=5))
    labels = arrays(np.uint8, shape, elements=st.integers(0, 3))
    guess, truth = data.draw(labels), data.draw(labels)
    guess.flat[0] = truth.flat[0] = 0  # both speak of class 0: nothing is renumbered
    case = make_case(Stack(guess, "ZYX"[-len(shape) :]), Stack(truth, "ZYX"[-len(shape) :]))
    scores = drain(evaluate_steps(case))
    pairs = list(zip(case.prediction.ravel().tolist(), case.truth.ravel().tolist(), strict=True))
    assert scores.overall["accuracy"] == pytest.approx(sum(a == b for a, b in pairs) / len(pairs))
    for name, value in zip(case.class_names, case.class_values, strict=True):
        guessed, true = {i for i, (a, _) in enumerate(pairs) if a == value}, {i for i, (_, b) in enumerate(pairs) if b == value}
        if guessed | true:
            assert scores.classes[name]["iou"] == pytest.approx(len(guessed & true) / len(guessed | true))
            assert scores.classes[name]["dice"] == pytest.approx(2 * len(guessed & true) / (len(guessed) + len(true)))
    assert np.array_equal(case.prediction, guess.reshape(case.prediction.shape))


@pytest.mark.data
def test_the_real_labels_score_full_marks_against_themselves_in_any_numbering(data_folder):
    from tifffile import imread

    labels = imread(data_folder / "isbi2012_em" / "labels.tif", key=range(2))
    scores = drain(evaluate_steps(make_case(Stack((labels > 0).astype(np.uint8) + 1, "ZYX"), Stack(labels, "QYX"))))
    assert scores.overall["accuracy"] == scores.overall["v_rand"] == 1
    assert scores.overall["adapted_rand_error"] == 0
    assert scores.overall["v_info"] == pytest.approx(1)


def test_slices_cut_the_prediction_its_probabilities_and_the_truth_alike():
    from napari_segtool.api import evaluate
    from napari_segtool.core.labels import Labels
    from napari_segtool.core.result import Prediction

    generator = np.random.default_rng(0)
    truth = generator.integers(0, 2, (4, 8, 8)).astype(np.uint8)
    foreground = generator.random((4, 8, 8)).astype(np.float32)
    both = np.stack([1 - foreground, foreground])
    labels = (foreground > 0.5).astype(np.uint8) + 1  # a model learned from paint
    whole = Prediction(Labels(labels, "ZYX"), Probabilities(both, "CZYX", classes=(1, 2)))
    cut = Prediction(Labels(labels[1:3], "ZYX"), Probabilities(both[:, 1:3], "CZYX", classes=(1, 2)))
    expected = evaluate(cut, truth[1:3]).overall
    assert evaluate(whole, truth, slices="1:3").overall == pytest.approx(expected)
    assert evaluate(cut, truth, slices="1:3").overall == pytest.approx(expected)
    assert evaluate(labels, truth, probabilities=both, slices="1:3").overall == pytest.approx(expected)
