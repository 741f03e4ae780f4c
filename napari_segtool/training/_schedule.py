"""How far a training is, by time or by steps, and the learning rate there."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

WARM_UP = 0.03
"""Share of the budget over which the learning rate rises."""


@dataclass(frozen=True)
class Budget:
    """What a training may use; whichever ends first. Zero means no limit.

    Parameters
    ----------
    seconds
        Time, with everything: loading, validation and saving.
    steps
        Training steps.
    """

    seconds: float
    steps: int

    def fraction(self, step: int, seconds: float) -> float:
        """Return the used part, 0 to 1, after ``step`` steps and ``seconds``.

        Examples
        --------
        >>> Budget(60, 1000).fraction(250, 30)
        0.5
        """
        by_steps = step / self.steps if self.steps else 0.0
        by_time = seconds / self.seconds if self.seconds else 0.0
        return min(1.0, max(by_steps, by_time))

    def seconds_left(self, step: int, seconds: float, seconds_per_step: float) -> float:
        """Estimate the time that is left."""
        left = []
        if self.steps:
            left.append((self.steps - step) * seconds_per_step)
        if self.seconds:
            left.append(self.seconds - seconds)
        return max(0.0, min(left)) if left else 0.0


def rate_factor(fraction: float, kind: Literal["cosine", "step"]) -> float:
    """Return what the learning rate is multiplied by when ``fraction`` of the budget is used.

    It rises linearly over the first `WARM_UP`; then ``"cosine"`` falls smoothly to 0.002, and ``"step"`` is divided by 5 after one half, three quarters and
    nine tenths.

    References
    ----------
    Loshchilov & Hutter 2017, arXiv:1608.03983.

    Examples
    --------
    >>> round(rate_factor(1.0, "cosine"), 4), rate_factor(0.6, "step")
    (0.002, 0.2)
    """
    if fraction < WARM_UP:
        return max(fraction, 0.001) / WARM_UP
    if kind == "step":
        return float(0.2 ** sum(fraction >= edge for edge in (0.5, 0.75, 0.9)))
    progress = min(1.0, (fraction - WARM_UP) / (1 - WARM_UP))
    return 0.002 + 0.998 * 0.5 * (1 + math.cos(math.pi * progress))
