import numpy as np
import pytest

from napari_segtool.annotate.strokes import simulated_strokes
from napari_segtool.core.errors import PaintError


def two_stripes() -> np.ndarray:
    truth = np.zeros((4, 64, 64), np.uint8)
    truth[:, :, 20:30] = 255
    return truth


def test_strokes_stay_inside_their_class_and_number_classes_from_one():
    truth = two_stripes()
    paint = simulated_strokes(truth, [1, 3], fraction=0.02)
    assert set(np.unique(paint[truth == 0])) == {0, 1}
    assert set(np.unique(paint[truth == 255])) == {0, 2}


def test_only_the_named_slices_are_painted_and_no_more_than_the_fraction():
    paint = simulated_strokes(two_stripes(), [1, 3], fraction=0.02)
    assert not paint[[0, 2]].any()
    assert 0.005 < (paint[[1, 3]] > 0).mean() <= 0.02


def test_the_same_seed_paints_the_same_strokes_and_another_seed_others():
    truth = two_stripes()
    assert np.array_equal(simulated_strokes(truth, [0], seed=1), simulated_strokes(truth, [0], seed=1))
    assert not np.array_equal(simulated_strokes(truth, [0], seed=1), simulated_strokes(truth, [0], seed=2))


def test_a_slice_that_is_not_there_is_refused():
    with pytest.raises(PaintError, match="slices"):
        simulated_strokes(two_stripes(), [7])
