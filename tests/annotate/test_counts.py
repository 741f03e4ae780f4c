"""Counting paint: the truth is counted by hand or pixel by pixel."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_segtool.annotate.counts import PaintCounts, count_steps
from napari_segtool.core.progress import drain
from napari_segtool.core.stack import Stack


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32])
@given(seed=st.integers(0, 10**6))
def test_counts_are_those_of_counting_pixel_by_pixel(dtype, seed):
    data = np.random.default_rng(seed).choice([0, 0, 0, 1, 2, 7], size=(2, 3, 4, 5)).astype(dtype)
    counts = drain(count_steps(Stack(data, "TZYX")))
    expected = {}
    for value in data.ravel().tolist():
        if value:
            expected[value] = expected.get(value, 0) + 1
    assert counts.totals() == expected
    assert counts.planes() == tuple((t, z) for t in range(2) for z in range(3) if data[t, z].any())


def test_erasing_the_last_pixel_of_a_slice_takes_the_slice_off_the_list():
    counts = PaintCounts(plane_px=4)
    counts.count((3,), np.array([[0, 2], [0, 0]]))
    counts.count((3,), np.zeros((2, 2), int))
    assert counts.planes() == ()
    assert counts.fraction() == 0.0
