"""How common painted classes are, by what pretrained weights see of all pixels."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from napari_segtool.training.validate._known_shares import known_shares
from napari_segtool.training.validate._threshold import Case, Decision, decide

SIDE = 128


def tissue() -> np.ndarray:
    """0 walls, 1 cells, 2 something in the cells."""
    y, x = np.mgrid[:SIDE, :SIDE]
    truth = np.where((y % 24 < 3) | (x % 24 < 3), 0, 1)
    return np.where((np.hypot(y % 24 - 13, x % 24 - 13) < 5), 2, truth).astype(np.uint8)


def seen_of(truth: np.ndarray, sure: float = 0.9) -> np.ndarray:
    """What weights that know the three parts say."""
    return np.stack([np.where(truth == part, sure, (1 - sure) / 2) for part in range(3)]).astype(np.float32)


def case_of(known: np.ndarray | None, wide: int = 1) -> Case:
    """Strokes on walls (class 0) and cells (class 1), and a network whose walls are far too wide."""
    truth = tissue()
    strokes = np.full(truth.shape, 255, np.uint8)
    strokes[::40] = np.where(truth[::40] == 2, 255, truth[::40])
    strokes[60, 30:90] = np.where(truth[60, 30:90] == 2, 255, truth[60, 30:90])
    y, x = np.mgrid[:SIDE, :SIDE]
    away = np.minimum(np.minimum((y + wide) % 24, (x + wide) % 24), 12).astype(np.float32)
    away += np.random.default_rng(0).uniform(-0.5, 0.5, away.shape).astype(np.float32)  # or whole rings would change at once
    walls = 1 / (1 + np.exp(0.8 * (away - 3 - 2 * wide)))
    return Case(np.stack([walls, 1 - walls]).astype(np.float32), strokes, np.full_like(strokes, 255), known)


def test_each_part_counts_to_the_class_whose_strokes_show_it_however_much_was_painted() -> None:
    truth = tissue()
    shares = known_shares([case_of(seen_of(truth, sure=0.999))], 2)
    assert shares == pytest.approx([(truth == 0).mean(), (truth != 0).mean()], abs=0.005)  # nothing is painted on the third part: it is what the network says
    swapped = case_of(seen_of(truth, sure=0.999))
    swapped = replace(swapped, check=np.where(swapped.check < 2, 1 - swapped.check, 255).astype(np.uint8), chances=swapped.chances[::-1])
    assert known_shares([swapped], 2) == pytest.approx([(truth != 0).mean(), (truth == 0).mean()], abs=0.005)


def test_weights_that_do_not_know_what_was_painted_are_not_asked() -> None:
    truth = tissue()
    assert known_shares([case_of(None)], 2) is None
    assert known_shares([case_of(seen_of(np.roll(truth, 7, (0, 1))))], 2) is None  # sees walls elsewhere
    assert known_shares([case_of(seen_of(np.ones_like(truth)))], 2) is None  # sees no difference
    one = case_of(seen_of(truth))
    one = replace(one, check=np.where(one.check == 0, 255, one.check).astype(np.uint8))
    assert known_shares([one], 2) is None


def test_walls_that_are_found_too_wide_become_as_common_as_the_weights_see_them() -> None:
    truth = tissue()
    shares = []
    for known in (None, seen_of(truth, sure=0.999)):
        case = case_of(known)
        decision = drain_last(case)
        assert (decision.criterion, decision.separator) == ("web", 0)
        raised = np.log(case.chances) + np.array(decision.bias)[:, None, None]
        shares.append(float((raised.argmax(0) == 0).mean()))
    wanted = float((truth == 0).mean())
    expected = known_shares([case_of(seen_of(truth, sure=0.999))], 2)
    assert expected is not None
    assert shares[1] == pytest.approx(expected[0], abs=0.01)
    assert abs(shares[1] - wanted) < 0.02 < 0.1 < abs(shares[0] - wanted)


def drain_last(case: Case) -> Decision:
    *_, last = decide([case], 2, sparse=True)
    return last
