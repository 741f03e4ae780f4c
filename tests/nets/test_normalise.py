"""Normalisation: what the network sees does not depend on bit depth, and NaN does not spread."""

from __future__ import annotations

import numpy as np
import pytest

from napari_segtool.core.errors import ModelError, ShapeError
from napari_segtool.nets._normalise import Normalisation, within_margins


def test_the_same_picture_in_8_and_16_bit_becomes_the_same_input() -> None:
    picture = np.random.default_rng(0).integers(0, 255, (20, 30)).astype(np.uint8)
    wide = picture.astype(np.uint16) * 200 + 1000
    assert np.allclose(Normalisation().apply(picture), Normalisation().apply(wide), atol=1e-5)


def test_each_channel_of_a_plane_gets_mean_zero_and_deviation_one() -> None:
    plane = np.random.default_rng(0).normal([[[5.0]], [[-300.0]]], [[[2.0]], [[40.0]]], (2, 40, 50))
    result = Normalisation().apply(plane)
    assert result.dtype == np.float32
    assert np.allclose(result.mean(axis=(1, 2)), 0, atol=1e-4)
    assert np.allclose(result.std(axis=(1, 2)), 1, atol=1e-4)


def test_a_constant_plane_becomes_zero() -> None:
    assert not Normalisation().apply(np.full((4, 5), 65000, np.uint16)).any()
    assert not Normalisation().apply(np.zeros((4, 5))).any()


def test_nan_and_infinite_pixels_become_the_median_and_leave_the_others_alone() -> None:
    plane = np.array([[1.0, 2.0, 3.0], [np.nan, np.inf, -np.inf]])
    result = Normalisation().apply(plane)
    expected = (np.array([1.0, 2.0, 3.0]) - 2) / np.std([1.0, 2.0, 3.0])
    assert np.allclose(result[0], expected)
    assert np.allclose(result[1], 0)
    assert np.isnan(plane[1, 0])  # the input is untouched


def test_a_plane_of_nan_only_becomes_zero() -> None:
    assert not Normalisation().apply(np.full((3, 3), np.nan)).any()


def test_fixed_values_are_those_given_and_survive_the_record() -> None:
    fixed = Normalisation.from_record(Normalisation("fixed", (10.0,), (5.0,)).record())
    assert fixed.apply(np.array([[20.0]])).tolist() == [[2.0]]


def test_another_number_of_channels_than_trained_on_is_refused() -> None:
    with pytest.raises(ShapeError, match="3 channel"):
        Normalisation("fixed", (1.0,), (1.0,)).apply(np.zeros((3, 4, 4)))


@pytest.mark.parametrize("record", [{}, {"kind": "magic"}, {"kind": "fixed", "mean": [1], "deviation": []}, {"kind": "fixed", "mean": "x"}, {"kind": "fixed"}])
def test_a_damaged_record_is_refused(record: dict[str, object]) -> None:
    with pytest.raises(ModelError):
        Normalisation.from_record(record)


@pytest.mark.parametrize("value", [0, 255])
def test_bars_around_an_image_change_nothing_of_what_is_inside(value: int) -> None:
    inside = np.random.default_rng(0).integers(10, 200, (2, 12, 20), np.uint8)
    barred = np.full((2, 30, 33), value, np.uint8)
    barred[:, 4:16, 9:29] = inside
    assert np.array_equal(Normalisation().apply(barred)[:, 4:16, 9:29], Normalisation().apply(inside))


def test_one_channel_that_varies_keeps_a_row_and_a_dark_row_inside_counts() -> None:
    plane = np.zeros((2, 6, 6), np.uint8)
    plane[0, 1:5, 1:5] = np.arange(16).reshape(4, 4) + 1
    plane[0, 3] = 0
    plane[1, 0, 2] = 9
    assert within_margins(plane).shape == (2, 5, 4)


def test_a_plane_in_which_only_columns_differ_is_kept_whole() -> None:
    ramp = np.tile(np.arange(5, dtype=np.float32), (4, 1))[None]
    assert within_margins(ramp).shape == (1, 4, 5)
    assert within_margins(ramp.transpose(0, 2, 1)).shape == (1, 5, 4)


def test_margins_of_nan_count_as_little() -> None:
    inside = np.random.default_rng(0).normal(size=(1, 8, 8))
    barred = np.full((1, 14, 12), np.nan)
    barred[:, 3:11, 2:10] = inside
    assert np.allclose(Normalisation().apply(barred)[:, 3:11, 2:10], Normalisation().apply(inside), atol=1e-6)
