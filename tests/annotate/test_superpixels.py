"""Superpixels to paint with."""

from __future__ import annotations

import numpy as np
import pytest

from napari_segtool.annotate.superpixels import Superpixels, superpixel_steps
from napari_segtool.core.errors import DataError, ParameterError
from napari_segtool.core.progress import drain
from napari_segtool.core.stack import Stack


def halves(shape=(60, 80)) -> np.ndarray:
    """Dark left of column 33, bright right of it, with noise."""
    clean = np.where(np.arange(shape[1]) < 33, 60, 180)
    return np.clip(clean + np.random.default_rng(0).normal(0, 10, shape), 0, 255).astype(np.uint8)


def test_superpixels_keep_to_an_edge_and_are_about_as_large_as_asked():
    found = drain(superpixel_steps(Stack(halves(), "YX"), (), 10))
    assert found.labels.shape == (60, 80)
    assert found.labels.min() == 1
    assert 24 <= found.count <= 72  # 48 squares of 10 px
    dark = np.broadcast_to(np.arange(80) < 33, (60, 80))
    wrong = sum(min(np.count_nonzero(dark[found.labels == label]), np.count_nonzero(~dark[found.labels == label])) for label in range(1, found.count + 1))
    assert wrong < 0.015 * dark.size  # squares would have 60 · 3 pixels on the wrong side


def test_each_superpixel_is_in_one_piece():
    import cc3d

    found = drain(superpixel_steps(Stack(halves(), "YX"), (), 8))
    _, pieces = cc3d.connected_components(found.labels.astype(np.uint32), connectivity=4, return_N=True)
    assert pieces == found.count


@pytest.mark.parametrize(
    ("axes", "shape", "index"), [("ZYX", (3, 60, 80), (2,)), ("ZXY", (3, 80, 60), (2,)), ("ZCYX", (3, 2, 60, 80), (2,)), ("TZYX", (2, 3, 60, 80), (1, 2))]
)
def test_the_slice_asked_for_is_divided_whatever_the_axes(axes, shape, index):
    data = np.random.default_rng(1).integers(0, 255, shape).astype(np.uint8)
    plane = halves()
    place = tuple(dict(zip([a for a in axes if a not in "CYX"], index, strict=True)).get(axis, slice(None)) for axis in axes)
    data[place] = plane.T if axes.index("Y") > axes.index("X") else plane
    found = drain(superpixel_steps(Stack(data, axes), index, 10))
    assert np.array_equal(found.labels, drain(superpixel_steps(Stack(plane, "YX"), (), 10)).labels)
    assert found.index == index


def test_colours_are_divided_by_their_luminance():
    grey = halves()
    colour = np.repeat(grey[..., None], 3, axis=-1)
    assert np.array_equal(drain(superpixel_steps(Stack(colour, "YXS"), (), 10)).labels, drain(superpixel_steps(Stack(grey, "YX"), (), 10)).labels)


def test_pixels_without_a_value_belong_to_none():
    data = halves().astype(np.float32)
    data[10:20, 10:20] = np.nan
    found = drain(superpixel_steps(Stack(data, "YX"), (), 10))
    assert (found.labels[10:20, 10:20] == 0).all()
    assert (found.labels[:9] > 0).all()


def test_the_same_again_gives_the_same_and_leaves_the_picture_as_it_was():
    data = halves()
    before = data.copy()
    first, second = (drain(superpixel_steps(Stack(data, "YX"), (), 12)).labels for _ in range(2))
    assert np.array_equal(first, second)
    assert np.array_equal(data, before)


def test_a_constant_slice_is_divided_all_the_same():
    assert drain(superpixel_steps(Stack(np.full((30, 30), 7, np.uint16), "YX"), (), 10)).count == 9


def test_what_cannot_be_divided_is_refused_with_a_hint():
    with pytest.raises(DataError, match="no pixel"):
        drain(superpixel_steps(Stack(np.full((8, 8), np.nan, np.float32), "YX"), (), 10))
    for size in (2, 201):
        with pytest.raises(ParameterError, match="size_px"):
            drain(superpixel_steps(Stack(halves(), "YX"), (), size))


def test_a_stroke_takes_every_superpixel_it_crosses_and_no_other():
    labels = np.kron(np.arange(1, 13).reshape(3, 4), np.ones((10, 10), int)).astype(np.int32)
    squares = Superpixels(labels, (), 10)
    assert set(labels[squares.under((5, 5), (5, 5))]) == {1}
    assert set(labels[squares.under((5, 5), (5, 25))]) == {1, 2, 3}
    assert set(labels[squares.under((5, 5), (25, 25))]) == {1, 6, 11}
    assert set(labels[squares.under((-20, 5), (5, 5))]) == {1}
    assert not squares.under((-20, -5), (-3, 90)).any()


def test_outlines_lie_between_superpixels():
    labels = np.kron(np.arange(1, 5).reshape(2, 2), np.ones((3, 3), int)).astype(np.int32)
    lines = Superpixels(labels, (), 3).outlines()
    expected = np.zeros((6, 6), bool)
    expected[3], expected[:, 3] = True, True
    assert np.array_equal(lines, expected)
