"""Filling holes and removing small objects against scikit-image, SciPy, cc3d and arrays worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import binary_fill_holes, gaussian_filter, generate_binary_structure
from skimage.morphology import area_opening, reconstruction, remove_small_objects

from napari_segtool.api import apply_filter
from napari_segtool.core.errors import SpacingError
from napari_segtool.core.progress import drain
from napari_segtool.core.registry import FILTERS
from napari_segtool.core.stack import Stack
from napari_segtool.preprocess import _components, _level_sets


def noise(shape: tuple[int, ...], dtype: str = "uint8", seed: int = 7, grey: int = 200) -> np.ndarray:
    return (np.random.default_rng(seed).random(shape) * grey).astype(dtype)


def filled(data: np.ndarray) -> np.ndarray:
    """Filled by scikit-image: eroded reconstruction from the border."""
    seed = np.full(data.shape, data.max())
    for axis, n in enumerate(data.shape):
        for end in (0, n - 1):
            at = tuple(end if i == axis else slice(None) for i in range(data.ndim))
            seed[at] = data[at]
    return reconstruction(seed, data, method="erosion", footprint=generate_binary_structure(data.ndim, 1))


def small_slabs(monkeypatch) -> None:
    monkeypatch.setattr(_components, "SLAB_VOXELS", 60)


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_any_picture_is_filled_and_rid_of_small_objects_as_by_scikit_image(data):
    volume = data.draw(st.booleans())
    shape = tuple(data.draw(st.integers(3, 8)) for _ in range(3 if volume else 2))
    grey = data.draw(st.sampled_from([1.99, 4, 30, 250]))
    dtype = data.draw(st.sampled_from(["uint8", "uint16", ">u2", "int16", "int32", "float32", "float64"]))
    picture = noise(shape, dtype, data.draw(st.integers(0, 999)), grey) - (np.dtype(dtype).type(20) if np.dtype(dtype).kind != "u" else 0)
    stack = Stack(picture, "ZYX"[-len(shape) :])
    exact = picture.astype(float)
    assert np.array_equal(apply_filter(stack, "fill-holes", volume=volume).data, filled(exact))
    assert np.array_equal(apply_filter(stack, "fill-holes", holes="bright", volume=volume).data, -filled(-exact))
    smallest = data.draw(st.integers(1, 9))  # scikit-image makes 0 of a picture that is itself too small
    for objects, sign in (("bright", 1), ("dark", -1)):
        found = apply_filter(stack, "remove-small", smallest_px=smallest, objects=objects, volume=volume).data
        assert np.array_equal(found, sign * area_opening(sign * exact, smallest, connectivity=len(shape)))


@pytest.mark.parametrize("dtype", ["uint8", "int32", "float32", "float64"])
def test_volumes_in_many_slabs_and_told_apart_bit_by_bit_are_the_same(dtype, monkeypatch):
    volume = noise((5, 8, 7), dtype, grey=9) - (0 if dtype == "uint8" else np.dtype(dtype).type(4))
    expected = {name: apply_filter(Stack(volume, "ZYX"), name, volume=True).data for name in ("fill-holes", "remove-small")}
    small_slabs(monkeypatch)
    monkeypatch.setattr(_level_sets, "_SORTED_VOXELS", 1)
    assert len(_components.slabs_of(volume.shape)) == 5
    for name, whole in expected.items():
        assert np.array_equal(apply_filter(Stack(volume, "ZYX"), name, volume=True).data, whole)
        for flag in ("bright", "dark"):
            more = {"holes": flag} if name == "fill-holes" else {"objects": flag, "smallest_px": 9}
            found = apply_filter(Stack(volume, "ZYX"), name, volume=True, **more).data
            exact = volume.astype(float)
            peer = filled if name == "fill-holes" else lambda data: -area_opening(-data, 9, connectivity=3)
            sign = 1 if flag == "dark" else -1
            assert np.array_equal(found, sign * peer(sign * exact))


def test_masks_are_filled_as_by_scipy_and_rid_of_small_objects_as_by_scikit_image():
    mask = gaussian_filter(noise((6, 60, 60), "float64"), (0.5, 1.5, 1.5)) > 103
    for volume in (False, True):
        found = apply_filter(Stack(mask, "ZYX"), "fill-holes", volume=volume).data
        parts = [mask] if volume else list(mask)
        assert np.array_equal(found.reshape(-1, 60, 60), np.concatenate([binary_fill_holes(part).reshape(-1, 60, 60) for part in parts]))
        found = apply_filter(Stack(mask, "ZYX"), "remove-small", smallest_px=30, volume=volume).data
        expected = [remove_small_objects(part, max_size=29, connectivity=part.ndim).reshape(-1, 60, 60) for part in parts]
        assert found.dtype == bool
        assert np.array_equal(found.reshape(-1, 60, 60), np.concatenate(expected))


def test_a_dim_middle_becomes_as_bright_as_the_lowest_place_of_its_rim():
    picture = np.array(
        [
            [1, 1, 1, 1, 1, 1],
            [1, 9, 9, 9, 9, 1],
            [1, 9, 2, 3, 8, 1],
            [1, 9, 9, 7, 9, 1],
            [1, 1, 1, 1, 1, 1],
        ],
        np.uint8,
    )
    expected = picture.copy()
    expected[2, 2:4] = 7
    assert np.array_equal(apply_filter(Stack(picture, "YX"), "fill-holes").data, expected)


def test_pixels_that_touch_at_corners_enclose_a_hole_and_are_one_object():
    diamond = np.array([[0, 0, 0, 0, 0], [0, 0, 1, 0, 0], [0, 1, 0, 1, 0], [0, 0, 1, 0, 0], [0, 0, 0, 0, 0]], np.uint8)
    assert apply_filter(Stack(diamond, "YX"), "fill-holes").data[2, 2] == 1
    assert np.array_equal(apply_filter(Stack(diamond, "YX"), "remove-small", smallest_px=4).data, diamond)
    assert not apply_filter(Stack(diamond, "YX"), "remove-small", smallest_px=5).data.any()


def test_a_hole_that_is_open_in_another_slice_is_none_in_a_volume():
    volume = np.zeros((5, 7, 7), np.uint8)
    volume[1:4, 1:6, 1:6] = 1
    volume[1:4, 3, 3] = 0
    volume[1, 3, 3] = 0
    through = apply_filter(Stack(volume, "ZYX"), "fill-holes", volume=True).data
    assert not through[:, 3, 3].any()
    assert apply_filter(Stack(volume, "ZYX"), "fill-holes").data[1:4, 3, 3].all()
    volume[1, 3, 3] = volume[3, 3, 3] = 1
    assert apply_filter(Stack(volume, "ZYX"), "fill-holes", volume=True).data[2, 3, 3] == 1


def test_an_area_in_um_counts_the_size_of_a_pixel_and_in_a_volume_of_a_voxel():
    mask = np.zeros((2, 12, 12), np.uint8)
    mask[:, 1:4, 1:5] = 1  # 12 pixels in each slice
    stack = Stack(mask, "ZYX", (2.0, 0.5, 0.25))
    assert apply_filter(stack, "remove-small", smallest_um2=1.5).data.any()
    assert not apply_filter(stack, "remove-small", smallest_um2=1.51).data.any()
    assert apply_filter(stack, "remove-small", smallest_um2=6, volume=True).data.any()
    assert not apply_filter(stack, "remove-small", smallest_um2=6.1, volume=True).data.any()
    with pytest.raises(SpacingError, match="no spacing"):
        apply_filter(Stack(mask, "ZYX"), "remove-small", smallest_um2=1)


@pytest.mark.parametrize("volume", [False, True])
def test_an_outside_without_values_is_the_outside_of_holes_and_no_part_of_objects(volume):
    nan = np.nan
    picture = np.array(
        [
            [1, 1, 1, 1, 1, 1, 1],
            [1, 5, 5, 5, 5, 5, 1],
            [1, 5, 0, 5, 0, nan, 1],
            [1, 5, 5, 5, 5, 5, 1],
            [1, 1, 1, 1, 1, 1, 1],
        ],
        np.float32,
    )
    stack = Stack(np.stack([picture * 0 + 1, picture, picture * 0 + 1]) if volume else picture, "ZYX"[not volume :])
    found = apply_filter(stack, "fill-holes", volume=volume).data
    plane = found[1] if volume else found
    assert plane[2, 2] == (5 if not volume else 1)
    assert plane[2, 4] == 0
    assert np.isnan(plane[2, 5])
    islands = np.array([[7, 7, nan, 3, 9, 3, nan, 4, nan, np.inf, nan, 8, 8, 8]], np.float32)
    kept = apply_filter(Stack(islands, "YX"), "remove-small", smallest_px=2).data
    assert np.array_equal(kept, [[7, 7, nan, 3, 3, 3, nan, 4, nan, np.inf, nan, 8, 8, 8]], equal_nan=True)


def test_a_picture_smaller_than_the_smallest_object_keeps_its_darkest_value():
    picture = np.array([[5, 9], [7, 9]], np.uint8)
    assert (apply_filter(Stack(picture, "YX"), "remove-small", smallest_px=100).data == 5).all()
    assert (apply_filter(Stack(picture, "YX"), "remove-small", smallest_px=100, objects="dark").data == 9).all()


def test_the_finest_difference_of_floats_counts():
    base = np.float32(1000)
    above = np.nextafter(base, np.float32(2000))
    row = np.array([[base, above, base, above, above, base]])
    assert np.array_equal(apply_filter(Stack(row, "YX"), "remove-small", smallest_px=2).data, [[base, base, base, above, above, base]])


@pytest.mark.parametrize("name", ["fill-holes", "remove-small"])
def test_a_volume_is_worked_on_in_many_small_steps(name, monkeypatch):
    small_slabs(monkeypatch)
    entry = FILTERS.get(name)
    seen = []
    drain(entry.function(Stack(noise((8, 8, 8)), "ZYX"), entry.params(volume=True)), lambda progress: seen.append(progress.fraction))
    assert len(seen) > 8 * 8
    assert seen == sorted(seen)
