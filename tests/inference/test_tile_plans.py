import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_segtool.nets._tiling import Tile, fitting_core, halved, plan_tiles, tile_around


@st.composite
def tasks(draw, most: int = 60):
    dimensions = draw(st.integers(2, 3))
    each = lambda low, high: tuple(draw(st.integers(low, high)) for _ in range(dimensions))  # noqa: E731
    multiple = tuple(2 ** draw(st.integers(0, 3)) for _ in range(dimensions))
    return each(1, most if dimensions == 2 else 24), each(1, 40), each(0, 12), multiple


def times_covered(tiles, shape):
    count = np.zeros(shape, int)
    for tile in tiles:
        count[tile.core] += 1
    return count


@given(tasks())
@settings(deadline=None, max_examples=150)
def test_the_cores_of_a_plan_cover_each_pixel_exactly_once(task):
    shape, core, halo, multiple = task
    assert (times_covered(plan_tiles(shape, core, halo, multiple), shape) == 1).all()


@given(tasks())
@settings(deadline=None, max_examples=150)
def test_every_tile_begins_on_the_networks_grid_and_shows_the_halo_wherever_there_are_pixels(task):
    shape, core, halo, multiple = task
    for tile in plan_tiles(shape, core, halo, multiple):
        for c, o, n, h, m in zip(tile.core, tile.outer, shape, halo, multiple, strict=True):
            assert o.start % m == 0
            assert o.start <= max(0, c.start - h)
            assert o.stop >= min(n, c.stop + h)
            assert 0 <= o.start < o.stop <= n


@given(tasks(), st.data())
@settings(deadline=None, max_examples=100)
def test_halving_tiles_any_number_of_times_still_covers_each_pixel_once(task, data):
    shape, core, halo, multiple = task
    tiles = list(plan_tiles(shape, core, halo, multiple))
    for _ in range(data.draw(st.integers(0, 6))):
        tile = tiles.pop(data.draw(st.integers(0, len(tiles) - 1)))
        tiles += halved(tile, shape, halo, multiple)
    assert (times_covered(tiles, shape) == 1).all()
    assert all(axis.start % m == 0 for tile in tiles for axis, m in zip(tile.outer, multiple, strict=True))


@given(tasks(), st.integers(1, 5000))
@settings(deadline=None, max_examples=150)
def test_tiles_chosen_for_a_limit_stay_below_it_unless_they_are_one_stride(task, limit):
    shape, _, halo, multiple = task
    core = fitting_core(shape, halo, multiple, limit)
    for tile in plan_tiles(shape, core, halo, multiple):
        smallest = all(n <= m for n, m in zip(tile.core_shape, multiple, strict=True))
        assert math.prod(tile.outer_shape) <= limit or smallest


def test_a_picture_that_fits_is_one_tile_without_halo():
    assert plan_tiles((300, 500), (304, 512), (40, 40), (16, 16)) == (Tile((slice(0, 300), slice(0, 500)), (slice(0, 300), slice(0, 500))),)


def test_a_tile_that_is_one_stride_long_is_not_halved():
    (tile,) = plan_tiles((8, 8), (8, 8), (3, 3), (8, 8))
    assert halved(tile, (8, 8), (3, 3), (8, 8)) == (tile,)


def test_a_region_is_covered_from_the_stride_below_its_start():
    tiles = plan_tiles((20, 8), (8, 8), (2, 2), (4, 4), (slice(9, 15), slice(0, 8)))
    assert [(tile.core[0].start, tile.core[0].stop) for tile in tiles] == [(8, 15)]


def test_a_region_that_ends_within_a_pooling_window_is_shown_all_that_the_window_needs():
    (tile,) = plan_tiles((60, 8), (60, 8), (5, 5), (4, 4), (slice(8, 15), slice(0, 8)))
    assert tile.core[0] == slice(8, 15)
    assert tile.outer[0] == slice(0, 24)  # the window ends at 16; 5 pixels beyond it, rounded up to the stride


def test_the_tile_around_one_pixel_shows_its_whole_aligned_surroundings():
    tile = tile_around((slice(21, 22), slice(0, 1)), (40, 40), (5, 5), (4, 4))
    assert tile.outer == (slice(12, 32), slice(0, 12))
    assert tile.inner == (slice(9, 10), slice(0, 1))
