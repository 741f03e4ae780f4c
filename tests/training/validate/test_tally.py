"""How sure a score of held-out pixels is, against the jackknife by hand."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from napari_segtool.training.validate._scoring import Validation
from napari_segtool.training.validate._standing import Standing
from napari_segtool.training.validate._tally import Metric, Tally

Counted = tuple[int, int, int]
"""Pixels of an object in one plane: found, of the object, taken for it; the plane has 100."""


def tally(*planes: Counted, windows: int = 1, losses: tuple[float, ...] = ()) -> Tally:
    made = Tally()
    for place, (found, true, guessed) in enumerate(planes):
        truth, guess = np.zeros(100, np.uint8), np.zeros(100, np.uint8)
        truth[:true] = 1
        guess[true - found : true - found + guessed] = 1
        for part in np.split(np.arange(100), windows):
            made.add(f"0:{place}", truth[part], guess[part], 2, losses[place] / windows if losses else 1.0, 1.0 / windows)
    return made


EARLY = tally((10, 10, 10), (0, 10, 10), (10, 10, 10), (0, 10, 10), (10, 10, 10))
LATE = tally((10, 10, 10), (10, 10, 10), (0, 10, 10), (0, 10, 10), (0, 10, 10))


def dice_of(planes: list[Counted]) -> float:
    found, true, guessed = np.sum(planes, axis=0)
    whole = 100 * len(planes)
    both_out = whole - true - guessed + found
    return (2 * found / (true + guessed) + 2 * both_out / (2 * whole - true - guessed)) / 2


def test_scores_are_those_of_all_pixels_together() -> None:
    assert EARLY.dice() == pytest.approx([(450 - 20) / 450, 30 / 50])
    assert EARLY.iou() == pytest.approx([(450 - 20) / (450 + 20), 30 / 70])
    assert math.isnan(Tally().loss())


@pytest.mark.parametrize("windows", [1, 2])
def test_the_doubt_is_the_jackknife_over_planes_however_they_are_cut_into_windows(windows: int) -> None:
    early: list[Counted] = [(10, 10, 10), (4, 10, 10), (8, 10, 12), (0, 10, 10), (9, 10, 10)]
    late: list[Counted] = [(10, 10, 10), (8, 10, 10), (2, 10, 10), (3, 10, 10), (5, 10, 15)]
    apart = [dice_of(late[:n] + late[n + 1 :]) - dice_of(early[:n] + early[n + 1 :]) for n in range(5)]
    wanted = math.sqrt(4 / 5 * sum((each - sum(apart) / 5) ** 2 for each in apart))
    assert tally(*late, windows=windows).doubt(tally(*early, windows=windows), "dice") == pytest.approx(wanted)


def test_the_doubt_of_a_mean_is_its_standard_error() -> None:
    early, late = tally(*[(5, 5, 5)] * 6, losses=(1, 2, 3, 4, 5, 6)), tally(*[(5, 5, 5)] * 6, losses=(2, 2, 2, 2, 2, 2))
    assert late.doubt(early, "loss") == pytest.approx(np.std([-1, 0, 1, 2, 3, 4], ddof=1) / math.sqrt(6))


def test_few_planes_are_doubted_by_their_windows() -> None:
    one, other = tally((5, 10, 10), windows=4), tally((8, 10, 10), windows=4)
    assert one.doubt(other, "dice") > 0
    assert tally((5, 10, 10)).doubt(tally((8, 10, 10)), "dice") == 0


def test_tallies_of_different_pixels_say_nothing_about_each_other() -> None:
    assert EARLY.doubt(tally((10, 10, 10)), "dice") == 0
    assert EARLY.doubt(Tally(), "iou") == 0 == Tally().doubt(Tally(), "iou")


def scored(counted: Tally, metric: Metric) -> Validation:
    return Validation(counted.loss(), float(counted.dice().mean()), (), float(counted.iou().mean()), counted)


@pytest.mark.parametrize("metric", ["dice", "iou"])
def test_weights_that_are_worse_on_some_planes_and_better_on_others_are_kept(metric: Metric) -> None:
    standing = Standing(metric, keep_within=0.01)
    assert standing.take(10, scored(EARLY, metric))
    assert standing.take(20, scored(LATE, metric))
    assert (standing.best_step, standing.kept_step) == (10, 20)
    by_strokes = Standing(metric, keep_within=0.01, by_planes=False)
    assert [by_strokes.take(10, scored(EARLY, metric)), by_strokes.take(20, scored(LATE, metric))] == [True, False]


@pytest.mark.parametrize(("errors", "kept"), [(0.5, True), (1.9, True), (2.1, False), (4.0, False)])
def test_weights_are_kept_up_to_two_standard_errors_below_the_best(errors: float, kept: bool) -> None:
    apart = np.array([-2, -1, 0, 0, 1, 2])  # losses of six planes, about their mean
    mean = errors * apart.std(ddof=1) / math.sqrt(6)
    early, late = (tally(*[(5, 5, 5)] * 6, losses=tuple(losses)) for losses in (np.full(6, 10.0), 10 + apart + mean))
    standing = Standing("loss", keep_within=0.0)
    assert [standing.take(10, scored(early, "loss")), standing.take(20, scored(late, "loss"))] == [True, kept]


def test_weights_that_are_worse_on_every_plane_are_not_kept_nor_after_a_checkpoint() -> None:
    worse = tally(*[(6, 10, 10)] * 5)
    standing, resumed = Standing("dice", keep_within=0.01), Standing("dice", keep_within=0.01)
    standing.take(10, scored(tally(*[(10, 10, 10)] * 5), "dice"))
    resumed.restore(json.loads(json.dumps(standing.record())))
    assert not standing.take(20, scored(worse, "dice"))
    assert not resumed.take(20, scored(worse, "dice"))
    assert resumed.record()["tally"] == standing.record()["tally"]
