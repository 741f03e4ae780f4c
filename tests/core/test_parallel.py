"""Planes that are worked on several at a time."""

from __future__ import annotations

import threading
import time
from collections.abc import Generator, Iterator

import numpy as np
import pytest

from napari_segtool.core import parallel
from napari_segtool.core.parallel import in_order
from napari_segtool.core.planes import SteppedRule, map_planes
from napari_segtool.core.progress import drain
from napari_segtool.core.stack import Stack

SLOW_S = 0.01  # more than what is done in place


@pytest.fixture(autouse=True)
def three_threads(monkeypatch):
    monkeypatch.setattr(parallel, "thread_count", lambda: 3)


def helpers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("segtool-plane")]


def counted(stack_planes: int = 12, height: int = 4) -> Stack:
    return Stack(np.arange(stack_planes, dtype=np.uint8)[:, None, None] + np.zeros((1, height, 5), np.uint8), "ZYX")


def slow(plane: np.ndarray) -> np.ndarray:
    time.sleep(SLOW_S * (1 + int(plane[0, 0]) % 3))  # later planes are often ready before earlier ones
    return plane + 1


def test_results_stand_in_order_whichever_is_ready_first():
    stack = counted()
    assert np.array_equal(drain(map_planes(stack, slow)), np.asarray(stack.data) + 1)
    turned = Stack(np.asarray(stack.data).transpose(2, 0, 1), "XZY")
    assert np.array_equal(drain(map_planes(turned, slow)), np.asarray(turned.data) + 1)


def test_several_planes_are_worked_on_at_the_same_time():
    meet = threading.Barrier(3, timeout=20)

    def rule(plane: np.ndarray) -> np.ndarray:
        time.sleep(SLOW_S)
        if plane[0, 0] >= 2:  # the first two are done in place
            meet.wait()
        return plane

    drain(map_planes(counted(2 + 3), rule))
    assert not meet.broken


def test_quick_planes_are_done_in_the_callers_own_thread():
    seen = set()

    def rule(plane: np.ndarray) -> np.ndarray:
        seen.add(threading.get_ident())
        return plane

    drain(map_planes(counted(), rule))
    assert seen == {threading.get_ident()}


def test_pictures_are_read_by_the_caller_and_only_a_few_ahead():
    read, reader, done = [], set(), []

    class Data:
        shape, dtype, ndim = (12, 4, 5), np.dtype(np.uint8), 3

        def __getitem__(self, key):
            read.append(key[0])
            reader.add(threading.get_ident())
            assert len(read) - len(done) <= 3 + 2
            return np.full((4, 5), key[0], np.uint8)

    def rule(plane: np.ndarray) -> np.ndarray:
        made = slow(plane)
        done.append(int(plane[0, 0]))
        return made

    drain(map_planes(Stack(Data(), "ZYX"), rule))
    assert read == list(range(12))
    assert reader == {threading.get_ident()}


def test_an_error_in_a_plane_reaches_the_caller_and_stops_the_others():
    def rule(plane: np.ndarray) -> np.ndarray:
        if plane[0, 0] == 5:
            raise ValueError("plane 5")
        return slow(plane)

    with pytest.raises(ValueError, match="plane 5"):
        drain(map_planes(counted(), rule))
    assert not helpers()


def test_nothing_goes_on_once_it_was_cancelled():
    begun = []

    def rule(plane: np.ndarray) -> np.ndarray:
        begun.append(int(plane[0, 0]))
        return slow(plane)

    steps = map_planes(counted(100), rule)
    for _ in range(6):
        next(steps)
    steps.close()
    assert not helpers()
    assert len(begun) < 6 + 3 + 2


def test_a_plane_that_takes_long_is_left_at_its_next_step_and_cleans_up():
    cleaned = []

    def long(plane: np.ndarray) -> Generator[float, None, np.ndarray]:
        try:
            for part in range(2 if plane[0, 0] < 2 else 100_000):
                time.sleep(SLOW_S)
                yield part / 100_000
            return plane
        finally:
            cleaned.append(int(plane[0, 0]))

    steps = map_planes(counted(8), SteppedRule(long))
    for progress in steps:
        if progress.done > 2:
            break
    begun = time.monotonic()
    steps.close()
    assert time.monotonic() - begun < 1
    assert set(cleaned) == {0, 1, 2, 3, 4}
    assert not helpers()


def test_progress_never_runs_back_and_ends_full():
    def halves(plane: np.ndarray) -> Generator[float, None, np.ndarray]:
        yield 0.25
        time.sleep(SLOW_S)
        yield 0.5
        return plane

    seen: list[float] = []
    drain(map_planes(counted(), SteppedRule(halves)), lambda progress: seen.append(progress.fraction))
    assert seen == sorted(seen)
    assert seen[-1] == 1


def test_with_one_core_nothing_is_handed_to_threads(monkeypatch):
    monkeypatch.setattr(parallel, "thread_count", lambda: 1)
    seen = set()

    def works() -> Iterator[Generator[float, None, int]]:
        def work() -> Generator[float, None, int]:
            time.sleep(SLOW_S)
            seen.add(threading.get_ident())
            yield 0.5
            return 1

        return (work() for _ in range(5))

    taken: list[int] = []
    drain(in_order(works(), taken.append, 5, "piece"))
    assert taken == [1] * 5
    assert seen == {threading.get_ident()}
