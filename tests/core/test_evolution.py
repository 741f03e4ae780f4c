"""Labels that evolve can be looked at on the way."""

from __future__ import annotations

import itertools

import numpy as np

from napari_segtool.core.planes import SteppedRule, evolved_plane, map_planes, plane_indices
from napari_segtool.core.progress import Evolution, Progress, Sketch, Sketches, as_progress
from napari_segtool.core.stack import Stack


def growing(plane):
    for step in range(1, 4):
        yield Sketch(step / 4, np.full(plane.shape, step + 10 * plane[0, 0], np.uint8))
    return np.full(plane.shape, 4 + 10 * plane[0, 0], np.uint8)


def test_a_sketch_of_a_plane_is_told_with_the_plane_it_belongs_to():
    data = np.arange(6, dtype=np.uint8).reshape(2, 3, 1, 1) * np.ones((1, 1, 4, 5), np.uint8)
    stack = Stack(data, "TZYX")
    for part in map_planes(stack, SteppedRule(growing)):
        if isinstance(part, Evolution):
            shown = {index: evolved_plane(part, stack, index) for index in plane_indices(stack)}
            (found,) = [(index, plane) for index, plane in shown.items() if plane is not None]
            assert found[1].shape == (4, 5)
            assert found[1][0, 0] // 10 == data[found[0]][0, 0]
            assert part.fraction == (part.piece + (found[1][0, 0] % 10) / 4) / 6


def test_what_evolves_in_a_volume_is_seen_in_each_of_its_slices():
    stack = Stack(np.zeros((2, 3, 4, 5)), "TZYX")
    volume = np.arange(3, dtype=np.uint8)[:, None, None] * np.ones((1, 4, 5), np.uint8)

    def work():
        yield Sketch(0.5, volume)
        return volume

    (part,) = as_progress(work(), 1, 2, "step")
    assert isinstance(part, Evolution)
    assert part.fraction == 0.75
    assert evolved_plane(part, stack, (0, 1)) is None
    assert (evolved_plane(part, stack, (1, 2)) == 2).all()


def test_plain_fractions_stay_plain_progress():
    def work():
        yield 0.5
        return 1

    (part,) = as_progress(work(), 0, 1, "step")
    assert type(part) is Progress


def test_looks_are_rare():
    made = list(itertools.chain(Sketches(3600)(step / 9, lambda: np.zeros(1)) for step in range(9)))
    assert all(isinstance(part, Sketch) for part in made)
    sketch = Sketches(3600)
    made = [sketch(step / 9, lambda: np.zeros(1)) for step in range(9)]
    assert [isinstance(part, Sketch) for part in made] == [True] + [False] * 8
    assert [float(part) for part in made] == [step / 9 for step in range(9)]
