"""Which pixels have a neighbour a step away, and which those neighbours are."""

from __future__ import annotations

from collections.abc import Sequence

Part = tuple[slice, ...]


def pairs_at(step: Sequence[int], shape: Sequence[int]) -> tuple[Part, Part]:
    """Return the index of all pixels of an array that have a neighbour ``step`` away, and that of those neighbours.

    Examples
    --------
    >>> here, there = pairs_at((0, -1), (2, 3))
    >>> import numpy as np
    >>> picture = np.arange(6).reshape(2, 3)
    >>> picture[here].tolist(), picture[there].tolist()
    ([[1, 2], [4, 5]], [[0, 1], [3, 4]])
    """
    here = tuple(slice(max(0, -by), n - max(0, by)) for by, n in zip(step, shape, strict=True))
    there = tuple(slice(max(0, by), n - max(0, -by)) for by, n in zip(step, shape, strict=True))
    return here, there


def next_along(axis: int, dimensions: int) -> tuple[Part, Part]:
    """Return the index of all pixels that have a next one along ``axis``, and that of those next ones.

    Examples
    --------
    >>> next_along(0, 2)
    ((slice(None, -1, None), slice(None, None, None)), (slice(1, None, None), slice(None, None, None)))
    """
    before, after = (slice(None),) * axis, (slice(None),) * (dimensions - axis - 1)
    return (*before, slice(None, -1), *after), (*before, slice(1, None), *after)
