"""The best split of a histogram into contiguous groups: exact one-dimensional k-means, and multi-level Otsu."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Whole = NDArray[np.int64]


def best_partition(values: NDArray[np.float64], counts: NDArray[np.float64], groups: int) -> Whole:
    """Split sorted values into groups with the least sum of squared distances to the group means.

    This is the global optimum, found by dynamic programming with divide and conquer over the (monotone) place of the last
    split, in ``O(groups · n · log n)``. In one dimension it is both what k-means looks for and, since the total variance is
    fixed, what Otsu's method with several thresholds maximises.

    Parameters
    ----------
    values
        Distinct grey values in increasing order, shape ``(n,)``.
    counts
        Pixels with each value, shape ``(n,)``, above 0.
    groups
        Number of groups, 1 to n.

    Returns
    -------
    ndarray
        Index of the first value of groups 2, 3, …, shape ``(groups - 1,)``; of equally good splits the one with the lowest
        indices.

    References
    ----------
    .. [1] Wang & Song 2011, Ckmeans.1d.dp, doi:10.32614/RJ-2011-015
    .. [2] Otsu 1979, A threshold selection method from gray-level histograms, doi:10.1109/TSMC.1979.4310076

    Examples
    --------
    >>> best_partition(np.array([1.0, 2, 10, 11, 30]), np.ones(5), 3).tolist()
    [2, 4]
    """
    cost = _Cost(values, counts)
    last = len(values) - 1
    best = cost(np.zeros(last + 1, np.int64), np.arange(last + 1))
    choices: list[Whole] = []
    for group in range(1, groups):
        if group == groups - 1:  # only the whole range is asked for now
            starts = np.arange(group, last + 1)
            choices.append(np.full(last + 1, starts[np.argmin(best[starts - 1] + cost(starts, np.full(len(starts), last)))]))
        else:
            best, choice = _layer(best, cost, group)
            choices.append(choice)
    splits: list[int] = []
    end = last
    for choice in reversed(choices):
        splits.insert(0, int(choice[end]))
        end = splits[0] - 1
    return np.array(splits, np.int64)


class _Cost:
    """Sum of squared distances to their mean of the values ``first`` to ``last``, from running sums."""

    def __init__(self, values: NDArray[np.float64], counts: NDArray[np.float64]) -> None:
        centred = values - np.average(values, weights=counts)  # keeps the squares small, and so the differences exact
        running = [np.concatenate([[0.0], np.cumsum(counts * power)]) for power in (np.ones_like(centred), centred, centred**2)]
        self._weight, self._sum, self._square = running

    def __call__(self, first: Whole, last: Whole) -> NDArray[np.float64]:
        weight = self._weight[last + 1] - self._weight[first]
        total = self._sum[last + 1] - self._sum[first]
        cost: NDArray[np.float64] = self._square[last + 1] - self._square[first] - total * total / weight
        return cost


def _layer(best: NDArray[np.float64], cost: _Cost, group: int) -> tuple[NDArray[np.float64], Whole]:
    """Add one group: for every last value the least cost, and where its last group starts.

    The start never moves back as the last value moves on, so the middle of a range is solved first and bounds both
    halves; all ranges of one depth are solved together.
    """
    count = len(best)
    least, start = np.full(count, np.inf), np.zeros(count, np.int64)
    low, high = np.array([group]), np.array([count - 1])  # ranges of last values still to solve
    first, final = np.array([group]), np.array([count - 1])  # and where their starts can lie
    while len(low):
        middle = (low + high) // 2
        lengths = np.minimum(final, middle) - first + 1
        offsets = np.concatenate([[0], np.cumsum(lengths)[:-1]])
        candidates = np.arange(lengths.sum()) - np.repeat(offsets, lengths) + np.repeat(first, lengths)
        costs = best[candidates - 1] + cost(candidates, np.repeat(middle, lengths))
        minima = np.minimum.reduceat(costs, offsets)
        hits = np.flatnonzero(costs == np.repeat(minima, lengths))
        winners = candidates[hits[np.searchsorted(hits, offsets)]]
        least[middle], start[middle] = minima, winners
        low, high = np.concatenate([low, middle + 1]), np.concatenate([middle - 1, high])
        first, final = np.concatenate([first, winners]), np.concatenate([winners, final])
        left = low <= high
        low, high, first, final = low[left], high[left], first[left], final[left]
    return least, start
