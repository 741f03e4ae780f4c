"""Work that consists of parts: the fractions of each part count as a portion of the whole."""

from __future__ import annotations

from collections.abc import Generator
from typing import TypeVar

T = TypeVar("T")


def portion(work: Generator[float, None, T], start: float, stop: float) -> Generator[float, None, T]:
    """Run one part of some work, which takes the whole from ``start`` to ``stop``, and return its result.

    Examples
    --------
    >>> def count():
    ...     yield 0.5
    ...     yield 1.0
    ...     return "counted"
    >>> list(portion(count(), 0.2, 0.4))
    [0.30000000000000004, 0.4]
    """
    try:
        while True:
            yield start + (stop - start) * next(work)
    except StopIteration as end:
        result: T = end.value
        return result
    finally:
        work.close()
