"""Basins that overflow: which minima are deep enough to stay, and where the water of the others ends."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_segtool.methods._basins import Basins, Edges
from napari_segtool.preprocess._portions import portion

_MEETINGS = 100_000  # of basins, between two steps
_SORTED, _SAMPLES = 1 << 21, 64  # heights sorted at once, and those looked at to find where ranges of so many end


def deep_enough_steps(basins: Basins, edges: Edges, least: float | NDArray[np.float64]) -> Generator[float, None, NDArray[np.bool_]]:
    """Tell which minima are at least ``least`` deep: what water must rise there before it finds a deeper place.

    The deepest minimum of each connected part is always deep enough; of equally deep ones the first counts as the deeper.

    Parameters
    ----------
    basins, edges
        Basins and the passes between them.
    least
        One depth for all, or one for each basin (index 0 unused).

    Returns
    -------
    ndarray
        bool, one for each basin, index 0 False.
    """
    kept = np.ones(basins.count + 1, bool)
    kept[0] = False
    if np.max(least) <= 0 or not len(edges.height):
        return kept
    if np.ndim(least) == 0:
        return (yield from _kept_for_one_depth_steps(basins, edges, float(least)))
    return (yield from _kept_for_own_depths_steps(basins, edges, np.asarray(least)))


def overflowed_steps(basins: Basins, edges: Edges, least: float) -> Generator[float, None, NDArray[np.uint32]]:
    """Let every basin whose minimum is not deep enough overflow over its lowest pass, until it has run into one that is.

    Returns
    -------
    ndarray
        For each basin the number of the deep one it ends in: from 1 in the order of those, 0 for index 0. This is what `flooded` makes of the
        minima that are `deep_enough` (but where passes are equally high), in one go.
    """
    groups, deepest = yield from _shallow_run_over_steps(basins, edges, least)
    kept = np.zeros(basins.count + 1, bool)
    kept[deepest] = True
    kept[0] = False
    number: NDArray[np.uint32] = (np.cumsum(kept) * kept).astype(np.uint32)
    ends: NDArray[np.uint32] = number[deepest[groups]]
    return ends


def _kept_for_one_depth_steps(basins: Basins, edges: Edges, least: float) -> Generator[float, None, NDArray[np.bool_]]:
    kept = np.zeros(basins.count + 1, bool)
    deepest = (yield from _shallow_run_over_steps(basins, edges, least))[1]
    kept[deepest] = True
    kept[0] = False
    return kept


def _shallow_run_over_steps(basins: Basins, edges: Edges, least: float) -> Generator[float, None, tuple[NDArray[Any], NDArray[np.int64]]]:
    """Let all basins that are too shallow run into their neighbours over their lowest passes at the same time, until none is left.

    Which of the two is the deeper does not matter: the other is too shallow too, as water leaves it no later.

    Returns
    -------
    tuple
        Group of each basin, and the deepest basin of each group.
    """
    from_deepest = yield from portion(_rising_steps(basins.bottom), 0.0, 0.1)  # index 0 is infinitely high
    place = np.empty(basins.count + 1, np.int64)
    place[from_deepest] = np.arange(basins.count + 1)
    bottom = basins.bottom[from_deepest]

    def shallow(deepest: NDArray[np.int64], level: NDArray[np.float64]) -> NDArray[np.bool_]:
        with np.errstate(invalid="ignore"):  # infinitely high above infinitely high
            return np.asarray(level - bottom[deepest] < least)

    def joined(deepest: NDArray[np.int64], group: NDArray[Any], count: int) -> NDArray[np.int64]:
        together = np.full(count, len(bottom))
        np.minimum.at(together, group, deepest)
        return together

    deepest, groups = yield from portion(_run_together_steps(edges, place, shallow, joined), 0.1, 1.0)
    return groups, from_deepest[deepest]


def _run_together_steps(
    edges: Edges,
    state: NDArray[Any],
    runs: Callable[[NDArray[Any], NDArray[np.float64]], NDArray[np.bool_]],
    joined: Callable[[NDArray[Any], NDArray[Any], int], NDArray[Any]],
) -> Generator[float, None, tuple[NDArray[Any], NDArray[Any]]]:
    """Join basins over their lowest passes, all that run over at the same time, until none does.

    Parameters
    ----------
    edges
        Passes between basins; of equally high ones the first is taken as the lower.
    state
        Something about each basin.
    runs
        Tells from their state, and the height of their lowest passes (infinite where there is none), which groups of basins run over.
    joined
        Makes the state of the joined groups from the states of those they are made of, the number of the joined group of each, and their count.

    Returns
    -------
    tuple
        State of each group in the end, and the group of each basin.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    order = (yield from portion(_rising_steps(edges.height), 0.0, 0.3))[::-1]
    first = edges.first[order]
    yield 0.3
    second = edges.second[order]
    yield 0.4
    height = edges.height[order]
    yield 0.5
    groups = np.arange(len(state))
    while True:
        yield 0.5
        lowest, level = np.full(len(state), -1), np.full(len(state), np.inf)
        for side in (first, second):
            found = np.full(len(state), -1)
            found[side] = np.arange(len(side))  # the last one stays: the lowest
            yield 0.5
            np.maximum(lowest, found, out=lowest)
        yield 0.5
        level[lowest >= 0] = height[lowest[lowest >= 0]]
        taken = np.zeros(len(first), bool)
        taken[lowest[runs(state, level) & (lowest >= 0)]] = True
        ways = np.flatnonzero(taken)
        if not ways.size:
            return state, groups
        graph = coo_array((np.ones(ways.size, bool), (first[ways], second[ways])), shape=(len(state),) * 2)
        count, group = connected_components(graph, directed=False)
        yield 0.5
        state, groups = joined(state, group, count), group[groups]
        first = group[first]
        yield 0.5
        second = group[second]
        apart = first != second
        yield 0.5
        first, second = first[apart], second[apart]
        yield 0.5
        height = height[apart]


def _rising_steps(heights: NDArray[np.float64]) -> Generator[float, None, NDArray[np.int64]]:
    """Return the order of heights, of equal ones the first first; a sort of whole numbers where they hold everything, as that is much quicker.

    Millions are sorted range by range: a sort as a whole could not be left for seconds.
    """
    narrow = heights.astype(np.float32) + np.float32(0)  # no negative 0
    if heights.size >= 2**31 or not np.array_equal(narrow, heights):
        return np.argsort(heights, kind="stable")
    bits = narrow.view(np.int32).astype(np.int64)
    yield 0.1
    ordered = np.where(bits < 0, bits ^ 0x7FFFFFFF, bits) << 32 | np.arange(heights.size)
    yield 0.2
    ranges = -(-ordered.size // _SORTED)
    if ranges < 2:
        ordered.sort()
        return ordered & 0xFFFFFFFF
    sample = np.sort(ordered[:: max(1, ordered.size // (_SAMPLES * ranges))])
    ends = [*sample[np.arange(1, ranges) * len(sample) // ranges].tolist(), np.iinfo(np.int64).max]
    order, filled, least = np.empty_like(ordered), 0, np.iinfo(np.int64).min
    for done, end in enumerate(ends):
        part = ordered[(ordered >= least) & (ordered < end)]
        yield 0.2 + 0.8 * (done + 0.5) / ranges
        part.sort()
        order[filled : filled + part.size] = part & 0xFFFFFFFF
        filled, least = filled + part.size, end
        yield 0.2 + 0.8 * (done + 1) / ranges
    return order


def _kept_for_own_depths_steps(basins: Basins, edges: Edges, least: NDArray[np.float64]) -> Generator[float, None, NDArray[np.bool_]]:
    """Let water rise: where two groups of basins meet, the shallower one ends, and is kept if it was deep enough for it."""
    kept = np.ones(basins.count + 1, bool)
    kept[0] = False
    wanted = least.tolist()
    rising = yield from portion(_rising_steps(edges.height), 0.0, 0.3)
    yield 0.3
    ranks = np.empty(len(rising), np.int64)
    ranks[rising] = np.arange(1, len(rising) + 1)
    yield 0.3
    first, second, rank = yield from portion(_spanning_tree_steps(basins.count, edges.first, edges.second, ranks), 0.3, 0.5)
    height = edges.height[rising[rank - 1]].tolist()
    yield 0.5
    lowest: list[int] = list(range(basins.count + 1))  # the deepest minimum that is reached below the height so far, by union-find
    bottom = basins.bottom.tolist()

    def root(basin: int) -> int:
        while lowest[basin] != basin:
            lowest[basin] = lowest[lowest[basin]]
            basin = lowest[basin]
        return basin

    for done, (one, other, level) in enumerate(zip(first.tolist(), second.tolist(), height, strict=True)):
        if done % _MEETINGS == 0:
            yield 0.5 + 0.5 * done / len(height)
        deeper, shallower = root(one), root(other)
        if (bottom[shallower], shallower) < (bottom[deeper], deeper):
            deeper, shallower = shallower, deeper
        kept[shallower] = level - bottom[shallower] >= wanted[shallower]
        lowest[shallower] = deeper
    return kept


def flooded_steps(count: int, edges: Edges, marks: NDArray[Any]) -> Generator[float, None, NDArray[Any]]:
    """Let marked basins overflow into the others, each over its lowest pass, until all that can be reached belong to a mark.

    Parameters
    ----------
    count
        Number of basins.
    edges
        Passes between them.
    marks
        One for each basin (index 0 unused): a number above 0, or 0 where it is not marked.

    Returns
    -------
    ndarray
        The mark of every basin; 0 where no mark comes.
    """

    def unmarked(mark: NDArray[Any], _: NDArray[np.float64]) -> NDArray[np.bool_]:
        return np.asarray(mark == 0)

    def joined(mark: NDArray[Any], group: NDArray[Any], count: int) -> NDArray[Any]:
        together = np.zeros(count, mark.dtype)
        together[group[mark != 0]] = mark[mark != 0]  # one at most, as marked basins do not run over
        return together

    found, groups = yield from _run_together_steps(edges, np.where(np.arange(count + 1) > 0, marks, 0).astype(marks.dtype), unmarked, joined)
    marked: NDArray[Any] = found[groups]
    return marked


def _spanning_tree_steps(
    count: int, first: NDArray[np.int64], second: NDArray[np.int64], rank: NDArray[np.int64]
) -> Generator[float, None, tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]]:
    """Return the edges ``(first, second, rank)`` of the tree of least rank, in the order of their rank; 0 may be a node."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import minimum_spanning_tree

    graph = coo_matrix((rank.astype(np.float64), (first, second)), shape=(count + 1, count + 1)).tocsr()
    yield 0.0
    tree = minimum_spanning_tree(graph).tocoo()
    yield 0.0
    order = np.argsort(tree.data, kind="stable")
    one, other = tree.row[order].astype(np.int64), tree.col[order].astype(np.int64)
    return np.minimum(one, other), np.maximum(one, other), tree.data[order].astype(np.int64)
