"""Canny edges and the regions they enclose."""

from __future__ import annotations

import numpy as np
import pytest

from napari_segtool.api import segment, segment_rule_steps
from napari_segtool.core.errors import ParameterError
from napari_segtool.core.progress import drain
from napari_segtool.core.stack import Stack
from napari_segtool.methods._edges import enclosed_regions
from tests.contract.pictures import dice


def canny(data, axes: str = "", **params) -> np.ndarray:
    data = np.asarray(data)
    return segment(Stack(data, axes or "ZYX"[-data.ndim :]), "canny", **params).labels.data


def disc(radius: float, size: int = 80, centre: tuple[float, float] = (40, 40)) -> np.ndarray:
    y, x = np.mgrid[:size, :size]
    return (y - centre[0]) ** 2 + (x - centre[1]) ** 2 <= radius**2


def picture(mask: np.ndarray, noise: float = 8, dark: float = 60, bright: float = 190) -> np.ndarray:
    return np.clip(np.where(mask, bright, dark) + np.random.default_rng(0).normal(0, noise, mask.shape), 0, 255).astype(np.uint8)


def outline(*shape: int) -> np.ndarray:
    lines = np.zeros(shape, bool)
    lines[2, 2:-2] = lines[-3, 2:-2] = lines[2:-2, 2] = lines[2:-2, -3] = True
    return lines


# ------------------------------------------------------------------- edges


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32", "float64"])
@pytest.mark.parametrize("sigma", [0.8, 2.0, 6.0])
def test_edges_are_pixel_for_pixel_those_of_scikit_image(dtype, sigma):
    from skimage.feature import canny as skimage_canny

    data = (picture(disc(25) | disc(10, centre=(15, 65)), noise=20).astype(float) * (200 if dtype == "uint16" else 1)).astype(dtype)
    scale = 200 if dtype == "uint16" else 1
    ours = canny(data, output="edges", smoothing_px=sigma, strongest=100.0 * scale, low=10, high=30) > 0
    theirs = skimage_canny(data, sigma=sigma, low_threshold=10 * scale, high_threshold=30 * scale)
    inside = (slice(1, -1), slice(1, -1))  # scikit-image leaves the outermost pixels out
    assert theirs.sum() > 100
    assert (ours != theirs)[inside].sum() <= 2  # we reckon in 32-bit floats, and it in 64


def test_edges_beside_pixels_without_a_value_are_those_of_scikit_image_with_a_mask():
    from skimage.feature import canny as skimage_canny

    data = picture(disc(25)).astype(np.float32)
    known = np.random.default_rng(1).random(data.shape) > 0.02
    known[30:50, 10:20] = False
    ours = canny(np.where(known, data, np.nan), output="edges", strongest=100.0, low=20, high=40) > 0
    theirs = skimage_canny(data, sigma=2.0, low_threshold=20, high_threshold=40, mask=known)
    assert theirs.sum() > 40
    assert (ours != theirs)[1:-1, 1:-1].sum() <= 1


def test_edges_reach_the_border_of_the_picture_and_none_runs_along_it():
    data = np.full((40, 40), 50, np.uint8)
    data[:, 20:] = 200
    edges = canny(data, output="edges") > 0
    assert edges[:, 19:21].any(axis=1).all()
    assert not edges[:, :18].any()
    assert not edges[:, 22:].any()


def test_the_strongest_edge_of_a_large_stack_is_found_though_not_every_pixel_is_looked_at():
    data = np.random.default_rng(0).normal(100, 2, (10, 1000, 1000)).astype(np.float32)
    squares = (np.indices((1000, 1000)) // 25).sum(axis=0) % 2 == 0
    data[3:7, squares] += 80
    whole = Stack(data, "ZYX")
    drain(segment_rule_steps(whole, "canny"))
    drain(segment_rule_steps(alone := Stack(data[4], "YX"), "canny"))
    (measured,), (expected,) = (stack.memo["strongest edges"].values() for stack in (whole, alone))
    assert measured == pytest.approx(expected, rel=0.03)


def test_the_edge_of_a_disc_is_a_circle_one_pixel_wide_at_its_radius():
    edges = np.argwhere(canny(picture(disc(25), noise=0), output="edges") > 0)
    radii = np.hypot(*(edges - 40).T)
    assert np.abs(radii - 25.5).max() < 1.5
    assert 0.7 * 2 * np.pi * 25 < len(edges) < 1.3 * 2 * np.pi * 25


def test_a_weak_edge_counts_only_where_it_continues_a_strong_one():
    data = np.full((60, 60), 50.0)
    data[:, 30:] = np.linspace(80, 250, 60)[:, None]  # the step grows from weak to strong along Y
    data[5:25, 5:15] += 25  # a weak box that touches nothing strong
    edges = canny(data, output="edges", smoothing_px=1, low=10, high=60) > 0
    assert edges[5:, 29:31].any(axis=1).mean() > 0.95
    assert not edges[:, :25].any()


def test_strength_is_measured_over_the_whole_stack_unless_each_slice_is_asked_for():
    strong, weak = picture(disc(20), noise=0), picture(disc(20), noise=0, dark=60, bright=75)
    stack = np.stack([strong, weak])
    assert canny(stack).max(axis=(1, 2)).tolist() == [1, 0]
    assert canny(stack, per_slice=True).max(axis=(1, 2)).tolist() == [1, 1]


def test_a_picture_without_edges_has_no_regions():
    for data in (np.full((2, 30, 30), 9, np.uint8), np.full((30, 30), 0.1, np.float32), np.zeros((4, 4), np.uint16)):
        assert not canny(data).any()
        assert not canny(data, output="edges").any()
        assert not canny(data, output="edges", high=0, low=0).any()


def test_a_low_limit_above_the_high_one_is_refused():
    with pytest.raises(ParameterError, match="low = 50 % lies above high = 30 %"):
        canny(np.eye(5), low=50, high=30)


# ----------------------------------------------------------------- regions


@pytest.mark.parametrize("radius", [8, 15, 30])
@pytest.mark.parametrize("brighter", [True, False])
def test_a_noisy_disc_is_one_region_of_its_size(radius, brighter):
    data = picture(disc(radius))
    found = canny(data if brighter else 255 - data)
    assert found.max() == 1
    assert dice(found == 1, disc(radius)) > 0.96
    assert found.dtype == np.uint8


def test_an_outline_with_a_gap_is_closed_and_one_with_a_wider_gap_is_not():
    lines = outline(30, 30)
    lines[2, 12:15] = False
    assert enclosed_regions(lines, gap_px=3, smallest_px=1, cut_regions=False).max() == 1
    lines[2, 8:20] = False
    assert enclosed_regions(lines, gap_px=3, smallest_px=1, cut_regions=False).max() == 0


def test_a_gap_in_a_slanting_outline_is_closed_too():
    ring = disc(20, 60, (30, 30)) & ~disc(19, 60, (30, 30))
    for angle in np.linspace(0, np.pi, 7):
        y, x = 30 + 19.5 * np.sin(angle), 30 + 19.5 * np.cos(angle)
        broken = ring & ~disc(2, 60, (y, x))
        found = enclosed_regions(broken, gap_px=6, smallest_px=1, cut_regions=False)
        assert found.max() == 1
        assert dice(found == 1, disc(20, 60, (30, 30))) > 0.97


def test_closing_gaps_takes_nothing_from_a_region_whose_outline_is_whole():
    lines = outline(30, 30)
    found = enclosed_regions(lines, gap_px=8, smallest_px=1, cut_regions=False)
    assert np.array_equal(found, enclosed_regions(lines, gap_px=0, smallest_px=1, cut_regions=False))


def test_a_region_reaches_its_outline_and_a_shared_line_stays_0():
    lines = outline(20, 31)
    lines[2:-2, 15] = True
    found = enclosed_regions(lines, gap_px=0, smallest_px=1, cut_regions=False)
    assert found.max() == 2
    assert (found[3:-3, 3:15] == 1).all()
    assert (found[3:-3, 16:-3] == 2).all()
    assert not found[3:-3, 15].any()
    assert (found[2, 4:13] == 1).all()  # the outline itself belongs to the region
    assert not found[:2].any()


def test_a_loose_end_inside_a_region_does_not_cut_it():
    lines = outline(20, 20)
    lines[3:12, 10] = True
    found = enclosed_regions(lines, gap_px=0, smallest_px=1, cut_regions=False)
    assert (found[3:-3, 3:-3] == 1).all()


def test_regions_cut_by_the_border_are_kept_on_request_only():
    lines = np.zeros((20, 20), bool)
    lines[:, 10] = True
    assert not enclosed_regions(lines, gap_px=0, smallest_px=1, cut_regions=False).any()
    found = enclosed_regions(lines, gap_px=0, smallest_px=1, cut_regions=True)
    assert (found[:, :10] == 1).all()
    assert (found[:, 11:] == 2).all()


def test_small_regions_are_dropped_and_the_rest_numbered_without_holes():
    lines = np.zeros((20, 40), bool)
    lines[5:15, [2, 6, 10, 30]] = True
    lines[[5, 14], 2:31] = True
    found = enclosed_regions(lines, gap_px=0, smallest_px=60, cut_regions=False)
    assert np.unique(found).tolist() == [0, 1]
    assert found[10, 20] == 1
    assert enclosed_regions(lines, gap_px=0, smallest_px=1, cut_regions=False).max() == 3


def test_many_regions_take_a_wider_type():
    lines = np.zeros((121, 121), bool)
    lines[::4] = lines[:, ::4] = True
    found = enclosed_regions(lines, gap_px=0, smallest_px=1, cut_regions=False)
    assert found.max() == 30 * 30
    assert found.dtype == np.uint16


def test_slices_are_numbered_each_anew():
    stack = np.stack([picture(disc(20)), picture(disc(20) | disc(8, centre=(10, 68)))])
    assert canny(stack).max(axis=(1, 2)).tolist() == [1, 2]


@pytest.mark.data
def test_on_real_pictures_edges_are_those_of_scikit_image(data_folder):
    from skimage.feature import canny as skimage_canny
    from tifffile import imread

    for data in (imread(data_folder / "isbi2012_em" / "image.tif", key=3), imread(data_folder / "usgra_nerve_vessel_us" / "image.tif", key=7)):
        stack = Stack(data, "YX")
        ours = segment(stack, "canny", output="edges", low=20, high=40).labels.data > 0
        (strongest,) = stack.memo["strongest edges"].values()
        theirs = skimage_canny(data, sigma=2.0, low_threshold=0.2 * strongest, high_threshold=0.4 * strongest)
        assert theirs.sum() > 1000
        assert (ours != theirs)[1:-1, 1:-1].sum() < 0.001 * theirs.sum()
        usual = canny(data)
        assert usual.max() > 5
        assert usual.shape == data.shape
