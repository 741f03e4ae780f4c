"""What may be asked of a training in numbers: its budget, seed and threads."""

from __future__ import annotations

import math

from napari_segtool.core.errors import ParameterError

_SEEDS = 2**63
_MOST_STEPS = 10**12
_MOST_MINUTES = 10**7
_MOST_THREADS = 1024


def check_asked(*, minutes: float = 0, steps: int = 0, seed: int = 0, threads: int = 0) -> None:
    """Refuse a budget, a seed or a number of threads that no training can have.

    Raises
    ------
    ParameterError
        Naming the first that is wrong, and what is allowed.
    """
    _check("minutes", minutes, _MOST_MINUTES, whole=False)
    _check("steps", steps, _MOST_STEPS)
    _check("seed", seed, _SEEDS - 1)
    _check("threads", threads, _MOST_THREADS)


def _check(name: str, value: float, most: int, whole: bool = True) -> None:
    if not math.isfinite(value) or not 0 <= value <= most or (whole and value != int(value)):
        kind = "whole number" if whole else "number"
        raise ParameterError(f"{name} = {value} is not allowed.", hint=f"Give a {kind} from 0 to {most}.")
