"""The learning rate over a budget of time or steps, at points computed by hand and beside torch's own schedulers."""

from __future__ import annotations

import itertools
import warnings
from typing import Any, get_args

import pytest
import torch

from napari_segtool.core.errors import ParameterError
from napari_segtool.training.engine._schedule import WARM_UP, Budget, ScheduleKind, rate_factor

KINDS = get_args(ScheduleKind)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("warm_up", [0.0, 0.0004, 0.03, 0.5])
def test_the_rate_rises_to_its_full_value_and_then_never_rises_again(kind: Any, warm_up: float) -> None:
    fractions = [i / 1000 for i in range(1001)]
    factors = [rate_factor(fraction, kind, warm_up) for fraction in fractions]
    top = factors.index(max(factors))
    assert max(factors) == pytest.approx(1.0, abs=0.01) or (kind == "step" and warm_up == 0.5)
    assert max(factors) <= 1
    assert fractions[top] <= (0.3 if kind == "one-cycle" else warm_up + 0.002)
    assert all(a <= b + 1e-12 for a, b in itertools.pairwise(factors[: top + 1]))
    assert all(a >= b - 1e-12 for a, b in itertools.pairwise(factors[top:]))
    assert factors[0] > 0
    assert factors[-1] < 0.01 or kind == "constant"


@pytest.mark.parametrize(("fraction", "factor"), [(0.0, 1 / 30), (0.015, 0.5), (0.03, 1.0)])
@pytest.mark.parametrize("kind", ["cosine", "step", "polynomial", "constant"])
def test_the_warm_up_is_a_straight_line(kind: Any, fraction: float, factor: float) -> None:
    assert rate_factor(fraction, kind) == pytest.approx(factor)


def test_the_cosine_is_half_way_down_in_the_middle() -> None:
    assert rate_factor(WARM_UP + (1 - WARM_UP) / 2, "cosine") == pytest.approx(0.501)


def test_the_step_schedule_divides_by_five_three_times() -> None:
    assert [rate_factor(f, "step") for f in (0.49, 0.5, 0.76, 0.95)] == pytest.approx([1, 0.2, 0.04, 0.008])


def test_the_polynomial_falls_almost_straight_to_nothing() -> None:
    assert [rate_factor(f, "polynomial", 0.0) for f in (0, 0.5, 0.9, 1)] == pytest.approx([1, 0.5358867, 0.1258925, 0], abs=1e-6)
    assert rate_factor(0.6, "polynomial", 0.2) == pytest.approx(0.5**0.9)


def test_one_cycle_rises_for_three_tenths_and_has_no_other_warm_up() -> None:
    assert [rate_factor(f, "one-cycle", 0.2) for f in (0, 0.15, 0.3, 0.65, 1)] == pytest.approx([0.04, 0.52, 1, 0.500002, 0.000004])


def test_constant_stays() -> None:
    assert {rate_factor(f, "constant") for f in (0.03, 0.4, 1.0)} == {1.0}


def _factors_of(scheduler: Any, optimiser: torch.optim.Optimizer, steps: int) -> list[float]:
    factors = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch wants an optimiser to have stepped; here only the rate is of interest
        for _ in range(steps):
            factors.append(float(optimiser.param_groups[0]["lr"]))
            scheduler.step()
    return factors


@pytest.mark.parametrize("kind", ["cosine", "polynomial", "one-cycle"])
def test_the_rates_are_those_of_torchs_own_schedulers(kind: Any) -> None:
    steps = 101
    optimiser = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    made = {
        "cosine": lambda: torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps - 1, eta_min=0.002),
        "polynomial": lambda: torch.optim.lr_scheduler.PolynomialLR(optimiser, steps - 1, power=0.9),
        "one-cycle": lambda: torch.optim.lr_scheduler.OneCycleLR(optimiser, 1.0, total_steps=steps, pct_start=31 / steps, cycle_momentum=False),  # top at 30
    }[kind]()
    wanted = _factors_of(made, optimiser, steps)
    assert [rate_factor(i / (steps - 1), kind, 0.0) for i in range(steps)] == pytest.approx(wanted, abs=1e-9)


@pytest.mark.parametrize(("kind", "warm_up"), [("linear", 0.03), ("cosine", 1.0), ("cosine", -0.1)])
def test_unknown_schedules_and_impossible_warm_ups_are_refused(kind: Any, warm_up: float) -> None:
    with pytest.raises(ParameterError, match=r"schedule 'linear'|warm-up"):
        rate_factor(0.5, kind, warm_up)


def test_whichever_budget_ends_first_counts() -> None:
    both = Budget(100.0, 1000)
    assert both.fraction(100, 50) == 0.5
    assert both.fraction(900, 50) == 0.9
    assert both.fraction(5000, 0) == 1.0
    assert Budget(0, 10).fraction(5, 1e9) == 0.5
    assert Budget(10, 0).fraction(10**9, 5) == 0.5


def test_the_time_left_is_that_of_the_budget_which_ends_first() -> None:
    assert Budget(100, 1000).seconds_left(500, 20, 0.1) == pytest.approx(50)
    assert Budget(100, 1000).seconds_left(500, 90, 0.1) == pytest.approx(10)
    assert Budget(100, 0).seconds_left(5, 130, 0.1) == 0
