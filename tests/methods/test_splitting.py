"""Touching objects, parted by distance: against geometry and SciPy."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
from scipy.ndimage import binary_fill_holes, distance_transform_edt
from scipy.optimize import linear_sum_assignment

from napari_segtool.api import segment
from napari_segtool.core.errors import DataError, SpacingError
from napari_segtool.core.stack import Stack
from napari_segtool.methods._distance import distance_steps, filled_steps


def finished(work):
    try:
        while True:
            next(work)
    except StopIteration as stop:
        return stop.value


def ball(shape, centre, radius, size=None):
    grid = np.ogrid[tuple(slice(0, n) for n in shape)]
    return sum(((g - c) * s) ** 2 for g, c, s in zip(grid, centre, size or (1,) * len(shape), strict=True)) <= radius**2


@pytest.mark.parametrize("size", [(1.0, 1.0), (2.5, 1.0), (3.0, 1.0, 1.0), (2.0, 0.5, 1.0)])
def test_distances_are_those_of_scipy_in_planes_and_in_volumes_slice_by_slice(size):
    inside = np.random.default_rng(0).random((23, 31) if len(size) == 2 else (9, 23, 31)) < 0.9
    if inside.ndim == 3:
        inside[2:5] = True  # slices in which nothing lies outside
    assert np.allclose(finished(distance_steps(inside, size)), distance_transform_edt(inside, sampling=size), atol=1e-4)


@pytest.mark.parametrize("shape", [(40, 50), (8, 20, 24)])
def test_holes_are_those_of_scipy_and_a_missing_pixel_is_no_hole(shape):
    inside = np.random.default_rng(1).random(shape) < 0.75
    known = np.ones(shape, bool)
    assert np.array_equal(finished(filled_steps(inside, known)), binary_fill_holes(inside))
    middle = tuple(n // 2 for n in shape)
    frame = np.zeros(shape, bool)
    frame[tuple(slice(m - 2, m + 3) for m in middle)] = True
    frame[middle] = False
    known[middle] = False
    assert not finished(filled_steps(frame, known))[middle]


def test_two_discs_that_overlap_become_two_objects_cut_half_way():
    picture = np.zeros((60, 90), np.uint8)
    left, right = ball(picture.shape, (30, 30), 18), ball(picture.shape, (30, 60), 18)
    picture[left | right] = 200
    found = segment(Stack(picture, "YX"), "split-objects", smoothing_px=0).labels.data
    assert found.max() == 2
    expected = np.where(left | right, np.where(np.arange(90) <= 44, 1, 2), 0)  # the middle lies at 45
    assert (found != expected).sum() <= 40
    assert np.array_equal(found > 0, left | right)


def test_a_wide_neck_is_left_alone_and_how_wide_can_be_said():
    picture = np.zeros((60, 90), bool)
    picture |= ball(picture.shape, (30, 35), 18) | ball(picture.shape, (30, 52), 18)  # the neck is 15.9 against 18: 12 % narrower
    stack = Stack(picture.astype(np.uint8) * 200, "YX")
    assert segment(stack, "split-objects", smoothing_px=0, rounding_px=0, neck=20.0).labels.data.max() == 1
    assert segment(stack, "split-objects", smoothing_px=0, rounding_px=0, neck=5.0).labels.data.max() == 2


def test_centres_nearer_than_allowed_stay_one_in_pixels_and_in_um():
    picture = np.zeros((60, 120), bool)
    for x in (25, 55, 95):
        picture |= ball(picture.shape, (30, x), 16)
    stack = Stack(picture.astype(np.uint8) * 200, "YX", (0.5, 0.5))
    assert segment(stack, "split-objects", smoothing_px=0).labels.data.max() == 3
    assert segment(stack, "split-objects", smoothing_px=0, apart_px=35).labels.data.max() == 2  # 25 and 55 are 30 apart
    assert segment(stack, "split-objects", smoothing_px=0, apart_um=17.5).labels.data.max() == 2
    with pytest.raises(SpacingError):
        segment(Stack(stack.data, "YX"), "split-objects", apart_um=17.5)


def test_balls_in_thick_slices_are_parted_where_they_touch():
    size = (4.0, 1.0, 1.0)
    shape = (15, 60, 90)
    left, right = ball(shape, (7, 30, 30), 18, size), ball(shape, (7, 30, 60), 18, size)
    stack = Stack((left | right).astype(np.uint8) * 200, "ZYX", size)
    found = segment(stack, "split-objects", smoothing_px=0, volume=True).labels.data
    assert found.max() == 2
    assert (found != np.where(left | right, np.where(np.arange(90) <= 44, 1, 2), 0)).mean() < 0.01
    assert len(np.unique(found[7])) == 3


def test_given_labels_are_split_within_each_and_never_joined():
    labels = np.zeros((60, 120), np.uint8)
    labels[ball(labels.shape, (30, 30), 18) | ball(labels.shape, (30, 60), 18)] = 1
    labels[10:50, 78:110] = 2
    labels[20:40, 60:78][labels[20:40, 60:78] == 0] = 2  # touches the first
    found = segment(Stack(np.zeros(labels.shape, np.uint8), "YX"), "split-objects", labels=labels).labels.data
    assert np.array_equal(found > 0, labels > 0)
    for number in np.unique(found[found > 0]):
        assert np.unique(labels[found == number]).size == 1
    assert np.unique(found[labels == 1]).size == 2


def test_dim_objects_beside_bright_ones_are_found_against_their_surroundings():
    picture = np.full((80, 160), 10.0)
    centres = [(20, 20, 250), (20, 60, 100), (60, 20, 100), (60, 60, 250), (20, 100, 100), (60, 100, 100), (20, 140, 250), (60, 140, 100)]
    for y, x, value in centres:
        picture[ball(picture.shape, (y, x), 12)] = value
    stack = Stack((picture + np.random.default_rng(0).normal(0, 2, picture.shape)).clip(0, 255).astype(np.uint8), "YX")
    assert segment(stack, "split-objects").labels.data.max() == 3  # Otsu sees the bright ones only
    assert segment(stack, "split-objects", foreground="around").labels.data.max() == 8
    with pytest.raises(DataError):
        segment(Stack(np.zeros((5, 5), np.uint8), "YX"), "split-objects")


@pytest.mark.data
def test_nuclei_are_found_with_an_f1_of_at_least_87_percent(data_folder):
    hits = misses = extra = 0
    for group in ("256", "360", "520x696"):
        images = tifffile.imread(data_folder / "dsb2018_nuclei" / f"image_{group}.tif")
        truth = tifffile.imread(data_folder / "dsb2018_nuclei" / f"labels_{group}_instances.tif")
        found = segment(Stack(images, "ZYX"), "split-objects", foreground="around", per_slice=True).labels.data
        for true, guess in zip(truth, found, strict=True):
            table = np.zeros((int(true.max()) + 1, int(guess.max()) + 1))
            np.add.at(table, (true.ravel(), guess.ravel()), 1)
            union = table.sum(1)[1:, None] + table.sum(0)[None, 1:] - table[1:, 1:]
            overlap = table[1:, 1:] / np.maximum(union, 1)
            rows, columns = linear_sum_assignment(-overlap)
            matched = int((overlap[rows, columns] >= 0.5).sum())
            hits += matched
            misses += int((table.sum(1)[1:] > 0).sum()) - matched
            extra += int(guess.max()) - matched
    assert 2 * hits / (2 * hits + misses + extra) >= 0.87
