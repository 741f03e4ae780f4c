"""Superpixels: small regions of similar grey value, as wide as asked for."""

from __future__ import annotations

import itertools
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_segtool.core.planes import Fractions
from napari_segtool.core.slabs import slabs_along
from napari_segtool.methods._basins import Edges, passes_steps
from napari_segtool.methods._components import PART, components_steps
from napari_segtool.methods._overflow import flooded_steps
from napari_segtool.methods._split import numbered_steps
from napari_segtool.preprocess._portions import portion

_SMALLEST = 0.25  # of the size of a cell: smaller pieces join a neighbour
_SETTLED = 1e-3  # part of the pixels that still change their superpixel when it is enough


@dataclass(frozen=True, eq=False)
class _Cells:
    """The regular cells that superpixels start from.

    Parameters
    ----------
    home
        For each axis, the cell that each index along it lies in.
    counts
        Number of cells along each axis.
    width
        Width of a cell along each axis, in pixels.
    """

    home: tuple[NDArray[np.intp], ...]
    counts: tuple[int, ...]
    width: tuple[float, ...]

    @classmethod
    def of(cls, shape: tuple[int, ...], width: tuple[float, ...]) -> _Cells:
        counts = tuple(max(1, round(n / w)) for n, w in zip(shape, width, strict=True))
        return cls(tuple(np.arange(n) * count // n for n, count in zip(shape, counts, strict=True)), counts, width)


def superpixel_steps(grey: NDArray[np.float32], known: NDArray[np.bool_], width: tuple[float, ...], compactness: float, rounds: int) -> Fractions:
    """Part a picture into superpixels.

    Each pixel belongs to the one, of the regular cell it lies in and the cells around, whose mean place and grey value are nearest;
    then means are taken anew, and so on. Pieces cut off from the rest join the neighbour whose grey value is nearest.

    Parameters
    ----------
    grey
        Grey values in percent of their range, finite, shape ``(Y, X)`` or ``(depth, Y, X)``.
    known
        Where pixels have a value.
    width
        Width of a superpixel along each axis, in pixels.
    compactness
        Difference in grey value, in percent of the range, that weighs as much as the width of a superpixel.
    rounds
        How often means are taken anew, at most.

    Returns
    -------
    ndarray
        Smallest unsigned type: superpixels from 1 in the order in which they first appear, each connected through faces; 0 where not known.

    References
    ----------
    .. [1] Achanta et al. 2012, SLIC superpixels compared to state-of-the-art superpixel methods, doi:10.1109/TPAMI.2012.120
    """
    if not known.any():
        yield 1.0
        return np.zeros(grey.shape, np.uint8)
    cells = _Cells.of(grey.shape, width)
    owners = np.zeros(grey.shape, np.int32)
    for z in range(len(owners)):
        owners[z] = _flat([cells.home[0][z : z + 1], *cells.home[1:]], cells.counts)[0]
        if owners.ndim == 3:
            yield 0.0
    centres = yield from portion(_centre_steps(grey, known, owners, cells), 0.0, 0.05)
    for done in range(rounds):
        low, high = 0.05 + 0.8 * done / rounds, 0.05 + 0.8 * (done + 1) / rounds
        changed = yield from portion(_assign_steps(grey, owners, cells, centres, compactness), low, high)
        if changed <= _SETTLED * grey.size:
            break
        centres = yield from portion(_centre_steps(grey, known, owners, cells), high, high)
    return (yield from portion(_connected_steps(grey, known, owners, float(np.prod(width))), 0.85, 1.0))


def _flat(homes: list[NDArray[np.intp]], counts: tuple[int, ...]) -> NDArray[np.int32]:
    """Number of the cell at each combination of indices."""
    number: NDArray[Any] = np.zeros((1,) * len(homes), np.int32)
    for axis, (home, count) in enumerate(zip(homes, counts, strict=True)):
        number = number * count + home.astype(np.int32).reshape([-1 if i == axis else 1 for i in range(len(homes))])
    return np.asarray(number, np.int32)


def _rows(shape: tuple[int, ...]) -> int:
    return max(1, PART // 4 // max(1, int(np.prod(shape[1:]))))


def _centre_steps(
    grey: NDArray[np.float32], known: NDArray[np.bool_], owners: NDArray[np.int32], cells: _Cells
) -> Generator[float, None, list[NDArray[np.float32]]]:
    """Return the mean grey value and place of each superpixel; an empty one has a grey value nothing is near."""
    total = int(np.prod(cells.counts))
    sums = [np.zeros(total) for _ in range(grey.ndim + 2)]
    rows = _rows(grey.shape)
    for start in range(0, len(grey), rows):
        inside = known[start : start + rows]
        flat = owners[start : start + rows][inside]
        sums[0] += np.bincount(flat, minlength=total)
        sums[1] += np.bincount(flat, weights=grey[start : start + rows][inside], minlength=total)
        for axis in range(grey.ndim):
            places = np.arange(start, start + len(inside)) if axis == 0 else np.arange(grey.shape[axis])
            spread = np.broadcast_to(places.reshape([-1 if i == axis else 1 for i in range(grey.ndim)]), inside.shape)
            sums[2 + axis] += np.bincount(flat, weights=spread[inside], minlength=total)
        yield min(1.0, (start + rows) / len(grey))
    count = np.maximum(sums[0], 1)
    centres = [(part / count).astype(np.float32) for part in sums[1:]]
    centres[0][sums[0] == 0] = 1e18
    return centres


def _assign_steps(
    grey: NDArray[np.float32], owners: NDArray[np.int32], cells: _Cells, centres: list[NDArray[np.float32]], compactness: float
) -> Generator[float, None, int]:
    """Give each pixel to the nearest superpixel around; returns how many changed. Changes ``owners``."""
    rows, changed = _rows(grey.shape), 0
    ways = list(itertools.product((0, -1, 1), repeat=grey.ndim))
    for start in range(0, len(grey), rows):
        part = grey[start : start + rows]
        homes = [cells.home[0][start : start + rows], *cells.home[1:]]
        best = np.full(part.shape, np.inf, np.float32)
        found = owners[start : start + rows].copy()
        for done, way in enumerate(ways):
            near = [np.clip(home + step, 0, count - 1) for home, step, count in zip(homes, way, cells.counts, strict=True)]
            cell = _flat(near, cells.counts)
            away = (part - centres[0][cell]) * np.float32(1 / max(compactness, 1e-6))
            away *= away
            for axis, width in enumerate(cells.width):
                places = np.arange(start, start + len(part)) if axis == 0 else np.arange(grey.shape[axis])
                shift = places.astype(np.float32).reshape([-1 if i == axis else 1 for i in range(grey.ndim)]) - centres[1 + axis][cell]
                shift *= np.float32(1 / width)
                shift *= shift
                away += shift
            nearer = away < best
            np.copyto(best, away, where=nearer)
            np.copyto(found, np.broadcast_to(cell, found.shape), where=nearer)
            yield (start / len(grey)) + (done + 1) / len(ways) * min(rows, len(grey) - start) / len(grey)
        changed += int((found != owners[start : start + rows]).sum())
        owners[start : start + rows] = found
    return changed


def _connected_steps(grey: NDArray[np.float32], known: NDArray[np.bool_], owners: NDArray[np.int32], size: float) -> Fractions:
    for part in slabs_along(owners.shape):
        owners[part] += 1
        owners[part] *= known[part]
        yield 0.0
    pieces = yield from portion(components_steps(owners), 0.0, 0.4)
    count = max(int(plane.max(initial=0)) for plane in pieces)
    sizes, sums = np.zeros(count + 1), np.zeros(count + 1)
    rows = _rows(grey.shape)
    for start in range(0, len(grey), rows):
        flat = pieces[start : start + rows].reshape(-1)
        sizes += np.bincount(flat, minlength=count + 1)
        sums += np.bincount(flat, weights=grey[start : start + rows].reshape(-1), minlength=count + 1)
        yield 0.5
    touching: Edges = yield from portion(passes_steps(grey, pieces), 0.5, 0.8)
    mean = sums / np.maximum(sizes, 1)
    edges = Edges(touching.first, touching.second, np.abs(mean[touching.first] - mean[touching.second]))
    marks = np.where(sizes >= _SMALLEST * size, np.arange(count + 1), 0)
    marks[0] = 0
    joined = yield from portion(flooded_steps(count, edges, marks), 0.8, 0.8)
    lonely = np.flatnonzero(joined[1:] == 0) + 1  # small, with no large one in reach
    joined[lonely] = lonely
    return (yield from portion(numbered_steps(pieces, joined.astype(np.uint32), smallest=1), 0.8, 1.0))
