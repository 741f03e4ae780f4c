"""Erosion, dilation, opening, closing and top-hat against scikit-image, SciPy and arrays worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import grey_dilation, grey_erosion
from skimage import morphology

from napari_segtool.api import apply_filter
from napari_segtool.core.errors import AxesError, SpacingError
from napari_segtool.core.progress import drain
from napari_segtool.core.registry import FILTERS
from napari_segtool.core.stack import Stack

OPENING_LIKE = ["open", "close"]
ALL = ["erode", "dilate", *OPENING_LIKE, "top-hat"]


def noise(shape: tuple[int, ...], dtype: str = "uint8", seed: int = 7) -> np.ndarray:
    return (np.random.default_rng(seed).random(shape) * 200).astype(dtype)


def ellipsoid(*radii: float) -> np.ndarray:
    axes = np.meshgrid(*(np.arange(-int(r), int(r) + 1) for r in radii), indexing="ij")
    return sum((axis / max(r, 1e-9)) ** 2 for axis, r in zip(axes, radii, strict=True)) <= 1 + 1e-9


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "int32", "float32", "float64", "bool"])
@pytest.mark.parametrize("radius", [0, 1, 2, 5, 12])
def test_planes_are_those_of_scikit_image_with_a_disc(dtype, radius):
    plane = noise((30, 23), dtype) if dtype != "bool" else noise((30, 23)) > 170
    disc = morphology.disk(radius)
    pairs = {"erode": morphology.erosion, "dilate": morphology.dilation, "open": morphology.opening, "close": morphology.closing}
    for name, peer in pairs.items():
        assert np.array_equal(apply_filter(Stack(plane, "YX"), name, radius_px=radius).data, peer(plane, disc, mode="ignore")), name
    for keep, peer in (("bright", morphology.white_tophat), ("dark", morphology.black_tophat)):
        assert np.array_equal(apply_filter(Stack(plane, "YX"), "top-hat", radius_px=radius, keep=keep).data, peer(plane, disc, mode="ignore"))


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_volume_is_that_of_scipy_with_an_ellipsoid_of_equal_um(data):
    shape = tuple(data.draw(st.integers(1, n)) for n in (6, 9, 11))
    spacing = tuple(data.draw(st.sampled_from([0.5, 1.0, 1.5, 4.0])) for _ in range(3))
    radius = data.draw(st.sampled_from([0.0, 1.0, 1.5, 2.0, 3.7, 6.0]))
    volume = noise(shape, data.draw(st.sampled_from(["uint8", "float32", "int16"])), data.draw(st.integers(0, 99)))
    footprint = ellipsoid(*(radius * spacing[2] / step for step in spacing))
    for name, peer, beyond in (("erode", grey_erosion, 999), ("dilate", grey_dilation, -999)):
        found = apply_filter(Stack(volume, "ZYX", spacing), name, radius_px=radius, volume=True)
        assert np.array_equal(found.data, peer(volume.astype(float), footprint=footprint, mode="constant", cval=beyond))
        in_um = apply_filter(Stack(volume, "ZYX", spacing), name, radius_px=9, radius_um=radius * spacing[2], volume=True)
        assert radius == 0 or np.array_equal(in_um.data, found.data)


def test_a_ball_grown_in_thick_slices_reaches_as_far_in_um_along_z_as_along_x():
    spacing = (4.0, 1.0, 1.0)
    z, y, x = (np.arange(-n, n + 1) * step for n, step in zip((10, 40, 40), spacing, strict=True))
    distance = np.sqrt(z[:, None, None] ** 2 + y[:, None] ** 2 + x**2)
    ball = distance <= 12
    for name, radius in (("dilate", 20), ("erode", 4)):
        found = apply_filter(Stack(ball, "ZYX", spacing), name, radius_um=8, volume=True).data
        assert found[10, 40, 40 + radius]
        assert not found[10, 40, 41 + radius]
        assert found[10 + radius // 4, 40, 40]
        assert not found[11 + radius // 4, 40, 40]
        sure = np.abs(distance - radius) > 4  # the corners of the voxels of a ball lie up to a slice apart
        assert np.array_equal(found[sure], (distance <= radius)[sure])


def test_a_slice_farther_than_the_radius_is_not_looked_at():
    volume = noise((4, 12, 12))
    for name in ALL:
        alone = apply_filter(Stack(volume, "ZYX"), name, radius_px=3).data
        assert np.array_equal(apply_filter(Stack(volume, "ZYX", (4.0, 1.0, 1.0)), name, radius_px=3, volume=True).data, alone)


@pytest.mark.parametrize("name", OPENING_LIKE)
def test_opening_and_closing_twice_change_nothing_more_with_holes_too(name):
    data = noise((3, 25, 25), "float32")
    data[1, 5:15, 8:20] = np.nan
    data[0, 3, 3], data[2, 9, 9] = np.inf, -np.inf
    for volume in (False, True):
        once = apply_filter(Stack(data, "ZYX"), name, radius_px=2.5, volume=volume)
        twice = apply_filter(once, name, radius_px=2.5, volume=volume)
        assert np.array_equal(twice.data, once.data, equal_nan=True)
        known = np.isfinite(data)
        assert (once.data[known] <= data[known]).all() if name == "open" else (once.data[known] >= data[known]).all()


def test_pixels_without_a_value_are_not_seen_by_others():
    row = np.array([[1, 2, np.nan, 9, np.inf, 4, -np.inf]])
    assert np.array_equal(apply_filter(Stack(row, "YX"), "dilate", radius_px=1).data, [[2, 2, np.nan, 9, np.inf, 4, -np.inf]], equal_nan=True)
    assert np.array_equal(apply_filter(Stack(row, "YX"), "erode", radius_px=2).data, [[1, 1, np.nan, 2, np.inf, 4, -np.inf]], equal_nan=True)


def test_a_radius_far_beyond_the_picture_takes_the_extreme_of_all_and_no_longer():
    plane = noise((300, 400))
    for name, extreme in (("erode", plane.min()), ("dilate", plane.max())):
        assert (apply_filter(Stack(plane, "YX", (0.001, 0.001)), name, radius_um=900).data == extreme).all()


def test_objects_of_labels_shrink_and_grow_and_the_higher_number_wins_where_they_meet():
    labels = np.array([[1, 1, 1, 0, 0, 2, 2, 2]], np.uint16)
    assert apply_filter(Stack(labels, "YX"), "erode", radius_px=1).data.tolist() == [[1, 1, 0, 0, 0, 0, 2, 2]]
    assert apply_filter(Stack(labels, "YX"), "dilate", radius_px=2).data.tolist() == [[1, 1, 1, 2, 2, 2, 2, 2]]


def test_a_top_hat_keeps_small_spots_and_takes_uneven_light_away():
    y, x = np.mgrid[:80, :80]
    light = (50 + x).astype(float)
    spot = 60.0 * ((y - 40) ** 2 + (x - 40) ** 2 <= 9)
    kept = apply_filter(Stack(light + spot, "YX"), "top-hat", radius_px=8).data
    assert np.abs(kept - spot)[10:-10, 10:-10].max() < 3  # a disc fits a little way into the spot's slope
    assert np.array_equal(apply_filter(Stack(-(light + spot), "YX"), "top-hat", radius_px=8, keep="dark").data, kept)


def test_a_top_hat_of_signed_numbers_is_cut_at_their_largest():
    row = np.array([[-100, -100, 120, -100, -100]], np.int8)
    assert apply_filter(Stack(row, "YX"), "top-hat", radius_px=1).data.tolist() == [[0, 0, 127, 0, 0]]
    row = np.array([[-100, -100, 20, -100, -100]], np.int8)
    assert apply_filter(Stack(row, "YX"), "top-hat", radius_px=1).data.tolist() == [[0, 0, 120, 0, 0]]


def test_um_without_a_spacing_and_a_volume_without_slices_are_refused():
    for name in ALL:
        with pytest.raises(SpacingError, match="no spacing"):
            apply_filter(Stack(noise((4, 4)), "YX"), name, radius_um=0.1)
        with pytest.raises(AxesError, match="no slices"):
            apply_filter(Stack(noise((4, 4)), "YX"), name, volume=True)


def test_a_large_ball_is_worked_on_in_many_small_steps():
    entry = FILTERS.get("dilate")
    steps = entry.function(Stack(noise((3, 64, 64)), "ZYX"), entry.params(radius_px=20, volume=True))
    seen = []
    drain(steps, lambda progress: seen.append(progress.fraction))
    assert len(seen) > 3 * 10
