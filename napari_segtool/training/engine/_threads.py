"""How many processor cores a training uses while other programs run. Imports torch; imported only by the engine."""

from __future__ import annotations

import math
import time

import torch

_TRIAL_STEPS = 3
"""The first step with another number of threads prepares its kernels and is not counted."""


class ThreadTuner:
    """Tries half and twice the threads now and then, and stays with what is quickest.

    On a busy machine fewer threads are quicker: those that have a core wait, spinning, for those that have none. How many threads
    compute a sum changes its last bits, so this is for budgets of time, which do not repeat exactly anyway.

    Parameters
    ----------
    most
        Number of threads to begin with, and never to exceed.
    every_s
        Seconds between two trials.
    """

    def __init__(self, most: int, every_s: float = 60.0) -> None:
        self._most, self._every_s = most, every_s
        self._kept = most
        self._times: dict[int, float] = {}
        self._queue: list[int] = []
        self._steps_left = 0
        self._due = time.monotonic() + 5.0

    @property
    def trying(self) -> bool:
        """Whether a trial is under way."""
        return bool(self._steps_left)

    @property
    def tried(self) -> bool:
        """Whether a trial is over, so that the number of threads is a measured choice."""
        return bool(self._times) and not self.trying

    def after_step(self, seconds: float, now: float) -> None:
        """Take note of a step's time and set torch's threads for the next one.

        Parameters
        ----------
        seconds
            What the step took.
        now
            `time.monotonic` after it.
        """
        if self._steps_left:
            self._steps_left -= 1
            if self._steps_left < _TRIAL_STEPS - 1:
                current = torch.get_num_threads()
                self._times[current] = min(seconds, self._times.get(current, math.inf))
            if not self._steps_left:
                self._next(now)
        elif now >= self._due and self._most > 1:
            self._times = {}
            self._queue = sorted({self._kept, max(1, self._kept // 2), min(self._most, 2 * self._kept)}, reverse=True)
            self._next(now)

    def _next(self, now: float) -> None:
        if self._queue:
            torch.set_num_threads(self._queue.pop())
            self._steps_left = _TRIAL_STEPS
            return
        self._kept = min(self._times, key=self._times.__getitem__)
        torch.set_num_threads(self._kept)
        self._due = now + max(self._every_s, 20 * _TRIAL_STEPS * sum(self._times.values()))
