"""A few of many, spread evenly: large data are not read through where a look at some of them will do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


def spread_evenly(items: Sequence[T], most: int) -> list[T]:
    """Return at most ``most`` of the items, in their order, the first and the last among them where there is room for two.

    Examples
    --------
    >>> spread_evenly("abcdefg", 3), spread_evenly("ab", 3)
    (['a', 'd', 'g'], ['a', 'b'])
    """
    if len(items) <= most:
        return list(items)
    last = len(items) - 1
    return [items[place * last // max(1, most - 1)] for place in range(most)]
