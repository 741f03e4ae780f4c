"""How far a training is, by time or by steps, and the learning rate there."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

from napari_segtool.core.errors import ParameterError

ScheduleKind = Literal["cosine", "step", "polynomial", "one-cycle", "constant"]

WARM_UP = 0.03
"""Share of the budget over which the learning rate rises."""
_RISE, _LOWEST_RISING = 0.3, 1 / 25
"""Of one-cycle."""


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


def rate_factor(fraction: float, kind: ScheduleKind, warm_up: float = WARM_UP) -> float:
    """Return what the learning rate is multiplied by when ``fraction`` of the budget is used.

    It rises linearly over the first ``warm_up`` of the budget. Then, t being the used share of what remains:

    - ``"cosine"`` falls smoothly, as half a cosine, to 0.002;
    - ``"polynomial"`` falls as (1 − t)^0.9, almost straight, to 0 (nnU-Net's);
    - ``"step"`` is divided by 5 after one half, three quarters and nine tenths of the whole budget;
    - ``"constant"`` stays 1.

    ``"one-cycle"`` has a rise of its own and no other warm-up: from 1/25 up over the first three tenths, and down to 0.000004, both as half a cosine.

    Parameters
    ----------
    fraction
        Used part of the budget, 0 to 1.
    kind
        One of the five.
    warm_up
        Share of the budget, from 0 (none) to less than 1.

    Returns
    -------
    float
        From 0 to 1.

    Raises
    ------
    ParameterError
        If the kind is unknown or the warm-up out of bounds.

    References
    ----------
    Cosine: Loshchilov & Hutter 2017, arXiv:1608.03983. Polynomial: Chen et al. 2018, doi:10.1109/TPAMI.2017.2699184.
    One-cycle: Smith & Topin 2019, doi:10.1117/12.2520589.

    Examples
    --------
    >>> round(rate_factor(1.0, "cosine"), 4), rate_factor(0.6, "step"), rate_factor(0.3, "one-cycle")
    (0.002, 0.2, 1.0)
    """
    if kind not in get_args(ScheduleKind):
        raise ParameterError(f"There is no schedule {kind!r}.", hint=f"Choose one of: {', '.join(get_args(ScheduleKind))}.")
    if not 0 <= warm_up < 1:
        raise ParameterError(f"A warm-up of {warm_up} is not a share of the budget.", hint="Give a value from 0 to less than 1, for example 0.03.")
    fraction = min(1.0, max(0.0, fraction))
    if kind == "one-cycle":
        if fraction < _RISE:
            return _between(_LOWEST_RISING, 1.0, fraction / _RISE)
        return _between(1.0, _LOWEST_RISING / 1e4, (fraction - _RISE) / (1 - _RISE))
    if fraction < warm_up:
        return min(1.0, max(fraction, 0.001) / warm_up)
    if kind == "constant":
        return 1.0
    if kind == "step":
        return float(0.2 ** sum(fraction >= edge for edge in (0.5, 0.75, 0.9)))
    used = (fraction - warm_up) / (1 - warm_up)
    return float((1 - used) ** 0.9) if kind == "polynomial" else _between(1.0, 0.002, used)


def _between(first: float, last: float, place: float) -> float:
    """Go from one value to another as half a cosine."""
    return last + (first - last) * 0.5 * (1 + math.cos(math.pi * place))
