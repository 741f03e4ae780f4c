"""Walking volumes: widths, axes, blocks."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import uniform_filter

from napari_segtool.core.errors import AxesError, SpacingError
from napari_segtool.core.progress import drain
from napari_segtool.core.stack import Stack
from napari_segtool.preprocess._volumes import blocks_steps, each_volume_steps, voxel_size, widths_px


def finished(steps) -> tuple[np.ndarray, list[float]]:
    seen = []
    while True:
        try:
            seen.append(next(steps))
        except StopIteration as stop:
            return stop.value, seen


@pytest.mark.parametrize("axes", ["ZYX", "YXZ", "XZY", "TZYX", "ZCYX", "CZYX", "QYX", "TXZCY"])
def test_every_channel_and_time_is_handed_over_as_depth_y_x(axes):
    whole = np.arange(2 * 3 * 4 * 5 * 6).reshape(2, 3, 4, 5, 6).astype(">u2")  # T C Z Y X
    letters = axes.replace("Q", "Z")
    kept = [a for a in "TCZYX" if a in letters]
    data = whole[tuple(slice(None) if a in letters else 0 for a in "TCZYX")].transpose([kept.index(a) for a in letters])

    def rule(volume, size):
        assert volume.shape == (4, 5, 6)
        assert volume.dtype == np.uint16
        assert volume.dtype.isnative
        assert size == (1, 1, 1)
        assert (np.diff(volume.astype(int), axis=2) == 1).all()
        assert (np.diff(volume.astype(int), axis=0) == 30).all()
        yield 0.5
        return volume + 1.0

    found = drain(each_volume_steps(Stack(data, axes), rule))
    assert found.dtype == float
    assert np.array_equal(found, data + 1.0)


def test_a_width_is_equally_wide_in_um_along_each_axis():
    stack = Stack(np.zeros((2, 3, 4)), "ZYX", (0.4, 0.2, 0.1))
    assert widths_px(stack, 4, 0, True) == pytest.approx((1, 2, 4))
    assert widths_px(stack, 4, 0.8, True) == pytest.approx((2, 4, 8))
    assert widths_px(stack, 4, 0, False) == pytest.approx((0, 2, 4))
    assert voxel_size(stack) == (0.4, 0.2, 0.1)
    pages = Stack(np.zeros((2, 3, 4)), "QYX", (0.2, 0.1))
    assert widths_px(pages, 4, 0, True) == pytest.approx((4, 2, 4))
    with pytest.raises(SpacingError, match="no spacing"):
        widths_px(Stack(np.zeros((3, 4)), "YX"), 4, 0.5, False)
    with pytest.raises(AxesError, match="no slices"):
        widths_px(Stack(np.zeros((3, 4)), "YX"), 4, 0, True)


@pytest.mark.parametrize("shape", [(20, 30, 40), (3, 50, 7), (1, 1, 90), (9, 9, 9)])
def test_blocks_make_the_same_as_the_whole(shape):
    volume = np.random.default_rng(0).random(shape)
    for voxels in (100, 3000, 10**9):
        found, seen = finished(blocks_steps(volume, lambda block: uniform_filter(block, (3, 5, 7), mode="reflect"), (1, 2, 3), voxels))
        assert np.allclose(found, uniform_filter(volume, (3, 5, 7), mode="reflect"), atol=1e-12)
        assert seen == sorted(seen)
        assert seen[-1] == 1


def test_leaving_work_on_a_volume_closes_it():
    closed = []

    def rule(volume, size):
        try:
            yield 0.1
            yield 0.2
        finally:
            closed.append(True)
        return volume

    steps = each_volume_steps(Stack(np.zeros((2, 3, 4)), "ZYX"), rule)
    assert next(steps).fraction == 0.1
    steps.close()
    assert closed == [True]
