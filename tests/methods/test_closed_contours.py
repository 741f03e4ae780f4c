"""Contours that close: against hand-computed strengths, and what must hold of any map."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.cluster.hierarchy import cophenet, linkage

from napari_segtool.core.progress import drain
from napari_segtool.methods._closed_contours import _heights_steps, _Meetings, closed_contours_steps, with_closed_contours_steps


def closed(boundary: np.ndarray, **options: float) -> np.ndarray:
    return np.asarray(drain(closed_contours_steps(boundary.astype(np.float32), **options)))


def parts(mask: np.ndarray) -> int:
    return int(cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)[0]) - 1


def test_a_wall_with_a_gap_is_as_strong_as_it_is_on_average() -> None:
    wall = np.zeros((10, 9), np.float32)
    wall[:, 4] = [1, 1, 1, 1, 0.2, 0.2, 1, 1, 1, 1]
    found = closed(wall, smoothing_px=0)
    # each pixel of the wall has three neighbours to its left and three to its right, those of the first and last row two
    assert found[4:6, 4] == pytest.approx((8 * 6 - 4 + 2 * 0.2 * 6) / (10 * 6 - 4), abs=1e-6)
    assert (found[:, [0, 1, 2, 3, 5, 6, 7, 8]] == 0).all()
    assert (found[wall == 1] == 1).all()
    assert parts(found < 0.8) == 2 > parts(wall < 0.8)


def test_the_weakest_wall_goes_first_and_leaves_the_other_as_it_is() -> None:
    wall = np.zeros((7, 14), np.float32)
    wall[:, 4], wall[:, 9] = 0.3, 0.7
    found = closed(wall, smoothing_px=0)
    assert found == pytest.approx(wall)
    assert [parts(found < threshold) for threshold in (0.2, 0.5, 0.8)] == [3, 2, 1]


def test_strengths_are_those_of_average_linkage() -> None:
    """Regions that all touch in one pixel are joined as SciPy joins points by the mean distance of their clusters."""
    rng = np.random.default_rng(0)
    for count in (2, 3, 12, 40):
        distances = rng.random(count * (count - 1) // 2)
        pairs = np.array([(one, other) for one in range(1, count + 1) for other in range(one + 1, count + 1)])
        numbers = np.arange(len(pairs))
        found = drain(_heights_steps(_Meetings(numbers, numbers, pairs, distances, np.ones(len(pairs), np.int64)), count))
        assert found == pytest.approx(cophenet(linkage(distances, "average")), abs=1e-6)


def test_a_dead_end_parts_nothing() -> None:
    stump = np.zeros((21, 21), np.float32)
    stump[10, :9] = 0.9
    found = closed(stump)
    assert parts(found < 0.5) == 1
    assert (found[:, 14:] < 0.5).all()


def test_a_flat_map_and_one_of_a_single_pixel_stay_as_they_are() -> None:
    for shape in ((1, 1), (1, 7), (16, 16)):
        assert (closed(np.full(shape, 0.4)) == np.float32(0.4)).all()


@settings(max_examples=40, deadline=None)
@given(hnp.arrays(np.float32, hnp.array_shapes(min_dims=2, max_dims=2, max_side=24), elements=st.floats(0, 1, width=32)), st.floats(0.05, 0.95))
def test_nothing_is_lowered_and_a_higher_threshold_only_joins(boundary: np.ndarray, threshold: float) -> None:
    found = closed(boundary, smoothing_px=1.0)
    assert found.dtype == np.float32
    assert (found >= boundary).all()
    assert (found <= 1 + 1e-6).all()
    one = cv2.connectedComponents((found < threshold).astype(np.uint8), connectivity=8)[1]
    two = cv2.connectedComponents((found < threshold + 0.05).astype(np.uint8), connectivity=8)[1]
    for number in range(1, int(one.max()) + 1):
        assert len(np.unique(two[one == number])) == 1


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 4), st.integers(0, 1))
def test_probabilities_still_add_up_and_others_keep_their_proportions(seed: int, classes: int, separator: int) -> None:
    rng = np.random.default_rng(seed)
    before = rng.random((classes, 20, 20)).astype(np.float32) + 1e-3
    before /= before.sum(0)
    after = before.copy()
    drain(with_closed_contours_steps(after, separator))
    assert after.sum(0) == pytest.approx(1, abs=1e-5)
    assert (after[separator] >= before[separator]).all()
    others = [index for index in range(classes) if index != separator]
    assert after[others] * before[others].sum(0) == pytest.approx(before[others] * after[others].sum(0), abs=1e-5)


def test_every_picture_is_the_same_when_mirrored() -> None:
    """But for the line itself, which lies on the one or the other of two equal pixels."""
    rng = np.random.default_rng(3)
    boundary = cv2.GaussianBlur(rng.random((60, 60)).astype(np.float32), (0, 0), 2)
    boundary = (boundary - boundary.min()) / np.ptp(boundary)
    one, other = closed(boundary), closed(boundary[:, ::-1])[:, ::-1]
    for threshold in (0.3, 0.5, 0.7):
        assert parts(one < threshold) == parts(other < threshold)
