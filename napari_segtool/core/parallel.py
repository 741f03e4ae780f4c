"""Do several pieces of work at a time, in threads, and take their results in order."""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

from napari_segtool.core.progress import Progress, Steps, as_progress, told

R = TypeVar("R")

MOST_THREADS = 4
"""Threads at most: each holds the memory of one piece of work."""

_PAYS_S = 0.0005  # a piece of work that takes less is done before a thread has begun it
_LOOK_S = 0.1  # how often the progress of the piece that is waited for is told


def thread_count() -> int:
    """Return how many pieces are worked on at a time: the cores this process may use, at most `MOST_THREADS`."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, MOST_THREADS)


def in_order(works: Iterable[Generator[float, None, R]], take: Callable[[R], object], total: int, label: str) -> Steps[None]:
    """Do pieces of work, several at a time where that pays, and hand over each result in the order of the pieces.

    The libraries that pictures are worked on with (NumPy, OpenCV, SciPy) let go of Python's lock while they work, so threads share the
    cores. The first two pieces are done in place: if the second takes no time, so are all others.

    Parameters
    ----------
    works
        The pieces, not begun: each yields its finished part, 0 to 1, and returns its result. They are asked for one by one, in the caller's
        thread, and no more than a few ahead of the result that is wanted next; each then runs in any one thread.
    take
        Called with each result, in order, in the caller's thread.
    total
        Number of pieces.
    label
        What the progress counts.

    Yields
    ------
    Progress
        After each piece, and within one at its own steps. Where it is closed there, work that has begun is left at its next step (or its
        end, where it has none), and nothing goes on when the generator has closed.
    """
    left, threads = threading.Event(), thread_count()
    pool: ThreadPoolExecutor | None = None
    running: deque[_Running[R]] = deque()
    done, spent = 0, 0.0
    try:
        for work in works:
            if pool is None and done >= 2 and spent > _PAYS_S and threads > 1:
                pool = ThreadPoolExecutor(threads, thread_name_prefix="segtool-plane")
            if pool is None:
                begun = time.perf_counter()
                result = yield from as_progress(work, done, total, label)
                spent = time.perf_counter() - begun
                take(result)
                done += 1
                yield Progress(done, total, label)
                continue
            running.append(_Running(pool, work, left))
            if len(running) > threads:
                take((yield from running.popleft().result_steps(done, total, label)))
                done += 1
                yield Progress(done, total, label)
        while running:
            take((yield from running.popleft().result_steps(done, total, label)))
            done += 1
            yield Progress(done, total, label)
    finally:
        left.set()
        if pool is not None:
            pool.shutdown(wait=True, cancel_futures=True)


class _Running(Generic[R]):
    """A piece of work in a thread."""

    def __init__(self, pool: ThreadPoolExecutor, work: Generator[float, None, R], left: threading.Event) -> None:
        self._part = 0.0
        self._future: Future[R] = pool.submit(self._run, work, left)

    def _run(self, work: Generator[float, None, R], left: threading.Event) -> R:
        try:
            while not left.is_set():
                self._part = next(work)
        except StopIteration as stop:
            result: R = stop.value
            return result
        finally:
            work.close()
        raise RuntimeError("nobody waits for this result any more")

    def result_steps(self, done: int, total: int, label: str) -> Steps[R]:
        """Wait for the result; tells how far it has come every now and then, so that it can be left."""
        while not self._future.done():
            try:
                self._future.exception(timeout=_LOOK_S)
            except TimeoutError:
                yield told(self._part, done, total, label)
        return self._future.result()
