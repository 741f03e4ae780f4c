"""Arrays made slab by slab."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import numpy as np

from napari_segtool.core.slabs import SLAB_PIXELS, finite_steps, made_steps, put_steps, slabs_along


def result_of(work: Generator[float, None, Any]) -> tuple[Any, list[float]]:
    parts = []
    try:
        while True:
            parts.append(next(work))
    except StopIteration as stop:
        return stop.value, parts


def test_slabs_cover_every_row_once_and_are_small() -> None:
    for shape in ((1,), (0, 5), (7, 0), (9, 700, 1100), (3, 5000, 5000)):
        parts = slabs_along(shape)
        assert [row for part in parts for row in range(part.start, part.stop)] == list(range(shape[0]))
        row = int(np.prod(shape[1:]))
        assert all((part.stop - part.start) * row <= max(SLAB_PIXELS, row) for part in parts)


def test_a_large_array_is_made_and_copied_in_several_steps_as_at_once() -> None:
    values = np.arange(9 * 700 * 1100, dtype=np.uint32).reshape(9, 700, 1100)
    made, parts = result_of(made_steps(values.shape, np.uint64, lambda part: values[part] * np.uint64(3)))
    assert np.array_equal(made, values * np.uint64(3))
    assert len(parts) > 3
    assert parts == sorted(parts)
    assert parts[-1] == 1.0
    copied = np.zeros_like(values)
    result_of(put_steps(copied.transpose(1, 0, 2), values.transpose(1, 0, 2)))
    assert np.array_equal(copied, values)


def test_finite_values_need_no_mask_and_one_hole_makes_one() -> None:
    values = np.zeros((4, 900, 900), np.float32)
    assert result_of(finite_steps(values))[0] is None
    assert result_of(finite_steps(values.astype(np.uint8)))[0] is None
    values[3, 5, 6] = np.nan
    known, parts = result_of(finite_steps(values))
    assert len(parts) > 1
    assert np.argwhere(~known).tolist() == [[3, 5, 6]]
