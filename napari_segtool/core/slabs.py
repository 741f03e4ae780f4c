"""Whole-array work slab by slab: making half a gigabyte takes seconds where memory is fetched page by page, so it is left between two slabs."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

SLAB_PIXELS = 1 << 21
"""Pixels that are worked on between two steps: a tenth of a second at most where they are many bytes wide."""


def slabs_along(shape: tuple[int, ...], pixels: int = 0) -> list[slice]:
    """Part an array along its first axis, in parts of about so many pixels (0: `SLAB_PIXELS`).

    Examples
    --------
    >>> slabs_along((3, 1024, 1024))
    [slice(0, 2, None), slice(2, 3, None)]
    """
    rows = max(1, (pixels or SLAB_PIXELS) // max(1, int(np.prod(shape[1:]))))
    return [slice(start, min(start + rows, shape[0])) for start in range(0, shape[0], rows)]


def made_steps(shape: tuple[int, ...], dtype: DTypeLike, make: Callable[[slice], Any]) -> Generator[float, None, NDArray[Any]]:
    """Make an array slab by slab.

    Parameters
    ----------
    shape, dtype
        Of the array.
    make
        Returns what comes into a slab, an array or a number.

    Yields
    ------
    float
        The finished part.

    Examples
    --------
    >>> steps = made_steps((2, 3), np.uint8, lambda part: part.stop)
    >>> try:
    ...     while True:
    ...         _ = next(steps)
    ... except StopIteration as stop:
    ...     stop.value.tolist()
    [[2, 2, 2], [2, 2, 2]]
    """
    result = np.empty(shape, dtype)
    for part in slabs_along(shape):
        result[part] = make(part)
        yield part.stop / shape[0]
    return result


def put_steps(target: NDArray[Any], source: NDArray[Any]) -> Generator[float, None, None]:
    """Write one array into another of its shape, slab by slab."""
    for part in slabs_along(target.shape):
        target[part] = source[part]
        yield part.stop / target.shape[0]


def finite_steps(values: NDArray[Any]) -> Generator[float, None, NDArray[np.bool_] | None]:
    """Return where values are finite; None where all are."""
    if values.dtype.kind != "f":
        return None
    known: NDArray[np.bool_] = yield from made_steps(values.shape, bool, lambda part: np.isfinite(values[part]))
    for part in slabs_along(known.shape):
        if not known[part].all():
            return known
    return None
