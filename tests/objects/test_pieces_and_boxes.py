"""Connected pieces and boxes of labels, also where they are found slab by slab."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import find_objects, generate_binary_structure, label

from napari_segtool.methods import _label_boxes
from napari_segtool.methods._label_boxes import boxes_steps
from napari_segtool.objects import _pieces
from napari_segtool.objects._pieces import pieces_steps
from napari_segtool.objects._shapes import eccentricity_steps, hull_pixels, solidity_steps
from tests.objects.patches import patches, result_of


@pytest.mark.parametrize("slab", [1 << 22, 300])
@pytest.mark.parametrize("corners", [False, True])
@pytest.mark.parametrize("shape", [(30, 40), (10, 14, 16)])
def test_pieces_are_those_of_scipy_in_slabs_too(monkeypatch, shape, corners, slab):
    monkeypatch.setattr(_pieces, "SLAB_VOXELS", slab)
    labels = patches(shape)
    found = result_of(pieces_steps(labels, corners=corners))
    expected, count = np.zeros(shape, int), 0
    for value in (1, 2, 3):
        parts, new = label(labels == value, generate_binary_structure(len(shape), len(shape) if corners else 1))
        expected[parts > 0] = parts[parts > 0] + count
        count += new
    pairs = np.unique(np.stack([found.numbers.ravel(), expected.ravel()]), axis=1)
    assert pairs.shape[1] == count + 1 == len(found.sizes)  # one to one
    assert np.array_equal(found.label_of[found.numbers], labels)
    assert np.array_equal(found.sizes, np.bincount(found.numbers.ravel()))


def test_pieces_of_one_label_can_be_taken_for_one():
    found = result_of(pieces_steps(np.array([[5, 0, 5, 9]], np.uint8), corners=False, whole_labels=True))
    assert found.numbers.tolist() == [[1, 0, 1, 2]]
    assert found.sizes.tolist() == [1, 2, 1]
    assert found.label_of.tolist() == [0, 5, 9]


@pytest.mark.parametrize("slab", [1 << 20, 8])
@pytest.mark.parametrize("counted", [4, 10_000])
def test_boxes_of_large_and_small_labels(monkeypatch, slab, counted):
    monkeypatch.setattr(_label_boxes, "_SLAB_PIXELS", slab)
    monkeypatch.setattr(_label_boxes, "_COUNTED", counted)
    labels = np.zeros((5, 8), np.uint32)
    labels[1:4, 2], labels[0, 7], labels[2:, 5:7] = 3, 4_000_000_000, 70_000
    assert dict(result_of(boxes_steps(labels)).items()) == {
        3: (slice(1, 4), slice(2, 3)),
        70_000: (slice(2, 5), slice(5, 7)),
        4_000_000_000: (slice(0, 1), slice(7, 8)),
    }


@pytest.mark.parametrize("shape", [(40, 50), (12, 14, 16)])
def test_boxes_of_many_labels_are_those_of_scipy(monkeypatch, shape):
    monkeypatch.setattr(_label_boxes, "_SLAB_PIXELS", 300)
    labels = result_of(pieces_steps(patches(shape, 3, seed=4, sigma=0.7), corners=False)).numbers * np.uint32(3)
    found = result_of(boxes_steps(labels))
    expected = {label: box for label, box in enumerate(find_objects(labels), start=1) if box is not None}
    assert dict(found.items()) == expected
    sizes = [np.prod([side.stop - side.start for side in box]) for _, box in found.items(found.smallest_first())]
    assert sizes == sorted(sizes)


def test_labels_of_nothing_have_no_boxes():
    assert not len(result_of(boxes_steps(np.zeros((3, 4), np.uint16))))


@pytest.mark.parametrize("shape", [(40, 50), (12, 14, 16)])
def test_convex_hulls_hold_as_many_pixels_as_scikit_images(shape):
    from skimage.morphology import convex_hull_image

    found = result_of(pieces_steps(patches(shape, 3, seed=3, sigma=1.5), corners=False))
    solidity = result_of(solidity_steps(found, np.ones(len(found.sizes), bool)))
    compared = 0
    for number in np.flatnonzero(found.sizes >= 12)[1:]:
        mask = found.numbers == number
        places = np.argwhere(mask)
        if np.linalg.matrix_rank(places - places[0]) == len(shape):
            assert solidity[number] == pytest.approx(mask.sum() / convex_hull_image(mask, offset_coordinates=False).sum())
            compared += 1
    assert compared > 3


def test_hulls_of_lines_planes_and_points():
    assert hull_pixels(np.eye(4, dtype=bool)) == 4
    assert hull_pixels(np.ones((1, 1), bool)) == 1
    assert hull_pixels(np.ones((1, 3, 3), bool)) == 9
    assert hull_pixels(np.array([[[1, 0, 1]], [[0, 0, 0]], [[1, 0, 1]]], bool)) == 9
    slanted = np.zeros((3, 3, 3), bool)
    slanted[[0, 1, 2], [0, 1, 2], [0, 1, 2]] = True
    assert hull_pixels(slanted) == 3
    corners = np.zeros((4, 4, 4), bool)
    corners[::3, ::3, ::3] = True
    assert hull_pixels(corners) == 64


@pytest.mark.parametrize(("long", "short"), [(20, 20), (20, 12), (24, 6)])
def test_the_eccentricity_of_an_ellipse_is_that_of_its_axes(long, short):
    y, x = np.mgrid[-30:31, -30:31]
    turned_y, turned_x = y * np.cos(0.6) + x * np.sin(0.6), x * np.cos(0.6) - y * np.sin(0.6)
    ellipse = ((turned_y / long) ** 2 + (turned_x / short) ** 2 <= 1).astype(np.uint8)
    found = result_of(eccentricity_steps(result_of(pieces_steps(ellipse, corners=False)), (1.0, 1.0)))
    assert found[1] == pytest.approx(np.sqrt(1 - (short / long) ** 2), abs=0.02)


def test_eccentricity_is_measured_in_micrometres():
    z, y, x = np.mgrid[-4:5, -13:14, -13:14]
    ball = ((3 * z) ** 2 + y**2 + x**2 <= 144).astype(np.uint8)
    pieces = result_of(pieces_steps(ball, corners=False))
    assert result_of(eccentricity_steps(pieces, (3.0, 1.0, 1.0)))[1] < 0.25
    assert result_of(eccentricity_steps(pieces, (1.0, 1.0, 1.0)))[1] > 0.9
