"""Long work is a generator: it yields `Progress`, returns its result, and cleans up in ``finally``."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TypeVar

T = TypeVar("T")


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


Steps = Generator[Progress, None, T]


def as_progress(work: Generator[float, None, T], done: int, total: int, label: str) -> Steps[T]:
    """Turn the fractions of one of ``total`` pieces of work, the one after ``done``, into `Progress` of all."""
    try:
        while True:
            yield Progress(done + next(work), total, label)
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
