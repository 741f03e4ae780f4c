"""Choosing the foreground of a result, and counting the objects found."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from napari_segtool.core.errors import ParameterError, ShapeError
from napari_segtool.evaluate._matching import as_objects, best_foreground, foreground_of, holds_objects, match_objects


def dice(first: np.ndarray, second: np.ndarray) -> float:
    return 2 * (first & second).sum() / (first.sum() + second.sum())


@pytest.mark.parametrize("share", [1.0, 1.8])  # with the larger, all labels together would score best
@pytest.mark.parametrize("seed", range(6))
def test_the_best_foreground_is_the_best_of_all_unions_that_leave_something_out(seed, share):
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 6, (9, 11)).astype(np.uint8)
    wanted = generator.random((9, 11)) < share * np.array([0.3, 0.9, 0.5, 0.35, 0.7, 0.45])[labels]
    unions = [np.isin(labels, chosen) for count in range(1, 6) for chosen in itertools.combinations(range(6), count)]
    found = best_foreground(labels, wanted)
    assert found.dice == pytest.approx(max(dice(union, wanted) for union in unions))
    assert found.dice == pytest.approx(dice(found.mask, wanted))
    assert np.array_equal(found.mask, np.isin(labels, found.labels))


def test_a_result_of_two_labels_has_to_part_the_picture():
    labels = np.zeros((10, 10), np.uint8)
    labels[0] = 1
    wanted = np.ones((10, 10), bool)
    wanted[1] = False  # everything would score 0.947
    found = best_foreground(labels, wanted)
    assert found.labels == (0,)
    assert found.dice == pytest.approx(2 * 80 / (90 + 90))
    assert best_foreground(np.ones((2, 2), int), np.ones((2, 2), bool)).dice == 1  # there is nothing to part


def test_a_truth_that_is_dark_is_found_as_label_0():
    labels = np.array([[0, 0, 1, 1, 2]])
    assert best_foreground(labels, labels == 0).labels == (0,)


def test_a_slice_without_anything_to_find_has_no_dice():
    assert np.isnan(best_foreground(np.array([[0, 1]]), np.zeros((1, 2), bool)).dice)
    assert np.isnan(foreground_of(np.array([[1, 0, 2]], np.uint8), np.zeros((1, 3), bool)).dice)


def test_objects_on_background_are_not_picked_one_by_one():
    labels = np.array([[1, 1, 0, 2, 2, 0, 3, 3]], np.uint8)
    wanted = labels == 1
    assert foreground_of(labels, wanted).dice == pytest.approx(2 * 2 / (6 + 2))
    assert best_foreground(labels, wanted).dice == 1


def test_few_regions_that_cover_everything_are_classes_and_many_are_pieces_without_a_foreground():
    few = np.repeat(np.arange(1, 9, dtype=np.uint8), 4).reshape(4, 8)
    assert foreground_of(few, few > 4).dice == 1
    many = np.repeat(np.arange(1, 33, dtype=np.uint8), 4).reshape(16, 8)
    assert np.isnan(foreground_of(many, many > 16).dice)
    assert np.array_equal(as_objects(many, foreground_of(many, many > 16).mask), many)


def test_objects_are_found_where_they_overlap_by_more_than_half():
    truth = np.zeros((10, 30), np.uint16)
    truth[:, 0:10], truth[:, 10:20], truth[:, 20:28] = 5, 9, 2
    guess = np.zeros_like(truth)
    guess[:, 0:7] = 1  # 70 of 100: found
    guess[:, 10:15], guess[:, 15:20] = 2, 3  # two halves, each 0.5: neither found
    guess[:, 20:28] = 4
    guess[:, 29] = 7
    matches = match_objects(guess, truth)
    assert (matches.found, matches.missed, matches.invented) == (2, 1, 3)
    assert matches.f1 == pytest.approx(4 / 8)
    assert match_objects(guess, truth, 0.75).found == 1
    assert (matches + matches).found == 4


def test_matches_are_those_of_a_table_of_all_pairs():
    generator = np.random.default_rng(3)
    truth = np.kron(generator.integers(0, 9, (6, 6)), np.ones((5, 5), int))
    guess = np.where(generator.random(truth.shape) < 0.25, 0, np.roll(truth, 1, axis=1))
    found = 0
    for a in range(1, 9):
        for b in range(1, 9):
            union = ((truth == a) | (guess == b)).sum()
            found += union > 0 and ((truth == a) & (guess == b)).sum() / union > 0.5
    matches = match_objects(guess, truth)
    assert matches.found == found > 0
    assert matches.missed == len(set(truth.ravel()) - {0}) - found


def test_two_pictures_without_objects_have_no_f1_and_one_without_has_0():
    empty, full = np.zeros((3, 3), int), np.ones((3, 3), int)
    assert np.isnan(match_objects(empty, empty).f1)
    assert match_objects(empty, full).f1 == match_objects(full, empty).f1 == 0


def test_classes_and_objects_are_told_apart():
    y, x = np.mgrid[:40, :40]
    grid = ((y // 10) * 4 + x // 10 + 1).astype(np.uint8)
    assert holds_objects(grid)
    assert not holds_objects((np.random.default_rng(0).random((40, 40)) * 3).astype(np.uint8))
    assert not holds_objects((grid == 6).astype(np.uint8))  # one blob may be either
    assert not holds_objects(np.zeros((4, 4), np.uint8))


def test_classes_become_the_pieces_of_their_foreground():
    labels = np.array([[1, 0, 1, 0, 1]], np.uint8)
    assert len(np.unique(as_objects(labels, labels == 1))) == 4


def test_other_shapes_and_ambiguous_thresholds_are_refused():
    with pytest.raises(ShapeError, match="shape"):
        best_foreground(np.zeros((2, 2), int), np.zeros((2, 3), bool))
    with pytest.raises(ShapeError, match="shape"):
        match_objects(np.zeros((2, 2), int), np.zeros((2, 3), int))
    with pytest.raises(ParameterError, match="iou"):
        match_objects(np.zeros((2, 2), int), np.zeros((2, 2), int), 0.4)
