"""A distance map is the same to the last bit, wherever its arrays happen to lie in memory."""

from __future__ import annotations

import numpy as np

from napari_segtool.methods._distance import plane_distance


def test_distances_are_roots_of_whole_numbers_to_the_last_bit() -> None:
    inside = np.random.default_rng(0).random((61, 67)) < 0.9
    apart = np.argwhere(~inside)
    y, x = np.mgrid[:61, :67]
    squared = ((y[..., None] - apart[:, 0]) ** 2 + (x[..., None] - apart[:, 1]) ** 2).min(-1)
    expected = np.sqrt(squared.astype(np.float64)).astype(np.float32)
    for _ in range(4):  # each result lies elsewhere
        kept = plane_distance(inside)
        assert np.array_equal(kept, expected)
