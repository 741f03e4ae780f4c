"""The number of threads follows what is quickest on the machine as it is."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from napari_segtool.training.engine._threads import ThreadTuner


@pytest.fixture(autouse=True)
def _threads_as_they_were() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def train(tuner: ThreadTuner, cost: dict[int, float], now: float, seconds: float) -> float:
    """Pretend to train, a step costing what its number of threads costs."""
    end = now + seconds
    while now < end:
        spent = cost[torch.get_num_threads()]
        now += spent
        tuner.after_step(spent, now)
    return now


def test_on_a_free_machine_all_threads_stay_and_on_a_busy_one_fewer_are_taken_and_given_back() -> None:
    import time

    torch.set_num_threads(4)
    tuner, now = ThreadTuner(4, every_s=10), time.monotonic()
    assert not tuner.tried
    now = train(tuner, {1: 1.0, 2: 0.5, 4: 0.25}, now, 100)
    while tuner.trying:
        assert not tuner.tried
        now = train(tuner, {1: 1.0, 2: 0.5, 4: 0.25}, now, 0.1)
    assert tuner.tried
    assert torch.get_num_threads() == 4
    busy = {1: 1.0, 2: 2.0, 4: 6.0}
    now = train(tuner, busy, now, 2000)
    while tuner.trying:
        now = train(tuner, busy, now, 0.1)
    assert torch.get_num_threads() == 1
    now = train(tuner, {1: 1.0, 2: 0.5, 4: 0.25}, now, 1000)
    while tuner.trying:
        now = train(tuner, {1: 1.0, 2: 0.5, 4: 0.25}, now, 0.1)
    assert torch.get_num_threads() == 4


def test_trials_take_a_small_part_of_the_time() -> None:
    import time

    torch.set_num_threads(2)
    tuner, now, trial, whole = ThreadTuner(2, every_s=60), time.monotonic(), 0, 0
    cost = {1: 0.9, 2: 0.5}
    for _ in range(2000):
        spent = cost[torch.get_num_threads()]
        now += spent
        trial += tuner.trying
        whole += 1
        tuner.after_step(spent, now)
    assert trial / whole < 0.06


def test_one_thread_is_never_tuned() -> None:
    torch.set_num_threads(1)
    tuner = ThreadTuner(1, every_s=0)
    tuner.after_step(1.0, 1e12)
    assert not tuner.trying
