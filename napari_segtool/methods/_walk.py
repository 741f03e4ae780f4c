"""The potential that a random walk has at each pixel: a Laplace equation on the grid, solved by conjugate gradients over a pyramid of grids."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_segtool.core.neighbours import next_along

Array = NDArray[np.float32]

TOLERANCE = 1e-4
"""Part of the first residual at which a solution is good enough."""

_MOST_ROUNDS = 400
_COARSEST = 300  # nodes that are solved directly
_OVER = 1.6  # what is learned on a coarser grid is scaled up: constant steps underestimate slopes
_DAMPING = 0.7
_SMOOTHINGS = 2


@dataclass(frozen=True, eq=False)
class Level:
    """One grid of the pyramid: ``A x = diagonal · x - Σ weights · x of the neighbours``.

    Parameters
    ----------
    weights
        Along each axis, one shorter there; 0 where either end is not free.
    diagonal
        Sum of all weights at a node, those to painted nodes too; 1 where it is not free.
    free
        1 where the potential is wanted, else 0.
    """

    weights: tuple[Array, ...]
    diagonal: Array
    free: Array

    def applied(self, x: Array) -> Array:
        """Return ``A x``."""
        result = self.diagonal * x
        for axis, weight in enumerate(self.weights):
            low, high = next_along(axis, x.ndim)
            result[low] -= weight * x[high]
            result[high] -= weight * x[low]
        return result

    def coarser(self) -> Level:
        """Return the grid of half the size: each node stands for two along every axis that has more than one."""
        weights, diagonal = list(self.weights), self.diagonal * self.free
        for axis in range(diagonal.ndim):
            if diagonal.shape[axis] < 2:
                continue
            within, between = weights[axis][_every(diagonal.ndim, axis, 0)], weights[axis][_every(diagonal.ndim, axis, 1)]
            diagonal = _paired(diagonal, axis)
            diagonal[_first(diagonal.ndim, axis, within.shape[axis])] -= 2 * within
            weights = [np.ascontiguousarray(between) if i == axis else _paired(weight, axis) for i, weight in enumerate(weights)]
        free = (diagonal > 0).astype(np.float32)
        return Level(tuple(weights), np.where(free > 0, diagonal, np.float32(1)), free)


def pyramid_steps(weights: tuple[Array, ...], free: NDArray[np.bool_]) -> Generator[float, None, list[Level]]:
    """Return the grids from fine to coarse.

    Parameters
    ----------
    weights
        Conductance between neighbours along each axis.
    free
        Where the potential is wanted.
    """
    diagonal = np.zeros(free.shape, np.float32)
    own = []
    for axis, weight in enumerate(weights):
        low, high = next_along(axis, free.ndim)
        diagonal[low] += weight
        diagonal[high] += weight
        own.append(weight * (free[low] & free[high]))
        yield 0.0
    at_work = free & (diagonal > 0)
    levels = [Level(tuple(own), np.where(at_work, diagonal, np.float32(1)), at_work.astype(np.float32))]
    while levels[-1].free.size > _COARSEST:
        levels.append(levels[-1].coarser())
        yield 0.0
    return levels


def potential_steps(levels: list[Level], source: Array) -> Generator[float, None, Array]:
    """Solve ``A x = source`` on the finest grid.

    Yields
    ------
    float
        The finished part, judged by how far the residual has come down.
    """
    finest = levels[0]
    coarsest = _dense(levels[-1]) if finest.free.size else np.zeros((0, 0))
    yield 0.0
    x = np.zeros_like(source)
    residual = source * finest.free
    start = float(np.sqrt(_dot(residual, residual)))
    yield 0.0
    if start == 0:
        yield 1.0
        return x
    z = yield from _cycle_steps(levels, 0, residual, coarsest)
    yield 0.0
    direction, energy = z.copy(), _dot(residual, z)
    part = 0.0
    for _ in range(_MOST_ROUNDS):
        applied = finest.applied(direction)
        applied *= finest.free
        yield part
        bent = _dot(direction, applied)
        if bent <= 0:
            break
        step = np.float32(energy / bent)
        x += step * direction
        residual -= step * applied
        left = float(np.sqrt(_dot(residual, residual))) / start
        part = max(part, min(0.99, float(np.log(max(left, 1e-9)) / np.log(TOLERANCE))))
        yield part
        if left <= TOLERANCE:
            break
        z = yield from _paced(_cycle_steps(levels, 0, residual, coarsest), part)
        before, energy = energy, _dot(residual, z)
        direction *= np.float32(energy / before)
        direction += z
    yield 1.0
    return x


def _cycle_steps(levels: list[Level], at: int, residual: Array, coarsest: NDArray[Any]) -> Generator[float, None, Array]:
    """Return about ``A⁻¹ residual``: smoothed on this grid, corrected on the coarser ones; symmetric, as conjugate gradients need it."""
    level = levels[at]
    if at == len(levels) - 1:
        return np.asarray((coarsest @ residual.reshape(-1).astype(np.float64)).reshape(residual.shape), np.float32)
    scale = np.float32(_DAMPING) * level.free / level.diagonal
    x = scale * residual
    for _ in range(_SMOOTHINGS - 1):
        x += scale * (residual - level.applied(x))
        yield 0.0
    left = (residual - level.applied(x)) * level.free
    yield 0.0
    coarse = left
    for axis in range(left.ndim):
        coarse = _paired(coarse, axis) if coarse.shape[axis] > 1 else coarse
    correction = yield from _cycle_steps(levels, at + 1, coarse, coarsest)
    for axis in range(left.ndim):
        if left.shape[axis] > 1:
            correction = np.repeat(correction, 2, axis=axis)[_first(left.ndim, axis, left.shape[axis])]
    x += np.float32(_OVER) * correction * level.free
    yield 0.0
    for _ in range(_SMOOTHINGS):
        x += scale * (residual - level.applied(x))
        yield 0.0
    return x


def _dense(level: Level) -> NDArray[np.float64]:
    """Return the inverse of the coarsest grid's matrix; what is not free stays 0."""
    number = np.arange(level.free.size).reshape(level.free.shape)
    matrix = np.diag(level.diagonal.reshape(-1).astype(np.float64))
    for axis, weight in enumerate(level.weights):
        low, high = next_along(axis, level.free.ndim)
        matrix[number[low].ravel(), number[high].ravel()] -= weight.ravel()
        matrix[number[high].ravel(), number[low].ravel()] -= weight.ravel()
    # a part of the picture that no paint touches has a potential of any height: the least-squares inverse takes 0
    inverse = np.asarray(np.linalg.pinv(matrix, rcond=1e-10, hermitian=True), np.float64)
    return inverse * np.outer(level.free, level.free)


def _paced(work: Generator[float, None, Array], part: float) -> Generator[float, None, Array]:
    try:
        while True:
            next(work)
            yield part
    except StopIteration as stop:
        result: Array = stop.value
        return result
    finally:
        work.close()


def _dot(first: Array, second: Array) -> float:
    return float(np.einsum("i,i->", first.reshape(-1), second.reshape(-1), dtype=np.float64))


def _paired(values: Array, axis: int) -> Array:
    """Add neighbours two by two along an axis; an odd last one stays alone."""
    even, odd = values[_every(values.ndim, axis, 0)], values[_every(values.ndim, axis, 1)]
    total = even.copy()
    total[_first(values.ndim, axis, odd.shape[axis])] += odd
    return total


def _every(dimensions: int, axis: int, start: int) -> tuple[slice, ...]:
    return tuple(slice(start, None, 2) if i == axis else slice(None) for i in range(dimensions))


def _first(dimensions: int, axis: int, count: int) -> tuple[slice, ...]:
    return tuple(slice(0, count) if i == axis else slice(None) for i in range(dimensions))
