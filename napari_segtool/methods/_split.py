"""Part what touches: objects joined by a neck, cut where they are narrow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_segtool.core.labels import smallest_dtype
from napari_segtool.core.neighbours import next_along
from napari_segtool.core.planes import Fractions
from napari_segtool.core.slabs import made_steps, slabs_along
from napari_segtool.methods._basins import Basins, Edges, basins_steps, passes_steps
from napari_segtool.methods._components import PART
from napari_segtool.methods._distance import distance_steps
from napari_segtool.methods._overflow import deep_enough_steps, flooded_steps
from napari_segtool.preprocess._portions import portion
from napari_segtool.preprocess._smooth import smooth_plane


@dataclass(frozen=True, slots=True)
class Splitting:
    """How objects are parted.

    Parameters
    ----------
    neck
        How much narrower than the thinner of both halves a neck must be to be cut, as a part of it.
    smoothing
        Width of a Gaussian over the distances, in pixels along X.
    apart
        Least distance between two centres, in pixels along X.
    smallest
        Parts of fewer pixels become 0.
    """

    neck: float
    smoothing: float = 0.0
    apart: float = 0.0
    smallest: int = 1


def split_steps(objects: NDArray[Any], size: tuple[float, ...], how: Splitting) -> Fractions:
    """Part objects where they are narrow.

    The distance to the edge rises towards the middle of each rounded part; water that runs up it gathers in as many basins as there are
    such middles, and basins that no true neck parts are joined again.

    Parameters
    ----------
    objects
        bool or whole numbers, shape ``(Y, X)`` or ``(depth, Y, X)``: 0 outside; different numbers are parted already.
    size
        Length of a voxel along each axis, in pixels along X.
    how
        Settings.

    Returns
    -------
    ndarray
        Smallest unsigned type: parts from 1 in the order in which they first appear.
    """
    inside = yield from portion(made_steps(objects.shape, bool, lambda part: objects[part] > 0), 0.0, 0.0)
    labels: set[int] = set()  # two at most
    for part in slabs_along(objects.shape):
        own = objects[part][inside[part]]
        labels = {*sorted(labels | ({int(own.min()), int(own.max())} if own.size else set()))[:2]}
        yield 0.0
    if not labels:
        yield 1.0
        return np.zeros(objects.shape, np.uint8)
    walls = objects if len(labels) > 1 else None
    middles = inside if walls is None else (yield from portion(_alone_steps(objects, inside), 0.0, 0.05))
    distance = yield from portion(distance_steps(middles, size), 0.05, 0.3)
    del middles
    if not np.isfinite(distance.flat[0]):  # nothing lies outside: one object
        distance[...] = 1
    surface = yield from portion(_smoothed_steps(distance, size, how.smoothing), 0.3, 0.5)
    for part in slabs_along(surface.shape):
        np.negative(surface[part], out=surface[part])
        yield 0.5
    basins: Basins = yield from portion(basins_steps(surface, inside, walls=walls), 0.5, 0.8)
    edges: Edges = yield from portion(passes_steps(surface, basins.labels, walls), 0.8, 0.85)
    middle = yield from portion(deep_enough_steps(basins, edges, np.append(0.0, -how.neck * basins.bottom[1:])), 0.85, 0.87)
    if how.apart > 0:
        _keep_apart(middle, basins, edges, size, how.apart)
    parts = yield from portion(flooded_steps(basins.count, edges, np.where(middle, np.cumsum(middle), 0).astype(np.uint32)), 0.87, 0.9)
    return (yield from portion(numbered_steps(basins.labels, parts, how.smallest), 0.9, 1.0))


def _alone_steps(objects: NDArray[Any], inside: NDArray[np.bool_]) -> Fractions:
    """Return the pixels of objects that have no face neighbour of another object."""

    def alone(part: slice) -> NDArray[np.bool_]:
        first = max(0, part.start - 1)
        here = slice(part.start - first, part.stop - first)
        return np.asarray(inside[part] & ~_beside_another(objects[first : part.stop + 1])[here])

    return (yield from made_steps(objects.shape, bool, alone))


def _beside_another(objects: NDArray[Any]) -> NDArray[np.bool_]:
    """Pixels that have a face neighbour of another object."""
    beside = np.zeros(objects.shape, bool)
    for axis in range(objects.ndim):
        low, high = next_along(axis, objects.ndim)
        met = (objects[low] != objects[high]) & (objects[low] > 0) & (objects[high] > 0)
        beside[low] |= met
        beside[high] |= met
    return beside


def _smoothed_steps(distance: NDArray[np.float32], size: tuple[float, ...], smoothing: float) -> Fractions:
    if smoothing <= 0:
        yield 1.0
        return distance
    widths = [smoothing / length for length in size]
    if distance.ndim == 2:
        yield 0.5
        return smooth_plane(distance, widths[0], widths[1])
    from napari_segtool.preprocess.gaussian import smooth_volume

    return (yield from smooth_volume(distance, (widths[0], widths[1], widths[2])))


def _keep_apart(middle: NDArray[np.bool_], basins: Basins, edges: Edges, size: tuple[float, ...], apart: float) -> None:
    """Drop middles that lie too near to a deeper one of the same object; changes ``middle``."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components
    from scipy.spatial import cKDTree

    kept = np.flatnonzero(middle)
    places = np.stack(np.unravel_index(basins.place[kept], basins.labels.shape), axis=1) * np.array(size)
    pairs = cKDTree(places).query_pairs(apart * (1 - 1e-9), output_type="ndarray")
    graph = coo_matrix((np.ones(len(edges.first), np.int8), (edges.first, edges.second)), shape=(basins.count + 1,) * 2)
    object_of = connected_components(graph, directed=False)[1][kept]
    pairs = pairs[object_of[pairs[:, 0]] == object_of[pairs[:, 1]]]
    near: dict[int, list[int]] = {}
    for one, other in pairs.tolist():
        near.setdefault(one, []).append(other)
        near.setdefault(other, []).append(one)
    dropped: set[int] = set()
    for one in np.argsort(basins.bottom[kept], kind="stable").tolist():  # the deepest stay
        if one not in dropped:
            dropped.update(near.get(one, ()))
    middle[kept[sorted(dropped)]] = False


def numbered_steps(labels: NDArray[np.uint32], parts: NDArray[np.uint32], smallest: int) -> Fractions:
    """Give basins the numbers of their parts, from 1 in the order in which parts first appear; small ones become 0.

    Parameters
    ----------
    labels
        Basins from 1, 0 outside.
    parts
        The part of each basin, index 0 unused.
    smallest
        Parts of fewer pixels become 0.

    Returns
    -------
    ndarray
        Smallest unsigned type.
    """
    rows = max(1, PART // max(1, labels[:1].size))
    count = int(parts.max(initial=0))
    pixels, at = np.zeros(len(parts), np.int64), np.full(len(parts), labels.size, np.int64)  # of each basin: how many, and the first
    for start in range(0, len(labels), rows):
        flat = labels[start : start + rows].reshape(-1)
        heads = np.flatnonzero(flat[1:] != flat[:-1]) + 1
        heads = np.concatenate([heads[::-1], [0]]) if flat.size else heads
        here = np.full(len(parts), labels.size, np.int64)
        here[flat[heads]] = heads + start * labels[:1].size  # the last written stays, which is the first
        np.minimum(at, here, out=at)
        if smallest > 1:
            pixels += np.bincount(flat, minlength=len(parts))
        yield 0.4 * min(1.0, (start + rows) / len(labels))
    first = np.full(count + 1, labels.size, np.int64)
    np.minimum.at(first, parts, at)
    kept = first < labels.size
    if smallest > 1:
        kept &= np.bincount(parts, pixels, count + 1) >= smallest
    kept[0] = False
    order = np.argsort(first, kind="stable")
    number = np.zeros(count + 1, np.uint32)
    number[order[kept[order]]] = np.arange(1, int(kept.sum()) + 1)
    final = number[parts].astype(smallest_dtype(int(kept.sum())))
    numbered = np.empty(labels.shape, final.dtype)
    for start in range(0, len(labels), rows):
        final.take(labels[start : start + rows], mode="wrap", out=numbered[start : start + rows])
        yield 0.4 + 0.6 * min(1.0, (start + rows) / len(labels))
    return numbered
