"""The best split of a histogram into contiguous groups: exact one-dimensional k-means, and multi-level Otsu."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from numpy.typing import NDArray

Whole = NDArray[np.int64]
Values = NDArray[np.float64]

BLOCKS = 512
"""Blocks of values among which splits of a long histogram are looked for first."""


def best_partition(values: Values, counts: Values, groups: int, *, blocks: int = BLOCKS) -> Whole:
    """Split sorted values into groups with the least sum of squared distances to the group means.

    This is the global optimum, found by dynamic programming with divide and conquer over the (monotone) place of the last
    split, in ``O(groups · n · log n)``. Of a long histogram only the places are searched that can hold a split of the optimum. In one
    dimension it is both what k-means looks for and, since the total variance is fixed, what Otsu's method with several thresholds maximises.

    Parameters
    ----------
    values
        Distinct grey values in increasing order, shape ``(n,)``.
    counts
        Pixels with each value, shape ``(n,)``, above 0.
    groups
        Number of groups, 1 to n.
    blocks
        Makes no difference to the result: from four times as many values on, splits between so many blocks are looked at first.

    Returns
    -------
    ndarray
        Index of the first value of groups 2, 3, …, shape ``(groups - 1,)``.

    References
    ----------
    .. [1] Wang & Song 2011, Ckmeans.1d.dp, doi:10.32614/RJ-2011-015
    .. [2] Otsu 1979, A threshold selection method from gray-level histograms, doi:10.1109/TSMC.1979.4310076

    Examples
    --------
    >>> best_partition(np.array([1.0, 2, 10, 11, 30]), np.ones(5), 3).tolist()
    [2, 4]
    """
    if groups == 1:
        return np.zeros(0, np.int64)
    count, cost = len(values), _Cost(values, counts)
    if groups > 2 and count > 4 * blocks:
        places = _promising(values, counts, groups, blocks)
    else:
        places = [np.arange(split, count - groups + 1 + split) for split in range(1, groups)]
    best = cost(np.zeros(len(places[0]), np.int64), places[0])
    choices: list[Whole] = []
    for index, (before, here) in enumerate(itertools.pairwise(places), start=1):
        places[index] = here[here > before[0]]
        best, choice = _layer(best, cost, before, places[index], np.searchsorted(before, places[index], side="left"))
        choices.append(choice)
    place = int(np.argmin(best + cost(places[-1], np.full(len(places[-1]), count))))
    splits = [int(places[-1][place])]
    for choice, here in zip(reversed(choices), reversed(places[:-1]), strict=True):
        place = int(choice[place])
        splits.insert(0, int(here[place]))
    return np.array(splits, np.int64)


class _Cost:
    """Sum of squared distances to their mean of the values from ``first`` to before ``end``, from running sums.

    The sum of the squares themselves is left out: over all groups it is the same for every split.
    """

    def __init__(self, values: Values, counts: Values) -> None:
        centred = values - np.average(values, weights=counts)  # keeps the sums small, and so the differences exact
        self._weight, self._sum = (np.concatenate([[0.0], np.cumsum(part)]) for part in (counts, counts * centred))

    def __call__(self, first: Whole, end: Whole, repeats: Whole | None = None) -> Values:
        """Return the cost of each range, 0 where it is empty; each of ``end`` stands for so many of ``first`` in a row."""
        weight, total = self._weight[end], self._sum[end]
        if repeats is not None:
            weight, total = np.repeat(weight, repeats), np.repeat(total, repeats)
        weight -= self._weight[first]
        total -= self._sum[first]
        np.multiply(total, total, out=total)
        np.divide(total, np.maximum(weight, 1e-300, out=weight), out=total)
        return np.asarray(np.negative(total, out=total))


def _layer(best: Values, cost: _Cost, starts: Whole, ends: Whole, allowed: Whole) -> tuple[Values, Whole]:
    """Add one group: for every end the least cost, and which of the starts of its last group gives it.

    The start never moves back as the end moves on, so the middle of a range is solved first and bounds both halves; all ranges
    of one depth are solved together.

    Parameters
    ----------
    best
        Least cost of what lies before each of ``starts``.
    cost
        Of one group.
    starts, ends
        Places where the group may start and end, in increasing order.
    allowed
        How many of the starts are low enough for each end, at least 1.
    """
    count = len(ends)
    least, start = np.full(count, np.inf), np.zeros(count, np.int64)
    low, high = np.array([0]), np.array([count - 1])  # ranges of ends still to solve
    first, final = np.array([0]), np.array([len(starts) - 1])  # and where their starts can lie
    while len(low):
        middle = (low + high) // 2
        lengths = np.minimum(final, allowed[middle] - 1) - first + 1
        offsets = np.concatenate([[0], np.cumsum(lengths)[:-1]])
        candidates = np.arange(lengths.sum()) + np.repeat(first - offsets, lengths)
        costs = cost(starts[candidates], ends[middle], lengths)
        costs += best[candidates]
        minima = np.minimum.reduceat(costs, offsets)
        hits = np.flatnonzero(costs == np.repeat(minima, lengths))
        winners = candidates[hits[np.searchsorted(hits, offsets)]]
        least[middle], start[middle] = minima, winners
        low, high = np.concatenate([low, middle + 1]), np.concatenate([middle - 1, high])
        first, final = np.concatenate([first, winners]), np.concatenate([winners, final])
        left = low <= high
        low, high, first, final = low[left], high[left], first[left], final[left]
    return least, start


def _promising(values: Values, counts: Values, groups: int, blocks: int) -> list[Whole]:
    """Return the places where each split of the optimum can lie.

    Moving the splits of the optimum back to the start of their blocks makes it worse by no more than what the values that change their
    group can add, each farther from its new mean than from its old one by at most twice the range times the width of its block. So a
    block cannot hold a split if the best of all splits between blocks that has one at its start is worse than the very best by more than that.
    """
    count = len(values)
    share = np.cumsum(counts / counts.sum() + 1 / count) / 2  # a value that many pixels have gets a block of its own
    edges = np.unique(np.searchsorted(share, np.arange(blocks) / blocks))
    widths = np.diff(edges, append=count)
    mass = np.add.reduceat(counts, edges)
    worse = (groups - 1) * 2 * float(values[-1] - values[0]) * float((mass * (values[edges + widths - 1] - values[edges])).max())
    forward = _least_costs(_Cost(values, counts), edges, groups - 1)
    backward = _least_costs(_Cost(values[::-1], counts[::-1]), count - edges[::-1], groups - 1)
    places = []
    for split in range(1, groups):
        total = forward[split - 1] + backward[groups - split - 1][::-1]
        near = total <= total.min() + worse + 1e-9 * abs(float(total.min()))
        found = np.flatnonzero(np.repeat(near, widths))
        places.append(found[(found >= split) & (found <= count - groups + split)])
    return places


def _least_costs(cost: _Cost, edges: Whole, groups: int) -> list[Any]:
    """Return, for 1 group, 2 groups, … at most, the least cost of what lies before each edge."""
    least = [cost(np.zeros(len(edges), np.int64), edges)]
    for _ in range(1, groups):
        least.append(_layer(least[-1], cost, edges, edges, np.arange(1, len(edges) + 1))[0])
    return least
