"""Post-processing of labels: morphology, holes, rules for size and shape, boundaries, components, border."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage
from skimage.segmentation import clear_border, expand_labels

from napari_segtool.api import segment
from napari_segtool.core.errors import AxesError, DataError, ParameterError, SpacingError
from napari_segtool.core.stack import Stack
from napari_segtool.objects import morphology, smooth_boundaries
from napari_segtool.objects.morphology import changed_steps
from napari_segtool.objects.smooth_boundaries import smoothed_steps
from tests.objects.patches import patches, result_of


def refined(labels, name: str, *, spacing_um: tuple[float, ...] = (), **params) -> np.ndarray:
    labels = np.asarray(labels, np.uint8)
    return segment(Stack(labels, "TZYX"[-labels.ndim :], spacing_um), name, **params).labels.data


def ball(radii: tuple[float, ...]) -> np.ndarray:
    places = np.ogrid[tuple(slice(-int(radius), int(radius) + 1) for radius in radii)]
    return np.asarray(sum((place / radius) ** 2 for place, radius in zip(places, radii, strict=True)) <= 1 + 1e-9)


# -------------------------------------------------------------- morphology


@pytest.mark.parametrize("block", [1 << 18, 1500])
@pytest.mark.parametrize(("shape", "radii"), [((50, 60), (3.0, 3.0)), ((50, 60), (2.0, 4.5)), ((14, 24, 26), (1.2, 2.5, 2.5))])
def test_morphology_is_that_of_scipy_for_each_label(monkeypatch, shape, radii, block):
    monkeypatch.setattr(morphology, "_BLOCK_VOXELS", block)
    labels, disc = patches(shape, sigma=3.0), ball(radii)
    eroded, opened = np.zeros_like(labels), np.zeros_like(labels)
    for value in (1, 2, 3):
        inner = ndimage.binary_erosion(labels == value, disc, border_value=1)
        eroded[inner] = value
        opened[ndimage.binary_dilation(inner, disc) & (labels == value)] = value
    assert np.array_equal(result_of(changed_steps(labels, "erode", radii)), eroded)
    assert np.array_equal(result_of(changed_steps(labels, "open", radii)), opened)
    one = (labels == 1).astype(np.uint8)
    assert np.array_equal(result_of(changed_steps(one, "dilate", radii)), ndimage.binary_dilation(one, disc))
    padded = np.pad(one, 12)
    closed = ndimage.binary_erosion(ndimage.binary_dilation(padded, disc), disc)[tuple(slice(12, -12) for _ in shape)]
    away = tuple(slice(5, -5) for _ in shape)  # beyond the border lies nothing there, here the unknown
    assert np.array_equal(result_of(changed_steps(one, "close", radii))[away], closed[away])


def test_dilating_reaches_as_far_as_scikit_images_expand_labels_and_takes_nothing_from_others():
    labels = np.where(np.random.default_rng(0).random((60, 60)) < 0.01, patches((60, 60), 6), 0)
    found = refined(labels, "morphology", operation="dilate", radius_px=4)
    assert np.array_equal(found > 0, expand_labels(labels, 4) > 0)
    assert np.array_equal(found[labels > 0], labels[labels > 0])
    assert refined([[1, 0, 0, 0, 2, 0]], "morphology", operation="dilate", radius_px=2).tolist() == [[1, 1, 1, 2, 2, 2]]


def test_closing_takes_nothing_from_others():
    labels = patches((50, 50), 4, sigma=2.0)
    found = refined(labels, "morphology", operation="close", radius_px=5)
    assert np.array_equal(found[labels > 0], labels[labels > 0])
    assert refined([[3, 0, 3, 0, 0, 5]], "morphology", operation="close", radius_px=1).tolist() == [[3, 3, 3, 0, 0, 5]]


def test_a_radius_in_micrometres_is_right_along_every_axis():
    labels = np.zeros((7, 15, 15), np.uint8)
    labels[3, 7, 7] = 1
    found = refined(labels, "morphology", spacing_um=(0.5, 0.1, 0.2), operation="dilate", radius_um=0.62, volume=True)
    z, y, x = np.indices(labels.shape) - np.array([3, 7, 7]).reshape(3, 1, 1, 1)
    assert np.array_equal(found == 1, (z * 0.5) ** 2 + (y * 0.1) ** 2 + (x * 0.2) ** 2 <= 0.62**2)
    with pytest.raises(SpacingError):
        refined(labels, "morphology", radius_um=1.0)


def test_slices_stay_apart_without_volume_and_time_points_always():
    labels = np.zeros((2, 3, 9, 9), np.uint8)
    labels[0, 1, 4, 4] = 1
    flat = refined(labels, "morphology", operation="dilate", radius_px=2)
    deep = refined(labels, "morphology", operation="dilate", radius_px=2, volume=True)
    assert [int(part.sum()) for part in flat[0]] == [0, 13, 0]
    assert deep[0, 0, 4, 4] == 1
    assert not flat[1].any()
    assert not deep[1].any()
    with pytest.raises(AxesError):
        refined(labels[0, 0], "morphology", volume=True)


# ------------------------------------------------------------------- holes


@pytest.mark.parametrize("shape", [(60, 70), (12, 20, 22)])
def test_holes_are_those_of_scipy(shape):
    mask = (patches(shape, 6, seed=5) > 0).astype(np.uint8)
    found = refined(mask, "fill-holes", **({"volume": True} if len(shape) == 3 else {}))
    assert np.array_equal(found, ndimage.binary_fill_holes(mask))
    assert not np.array_equal(found, mask)


def test_only_holes_up_to_a_size_are_filled_and_none_at_the_border():
    labels = np.full((9, 12), 4, np.uint8)
    labels[2:4, 2:4], labels[2:5, 7:10], labels[7:, 5] = 0, 0, 0
    expected = labels.copy()
    expected[2:4, 2:4] = 4
    assert np.array_equal(refined(labels, "fill-holes", largest_px=4), expected)
    assert np.array_equal(refined(labels, "fill-holes", spacing_um=(0.5, 0.5), largest_um=1.0), expected)
    expected[2:5, 7:10] = 4
    assert np.array_equal(refined(labels, "fill-holes"), expected)


def test_what_lies_in_a_hole_stays_and_fills_its_own():
    labels = np.zeros((15, 15), np.uint8)
    labels[1:14, 1:14], labels[3:12, 3:12], labels[5:10, 5:10], labels[6:9, 6:9] = 1, 0, 2, 0
    found = refined(labels, "fill-holes")
    expected = np.zeros((15, 15), np.uint8)
    expected[1:14, 1:14], expected[5:10, 5:10] = 1, 2
    assert np.array_equal(found, expected)


def test_a_channel_through_the_slices_is_a_hole_in_each_slice_but_not_in_the_volume():
    labels = np.ones((4, 7, 7), np.uint8)
    labels[:, 3, 3] = 0
    assert refined(labels, "fill-holes").all()
    assert np.array_equal(refined(labels, "fill-holes", volume=True), labels)


# ---------------------------------------------------------- size and shape


def shapes() -> np.ndarray:
    """A disc, a bar, a ring, and a speck, all of class 1; a disc of class 2."""
    y, x = np.mgrid[:60, :120]
    labels = np.zeros((60, 120), np.uint8)
    labels[(y - 20) ** 2 + (x - 20) ** 2 <= 100] = 1
    labels[18:22, 40:70] = 1
    distance = (y - 20) ** 2 + (x - 95) ** 2
    labels[(distance <= 150) & (distance >= 90)] = 1
    labels[50:52, 10:12] = 1
    labels[(y - 45) ** 2 + (x - 60) ** 2 <= 64] = 2
    return labels


def present(labels: np.ndarray) -> list[str]:
    places = {"disc": (20, 20), "bar": (20, 50), "ring": (20, 84), "speck": (50, 10), "other": (45, 60)}
    return [name for name, place in places.items() if labels[place]]


@pytest.mark.parametrize(
    ("params", "left"),
    [
        ({"smallest_px": 30}, ["disc", "bar", "ring", "other"]),
        ({"smallest_px": 0, "largest_px": 150}, ["bar", "speck"]),
        ({"solidity_from": 0.9}, ["disc", "bar", "other"]),
        ({"solidity_to": 0.9}, ["ring"]),
        ({"eccentricity_from": 0.9}, ["bar"]),
        ({"eccentricity_to": 0.5}, ["disc", "ring", "other"]),
        ({"eccentricity_to": 0.5, "solidity_from": 0.9}, ["disc", "other"]),
        ({"smallest_px": 30, "action": "remove"}, ["speck"]),
    ],
)
def test_objects_of_a_class_are_kept_by_their_own_size_and_shape(params, left):
    found = refined(shapes(), "size-and-shape", **params)
    assert present(found) == left
    assert np.array_equal(found[found > 0], shapes()[found > 0])


def test_keeping_and_removing_share_all_objects():
    labels = patches((60, 70), 4, sigma=1.5)
    rules = {"smallest_px": 12, "largest_px": 90, "solidity_from": 0.7, "eccentricity_to": 0.9}
    kept, rest = (refined(labels, "size-and-shape", action=action, **rules) for action in ("keep", "remove"))
    assert kept.any()
    assert rest.any()
    assert np.array_equal(kept + rest, labels)


def test_sizes_in_micrometres_need_a_spacing_and_ranges_an_end_behind_their_beginning():
    labels = np.zeros((4, 8, 8), np.uint8)
    labels[0:2, 1:3, 1:3], labels[2:, 5:, 5:] = 1, 2
    found = refined(labels, "size-and-shape", spacing_um=(2.0, 0.5, 0.5), smallest_um=5.0, smallest_px=0, volume=True)  # 4 and 9 µm³
    assert np.unique(found).tolist() == [0, 2]
    with pytest.raises(SpacingError):
        refined(labels, "size-and-shape", smallest_um=5.0)
    with pytest.raises(ParameterError, match="range of solidity"):
        refined(labels, "size-and-shape", solidity_from=0.8, solidity_to=0.2)


def test_numbered_objects_in_pieces_can_be_judged_as_one():
    labels = [[7, 7, 0, 7, 7, 0, 9, 9]]
    assert refined(labels, "size-and-shape", smallest_px=3).tolist() == [[0] * 8]
    assert refined(labels, "size-and-shape", smallest_px=3, whole_labels=True).tolist() == [[7, 7, 0, 7, 7, 0, 0, 0]]


# -------------------------------------------------------------- boundaries


@pytest.mark.parametrize("block", [1 << 20, 2500])
@pytest.mark.parametrize(("shape", "sigmas"), [((50, 60), (0.0, 2.0, 3.0)), ((10, 24, 26), (0.8, 1.5, 1.5))])
def test_each_pixel_takes_the_label_that_is_most_frequent_around_it(monkeypatch, shape, sigmas, block):
    monkeypatch.setattr(smooth_boundaries, "_BLOCK_VOXELS", block)
    labels = patches(shape, sigma=2.0)
    shares = [ndimage.gaussian_filter((labels == value).astype(float), sigmas[3 - len(shape) :], truncate=4) for value in range(4)]
    assert (result_of(smoothed_steps(labels, sigmas)) != np.argmax(shares, axis=0)).mean() < 1e-3


def test_neighbours_are_smoothed_without_a_gap():
    jagged = np.ones((40, 40), np.uint8)
    jagged[:, 20:] = 2
    jagged[::4, 18:22] = 2
    jagged[2::4, 18:22] = 1
    found = refined(jagged, "smooth-boundaries", sigma_px=3)
    assert found.all()
    assert set(np.flatnonzero(np.diff(found[20].astype(int)))) <= {18, 19, 20}
    assert np.array_equal(found[8:-8], np.tile(found[8], (24, 1)))


# ------------------------------------------------- components and the border


def test_the_largest_piece_of_each_label_stays():
    labels = [[1, 1, 0, 2, 0, 1, 0, 2, 2, 2], [0, 0, 0, 0, 0, 1, 0, 0, 0, 0]]
    assert refined(labels, "largest-component").tolist() == [[1, 1, 0, 0, 0, 0, 0, 2, 2, 2], [0] * 10]  # of equal ones the first
    labels = np.zeros((3, 5, 5), np.uint8)
    labels[0, :2, :2], labels[:, 4, 4] = 1, 1
    assert refined(labels, "largest-component")[1, 4, 4] == 1
    assert not refined(labels, "largest-component", volume=True)[1].any()


def test_small_pieces_go():
    labels = patches((50, 60), 4, sigma=1.0)
    expected = np.zeros_like(labels)
    for value in (1, 2, 3):
        parts, _ = ndimage.label(labels == value)
        expected[(np.bincount(parts.ravel()) >= 9)[parts] & (parts > 0)] = value
    assert np.array_equal(refined(labels, "remove-small", smallest_px=9), expected)
    assert np.array_equal(refined(labels, "remove-small", spacing_um=(0.5, 0.5), smallest_um=2.2), expected)


def test_what_touches_the_border_goes():
    labels, _ = ndimage.label(patches((40, 50), 2, seed=2, sigma=2.0))
    assert np.array_equal(refined(labels, "clear-border"), clear_border(labels))
    assert np.array_equal(refined(labels, "clear-border", margin_px=3), clear_border(labels, buffer_size=3))
    volume = np.zeros((3, 6, 6), np.uint8)
    volume[:2, 2:4, 2:4], volume[:, 0, 0] = 1, 2
    assert np.unique(refined(volume, "clear-border", volume=True)).tolist() == [0, 1]
    assert not refined(volume, "clear-border", volume=True, ends=True).any()


# ---------------------------------------------------------------- in chains


def test_it_comes_after_any_method():
    picture = np.full((40, 40), 20, np.uint8)
    picture[5:25, 5:25], picture[30, 30], picture[10, 10] = 200, 200, 20
    found = segment(Stack(picture, "YX"), "otsu", then=["remove-small:smallest_px=5", "fill-holes"]).labels.data
    expected = np.zeros((40, 40), bool)
    expected[5:25, 5:25] = True
    assert np.array_equal(found == 1, expected)
    with pytest.raises(DataError, match="makes labels anew"):
        segment(Stack(picture, "YX"), "otsu", then=["canny"])


def test_labels_outside_a_mask_stay_as_they_were():
    labels = np.zeros((10, 20), np.uint8)
    labels[2, 2], labels[2, 15] = 1, 1
    mask = np.zeros((10, 20), np.uint8)
    mask[:, :10] = 1
    found = segment(Stack(labels, "YX"), "remove-small", mask=mask).labels.data
    assert found[2, 2] == 0
    assert found[2, 15] == 1
