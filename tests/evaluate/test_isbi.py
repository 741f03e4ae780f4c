"""V_Rand and V_Info against hand computation, brute force, scikit-image and a literal flooding."""

from __future__ import annotations

import itertools
import math
from collections import Counter, deque

import numpy as np
import pytest

from napari_segtool.core.errors import ParameterError, ShapeError
from napari_segtool.core.progress import Progress
from napari_segtool.evaluate import _objects
from napari_segtool.evaluate._objects import objects_of, overlap_of, thin_boundary
from napari_segtool.evaluate.isbi import challenge_steps, info_of, rand_of, v_info, v_rand

TWO_CELLS = np.array([[1, 1, 1, 1, 0, 1, 1, 1, 1]] * 3, bool)


def blobs(seed: int, shape: tuple[int, int] = (48, 40), share: float = 0.6) -> np.ndarray:
    from scipy.ndimage import gaussian_filter

    smooth = gaussian_filter(np.random.default_rng(seed).normal(size=shape), 2)
    return smooth < np.quantile(smooth, share)


def by_pairs(true: np.ndarray, guess: np.ndarray) -> tuple[float, float, float]:
    """Rand scores by visiting every ordered pair of foreground pixels; pixels without an object are alone."""
    places = np.flatnonzero(true)
    together_true = together_guess = together_both = 0
    for a, b in itertools.product(places, places):
        in_true = true.flat[a] == true.flat[b]
        in_guess = a == b or (guess.flat[a] == guess.flat[b] != 0)
        together_true, together_guess, together_both = together_true + in_true, together_guess + in_guess, together_both + (in_true and in_guess)
    return 2 * together_both / (together_true + together_guess), together_both / together_true, together_both / together_guess


def by_entropy(true: np.ndarray, guess: np.ndarray) -> tuple[float, float]:
    """H(T), H(S) and their shared information from the definition; returns the F-score and the information."""
    alone = itertools.count(-1, -1)
    pairs = [(t, g if g else next(alone)) for t, g in zip(true.flat, guess.flat, strict=True) if t]
    share = lambda items: [n / len(pairs) for n in Counter(items).values()]  # noqa: E731
    h = lambda items: -sum(p * math.log(p) for p in share(items))  # noqa: E731
    information = h(t for t, _ in pairs) + h(g for _, g in pairs) - h(pairs)
    return 2 * information / (h(t for t, _ in pairs) + h(g for _, g in pairs)), information


def flooded(foreground: np.ndarray) -> np.ndarray:
    """Literal first-in-first-out flooding of a two-valued picture (Vincent & Soille 1991), slow and independent of the product."""
    from scipy.ndimage import label

    level, _ = label(foreground)
    waiting, height, width = -1, *foreground.shape
    state = np.where(foreground, level, -2)
    queue: deque[tuple[int, int]] = deque()

    def around(y: int, x: int) -> list[tuple[int, int]]:
        return [(v, u) for v, u in ((y - 1, x), (y, x - 1), (y, x + 1), (y + 1, x)) if 0 <= v < height and 0 <= u < width]

    for y, x in zip(*np.nonzero(~foreground), strict=True):
        if any(state[p] > 0 for p in around(y, x)):
            queue.append((y, x))
            state[y, x] = waiting
    while queue:
        p = queue.popleft()
        for q in around(*p):
            if state[q] == -2:
                state[q] = waiting
                queue.append(q)
        labels = {int(state[q]) for q in around(*p) if state[q] > 0}
        state[p] = labels.pop() if len(labels) == 1 else 0
    return state


# ------------------------------------------------------------------ by hand


def test_a_perfect_proposal_scores_one():
    assert v_rand(TWO_CELLS, TWO_CELLS).score == 1
    assert v_info(TWO_CELLS, TWO_CELLS).score == pytest.approx(1)


def test_joining_two_equal_cells_gives_two_thirds():
    # t = (1/2, 1/2), s = (1): p² = 1/2, t² = 1/2, s² = 1 -> F = 2·(1/2) / (3/2)
    found = v_rand(np.ones_like(TWO_CELLS), TWO_CELLS)
    assert (found.score, found.split, found.merge) == pytest.approx((2 / 3, 1, 1 / 2))
    joined = v_info(np.ones_like(TWO_CELLS), TWO_CELLS)
    assert (joined.score, joined.split, joined.merge) == (0, 1, 0)


def test_cutting_one_cell_in_two_lowers_split_and_not_merge():
    truth = np.ones((1, 9), bool)
    cut = np.array([[1, 1, 1, 1, 0, 1, 1, 1, 1]], bool)
    found = v_rand(cut, truth)  # two objects of 4 pixels and the dam on its own: s² = p² = (16 + 16 + 1) / 81
    assert found.split == pytest.approx(33 / 81)
    assert found.merge == 1
    assert found.score == pytest.approx(2 * 33 / (81 + 33))


def test_a_thick_boundary_costs_nothing_after_thinning():
    thick = TWO_CELLS.copy()
    thick[:, 2:7] = False
    assert v_rand(thick, TWO_CELLS).score == 1
    assert v_info(thick, TWO_CELLS).score == pytest.approx(1)


def test_objects_that_touch_by_a_corner_only_are_two():
    corner = np.array([[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 1], [0, 0, 1, 1]], bool)
    assert objects_of(corner).max() == 2
    assert v_rand(corner, corner).score == 1


def test_the_best_threshold_is_found_and_named():
    probability = np.where(TWO_CELLS, 0.95, 0.55)  # at 0.5 the membrane is missed, from 0.6 on it is seen
    found = v_rand(probability, TWO_CELLS)
    assert found.score == 1
    assert found.threshold == pytest.approx(0.6)
    assert v_rand(probability, TWO_CELLS, thresholds=(0.5,)).score == pytest.approx(2 / 3)


def test_slices_are_averaged_and_the_threshold_is_common_to_them():
    good, late = np.where(TWO_CELLS, 0.35, 0.0), np.where(TWO_CELLS, 0.9, 0.6)
    found = v_rand(np.stack([good, late]), np.stack([TWO_CELLS, TWO_CELLS]))
    # below 0.35 the first is perfect and the second joined; at 0.6 and above the other way round: no threshold gets both
    assert found.score == pytest.approx((1 + 2 / 3) / 2)
    assert sorted(found.slices) == pytest.approx([2 / 3, 1])


def test_a_slice_without_true_cells_is_left_out_of_the_mean():
    truth = np.stack([TWO_CELLS, np.zeros_like(TWO_CELLS)])
    found = v_rand(np.stack([TWO_CELLS, TWO_CELLS]), truth)
    assert found.score == 1
    assert math.isnan(found.slices[1])
    assert math.isnan(v_rand(TWO_CELLS, np.zeros_like(TWO_CELLS)).score)
    assert math.isnan(v_info(TWO_CELLS, np.zeros_like(TWO_CELLS)).score)


def test_a_proposal_without_foreground_is_one_object():
    assert v_rand(np.zeros_like(TWO_CELLS), TWO_CELLS).score == pytest.approx(2 / 3)


def test_unknown_probabilities_count_as_boundary():
    probability = TWO_CELLS.astype(np.float32)
    probability[:, 4] = np.nan
    assert v_rand(probability, TWO_CELLS).score == 1


def test_different_shapes_and_senseless_thresholds_are_refused():
    with pytest.raises(ShapeError, match=r"\(3, 9\)"):
        v_rand(TWO_CELLS[:2], TWO_CELLS)
    with pytest.raises(ShapeError):
        v_rand(TWO_CELLS[0], TWO_CELLS[0])
    with pytest.raises(ParameterError):
        v_rand(TWO_CELLS.astype(float), TWO_CELLS, thresholds=())
    with pytest.raises(ParameterError):
        v_rand(TWO_CELLS.astype(float), TWO_CELLS, thresholds=(1.0,))


def test_it_reports_after_each_slice():
    steps = challenge_steps(np.stack([TWO_CELLS] * 3), np.stack([TWO_CELLS] * 3))
    assert next(steps) == Progress(1, 3, "slice")
    steps.close()


# -------------------------------------------------------- independent ways


@pytest.mark.parametrize("seed", range(4))
def test_the_rand_score_equals_counting_every_pair_of_pixels(seed):
    true, guess = objects_of(blobs(seed, (14, 13))), thin_boundary(blobs(seed + 100, (14, 13)))
    assert rand_of(overlap_of(true, guess)) == pytest.approx(by_pairs(true, guess))


@pytest.mark.parametrize("seed", range(4))
def test_the_information_score_equals_its_definition(seed):
    true, guess = objects_of(blobs(seed)), thin_boundary(blobs(seed + 100, share=0.5))
    assert info_of(overlap_of(true, guess))[0] == pytest.approx(by_entropy(true, guess)[0])


@pytest.mark.parametrize("seed", range(3))
def test_without_dams_the_scores_are_those_of_scikit_image(seed):
    from skimage.metrics import adapted_rand_error, variation_of_information

    true, guess = objects_of(blobs(seed)), thin_boundary(blobs(seed + 50))
    guess[guess == 0] = 1  # scikit-image would take dams as one object
    overlap = overlap_of(true, guess)
    pixels = overlap.pixels
    score, split, merge = rand_of(overlap)
    error, by_true, by_guess = adapted_rand_error(true, guess, ignore_labels=(0,))
    # scikit-image leaves out the pairs of a pixel with itself, which are one in a thousand here or fewer
    assert 1 - error == pytest.approx(score, abs=2e-3)
    assert (by_true, by_guess) == pytest.approx((split, merge), abs=2e-3)
    inside = true > 0
    over, under = variation_of_information(true[inside], guess[inside])  # H(S|T), H(T|S) in bits
    h_true = -sum(p * math.log2(p) for p in overlap.truth / pixels)
    h_guess = -sum(p * math.log2(p) for p in overlap.proposal / pixels)
    assert info_of(overlap)[0] == pytest.approx(((h_true - under) + (h_guess - over)) / (h_true + h_guess))


def test_the_dense_and_the_sparse_table_agree(monkeypatch):
    true, guess = objects_of(blobs(1)), thin_boundary(blobs(2))
    dense = overlap_of(true, guess)
    monkeypatch.setattr(_objects, "_TABLE_LIMIT", 0)
    sparse = overlap_of(true, guess)
    assert sorted(dense.cells) == sorted(sparse.cells)
    assert dense.singles == sparse.singles


# -------------------------------------------------------------- thinning


def dams_part(grown: np.ndarray) -> bool:
    """No two different objects are 4-neighbours."""
    pairs = ((grown[1:], grown[:-1]), (grown[:, 1:], grown[:, :-1]))
    return not any(((a != b) & (a > 0) & (b > 0)).any() for a, b in pairs)


@pytest.mark.parametrize("gap", range(1, 8))
def test_a_straight_gap_of_any_width_becomes_a_dam_one_pixel_wide_in_its_middle(gap):
    mask = np.ones((5, 20 + gap), bool)
    mask[:, 10 : 10 + gap] = False
    grown = thin_boundary(mask)
    dam = np.flatnonzero(grown[2] == 0)
    assert len(dam) == 1
    assert abs(dam[0] - (10 + (gap - 1) / 2)) <= 0.5
    assert (grown[:, : dam[0]] == 1).all()
    assert (grown[:, dam[0] + 1 :] == 2).all()


@pytest.mark.parametrize("share", [0.1, 0.3, 0.6, 0.9])
def test_thinning_keeps_every_object_apart_and_loses_none(share):
    from scipy.ndimage import distance_transform_cdt

    mask = blobs(7, (90, 70), share)
    grown, seeds = thin_boundary(mask), objects_of(mask)
    assert dams_part(grown)
    assert np.array_equal(grown[mask], seeds[mask])
    assert np.array_equal(np.unique(grown[grown > 0]), np.unique(seeds[seeds > 0]))
    nearest = distance_transform_cdt(~mask, metric="taxicab")
    for value in range(1, int(grown.max()) + 1):  # nobody reaches a pixel before the nearest object does
        own = distance_transform_cdt(seeds != value, metric="taxicab")
        assert np.array_equal(own[grown == value], nearest[grown == value])


@pytest.mark.parametrize("share", [0.3, 0.6])
def test_the_scores_after_thinning_are_those_of_a_literal_flooding_and_of_scikit_images_watershed(share):
    from skimage.segmentation import watershed

    truth = objects_of(blobs(3, (160, 160), 0.6))
    mask = blobs(3, (160, 160), share)
    ours = rand_of(overlap_of(truth, thin_boundary(mask)))[0]
    by_queue = rand_of(overlap_of(truth, flooded(mask)))[0]
    by_skimage = rand_of(overlap_of(truth, watershed(np.zeros(mask.shape, np.uint8), objects_of(mask), connectivity=1, watershed_line=True)))[0]
    assert ours == pytest.approx(by_queue, abs=0.01)  # they differ in the order of equally distant pixels only
    assert ours == pytest.approx(by_skimage, abs=0.01)


@pytest.mark.data
def test_on_real_membranes_thinning_agrees_with_a_watershed_to_a_thousandth(data_folder):
    from skimage.filters import gaussian
    from skimage.segmentation import watershed
    from tifffile import imread

    image, labels = (imread(data_folder / "isbi2012_em" / name, key=range(2)) for name in ("image.tif", "labels.tif"))
    for plane, truth in zip(image, labels, strict=True):
        mask = gaussian(plane, 2, preserve_range=True) > 110
        lined = watershed(np.zeros(mask.shape, np.uint8), objects_of(mask), connectivity=1, watershed_line=True)
        true = objects_of(truth > 0)
        assert rand_of(overlap_of(true, thin_boundary(mask)))[0] == pytest.approx(rand_of(overlap_of(true, lined))[0], abs=2e-3)
        assert info_of(overlap_of(true, thin_boundary(mask)))[0] == pytest.approx(info_of(overlap_of(true, lined))[0], abs=2e-3)
    assert v_rand(labels, labels).score == 1  # dams lie in the boundary, which does not count
