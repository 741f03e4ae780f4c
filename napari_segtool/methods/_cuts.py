"""The labelling of a grid that costs least, where neighbours of different labels cost extra: Potts energies by graph cuts."""

from __future__ import annotations

import itertools
from collections.abc import Generator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_segtool.core.apart import Apart
from napari_segtool.core.labels import smallest_dtype
from napari_segtool.core.neighbours import next_along
from napari_segtool.core.planes import Fractions
from napari_segtool.methods._components import slabs_of
from napari_segtool.preprocess._portions import portion

WHOLE = 1 << 18
"""Pixels up to which a picture is cut as a whole."""

APART = 1 << 14
"""Pixels above which they are cut in a process of its own: the library cannot be left, and holds Python's lock, often for many seconds."""

_BLOCK = 1 << 15
_MOST_ROUNDS = 4
_LARGEST_SUM = 1 << 30  # of all capacities: the library counts flow in 32 bits

Weights = Sequence["NDArray[Any] | float"]
Block = tuple[slice, ...]
Box = tuple[tuple[int, int], ...]


def potts_labels_steps(unary: NDArray[Any], weights: Weights, *, whole: int = WHOLE) -> Fractions:
    """Find the labels that cost least: ``Σ unary[label(p), p] + Σ weight(p, q) · [label(p) ≠ label(q)]`` over all neighbours p, q.

    Two labels have an exact answer, a minimum cut. More are improved by alpha-expansion until no expansion helps, which ends at a
    cost of at most twice the least. Pictures of more than ``whole`` pixels are solved at half the resolution first; then they are cut in
    blocks, with the labels around each held, in at most four rounds of shifted blocks: near the best (by about a hundredth of what
    cutting gains), without a guarantee.

    Parameters
    ----------
    unary
        Cost of each label at each pixel, shape ``(K, Y, X)`` or ``(K, Z, Y, X)``, any float type. ``inf`` forbids a label; a pixel with
        a ``nan`` is left out: it has no neighbours and becomes 0.
    weights
        For each axis of the picture what it costs when neighbours along it differ: one number, or an array one shorter along
        that axis (element i lies between i and i + 1). Not negative, finite.
    whole
        Number of pixels up to which a picture is cut at once.

    Yields
    ------
    float
        The finished part.

    Returns
    -------
    ndarray
        Labels from 0 to ``K - 1``, smallest unsigned type, shape of the picture. Costs are told apart to about a thousandth of the
        mean weight.

    References
    ----------
    .. [1] Boykov, Veksler & Zabih 2001, Fast approximate energy minimization via graph cuts, doi:10.1109/34.969114

    Examples
    --------
    >>> unary = np.array([[[0, 0, 3, 0, 5, 5]], [[5, 5, 0, 5, 0, 0]]], float)  # two labels, one row of six pixels
    >>> steps = potts_labels_steps(unary, (2.0, 2.0))
    >>> try:
    ...     while True:
    ...         _ = next(steps)
    ... except StopIteration as stop:
    ...     stop.value.tolist()
    [[0, 0, 0, 0, 1, 1]]
    """
    with Apart() as apart:
        return (yield from _labels_steps(unary, weights, whole, apart))


def _labels_steps(unary: NDArray[Any], weights: Weights, whole: int, apart: Apart) -> Fractions:
    costs = np.asarray(unary, np.result_type(unary.dtype, np.float32))
    classes, shape = costs.shape[0], costs.shape[1:]
    missing, labels = yield from portion(_cheapest_steps(costs), 0.0, 0.02)
    if classes < 2 or not labels.size:
        yield 1.0
        return labels
    grid = _Grid(costs, missing, tuple(_spread(weight, shape, axis) for axis, weight in enumerate(weights)))
    begin = part = 0.02
    if labels.size > whole:
        begin = part = 0.2
        yield from portion(_begin_coarse_steps(costs, labels, missing, grid, whole, apart), 0.02, begin)
    targets = range(1, 2) if classes == 2 else range(classes)
    quiet: set[tuple[int, Box]] = set()  # moves that would gain nothing now
    for round_ in range(_MOST_ROUNDS):
        moves = list(itertools.product(_blocks(shape, whole, shifted=bool(round_ % 2)), targets))
        changed = False
        for done, (block, target) in enumerate(moves):
            box = tuple((side.start, side.stop) for side in block)
            if (target, box) not in quiet:
                better = yield from portion(grid.cut_steps(labels, block, target, apart), part, part)
                places = (better != labels[block]).nonzero()
                if places[0].size:
                    labels[block] = better
                    changed = True
                    near = tuple((start + int(at.min()) - 1, start + int(at.max()) + 2) for at, (start, _) in zip(places, box, strict=True))
                    quiet = {move for move in quiet if not _overlap(move[1], near)}
                quiet.add((target, box))
            part = begin + (1 - begin) * (round_ + (done + 1) / len(moves)) / _MOST_ROUNDS
            yield part
        if (not changed and (round_ or labels.size <= whole)) or (classes == 2 and labels.size <= whole):
            break
    yield 1.0
    return labels


def energy(labels: NDArray[Any], unary: NDArray[Any], weights: Weights) -> float:
    """Return what a labelling costs; see `potts_labels_steps`.

    Examples
    --------
    >>> energy(np.array([[0, 1]]), np.array([[[1.0, 0]], [[0, 2.0]]]), (1.0, 0.5))
    3.5
    """
    total = float(np.nansum(np.take_along_axis(unary, labels[None].astype(np.int64), axis=0), dtype=np.float64))
    missing = np.isnan(unary).any(axis=0)
    for axis, weight in enumerate(weights):
        low, high = next_along(axis, labels.ndim)
        differ = (labels[low] != labels[high]) & ~missing[low] & ~missing[high]
        total += float((differ * np.asarray(weight, np.float64)).sum())
    return total


class _Grid:
    """A picture with its costs, of which blocks can be cut."""

    def __init__(self, unary: NDArray[Any], missing: NDArray[np.bool_], weights: tuple[NDArray[Any], ...]) -> None:
        self._unary, self._missing, self.weights = unary, missing, weights

    def cut_steps(self, labels: NDArray[Any], block: Block, target: int, apart: Apart) -> Fractions:
        """Return the cheapest labels of a block in which every pixel keeps its label or takes ``target``; two labels are chosen freely."""
        freely = self._unary.shape[0] == 2
        now = np.zeros_like(labels[block]) if freely else labels[block]
        inside = self._unary[(slice(None), *block)].astype(np.float64)
        keep = np.take_along_axis(inside, now[None].astype(np.int64), axis=0)[0]
        with np.errstate(invalid="ignore"):
            pull = np.nan_to_num(inside[target] - keep, nan=0.0, posinf=np.inf, neginf=-np.inf)  # cost of taking the target
        arcs = []
        free = ~self._missing[block] & (now != target)
        for axis, weight in enumerate(self.weights):
            low, high = next_along(axis, now.ndim)
            between = tuple(slice(part.start, part.stop - 1) if i == axis else part for i, part in enumerate(block))
            cost = weight[between].astype(np.float64)
            cost = cost * ~(self._missing[block][low] | self._missing[block][high])
            both_keep = cost * (now[low] != now[high])
            low_keeps, high_keeps = cost * (now[low] != target), cost * (now[high] != target)
            pull[low] += (high_keeps - both_keep - low_keeps) / 2
            pull[high] += (low_keeps - both_keep - high_keeps) / 2
            arcs.append((low_keeps + high_keeps - both_keep) / 2)
            self._pull_from_outside(labels, block, axis, now, target, pull)
        taken = yield from _minimum_cut_steps(pull, arcs, free, apart)
        return np.where(taken, np.asarray(target, labels.dtype), now)

    def _pull_from_outside(self, labels: NDArray[Any], block: Block, axis: int, now: NDArray[Any], target: int, pull: NDArray[np.float64]) -> None:
        """Add what the pixels around the block cost, whose labels are held."""
        start, stop = block[axis].start, block[axis].stop
        for neighbour, edge, own in ((start - 1, start - 1, 0), (stop, stop - 1, stop - start - 1)):
            if not 0 <= neighbour < labels.shape[axis]:
                continue
            beyond = tuple(neighbour if i == axis else part for i, part in enumerate(block))
            gap = tuple(edge if i == axis else part for i, part in enumerate(block))
            face = tuple(own if i == axis else slice(None) for i in range(labels.ndim))
            cost = self.weights[axis][gap] * ~(self._missing[beyond] | self._missing[block][face])
            pull[face] += cost * (labels[beyond] != target) - cost * (labels[beyond] != now[face])


def _cheapest_steps(costs: NDArray[Any]) -> Generator[float, None, tuple[NDArray[np.bool_], NDArray[Any]]]:
    """Return which pixels are left out, and the label that is cheapest for each pixel alone."""
    missing = np.zeros(costs.shape[1:], bool)
    labels = np.zeros(costs.shape[1:], smallest_dtype(max(costs.shape[0] - 1, 0)))
    for part in slabs_of(missing.shape):
        here = costs[:, part]
        missing[part] = np.isnan(here).any(axis=0)
        labels[part] = np.where(missing[part], 0, np.where(np.isnan(here), np.inf, here).argmin(axis=0))
        yield min(1.0, part.stop / len(missing))
    return missing, labels


def _begin_coarse_steps(
    costs: NDArray[Any], labels: NDArray[Any], missing: NDArray[np.bool_], grid: _Grid, whole: int, apart: Apart
) -> Generator[float, None, None]:
    """Put the labels of the same problem in which two pixels along each axis are one into ``labels``: where rounds of blocks may well begin."""
    shape, dimensions = labels.shape, labels.ndim
    half = tuple(-(-n // 2) for n in shape)
    unary = np.zeros((len(costs), *half), costs.dtype)
    weights = [np.zeros(tuple(n - (i == axis) for i, n in enumerate(half)), np.float32) for axis in range(dimensions)]
    for part in slabs_of(shape):
        block = np.where(missing[part], 0, costs[:, part])
        for axis in range(dimensions):
            block = _paired(block, axis + 1)
        unary[:, part.start // 2 : part.start // 2 + block.shape[1]] = block
        for axis, weight in enumerate(grid.weights):
            here = weight[part]
            low, high = (
                (missing[part], missing[part.start + 1 : part.stop + 1]) if axis == 0 else (missing[part][side] for side in next_along(axis, dimensions))
            )
            between = np.asarray(here * ~(low[: len(here)] | high[: len(here)]), np.float32)[_every(dimensions, axis, 1)]
            for other in range(dimensions):
                between = between if other == axis else _paired(between, other)
            weights[axis][part.start // 2 : part.start // 2 + len(between)] = between
        yield 0.2 * min(1.0, part.stop / shape[0])
    coarse = yield from portion(_labels_steps(unary, weights, whole, apart), 0.2, 0.9)
    for part in slabs_of(shape):
        rough = coarse[part.start // 2 : -(-min(part.stop, shape[0]) // 2)]
        for axis in range(dimensions):
            count = labels[part].shape[axis]
            rough = np.repeat(rough, 2, axis=axis)[tuple(slice(0, count) if i == axis else slice(None) for i in range(dimensions))]
        possible = np.isfinite(np.take_along_axis(costs[:, part], rough[None].astype(np.intp), axis=0)[0])  # a forbidden label is none to begin with
        labels[part] = np.where(possible & ~missing[part], rough, labels[part])
        yield 0.9 + 0.1 * min(1.0, part.stop / shape[0])


def _every(dimensions: int, axis: int, start: int) -> Block:
    return tuple(slice(start, None, 2) if i == axis else slice(None) for i in range(dimensions))


def _paired(values: NDArray[Any], axis: int) -> NDArray[Any]:
    """Add neighbours two by two along an axis; an odd last one stays alone."""
    even, odd = values[_every(values.ndim, axis, 0)], values[_every(values.ndim, axis, 1)]
    total = even.copy()
    total[tuple(slice(0, odd.shape[axis]) if i == axis else slice(None) for i in range(values.ndim))] += odd
    return total


def _minimum_cut_steps(pull: NDArray[np.float64], arcs: list[NDArray[np.float64]], free: NDArray[np.bool_], apart: Apart) -> Fractions:
    """Return where to pay ``pull`` (which may be negative) so that ``Σ pull + Σ arc · [neighbours differ]`` is least; where not free, nothing is paid."""
    incident = np.zeros(pull.shape)
    for axis, arc in enumerate(arcs):
        low, high = next_along(axis, pull.ndim)
        arc *= free[low] & free[high]
        incident[low] += arc
        incident[high] += arc
    total = float(incident.sum())
    if total <= 0:
        return free & (pull < 0)
    mean = total / max(1, int(free.sum()))
    pull = np.clip(pull, -incident - mean, incident + mean)  # beyond what all neighbours weigh, more makes no difference
    scale = min(1000.0 / mean * 2 * pull.ndim, _LARGEST_SUM / (np.abs(pull[free]).sum() + total))
    count = int(free.sum())
    number = np.full(pull.shape, -1, np.int32)
    number[free] = np.arange(count, dtype=np.int32)
    rows, columns, capacity = [], [], []
    for axis, arc in enumerate(arcs):
        low, high = next_along(axis, pull.ndim)
        whole = np.rint(arc * scale).astype(np.int32)
        there = whole > 0
        first, second, strong = number[low][there], number[high][there], whole[there]
        rows += [first, second]
        columns += [second, first]
        capacity += [strong, strong]
    pulls = np.rint(pull[free] * scale).astype(np.int32)
    source, sink = count, count + 1
    gain, loss = np.flatnonzero(pulls < 0).astype(np.int32), np.flatnonzero(pulls > 0).astype(np.int32)
    rows += [np.full(gain.size, source, np.int32), loss]
    columns += [gain, np.full(loss.size, sink, np.int32)]
    capacity += [-pulls[gain], pulls[loss]]
    network = np.concatenate(rows), np.concatenate(columns), np.concatenate(capacity), count
    reached = reached_by_source(*network) if count <= APART else (yield from apart.steps(reached_by_source, *network))
    taken = np.zeros(pull.shape, bool)
    taken[free] = reached[:count]
    return taken


def reached_by_source(rows: NDArray[np.int32], columns: NDArray[np.int32], capacity: NDArray[np.int32], count: int) -> NDArray[np.bool_]:
    """Return which nodes a network's source still reaches when all flow runs that can.

    Parameters
    ----------
    rows, columns, capacity
        Where each arc begins and ends, and how much runs through it.
    count
        Number of nodes; the source has this number, the sink the next.
    """
    from scipy.sparse import csr_matrix
    from scipy.sparse.csgraph import breadth_first_order, maximum_flow

    graph = csr_matrix((capacity, (rows, columns)), shape=(count + 2, count + 2))
    left = graph - maximum_flow(graph, count, count + 1, method="dinic").flow
    left.eliminate_zeros()
    reached = np.zeros(count + 2, bool)
    reached[breadth_first_order(left, count, return_predecessors=False)] = True
    return reached


def _spread(weight: NDArray[Any] | float, shape: tuple[int, ...], axis: int) -> NDArray[Any]:
    """Return the weights between neighbours along ``axis`` as an array."""
    wanted = tuple(n - (i == axis) for i, n in enumerate(shape))
    return np.broadcast_to(np.asarray(weight), wanted)


def _overlap(first: Box, second: Box) -> bool:
    return all(a < d and c < b for (a, b), (c, d) in zip(first, second, strict=True))


def _blocks(shape: tuple[int, ...], whole: int, *, shifted: bool) -> list[Block]:
    """Part a picture into blocks of about `_BLOCK` pixels; shifted ones lie across the borders of the others."""
    if int(np.prod(shape)) <= whole:
        return [tuple(slice(0, n) for n in shape)]
    size = list(shape)
    while np.prod(size) > min(_BLOCK, whole):
        axis = int(np.argmax(size))
        size[axis] = -(-size[axis] // 2)
    spans = []
    for n, length in zip(shape, size, strict=True):
        first = length // 2 if shifted and length < n else length
        ends = [*range(first, n, length), n]
        spans.append([slice(start, end) for start, end in itertools.pairwise([0, *ends])])
    return list(itertools.product(*spans))
