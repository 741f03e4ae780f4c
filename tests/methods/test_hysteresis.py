"""Hysteresis thresholds: against scikit-image, and slabs of a volume against the whole."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_segtool.api import segment
from napari_segtool.core.errors import AxesError, ParameterError
from napari_segtool.core.stack import Stack
from napari_segtool.methods._linked import keep_linked, keep_linked_steps


def labels_of(data, axes: str = "", **params) -> np.ndarray:
    data = np.asarray(data)
    return segment(Stack(data, axes or "ZYX"[-data.ndim :]), "hysteresis", **params).labels.data


def blobs(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    from scipy.ndimage import gaussian_filter

    smooth = gaussian_filter(np.random.default_rng(seed).normal(size=shape), 1.2)
    return np.round((smooth - smooth.min()) / np.ptp(smooth) * 250).astype(np.uint8)


def test_a_faint_region_stays_where_it_touches_a_strong_pixel():
    data = np.array([[0, 50, 90, 50, 0, 50, 50, 0, 100]], np.uint8)
    assert labels_of(data, low=50, high=90).tolist() == [[0, 1, 1, 1, 0, 0, 0, 0, 1]]
    assert labels_of(100 - data, low=10, high=50, objects="dark").tolist() == [[0, 1, 1, 1, 0, 0, 0, 0, 1]]
    assert labels_of(data / 100, low=50, high=90).tolist() == [[0, 1, 1, 1, 0, 0, 0, 0, 1]]
    assert labels_of(data, grey_values="51:90").tolist() == [[0, 0, 1, 0, 0, 0, 0, 0, 1]]


@pytest.mark.parametrize("seed", range(3))
def test_scikit_image_keeps_the_same_pixels(seed):
    from skimage.filters import apply_hysteresis_threshold

    data = blobs((5, 40, 50), seed)
    expected = apply_hysteresis_threshold(data, 139.5, 169.5)
    assert 0 < expected.mean() < 0.5
    assert np.array_equal(labels_of(data, grey_values="140:170", volume=True), expected)
    each = np.stack([apply_hysteresis_threshold(plane, 139.5, 169.5) for plane in data])
    assert np.array_equal(labels_of(data, grey_values="140:170"), each)
    assert not np.array_equal(each, expected)
    negative = np.stack([apply_hysteresis_threshold(-plane.astype(int), -110.5, -80.5) for plane in data])
    assert np.array_equal(labels_of(data, grey_values="80:110", objects="dark"), negative)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 9), st.booleans(), st.sampled_from([0.15, 0.3, 0.5]))
def test_a_volume_in_slabs_keeps_what_scipy_keeps_of_the_whole(seed, slab, corners, share):
    from scipy.ndimage import generate_binary_structure, label

    generator = np.random.default_rng(seed)
    marks = (generator.random((9, 6, 7)) < share).astype(np.uint8)
    marks[generator.random(marks.shape) < 0.05] *= 2
    parts, _ = label(marks, generate_binary_structure(3, 3 if corners else 1))
    expected = np.isin(parts, np.unique(parts[marks == 2])) & (parts > 0)
    found = marks.copy()
    fractions = list(keep_linked_steps(found, corners, slab_voxels=slab * 42))
    assert np.array_equal(found, expected)
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1
    one = keep_linked(marks[0], corners)
    parts, _ = label(marks[0], generate_binary_structure(2, 2 if corners else 1))
    assert np.array_equal(one, np.isin(parts, np.unique(parts[marks[0] == 2])) & (parts > 0))


def test_corners_link_only_where_they_are_asked_to():
    data = np.array([[100, 0, 0], [0, 60, 0], [0, 0, 60]], np.uint8)
    assert labels_of(data, low=50, high=90).sum() == 1
    assert labels_of(data, low=50, high=90, corners=True).sum() == 3


def test_time_points_are_never_linked_and_axes_may_stand_in_any_order():
    data = np.zeros((2, 3, 4, 5), np.uint8)
    data[0, :, 1, 1] = 60
    data[0, 0, 1, 1] = 100
    data[1, :, 1, 1] = 60
    found = labels_of(data, "TZYX", low=50, high=90, volume=True)
    assert found[0, :, 1, 1].all()
    assert not found[1].any()
    turned = labels_of(data.transpose(1, 0, 3, 2), "ZTXY", low=50, high=90, volume=True)
    assert np.array_equal(turned.transpose(1, 0, 3, 2), found)


def test_pixels_without_a_value_part_what_they_lie_between():
    data = np.array([[100, 60, np.nan, 60, 0], [np.nan, np.nan, np.nan, 0, 0]], np.float32)
    assert labels_of(data, low=50, high=90).tolist() == [[1, 1, 0, 0, 0], [0, 0, 0, 0, 0]]
    assert labels_of(100 - data, low=10, high=50, objects="dark").tolist() == [[1, 1, 0, 0, 0], [0, 0, 0, 0, 0]]


def test_percent_may_be_those_of_each_slice():
    data = np.array([[[0, 6, 10]], [[0, 60, 100]]], np.uint8)
    assert labels_of(data, low=50, high=90).tolist() == [[[0, 0, 0]], [[0, 1, 1]]]
    assert labels_of(data, low=50, high=90, per_slice=True).tolist() == [[[0, 1, 1]], [[0, 1, 1]]]


def test_thresholds_that_make_no_sense_are_refused():
    with pytest.raises(ParameterError, match="low = 60 lies above high = 40"):
        labels_of([[0, 1]], low=60, high=40)
    with pytest.raises(ParameterError, match="no range"):
        labels_of([[0, 1]], grey_values="90:20")
    with pytest.raises(AxesError, match="no slices"):
        labels_of([[0, 1]], volume=True)
