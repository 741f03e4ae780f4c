"""Canny's edges as a filter: those of the method, of scikit-image, and where a step is known to lie."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from skimage.feature import canny

from napari_segtool.api import apply_filter, segment
from napari_segtool.core.errors import SpacingError
from napari_segtool.core.stack import Stack


def discs(shape: tuple[int, int] = (70, 90)) -> np.ndarray:
    y, x = np.mgrid[: shape[0], : shape[1]]
    clean = 40 + 120.0 * ((y - 30) ** 2 + (x - 28) ** 2 <= 15**2) + 60.0 * ((y - 40) ** 2 + (x - 66) ** 2 <= 12**2)
    return (gaussian_filter(clean, 1) + np.random.default_rng(2).normal(0, 4, shape)).clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize("settings", [{}, {"smoothing_px": 1.0, "high": 60, "low": 10}, {"per_slice": True}, {"strongest": 300.0}])
def test_edges_are_those_of_the_method_of_that_name(settings):
    stack = Stack(np.stack([discs(), discs() // 3]), "ZYX")
    found = apply_filter(stack, "canny", **settings).data
    assert found.dtype == np.float32
    assert np.array_equal(found, segment(stack, "canny", output="edges", **settings).labels.data)
    assert set(np.unique(found)) == {0, 1}


def test_edges_are_those_of_scikit_image():
    plane = discs().astype(float)
    found = apply_filter(Stack(plane, "YX"), "canny", smoothing_px=2, strongest=400, high=50, low=20).data
    inner = np.s_[2:-2, 2:-2]
    assert np.array_equal(found[inner], canny(plane, 2, low_threshold=80, high_threshold=200)[inner])


def test_the_edge_of_a_step_lies_on_the_step_in_pixels_of_any_form():
    for spacing in ((), (0.1, 0.1), (0.4, 0.1)):
        step = np.zeros((40, 40))
        step[:, 20], step[:, 21:] = 50, 100
        for data, sizes in ((step, spacing), (step.T.copy(), spacing[::-1])):
            found = apply_filter(Stack(data, "YX", sizes), "canny").data
            lines = found if data is step else found.T
            assert (lines[2:-2, 20] == 1).all()
            assert lines[:, :20].sum() == lines[:, 21:].sum() == 0


def test_smoothing_is_as_wide_in_um_along_both_axes():
    plane = discs()
    flat = Stack(np.repeat(plane, 2, axis=1), "YX", (0.2, 0.1))  # the same scene in pixels half as wide
    found = apply_filter(flat, "canny", smoothing_um=0.4, low=30).data.reshape(70, 90, 2).max(axis=2)
    square = apply_filter(Stack(plane, "YX", (0.2, 0.2)), "canny", smoothing_um=0.4, low=30).data
    grown = gaussian_filter(square, 1) > 0.01
    assert (found > 0)[~grown].sum() < 0.02 * square.sum()
    assert np.array_equal(square, apply_filter(Stack(plane, "YX"), "canny", smoothing_px=2, low=30).data)
    with pytest.raises(SpacingError, match="no spacing"):
        apply_filter(Stack(plane, "YX"), "canny", smoothing_um=0.4)


def test_an_outside_without_values_has_no_edge_along_it():
    plane = discs().astype(np.float32)
    plane[:, 46:] = np.nan
    found = apply_filter(Stack(plane, "YX"), "canny").data
    assert np.isnan(found[:, 46:]).all()
    assert not found[:, 45].any()
    assert found[:, :45].sum() > 60


def test_a_lower_limit_above_the_upper_one_counts_as_the_upper():
    stack = Stack(discs(), "YX")
    assert np.array_equal(apply_filter(stack, "canny", high=30, low=90).data, apply_filter(stack, "canny", high=30, low=30).data)
