"""Where the border between classes is drawn, on pictures whose best answer is known by geometry."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import napari_segtool as segtool
from napari_segtool.core.progress import drain
from napari_segtool.core.result import ModelBundle
from napari_segtool.core.stack import Stack
from napari_segtool.evaluate.isbi import v_rand
from napari_segtool.methods._closed_contours import with_closed_contours_steps
from napari_segtool.training.validate._agreement import object_agreement
from napari_segtool.training.validate._calibrate import Cost, plan_cost
from napari_segtool.training.validate._parting import parts_the_other
from napari_segtool.training.validate._strokes_intact import measure_strokes
from napari_segtool.training.validate._threshold import Case, Decision, decide
from tests.training.blobs import blobs, messages, tiny_run, train

NOTHING = np.full((90, 90), 255, np.uint8)


def chances_of(second: np.ndarray) -> np.ndarray:
    """Probabilities of two classes from that of the second."""
    return np.stack([1 - second, second]).astype(np.float32)


def cells(period: int = 18) -> np.ndarray:
    """Square cells, 1, between walls three pixels thick, 0."""
    y, x = np.mgrid[:90, :90]
    return ((y % period >= 3) & (x % period >= 3)).astype(np.uint8)


def leaky(truth: np.ndarray, gap: float) -> np.ndarray:
    """What a network says that has a gap in every wall, three pixels wide, with this probability of being inside a cell."""
    chance = np.where(truth == 1, 0.97, 0.05)
    chance[10::18] = np.where(truth[10::18] == 0, gap, chance[10::18])
    chance[11::18] = np.where(truth[11::18] == 0, gap, chance[11::18])
    return chance


def last(cases: list[Case], classes: int, sparse: bool) -> Decision:
    *_, decision = decide(cases, classes, sparse=sparse)
    return decision


@pytest.mark.parametrize("walls_are", [0, 1])
def test_a_gap_in_every_wall_is_closed_whichever_class_the_walls_are(walls_are: int) -> None:
    truth, chance = cells(), leaky(cells(), 0.6)
    chance, check = (chance, truth) if walls_are == 0 else (1 - chance, 1 - truth)
    decision = last([Case(chances_of(chance), check, NOTHING)], 2, sparse=False)
    assert (decision.criterion, decision.separator) == ("objects", walls_are)
    assert decision.before < 0.5 < 0.99 < decision.after


def test_where_no_line_could_close_it_more_is_asked_for_before_a_pixel_is_inside() -> None:
    truth, chance = cells(), leaky(cells(), 0.6)
    chance[:, 18:21] = np.where(truth[:, 18:21] == 0, 0.7, chance[:, 18:21])  # faint all along: no better on average
    decision = last([Case(chances_of(chance), truth, NOTHING)], 2, sparse=False)
    assert decision.criterion == "objects"
    assert decision.separator == -1
    assert 0.7 < decision.threshold < 0.97
    assert decision.before < 0.5 < 0.99 < decision.after


def test_a_network_that_is_right_is_left_alone() -> None:
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:90, :90]
    discs = ((y - 30) ** 2 + (x - 30) ** 2 < 200).astype(np.uint8)
    assert last([Case(chances_of(np.where(discs, 0.9, 0.1) + rng.normal(0, 0.02, discs.shape)), discs, NOTHING)], 2, sparse=False).bias == ()
    assert last([], 2, sparse=False) == Decision((), "none")


def test_a_class_that_is_found_too_often_is_found_less_often() -> None:
    rng = np.random.default_rng(0)
    truth = np.zeros((90, 90), np.uint8)
    truth[:18] = 1
    odds = 2 * (rng.normal(0, 1, truth.shape) + np.where(truth, 1, -1)) + np.log(0.2 / 0.8) + 1.8  # Bayes' answer, and 1.8 too much for class 1
    case = Case(chances_of(1 / (1 + np.exp(-odds))), truth, NOTHING)
    decision = last([case], 2, sparse=False)
    assert decision.criterion == "dice"

    def dice(threshold: float) -> float:
        guess = odds > threshold
        return float(np.mean([2 * ((guess == k) & (truth == k)).sum() / ((guess == k).sum() + (truth == k).sum()) for k in (0, 1)]))

    assert dice(decision.bias[0] - decision.bias[1]) == pytest.approx(decision.after, abs=1e-6)
    assert max(dice(threshold) for threshold in np.linspace(-3, 3, 301)) - decision.after < 0.003
    assert decision.after > decision.before + 0.02


def planes(shifts: list[float]) -> list[Case]:
    """Planes of two classes told apart with some errors; the odds of class 1 come out too high by these."""
    rng, truth = np.random.default_rng(2), np.zeros((90, 90), np.uint8)
    truth[:18] = 1
    odds = [2 * (rng.normal(0, 1, truth.shape) + np.where(truth, 1, -1)) + np.log(0.2 / 0.8) + shift for shift in shifts]
    return [Case(chances_of(1 / (1 + np.exp(-each))), truth, NOTHING) for each in odds]


def test_a_bias_on_which_planes_agree_is_taken_and_one_that_they_disagree_on_is_not() -> None:
    agreed = last(planes([1.6, 2.0, 1.8, 1.7, 1.9, 1.8]), 2, sparse=False)
    assert agreed.criterion == "dice"
    assert 0.7 < agreed.bias[0] - agreed.bias[1] < 2
    assert agreed.after > agreed.before + 0.02
    unsure = last(planes([3.0, -0.5, 0.0, -0.5, 0.0, -0.5]), 2, sparse=False)  # the best on all together serves the first
    assert unsure.bias == ()
    assert unsure.after == unsure.before
    assert last(planes([3.0, -0.5, 0.0, -0.5, 0.0, -0.5])[:1], 2, sparse=False).bias  # one plane has no one to disagree with


def test_three_classes_are_weighed_against_each_other() -> None:
    rng = np.random.default_rng(1)
    truth = np.repeat(np.arange(3, dtype=np.uint8), 30)[:, None] * np.ones((1, 90), np.uint8)
    scores = rng.normal(0, 1, (3, 90, 90)) + 1.5 * np.eye(3)[truth].transpose(2, 0, 1) + np.array([0.0, 0.0, 1.2])[:, None, None]
    chances = (np.exp(scores) / np.exp(scores).sum(0)).astype(np.float32)
    bias = np.array(last([Case(chances, truth, NOTHING)], 3, sparse=False).bias)
    assert bias - bias[0] == pytest.approx([0, 0, -1.2], abs=0.35)
    assert bias.sum() == pytest.approx(0, abs=1e-3)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("sparse", [False, True])
def test_held_out_pixels_never_come_off_worse_than_by_the_most_probable_class(seed: int, sparse: bool) -> None:
    rng = np.random.default_rng(seed)
    truth = cells(int(rng.integers(9, 30)))
    chance = np.clip(leaky(truth, float(rng.uniform(0.2, 0.9))) + rng.normal(0, 0.2, truth.shape), 0.001, 0.999)
    check = np.where(rng.random(truth.shape) < 0.1, truth, np.uint8(255)) if sparse else truth
    decision = last([Case(chances_of(chance), check, NOTHING)], 2, sparse=sparse)
    assert decision.criterion == "web" or decision.after >= decision.before


def test_a_dozen_held_out_pixels_move_nothing_that_hundreds_would() -> None:
    truth = np.repeat(np.arange(2, dtype=np.uint8), 45)[:, None] * np.ones((1, 90), np.uint8)
    chance = chances_of(np.where(truth, 0.62, 0.58))
    assert last([Case(chance, truth, NOTHING)], 2, sparse=True).threshold == pytest.approx(0.6, abs=0.02)
    few = NOTHING.copy()
    few[43:47, 4] = truth[43:47, 4]
    assert 0.5 < last([Case(chance, few, NOTHING)], 2, sparse=True).threshold <= 0.6 + 1e-9


def paint_of(truth: np.ndarray) -> np.ndarray:
    """Strokes along some walls and across some cells."""
    paint = NOTHING.copy()
    for wall in (0, 18, 36, 54, 72):
        paint[wall + 1, 22:52] = truth[wall + 1, 22:52]
    paint[40:70, 19] = truth[40:70, 19]
    for row, column in ((8, 22), (26, 40), (44, 58), (62, 4), (8, 58), (26, 4), (80, 40)):
        paint[row, column : column + 13] = truth[row, column : column + 13]
    return paint


def test_gaps_in_painted_walls_are_closed_though_strokes_cannot_see_objects() -> None:
    truth = cells()
    chance = leaky(truth, 0.8)
    decision = last([Case(chances_of(chance), paint_of(truth), NOTHING)], 2, sparse=True)
    assert (decision.criterion, decision.separator) == ("web", 0)
    shares = {index: float((truth == index).mean()) for index in (0, 1)}
    assert decision.bias[0] - decision.bias[1] == pytest.approx(np.log(shares[0] / shares[1]), abs=0.3)  # gaps make walls rarer
    walls = 1 - v_rand((chance > 0.5).astype(np.uint8), truth).score
    chances = chances_of(chance)
    drain(with_closed_contours_steps(chances, 0))
    assert v_rand((chances[1] > 0.5).astype(np.uint8), truth).score > 0.99
    assert walls > 0.5


def test_blobs_on_a_background_are_no_web() -> None:
    y, x = np.mgrid[:90, :90]
    blobs_ = ((y % 30 - 15) ** 2 + (x % 30 - 15) ** 2 < 60).astype(np.float32)
    for index in (0, 1):
        assert parts_the_other([chances_of(abs(index - (0.05 + 0.9 * cells())))], index)
        assert not parts_the_other([chances_of(abs(index - (0.05 + 0.9 * cells())))], 1 - index)
        assert not parts_the_other([chances_of(0.5 * blobs_)], index)  # no blob is found at all
        assert not parts_the_other([chances_of(0.9 * blobs_)], index)
        assert not parts_the_other([chances_of(np.where(y > 45, 0.9, 0.1))], index)


def test_gaps_are_closed_where_that_makes_objects_better_and_said_so() -> None:
    truth = cells()
    chance = leaky(truth, 0.97)  # as sure of the gap as of a cell: no threshold helps
    decision = last([Case(chances_of(chance), truth, NOTHING)], 2, sparse=False)
    assert (decision.criterion, decision.separator) == ("objects", 0)
    assert decision.before < 0.5 < 0.95 < decision.after


def test_the_weakest_link_of_a_stroke_is_the_lowest_point_of_the_best_way_around() -> None:
    chance = np.full((90, 90), 0.9)
    chance[:, 40:42] = 0.3  # a barrier across everything, with a pass
    chance[46, 40:42] = 0.6
    paint = NOTHING.copy()
    paint[43, 20:60] = 1  # the pass lies three pixels beside the stroke
    paint[5, 20:60] = 1  # this one has no pass
    found = measure_strokes([(chances_of(chance), paint, NOTHING)])
    assert found.held == (0, 2)
    assert sorted(found.strengths[1]) == pytest.approx([np.log(0.3 / 0.7), np.log(0.6 / 0.4)], abs=1e-3)


def test_the_quick_agreement_is_the_challenges_score_where_borders_are_thin() -> None:
    truth = cells() == 1
    for guess in (truth, leaky(cells(), 0.6) > 0.5, np.roll(truth, 1, axis=0) & truth, cells(45) == 1):
        assert object_agreement(guess, truth) == pytest.approx(v_rand(guess.astype(np.uint8), truth.astype(np.uint8)).score, abs=0.03)
    assert object_agreement(np.zeros_like(truth), truth) < 0.1
    assert object_agreement(truth, np.zeros_like(truth)) == 1


def test_a_calibration_takes_a_small_part_of_the_time_and_is_whole_where_time_is_not_limited() -> None:
    assert plan_cost(3, 1.0, 0, True, 0.0) == Cost(3, True, 24.0)
    assert plan_cost(100, 1.0, 0, False, 0.0) == Cost(12, False, 12.0)
    short = plan_cost(20, 1.0, 0, True, 60.0)
    assert (short.windows, short.mirror) == (2, False)


def test_a_model_predicts_with_the_bias_that_its_run_found(tmp_path: Path) -> None:
    image, mask = blobs(5, 64)
    run = tiny_run(tmp_path / "run", pairs=[(Stack(image, "ZYX"), mask)], steps=6, class_balance=1.0, learning_rate=0.01)
    bundle = drain(train(run))
    biased = segtool.predict(bundle, Stack(image, "ZYX"), device="cpu")
    plain_card = {**bundle.card, "class_bias": [0.0, 0.0]}
    plain = segtool.predict(ModelBundle(bundle.path, plain_card), Stack(image, "ZYX"), device="cpu")
    assert biased.probabilities is not None
    assert plain.probabilities is not None
    bias = np.asarray(bundle.card.get("class_bias", [0.0, 0.0]))
    odds = [np.log(result.probabilities.data[1] / result.probabilities.data[0]) for result in (biased, plain)]
    assert np.allclose(odds[0] - odds[1], bias[1] - bias[0], atol=1e-3)
    assert np.array_equal(biased.labels.data, odds[0] > 0)
    assert ("from a probability of" in messages(run)) == bool(bias.any())
