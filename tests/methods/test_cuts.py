"""Labellings of least cost, against trying all of them."""

from __future__ import annotations

import itertools
import threading
import time

import numpy as np
import pytest

from napari_segtool.methods import _cuts
from napari_segtool.methods._cuts import energy, potts_labels_steps


def labels_of(unary, weights, **more):
    steps = potts_labels_steps(unary, weights, **more)
    try:
        while True:
            assert 0 <= next(steps) <= 1
    except StopIteration as stop:
        return stop.value


def cheapest_of_all(unary, weights) -> float:
    classes, shape = unary.shape[0], unary.shape[1:]
    every = itertools.product(range(classes), repeat=int(np.prod(shape)))
    return min(energy(np.array(one).reshape(shape), unary, weights) for one in every)


def random_problem(seed, shape, classes):
    generator = np.random.default_rng(seed)
    weights = tuple(generator.random([n - (i == axis) for i, n in enumerate(shape)]) * 2 for axis in range(len(shape)))
    return generator.random((classes, *shape)) * 3, weights


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("shape", [(3, 3), (2, 2, 2)])
def test_two_labels_cost_as_little_as_the_best_of_all_labellings(seed, shape):
    unary, weights = random_problem(seed, shape, 2)
    assert energy(labels_of(unary, weights), unary, weights) == pytest.approx(cheapest_of_all(unary, weights), abs=0.02)


@pytest.mark.parametrize("seed", range(4))
def test_three_labels_cost_less_than_any_single_expansion_of_them_and_at_most_twice_the_best(seed):
    unary, weights = random_problem(seed, (2, 3), 3)
    found = labels_of(unary, weights)
    cost = energy(found, unary, weights)
    assert cost <= 2 * cheapest_of_all(unary, weights)
    for target in range(3):
        for chosen in itertools.product((False, True), repeat=6):
            moved = np.where(np.array(chosen).reshape(2, 3), target, found)
            assert cost <= energy(moved, unary, weights) + 0.02


def test_blocks_cost_hardly_more_than_the_whole():
    generator = np.random.default_rng(1)
    truth = np.zeros((70, 90), int)
    truth[20:50, 25:70] = 1
    seen = truth + generator.normal(0, 0.7, truth.shape)
    unary = np.stack([seen**2, (seen - 1) ** 2])
    at_once, in_blocks = labels_of(unary, (1.0, 1.0)), labels_of(unary, (1.0, 1.0), whole=500)
    assert energy(in_blocks, unary, (1.0, 1.0)) <= 1.002 * energy(at_once, unary, (1.0, 1.0))
    assert (at_once != truth).mean() < 0.01


def test_a_forbidden_label_is_never_taken_and_a_pixel_left_out_pulls_nobody():
    unary = np.full((2, 1, 5), 1.0)
    unary[1, 0, 0] = unary[0, 0, 4] = np.inf  # the ends are decided
    free = labels_of(unary, (1.0, np.array([[1.0, 0.2, 1.0, 1.0]])))
    assert free.tolist() == [[0, 0, 1, 1, 1]]
    unary[:, 0, 2] = np.nan
    unary[1, 0, 3] = 0.8
    unary[0, 0, 1] = 1.1
    assert labels_of(unary, (1.0, 0.5)).tolist() == [[0, 0, 0, 1, 1]]  # 1 prefers label 1 by less than its tie to 0; 2 is left out


def test_without_weights_every_pixel_takes_its_cheapest_label_and_one_label_is_no_choice():
    unary, _ = random_problem(3, (4, 5), 4)
    assert np.array_equal(labels_of(unary, (0.0, 0.0)), unary.argmin(axis=0))
    assert not labels_of(unary[:1], (1.0, 1.0)).any()
    assert labels_of(np.zeros((3, 0, 4)), (1.0, 1.0)).shape == (0, 4)


def test_cuts_in_a_process_of_their_own_are_those_in_place(monkeypatch):
    unary, weights = random_problem(7, (24, 30), 3)
    in_place = labels_of(unary, weights)
    in_blocks = labels_of(unary, weights, whole=200)
    monkeypatch.setattr(_cuts, "APART", 50)
    assert np.array_equal(labels_of(unary, weights), in_place)
    assert np.array_equal(labels_of(unary, weights, whole=200), in_blocks)


def test_a_cut_that_takes_long_is_left_at_once_and_other_threads_go_on_meanwhile():
    unary, weights = random_problem(8, (400, 500), 2)
    threads = threading.active_count()
    steps = potts_labels_steps(unary, tuple(weight * 20 for weight in weights))
    last, longest = time.monotonic(), 0.0
    for _ in itertools.islice(steps, 12):
        longest, last = max(longest, time.monotonic() - last), time.monotonic()
    steps.close()
    assert time.monotonic() - last < 1.0
    assert longest < 1.0
    assert threading.active_count() == threads
