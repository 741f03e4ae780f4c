"""Held-out pixels: neighbours stay together, every class stays learnable, nothing is both learned and checked."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from napari_segtool.training.data._holdout import Field, Picture, split_fields

IGNORED = 255


def picture(marks: np.ndarray, depth: int = 1) -> Picture:
    return Picture(np.zeros((len(marks), 1, *marks.shape[1:]), np.uint8), marks.astype(np.uint8), depth)


def drifting(planes: int, step: float, side: int = 64) -> np.ndarray:
    """A pattern that drifts by ``step`` radians from plane to plane: neighbours correlate by its cosine."""
    y, x = np.mgrid[:side, :side]
    return np.stack([np.sin(2 * np.pi * y / 16 + step * z) + np.sin(2 * np.pi * x / 16 + step * z) for z in range(planes)])[:, None].astype(np.float32)


def halves(planes: int, side: int = 64) -> np.ndarray:
    marks = np.zeros((planes, side, side), np.uint8)
    marks[:, : side // 2] = 1
    return marks


def roles(fields: tuple[Field, ...], planes: int) -> str:
    """One letter for each plane: l learned, c checked, - neither."""
    word = ["-"] * planes
    for field in fields:
        word[field.first] = "c" if field.check is not None else "l"
    return "".join(word)


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
    assert 0.85 < (sum(learned(fields, 2)) + sum(checked(fields, 2))) / (60 * 90) < 1  # what lies beside the strip is in neither
    assert 0.1 < sum(checked(fields, 2)) / (60 * 90) < 0.4
    rows, columns = np.nonzero(fields[0].check[0] != IGNORED)
    assert len(rows) == (np.ptp(rows) + 1) * (np.ptp(columns) + 1)
    near = cv2.dilate((fields[0].check[0] != IGNORED).astype(np.uint8), np.ones((3, 3)))
    assert not (near & (fields[0].learn[0] != IGNORED)).any()


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


def test_planes_beside_the_held_out_block_of_a_volume_are_neither_learned_nor_checked() -> None:
    image, marks = drifting(20, 0.3), halves(20)
    marks[8:10] = np.random.default_rng(0).permuted(marks[0].ravel()).reshape(64, 64)
    for name, gap in (("Z", 1), ("T", 1), ("I", 0)):
        word = roles(split_fields([Picture(image, marks, 1, order=name, counts=(20,))], 2, sparse=False, seed=0), 20)
        block = word.strip("l").strip("-")
        assert block == "cc"
        start = word.index("c")
        assert word.count("-") == gap * ((start > 0) + (start + 2 < 20))
        assert word == "".join("c" if start <= z < start + 2 else "-" if start - gap <= z < start + 2 + gap else "l" for z in range(20))


def test_sections_that_share_nothing_need_no_gap() -> None:
    noise = np.random.default_rng(0).normal(size=(20, 1, 64, 64)).astype(np.float32)
    word = roles(split_fields([Picture(noise, halves(20), 1, order="Z", counts=(20,))], 2, sparse=False, seed=0), 20)
    assert word.count("-") == 0
    quarter = drifting(20, np.pi / 2)  # neighbours correlate by cos 90° = 0
    assert roles(split_fields([Picture(quarter, halves(20), 1, order="Z", counts=(20,))], 2, sparse=False, seed=0), 20).count("-") == 0


@pytest.mark.parametrize(("step", "gap"), [(0.9, 1), (0.4, 2), (0.2, 4), (0.01, 4)])
def test_the_gap_is_as_wide_as_planes_stay_alike_but_no_wider_than_a_sixteenth_of_the_stack(step: float, gap: int) -> None:
    fields = split_fields([Picture(drifting(64, step), halves(64), 1, order="Z", counts=(64,))], 2, sparse=False, seed=0)
    word = roles(fields, 64)  # cos 0.9 = 0.62, cos 0.4·2 = 0.70 and cos 0.4·3 = 0.36, cos 0.2·4 = 0.70
    assert word.count("c") == 8
    assert word == "c" * 8 + "-" * gap + "l" * (56 - gap)  # all blocks are alike: the first is taken


@pytest.mark.parametrize("planes", range(4, 14))
def test_of_few_slices_seven_tenths_are_learned_where_a_gap_is_made(planes: int) -> None:
    word = roles(split_fields([Picture(drifting(planes, 0.1), halves(planes), 1, order="Z", counts=(planes,))], 2, sparse=False, seed=0), planes)
    held = max(1, round(planes / 8))
    assert word.count("c") == held
    assert word.count("-") == (1 if (planes - held - 1) / planes >= 0.7 else 0)


def test_of_several_images_whole_ones_are_held_out() -> None:
    pictures = [Picture(drifting(3, 0.1), halves(3), 1, order="Z", counts=(3,)) for _ in range(9)]
    fields = split_fields(pictures, 2, sparse=False, seed=0)
    held = {field.picture for field in fields if field.check is not None}
    assert len(held) == 1
    assert len(fields) == 27
    assert all((field.check is not None) == (field.picture in held) for field in fields)
    assert all(field.learn.size == 0 for field in fields if field.picture in held)


def test_one_huge_image_among_small_ones_is_not_held_out() -> None:
    pictures = [Picture(drifting(n, 0.1), halves(n), 1, order="Z", counts=(n,)) for n in (40, 2, 2, 2, 2)]
    fields = split_fields(pictures, 2, sparse=False, seed=0)
    assert {field.picture for field in fields if field.check is not None} != {0}


def test_of_a_time_series_whole_times_lying_together_are_held_out() -> None:
    times, sections = 16, 3
    image = np.repeat(drifting(times, 0.2), sections, axis=0)
    fields = split_fields([Picture(image, halves(times * sections), 1, order="TZ", counts=(times, sections))], 2, sparse=False, seed=0)
    word = roles(fields, times * sections)
    by_time = [word[t * sections : (t + 1) * sections] for t in range(times)]
    assert all(len(set(part)) == 1 for part in by_time)
    assert "".join(part[0] for part in by_time) == "cc-" + "l" * 13


def test_of_a_short_series_the_same_sections_are_held_out_at_all_times() -> None:
    image = np.tile(drifting(16, 1.5), (2, 1, 1, 1))
    word = roles(split_fields([Picture(image, halves(32), 1, order="TZ", counts=(2, 16))], 2, sparse=False, seed=0), 32)
    assert word[:16] == word[16:]
    assert word[:16].count("c") == 2


def test_volumes_of_a_series_are_held_out_by_time() -> None:
    image = np.repeat(drifting(8, 0.1), 4, axis=0)
    fields = split_fields([Picture(image, halves(32), 4, order="TZ", counts=(8, 4))], 2, sparse=False, seed=0)
    assert [field.first for field in fields if field.check is not None] == [0]
    assert [field.first for field in fields if field.check is None] == [8, 12, 16, 20, 24, 28]


def test_weights_stay_with_their_pixels() -> None:
    weights = np.arange(16 * 64 * 64, dtype=np.float32).reshape(16, 64, 64)
    for depth in (1, 16):
        for field in split_fields([Picture(drifting(16, 0.2), halves(16), depth, weights, order="Z", counts=(16,))], 2, sparse=False, seed=0):
            assert field.weights is not None
            assert (field.weights == weights[field.first : field.first + depth]).all()


def test_a_class_that_only_the_gap_would_hide_is_kept_to_learn_from() -> None:
    for lonely in range(20):
        marks = halves(20)
        marks[lonely, 0, 0] = 2
        fields = split_fields([Picture(drifting(20, 0.1), marks, 1, order="Z", counts=(20,))], 3, sparse=False, seed=0)
        assert learned(fields, 3)[2] == 1


def test_sections_of_separate_pages_get_a_gap_along_z() -> None:
    image = np.tile(drifting(20, 0.3), (2, 1, 1, 1))
    word = roles(split_fields([Picture(image, halves(40), 1, order="IZ", counts=(2, 20))], 2, sparse=False, seed=0), 40)
    assert word[:20] == word[20:] == "cc-" + "l" * 17


@settings(deadline=None, max_examples=60)
@given(
    some.lists(some.tuples(some.sampled_from(["Z", "T", "I", "TZ", "IZ"]), some.integers(1, 7), some.integers(1, 9)), min_size=1, max_size=6),
    some.floats(0.01, 1.6),
    some.integers(0, 2**16),
    some.booleans(),
)
def test_whatever_the_images_nothing_is_learned_and_checked_and_no_class_is_lost(
    shapes: list[tuple[str, int, int]], step: float, seed: int, volumes: bool
) -> None:
    rng = np.random.default_rng(seed)
    pictures = []
    for order, first, second in shapes:
        counts = (first, second) if len(order) == 2 else (second,)
        planes = int(np.prod(counts))
        marks = rng.choice([0, 0, 0, 1, 2, IGNORED], (planes, 8, 8)).astype(np.uint8)
        marks[rng.random(planes) < 0.2] = IGNORED
        depth = counts[-1] if volumes and order.endswith("Z") else 1
        pictures.append(Picture(drifting(planes, step, 8), marks, depth, order=order, counts=counts))
    whole = [sum(int((each.marks == index).sum()) for each in pictures) for index in range(3)]
    if not any(whole):
        return
    fields = split_fields(pictures, 3, sparse=False, seed=seed)
    assert disjoint(fields)
    for index in range(3):
        assert (learned(fields, 3)[index] > 0) == (whole[index] > 0)
        assert learned(fields, 3)[index] + checked(fields, 3)[index] <= whole[index]
    for field in fields:
        truth = pictures[field.picture].marks[field.first : field.first + pictures[field.picture].depth]
        for part in (field.learn, field.check):
            if part is not None and part.size:
                assert ((part == truth) | (part == IGNORED)).all()
