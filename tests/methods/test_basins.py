"""Basins that run over: against water that rises step by step."""

from __future__ import annotations

import heapq

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_segtool.methods import _basins, _overflow
from napari_segtool.methods._basins import Basins, Edges, basins_steps, passes_steps
from napari_segtool.methods._overflow import deep_enough_steps, flooded_steps, overflowed_steps


def finished(work):
    try:
        while True:
            next(work)
    except StopIteration as stop:
        return stop.value


def landscape(seed: int, shape: tuple[int, ...], steps: int) -> tuple[Basins, Edges]:
    generator = np.random.default_rng(seed)
    heights = (generator.integers(0, steps, shape) if steps else generator.random(shape)).astype(np.float32)
    basins = finished(basins_steps(heights, generator.random(shape) < 0.95))
    return basins, finished(passes_steps(heights, basins.labels))


def by_rising_water(count: int, edges: Edges, marks: np.ndarray) -> np.ndarray:
    """Water rises from the marked basins; the lowest pass that it reaches is taken first."""
    passes: dict[int, list[tuple[float, int, int]]] = {basin: [] for basin in range(count + 1)}
    for number, (one, other, height) in enumerate(zip(edges.first.tolist(), edges.second.tolist(), edges.height.tolist(), strict=True)):
        passes[one].append((height, number, other))
        passes[other].append((height, number, one))
    found = marks.copy()
    waiting = [(*one, basin) for basin in np.flatnonzero(marks).tolist() for one in passes[basin]]
    heapq.heapify(waiting)
    while waiting:
        _, _, basin, source = heapq.heappop(waiting)
        if not found[basin]:
            found[basin] = found[source]
            for one in passes[basin]:
                heapq.heappush(waiting, (*one, basin))
    return found


shapes = st.lists(st.integers(1, 9), min_size=2, max_size=3).map(tuple)


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**16), shapes, st.sampled_from([0, 0, 5]), st.floats(0.05, 0.9))
def test_marked_basins_flood_those_that_rising_water_reaches_from_them(seed, shape, steps, share):
    basins, edges = landscape(seed, shape, steps)
    generator = np.random.default_rng(seed)
    marks = (generator.integers(1, 4, basins.count + 1) * (generator.random(basins.count + 1) < share)).astype(np.uint32)
    marks[0] = 0
    assert np.array_equal(finished(flooded_steps(basins.count, edges, marks)), by_rising_water(basins.count, edges, marks))


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**16), shapes, st.sampled_from([0, 5]), st.floats(0, 1.2))
def test_one_depth_for_all_basins_is_the_same_as_that_depth_for_each(seed, shape, steps, least):
    basins, edges = landscape(seed, shape, steps)
    least *= max(1, steps)
    together = finished(deep_enough_steps(basins, edges, least))
    assert np.array_equal(together, finished(deep_enough_steps(basins, edges, np.full(basins.count + 1, least))))
    marks = np.where(together, np.cumsum(together), 0).astype(np.uint32)
    assert np.array_equal(finished(overflowed_steps(basins, edges, least)), finished(flooded_steps(basins.count, edges, marks)))


def test_the_deeper_of_two_pits_is_kept_and_the_other_if_it_is_deep_enough():
    heights = np.array([[0, 5, 3, 9, 4]], np.float32)  # from the pit of 3 water runs over at 5, from that of 4 at 9
    basins = finished(basins_steps(heights, np.ones(heights.shape, bool)))
    edges = finished(passes_steps(heights, basins.labels))
    assert finished(deep_enough_steps(basins, edges, 2)).tolist() == [False, True, True, True]
    assert finished(deep_enough_steps(basins, edges, 2.5)).tolist() == [False, True, False, True]
    assert finished(deep_enough_steps(basins, edges, 6)).tolist() == [False, True, False, False]
    assert finished(overflowed_steps(basins, edges, 2.5))[basins.labels][0, [0, 2, 4]].tolist() == [1, 1, 2]


def test_passes_that_are_joined_range_by_range_are_those_found_at_once(monkeypatch):
    surface = np.random.default_rng(5).normal(size=(13, 17, 19)).astype(np.float32)
    basins = finished(basins_steps(surface, np.ones(surface.shape, bool)))
    at_once = finished(passes_steps(surface, basins.labels))
    monkeypatch.setattr(_basins, "PART", 64)
    monkeypatch.setattr(_basins, "_JOINED", 64)
    parted = finished(passes_steps(surface, basins.labels))
    for one, other in zip((at_once.first, at_once.second, at_once.height), (parted.first, parted.second, parted.height), strict=True):
        assert np.array_equal(one, other)
    assert len(at_once.first) > 500


@pytest.mark.parametrize("kind", ["ties", "below 0", "infinite", "exact in 64 bits only"])
def test_heights_are_ordered_range_by_range_as_in_one_go(monkeypatch, kind):
    heights = np.random.default_rng(4).normal(0, 3, 500).astype(np.float32).astype(np.float64)
    if kind == "ties":
        heights = np.round(heights)
    if kind == "infinite":
        heights[[0, 7]] = np.inf, -np.inf
    if kind == "exact in 64 bits only":
        heights += 1e-12
    monkeypatch.setattr(_overflow, "_SORTED", 16)
    assert np.array_equal(finished(_overflow._rising_steps(heights)), np.argsort(heights, kind="stable"))
