"""Long work is a generator: it yields `Progress`, returns its result, and cleans up in ``finally``."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Self, TypeVar

from numpy.typing import NDArray

T = TypeVar("T")

SKETCH_EVERY_S = 0.1
"""Seconds between two looks at labels that evolve."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a piece of long work has come.

    Parameters
    ----------
    done, total
        Finished units of work and all of them; ``total`` is 0 while it is unknown.
    label
        What is being done, in a word or two ("tile", "step 812").
    metrics
        Numbers worth showing now, by name (``{"loss": 0.31}``).
    """

    done: float
    total: float
    label: str = ""
    metrics: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def fraction(self) -> float:
        """Finished part, 0 to 1; 0 while the total is unknown."""
        return min(1.0, self.done / self.total) if self.total > 0 else 0.0


@dataclass(frozen=True, slots=True, eq=False)
class Evolution(Progress):
    """Progress of labels that change step by step, with what they look like by now.

    Parameters
    ----------
    labels
        Unsigned integers, ``(Y, X)`` of one plane or ``(depth, Y, X)`` of one volume; nobody changes the array any more.
        `core.planes.evolved_plane` finds the plane that is looked at.
    piece
        Which of the ``total`` planes or volumes evolves, counted from 0 in storage order.
    """

    labels: NDArray[Any] | None = None
    piece: int = 0


class Sketch(float):
    """A finished part, 0 to 1, that carries the labels as they are by now.

    Parameters
    ----------
    part
        The finished part.
    labels
        As in `Evolution`.
    """

    labels: NDArray[Any]

    def __new__(cls, part: float, labels: NDArray[Any]) -> Self:  # noqa: D102 (the class says it)
        made = super().__new__(cls, part)
        made.labels = labels
        return made


class Sketches:
    """Makes a `Sketch` of every finished part that comes long enough after the last; all others stay plain numbers."""

    def __init__(self, every_s: float = SKETCH_EVERY_S) -> None:
        self._every_s, self._last = every_s, float("-inf")

    def __call__(self, part: float, labels: Callable[[], NDArray[Any]]) -> float:
        """Return ``part``, with a copy of the labels that ``labels`` makes, if it is time for one."""
        return Sketch(part, labels()) if self.due() else part

    def due(self) -> bool:
        """Tell whether it is time for one, which is then taken for made."""
        now = time.monotonic()
        if now - self._last < self._every_s:
            return False
        self._last = now
        return True


Steps = Generator[Progress, None, T]


def told(part: float, done: int, total: int, label: str) -> Progress:
    """Return the `Progress` of ``total`` pieces of work when the one after ``done`` is finished to that part; an `Evolution` of a `Sketch`."""
    if isinstance(part, Sketch):
        return Evolution(done + part, total, label, labels=part.labels, piece=done)
    return Progress(done + part, total, label)


def as_progress(work: Generator[float, None, T], done: int, total: int, label: str) -> Steps[T]:
    """Turn the fractions of one of ``total`` pieces of work, the one after ``done``, into `Progress` of all."""
    try:
        while True:
            yield told(next(work), done, total, label)
    except StopIteration as stop:
        result: T = stop.value
        return result
    finally:
        work.close()


def drain(steps: Steps[T], report: Callable[[Progress], None] | None = None) -> T:
    """Run long work in place and return its result.

    Parameters
    ----------
    steps
        The generator to run.
    report
        Called with every `Progress`.

    Examples
    --------
    >>> def count():
    ...     yield Progress(1, 2)
    ...     yield Progress(2, 2)
    ...     return "counted"
    >>> drain(count())
    'counted'
    """
    try:
        while True:
            progress = next(steps)
            if report is not None:
                report(progress)
    except StopIteration as stop:
        result: T = stop.value
        return result
    finally:
        steps.close()
