"""Held-out pixels: neighbours stay together, every class stays learnable, nothing is both learned and checked."""

from __future__ import annotations

import numpy as np

from napari_segtool.training._holdout import Field, Picture, split_fields

IGNORED = 255


def picture(marks: np.ndarray, depth: int = 1) -> Picture:
    return Picture(np.zeros((len(marks), 1, *marks.shape[1:]), np.uint8), marks.astype(np.uint8), depth)


def disjoint(fields: tuple[Field, ...]) -> bool:
    return all(field.check is None or field.learn.size == 0 or not ((field.learn != IGNORED) & (field.check != IGNORED)).any() for field in fields)


def learned(fields: tuple[Field, ...], classes: int) -> list[int]:
    return [sum(int((field.learn == index).sum()) for field in fields) for index in range(classes)]


def checked(fields: tuple[Field, ...], classes: int) -> list[int]:
    return [sum(int((field.check == index).sum()) for field in fields if field.check is not None) for index in range(classes)]


def test_of_a_dense_stack_an_eighth_lying_together_is_held_out_whole() -> None:
    marks = np.random.default_rng(0).integers(0, 2, (16, 20, 20))
    fields = split_fields([picture(marks)], 2, sparse=False, seed=0)
    held = [number for number, field in enumerate(fields) if field.check is not None]
    assert len(held) == 2
    assert held[1] == held[0] + 1
    assert all(fields[number].learn.size == 0 for number in held)
    assert disjoint(fields)


def test_the_only_slice_with_a_class_is_never_held_out() -> None:
    for lonely in range(8):
        marks = np.zeros((8, 10, 10))
        marks[:, :5] = 1
        marks[lonely, 0, 0] = 2
        fields = split_fields([picture(marks)], 3, sparse=False, seed=0)
        assert learned(fields, 3)[2] == 1
        assert sum(checked(fields, 3)) == 100


def test_slices_with_rare_classes_are_held_out_rather_than_empty_ones() -> None:
    marks = np.zeros((16, 10, 10))
    marks[2:6, :3] = 1
    fields = split_fields([picture(marks)], 2, sparse=False, seed=0)
    assert checked(fields, 2)[1] > 0
    assert learned(fields, 2)[1] > 0


def test_of_a_single_dense_picture_a_strip_with_every_class_is_held_out() -> None:
    marks = np.zeros((1, 60, 90))
    marks[0, 20:40] = 1
    fields = split_fields([picture(marks)], 2, sparse=False, seed=0)
    assert disjoint(fields)
    assert all(checked(fields, 2))
    assert all(learned(fields, 2))
    assert sum(learned(fields, 2)) + sum(checked(fields, 2)) == 60 * 90
    assert 0.1 < sum(checked(fields, 2)) / (60 * 90) < 0.4
    rows, columns = np.nonzero(fields[0].check[0] != IGNORED)
    assert len(rows) == (np.ptp(rows) + 1) * (np.ptp(columns) + 1)


def test_of_paint_whole_strokes_are_held_out() -> None:
    marks = np.full((3, 100, 100), IGNORED)
    for z in range(3):
        for row in range(5, 95, 15):
            marks[z, row : row + 3, 5:45] = 0
            marks[z, row : row + 3, 55:95] = 1
    fields = split_fields([picture(marks)], 2, sparse=True, seed=0)
    assert disjoint(fields)
    total = 3 * 6 * 3 * 40
    for index in range(2):
        assert learned(fields, 2)[index] + checked(fields, 2)[index] == total
        assert 0.1 < checked(fields, 2)[index] / total < 0.34
        assert checked(fields, 2)[index] % 120 == 0  # no stroke is cut


def test_of_one_stroke_for_each_class_an_end_is_held_out() -> None:
    marks = np.full((1, 100, 100), IGNORED)
    marks[0, 10:13, 10:70] = 0
    marks[0, 20:80, 50:54] = 1
    fields = split_fields([picture(marks)], 2, sparse=True, seed=0)
    assert disjoint(fields)
    for index, total in enumerate((180, 240)):
        assert checked(fields, 2)[index] == round(total / 6)
    rows, _ = np.nonzero(fields[0].check[0] == 1)
    assert np.ptp(rows) < 12  # an end, not a sprinkle


def test_a_few_pixels_of_paint_are_all_learned_from() -> None:
    marks = np.full((1, 50, 50), IGNORED)
    marks[0, 5, 5:10], marks[0, 30, 5:10] = 0, 1
    fields = split_fields([picture(marks)], 2, sparse=True, seed=0)
    assert learned(fields, 2) == [5, 5]
    assert checked(fields, 2) == [0, 0]


def test_planes_without_paint_are_not_looked_at() -> None:
    marks = np.full((50, 30, 30), IGNORED)
    marks[7, 3:20, 3], marks[7, 3:20, 20] = 0, 1
    fields = split_fields([picture(marks)], 2, sparse=True, seed=0)
    assert [field.first for field in fields] == [7]


def test_volumes_are_split_by_sections_that_lie_together() -> None:
    marks = np.random.default_rng(0).integers(0, 2, (12, 30, 30))
    fields = split_fields([picture(marks, depth=12)], 2, sparse=False, seed=0)
    assert len(fields) == 1
    assert fields[0].image.shape == (12, 1, 30, 30)
    assert disjoint(fields)
    assert all(checked(fields, 2))


def test_the_same_seed_holds_out_the_same_strokes() -> None:
    marks = np.full((1, 100, 100), IGNORED)
    for row in range(5, 95, 8):
        marks[0, row, 5:45], marks[0, row, 55:95] = 0, 1
    first, second = (split_fields([picture(marks)], 2, sparse=True, seed=3) for _ in range(2))
    assert (first[0].check == second[0].check).all()
    assert any((split_fields([picture(marks)], 2, sparse=True, seed=seed)[0].check != first[0].check).any() for seed in range(4))
