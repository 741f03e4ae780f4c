"""The learning rate over a budget of time or steps."""

from __future__ import annotations

import itertools

import pytest

from napari_segtool.training._schedule import WARM_UP, Budget, rate_factor


@pytest.mark.parametrize("kind", ["cosine", "step"])
def test_the_rate_rises_to_its_full_value_and_then_never_rises_again(kind: str) -> None:
    fractions = [i / 1000 for i in range(1001)]
    factors = [rate_factor(fraction, kind) for fraction in fractions]  # type: ignore[arg-type]
    top = factors.index(max(factors))
    assert max(factors) == pytest.approx(1.0, abs=0.01)
    assert fractions[top] <= WARM_UP + 0.002
    assert all(a <= b + 1e-12 for a, b in itertools.pairwise(factors[: top + 1]))
    assert all(a >= b - 1e-12 for a, b in itertools.pairwise(factors[top:]))
    assert 0 < factors[0] < 0.1
    assert factors[-1] < 0.01


def test_the_cosine_is_half_way_down_in_the_middle() -> None:
    assert rate_factor(WARM_UP + (1 - WARM_UP) / 2, "cosine") == pytest.approx(0.501)


def test_the_step_schedule_divides_by_five_three_times() -> None:
    assert [rate_factor(f, "step") for f in (0.49, 0.5, 0.76, 0.95)] == pytest.approx([1, 0.2, 0.04, 0.008])


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
