"""Shapes drawn over an image become labels on the slices they lie on."""

from __future__ import annotations

import numpy as np
import pytest
from napari.layers import Image, Shapes

from napari_segtool.ui._bridge import placement_of, stack_of
from napari_segtool.ui._drawn import filled, outlines_of

SHAPE = (5, 40, 50)
PLACED = {"scale": (3, 2, 2), "translate": (1, 2, 3), "units": "um", "axis_labels": ("z", "y", "x")}


def image(shape=SHAPE, **placement):
    return Image(np.zeros(shape, np.uint8), name="em", **(placement or PLACED))


def shapes(over, *drawn):
    layer = Shapes(ndim=len(placement_of(over)["scale"]), **placement_of(over))
    for kind, corners in drawn:
        layer.add(np.asarray(corners, float), shape_type=kind)
    return layer


def labels(layer, over):
    return filled(outlines_of(layer, over), stack_of(over))


def square(z, y, x, size):
    return [[z, y, x], [z, y, x + size], [z, y + size, x + size], [z, y + size, x]]


def test_each_shape_is_filled_on_its_slice_as_napari_itself_fills_it():
    over = image()
    layer = shapes(over, ("ellipse", square(2, 5, 5, 15)), ("polygon", [[3, 4.2, 4.6], [3, 30, 10], [3, 10, 33.3]]), ("rectangle", square(2, 25, 25, 10)))
    np.testing.assert_array_equal(labels(layer, over), layer.to_labels(SHAPE))


def test_a_square_of_ten_pixels_covers_eleven_pixel_centres_each_way():
    over = image()
    found = labels(shapes(over, ("rectangle", square(1, 4, 6, 10))), over)
    expected = np.zeros(SHAPE, np.uint8)
    expected[1, 4:15, 6:17] = 1
    np.testing.assert_array_equal(found, expected)


def test_what_was_drawn_last_lies_on_top_as_on_the_screen():
    over = image()
    found = labels(shapes(over, ("rectangle", square(0, 5, 5, 10)), ("rectangle", square(0, 10, 10, 10))), over)
    assert found[0, 12, 12] == 2
    assert found[0, 7, 7] == 1


def test_lines_have_no_area_and_what_lies_across_slices_is_left_out():
    over = image()
    layer = shapes(over, ("line", [[1, 2, 2], [1, 20, 20]]), ("polygon", [[0, 2, 2], [4, 2, 20], [4, 20, 20]]))
    assert outlines_of(layer, over) == ()
    assert labels(layer, over).max() == 0


def test_shapes_of_another_scale_and_place_lie_where_they_are_seen():
    over = image()
    layer = Shapes([np.array(square(3 * 2 + 1, 2 * 10 + 2, 2 * 10 + 3, 8.0))], shape_type="rectangle")  # in world units, scale 1
    expected = np.zeros(SHAPE, np.uint8)
    expected[2, 10:15, 10:15] = 1
    np.testing.assert_array_equal(labels(layer, over), expected)


def test_a_flat_drawing_counts_on_every_slice():
    over = image(scale=(1, 1, 1))
    layer = Shapes([np.array([[5, 5], [5, 9], [9, 9], [9, 5.0]])], shape_type="rectangle")
    found = labels(layer, over)
    assert (found[:, 5:10, 5:10] == 1).all()
    assert found.sum() == 5 * 25


@pytest.mark.parametrize(
    ("axes", "shape"), [("CZYX", (2, 3, 20, 20)), ("ZCYX", (3, 2, 20, 20)), ("TZYX", (2, 3, 20, 20)), ("ZXY", (3, 20, 24)), ("YX", (20, 20))]
)
def test_the_axes_of_the_image_may_stand_in_any_order(axes, shape):
    over = Image(np.zeros(shape, np.uint8), axis_labels=tuple(axes.lower()))
    letters = [letter for i, letter in enumerate(axes) if letter != "C" or i > 0]
    place = {"T": 1, "Z": 2, "C": 0}
    corners = [[{"Y": y, "X": x, **place}[letter] for letter in letters] for y, x in ((3, 4), (3, 9), (6, 9), (6, 4))]
    layer = Shapes([np.array(corners, float)], shape_type="polygon", **placement_of(over))
    stack = stack_of(over)
    expected = np.zeros(stack.label_shape, np.uint8)
    expected[tuple({"T": 1, "Z": 2, "Y": slice(3, 7), "X": slice(4, 10)}[letter] for letter in stack.label_axes)] = 1
    np.testing.assert_array_equal(labels(layer, over), expected)


def test_a_rgb_image_can_be_drawn_over():
    over = Image(np.zeros((20, 20, 3), np.uint8), rgb=True)
    layer = shapes(over, ("rectangle", [[2, 2], [2, 5], [5, 5], [5, 2]]))
    assert labels(layer, over).sum() == 16


def test_a_turned_image_is_drawn_over_where_it_is_seen():
    over = image(rotate=30, shape=(40, 50), scale=(2, 2), translate=(5, -3))
    pixels = np.array([[10, 10], [10, 20], [20, 20], [20, 10]], float)
    layer = Shapes([np.array([over.data_to_world(corner) for corner in pixels])], shape_type="polygon")  # drawn in world units
    expected = np.zeros((40, 50), np.uint8)
    expected[10:21, 10:21] = 1
    found = labels(layer, over)
    assert np.abs(found.astype(int) - expected).sum() <= 44  # rounding may tip the pixels on the outline
    assert (found[11:20, 11:20] == 1).all()
    assert found[:9].max() == found[:, 22:].max() == 0
