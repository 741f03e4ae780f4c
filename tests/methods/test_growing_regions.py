"""Region growing and the seeds it starts from."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_segtool.api import segment
from napari_segtool.core.errors import ParameterError
from napari_segtool.core.stack import Stack
from napari_segtool.methods._points import Seed, check_seeds, parse_points


def grow(data, seeds: str, axes: str = "", **params) -> np.ndarray:
    data = np.asarray(data)
    params = {"smoothing_px": 0.0, **params}
    return segment(Stack(data, axes or "ZYX"[-data.ndim :]), "region-growing", seeds=seeds, **params).labels.data


def waves(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    from scipy.ndimage import gaussian_filter

    smooth = gaussian_filter(np.random.default_rng(seed).normal(size=shape), 1.5)
    return np.interp(smooth, (smooth.min(), smooth.max()), (0, 255)).astype(np.uint8)


# ----------------------------------------------------------------- growing


@pytest.mark.parametrize("shape", [(40, 50), (6, 30, 30)])
@pytest.mark.parametrize("corners", [False, True])
def test_a_region_is_that_of_scikit_images_flood(shape, corners):
    from skimage.segmentation import flood

    data, place = waves(shape), tuple(n // 2 for n in shape)
    found = grow(data, ",".join(map(str, place)), tolerance=20, grow_in="volume", corners=corners)
    expected = flood(data, place, tolerance=int(0.2 * 255), connectivity=len(shape) if corners else 1)
    assert np.array_equal(found > 0, expected)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**16), st.floats(0.2, 0.8), st.booleans(), st.tuples(st.integers(1, 9), st.integers(1, 9), st.integers(1, 9)))
def test_the_region_of_any_noise_is_the_connected_component_that_scipy_finds(seed, share, corners, shape):
    from scipy.ndimage import generate_binary_structure, label

    generator = np.random.default_rng(seed)
    data = (generator.random(shape) < share).astype(np.uint8) * 200
    place = tuple(generator.integers(0, n) for n in shape)
    parts, _ = label(data == data[place], generate_binary_structure(3, 3 if corners else 1))
    found = grow(data, ",".join(map(str, place)), tolerance=10, grow_in="volume", corners=corners)
    assert np.array_equal(found > 0, parts == parts[place])


def test_a_way_that_goes_up_and_down_through_the_slices_many_times_is_followed_to_its_end():
    data = np.zeros((9, 5, 41), np.uint8)
    data[:, 2, ::2] = 200  # shafts,
    data[-1, 2, 1::4] = data[0, 2, 3::4] = 200  # joined at the bottom and at the top in turn
    assert np.array_equal(grow(data, "4,2,0", grow_in="volume") > 0, data > 0)
    data[0, 2, 23] = 0
    assert not grow(data, "4,2,0", grow_in="volume")[:, 2, 23:].any()


def test_slices_that_the_region_does_not_get_to_are_not_searched(monkeypatch):
    from napari_segtool.methods import _growth

    searched = []
    numbered = _growth._numbered
    monkeypatch.setattr(_growth, "_numbered", lambda z, *rest: searched.append(z) or numbered(z, *rest))
    data = np.zeros((200, 8, 8), np.uint8)
    data[90:95, 2:5, 2:5] = 100
    found = grow(data, "92,3,3", grow_in="volume")
    assert np.array_equal(found > 0, data > 0)
    assert set(range(89, 96)) <= set(searched)
    assert len(searched) < 20


def test_a_region_is_that_of_simpleitk():
    sitk = pytest.importorskip("SimpleITK")
    data = waves((6, 30, 30), seed=1).astype(np.float32)
    centre = float(data[3, 15, 15])
    expected = sitk.GetArrayFromImage(sitk.ConnectedThreshold(sitk.GetImageFromArray(data), [(15, 15, 3)], centre - 51, centre + 51))
    assert np.array_equal(grow(data, "3,15,15", tolerance=20, grow_in="volume"), expected)


def test_in_a_slice_it_grows_there_only():
    data = np.zeros((3, 5, 5), np.uint8)
    data[:, 1:4, 1:4] = 200
    found = grow(data, "1,2,2:7")
    assert np.array_equal(found[1], np.where(data[1] > 0, 7, 0))
    assert not found[[0, 2]].any()
    assert np.array_equal(grow(data, "1,2,2:7", grow_in="volume"), np.where(data > 0, 7, 0))


def test_seeds_of_one_label_are_joined_and_others_kept_apart():
    data = np.array([[200, 0, 200, 0, 100]], np.uint8)
    assert grow(data, "0,0:1; 0,2:1; 0,4:5").tolist() == [[1, 0, 1, 0, 5]]


def test_a_contested_pixel_goes_to_the_seed_nearest_in_grey_and_else_to_the_earlier_one():
    ramp = np.array([[0, 10, 20, 30, 40]], np.uint8)
    assert grow(ramp, "0,0:1; 0,4:2", tolerance=100).tolist() == [[1, 1, 1, 2, 2]]
    assert grow(ramp, "0,4:2; 0,0:1", tolerance=100).tolist() == [[1, 1, 2, 2, 2]]


def test_time_points_are_never_joined():
    data = np.zeros((2, 3, 4, 4), np.uint8)
    data[:, :, 1:3, 1:3] = 90
    found = grow(data, "1,1,1,1:3", axes="TZYX", grow_in="volume")
    assert not found[0].any()
    assert np.array_equal(found[1] == 3, data[1] > 0)


def test_pages_of_unknown_meaning_are_grown_through_when_asked():
    data = np.zeros((3, 4, 4), np.uint8)
    data[:, 1:3, 1:3] = 90
    assert np.array_equal(grow(data, "1,1,1", axes="QYX", grow_in="volume") == 1, data > 0)


def test_axes_in_any_order_take_seeds_in_that_order():
    data = waves((5, 12, 9), seed=2)
    expected = grow(data, "2,6,4:1; 3,1,1:2", grow_in="volume", tolerance=25)
    turned = grow(data.transpose(2, 0, 1), "4,2,6:1; 1,3,1:2", axes="XZY", grow_in="volume", tolerance=25)
    assert np.array_equal(turned, expected.transpose(2, 0, 1))


def test_without_tolerance_only_equal_pixels_are_taken_even_when_smoothed_floats():
    data = np.full((12, 12), 0.1, np.float32)
    data[6:] = 0.9
    found = grow(data, "2,2", tolerance=0.0)
    assert np.array_equal(found == 1, data < 0.5)
    smoothed = grow(data, "1,1", tolerance=0.0, smoothing_px=1.0)
    assert smoothed[:2].all()
    assert not smoothed[6:].any()


def test_smoothing_keeps_noise_from_stopping_it():
    noisy = np.clip(np.random.default_rng(0).normal(120, 30, (60, 60)), 0, 255).astype(np.uint8)
    noisy[:, 40:] = 250
    assert (grow(noisy, "30,20", smoothing_px=3.0, tolerance=15)[:, :34] > 0).mean() > 0.99
    assert (grow(noisy, "30,20", smoothing_px=0.0, tolerance=5)[:, :34] > 0).mean() < 0.6


def test_labels_take_the_smallest_type():
    assert grow([[1, 1]], "0,0:255").dtype == np.uint8
    assert grow([[1, 1]], "0,0:256").dtype == np.uint16


# ------------------------------------------------------------------- seeds


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.lists(st.integers(0, 10**6), min_size=1, max_size=4), st.integers(1, 65535)), max_size=6))
def test_places_survive_writing_and_reading(places):
    text = "; ".join(f"{','.join(map(str, place))}:{label}" for place, label in places)
    assert parse_points(text) == tuple(Seed(tuple(place), label) for place, label in places)


def test_labels_may_be_left_out_and_fractions_are_rounded():
    assert parse_points(" 1.4, 2.5 ;; 3,4:2;") == (Seed((1, 3), 1), Seed((3, 4), 2))
    assert parse_points("  ") == ()


@pytest.mark.parametrize("text", ["a,b", "1,2:x", "1,,2", "1,2:1.5", ":3", "nan,2", "inf,2:1", "1;2:3:4"])
def test_what_is_not_a_place_is_refused_by_name(text):
    with pytest.raises(ParameterError, match="is not a place") as caught:
        parse_points(text)
    assert "4,120,80:1" in caught.value.hint


@pytest.mark.parametrize("label", ["0", "-1", "65536"])
def test_labels_out_of_range_are_refused(label):
    with pytest.raises(ParameterError, match=f"label {label} "):
        parse_points(f"1,2:{label}")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no seed"),
        ("1,2", "2 coordinate"),
        ("1,2,3,4", "4 coordinate"),
        ("3,0,0", "Z runs from 0 to 2"),
        ("0,-1,0", "outside"),
        ("0,0,5", "X runs from 0 to 4"),
    ],
)
def test_seeds_that_do_not_fit_the_picture_are_refused_with_its_axes(text, message):
    with pytest.raises(ParameterError, match=message) as caught:
        check_seeds(parse_points(text), Stack(np.zeros((3, 4, 5)), "ZYX"))
    assert caught.value.hint


def test_a_seed_on_a_pixel_without_a_value_is_refused():
    data = np.ones((4, 4), np.float32)
    data[1, 1] = np.nan
    data[0, 0] = 2
    with pytest.raises(ParameterError, match=r"The seed 1,1 stands on a pixel without a value"):
        grow(data, "1,1")


@pytest.mark.data
def test_on_a_real_stack_a_cell_is_what_scikit_image_floods(data_folder):
    from skimage.segmentation import flood
    from tifffile import imread

    data = imread(data_folder / "isbi2012_em" / "image.tif", key=range(3))
    span = int(data.max()) - int(data.min())
    found = grow(data, "1,200,200:4", tolerance=10, grow_in="volume")
    assert np.array_equal(found == 4, flood(data, (1, 200, 200), tolerance=int(0.1 * span), connectivity=1))
