"""Watersheds against scikit-image, and against the definition: every pixel belongs to what reaches it at the lowest level."""

from __future__ import annotations

import heapq

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, generate_binary_structure
from skimage.measure import label
from skimage.morphology import h_minima, local_minima
from skimage.segmentation import watershed as flood

from napari_segtool.api import segment
from napari_segtool.core.errors import ParameterError
from napari_segtool.core.stack import Stack
from napari_segtool.methods._basins import basins_steps, passes_steps
from napari_segtool.methods._overflow import deep_enough_steps, flooded_steps


def finished(work):
    try:
        while True:
            next(work)
    except StopIteration as stop:
        return stop.value


def relief(shape, seed=0):
    ground = gaussian_filter(np.random.default_rng(seed).normal(size=shape), 2).astype(np.float32)
    return (ground - ground.min()) / np.ptp(ground) * 100


@pytest.mark.parametrize("shape", [(90, 110), (14, 30, 34)])
def test_basins_of_all_minima_are_those_of_scikit_image(shape):
    surface = relief(shape)
    found = finished(basins_steps(surface, np.ones(shape, bool)))
    expected = flood(surface, label(local_minima(surface, connectivity=1), connectivity=1))
    pairs = np.unique(np.stack([found.labels.ravel(), expected.ravel()]), axis=1)
    assert pairs.shape[1] == found.count == expected.max()


def test_water_on_a_plateau_runs_to_where_it_falls_and_a_flat_bottom_is_one_minimum():
    surface = np.array([[5, 5, 5, 1, 1, 4, 4, 4, 2, 9]], np.float32)
    found = finished(basins_steps(surface, np.ones(surface.shape, bool)))
    assert found.labels[0].tolist() == [1, 1, 1, 1, 1, 1, 1, 2, 2, 2] or found.labels[0].tolist() == [1, 1, 1, 1, 1, 1, 2, 2, 2, 2]
    assert found.bottom[1:].tolist() == [1, 2]


@pytest.mark.parametrize("depth", [3, 10, 25])
@pytest.mark.parametrize("shape", [(80, 90), (12, 28, 30)])
def test_as_many_minima_are_deep_enough_as_scikit_image_finds(shape, depth):
    surface = relief(shape, seed=1)
    basins = finished(basins_steps(surface, np.ones(shape, bool)))
    edges = finished(passes_steps(surface, basins.labels))
    expected = label(h_minima(surface, depth, footprint=generate_binary_structure(len(shape), 1)), connectivity=1).max()
    assert int(finished(deep_enough_steps(basins, edges, depth)).sum()) == expected


def lowest_level(surface, source):
    """Level at which water from ``source`` first reaches each pixel (the height of the source itself does not count)."""
    level = np.full(surface.shape, np.inf)
    waiting = [(-np.inf, tuple(place)) for place in np.argwhere(source)]
    for _, place in waiting:
        level[place] = -np.inf
    while waiting:
        reached, (y, x) = heapq.heappop(waiting)
        if reached > level[y, x]:
            continue
        for place in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)):
            if 0 <= place[0] < surface.shape[0] and 0 <= place[1] < surface.shape[1]:
                height = max(reached, float(surface[place]))
                if height < level[place]:
                    level[place] = height
                    heapq.heappush(waiting, (height, place))
    return level


@pytest.mark.parametrize("seed", range(4))
def test_every_pixel_belongs_to_a_marker_that_reaches_it_at_the_lowest_level(seed):
    surface = relief((40, 44), seed)
    generator = np.random.default_rng(seed)
    marks = np.zeros(surface.shape, np.uint8)
    for value in range(1, 5):
        y, x = generator.integers(2, 36, 2)
        marks[y, x : x + 4] = value
    basins = finished(basins_steps(surface, np.ones(surface.shape, bool), marks))
    edges = finished(passes_steps(surface, basins.labels))
    owner = np.append(0, marks.ravel()[basins.place[1:]]).astype(np.uint8)
    found = finished(flooded_steps(basins.count, edges, owner))[basins.labels]
    levels = np.stack([lowest_level(surface, marks == value) for value in range(1, 5)])
    own = np.take_along_axis(levels, found[None].astype(np.intp) - 1, axis=0)[0]
    assert np.array_equal(found[marks > 0], marks[marks > 0])
    assert (own <= levels.min(axis=0) + 1e-5).all()


def cells(seed=0):
    """Two by three cells with dark walls, and what lies in each."""
    picture, truth = np.full((90, 122), 180.0), np.zeros((90, 122), int)
    for row in range(2):
        for column in range(3):
            truth[45 * row + 3 : 45 * row + 43, 41 * column + 3 : 41 * column + 39] = 3 * row + column + 1
    picture[truth == 0] = 60
    return (picture + np.random.default_rng(seed).normal(0, 8, picture.shape)).clip(0, 255).astype(np.uint8), truth


def test_cells_with_dark_walls_are_parted_from_minima_and_from_paint():
    picture, truth = cells()
    stack = Stack(picture, "YX")
    found = segment(stack, "watershed", surface="dark", depth=20).labels.data
    assert found.max() == 6
    for value in range(1, 7):
        inside = found[truth == value]
        assert (inside == np.bincount(inside).argmax()).mean() > 0.98
    paint = np.zeros(truth.shape, np.uint8)
    for value in range(1, 7):
        y, x = np.argwhere(truth == value).mean(axis=0).astype(int)
        paint[y - 2 : y + 3, x - 2 : x + 3] = value
    painted = segment(stack, "watershed", markers="paint", surface="dark", paint=paint).labels.data
    assert (painted == truth)[truth > 0].mean() > 0.98
    lined = segment(stack, "watershed", markers="paint", surface="dark", paint=paint, lines=True).labels.data
    for axis in (0, 1):
        low, high = np.moveaxis(lined, axis, 0)[:-1], np.moveaxis(lined, axis, 0)[1:]
        assert not ((low != high) & (low > 0) & (high > 0)).any()


def test_compact_regions_end_half_way_between_their_markers_when_the_picture_says_nothing():
    picture = np.full((40, 80), 100, np.uint8)
    picture[0, 0] = 200
    paint = np.zeros(picture.shape, np.uint8)
    paint[20, 10], paint[20, 60] = 1, 2
    found = segment(Stack(picture, "YX"), "watershed", markers="paint", smoothing_px=0, compactness=50, paint=paint).labels.data
    expected = np.where(np.hypot(np.arange(40)[:, None] - 20, np.arange(80) - 10) < np.hypot(np.arange(40)[:, None] - 20, np.arange(80) - 60), 1, 2)
    assert (found != expected).mean() < 0.03


def test_paint_is_asked_for_with_a_hint_and_what_has_no_value_is_not_crossed():
    picture, truth = cells()
    with pytest.raises(ParameterError, match="paint") as refusal:
        segment(Stack(picture, "YX"), "watershed", markers="paint")
    assert refusal.value.hint
    values = picture.astype(np.float32)
    values[:, 60] = np.nan
    paint = np.zeros(truth.shape, np.uint8)
    paint[20, 20] = 1
    found = segment(Stack(values, "YX"), "watershed", markers="paint", paint=paint).labels.data
    assert found[:, :60].all()
    assert not found[:, 60:].any()


def test_flooding_through_the_slices_joins_what_flooding_in_each_does_not():
    picture, truth = cells()
    stack = Stack(np.stack([picture] * 4), "ZYX")
    found = segment(stack, "watershed", surface="dark", depth=20, volume=True).labels.data
    assert found.max() == 6
    assert all(np.array_equal(plane, found[0]) or (plane != found[0]).mean() < 0.05 for plane in found)
    assert len(np.unique(found[0][truth > 0])) == 6
