"""How elongated and how hollow connected pieces are."""

from __future__ import annotations

import itertools
from collections.abc import Generator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_segtool.methods._label_boxes import boxes_steps
from napari_segtool.objects._pieces import Pieces, slabs
from napari_segtool.preprocess._portions import portion

Measures = Generator[float, None, NDArray[np.float64]]
"""Yields the finished part, and returns a number for each piece, entry 0 being of no meaning."""

_SLAB_PIXELS = 1 << 19
_AT_A_TIME = 1 << 22
_ROUNDING = 1e-7


def eccentricity_steps(pieces: Pieces, size: tuple[float, ...]) -> Measures:
    """Measure how far pieces are from round: 0 for a circle or ball, near 1 for a line.

    It is that of the ellipse (ellipsoid) with the same second moments: ``√(1 − (shortest axis / longest axis)²)``; pixels count as filled boxes.

    Parameters
    ----------
    pieces
        In a plane or volume.
    size
        Size of a pixel along each axis.
    """
    count, dimensions = len(pieces.sizes), pieces.labels.ndim
    sums = np.zeros((dimensions, count))
    products = np.zeros((dimensions, dimensions, count))
    rows = max(1, _SLAB_PIXELS // max(1, int(np.prod(pieces.labels.shape[1:]))))
    for first in range(0, pieces.labels.shape[0], rows):
        part = pieces.numbers[first : first + rows]
        at = np.nonzero(part)
        numbers = part[at]
        places = [(place + (first if axis == 0 else 0)) * size[axis] for axis, place in enumerate(at)]
        for axis, place in enumerate(places):
            sums[axis] += np.bincount(numbers, place, count)
        for one, other in itertools.combinations_with_replacement(range(dimensions), 2):
            products[one, other] += np.bincount(numbers, places[one] * places[other], count)
        yield min(1.0, (first + rows) / pieces.labels.shape[0])
    number = np.maximum(pieces.sizes, 1)
    means = sums / number
    moments = np.zeros((count, dimensions, dimensions))
    for one, other in itertools.combinations_with_replacement(range(dimensions), 2):
        moment = products[one, other] / number - means[one] * means[other]
        moments[:, one, other] = moments[:, other, one] = moment + (size[one] ** 2 / 12 if one == other else 0)
    axes = np.linalg.eigvalsh(moments)
    return np.asarray(np.sqrt(np.clip(1 - axes[:, 0] / axes[:, -1], 0, 1)))


def solidity_steps(pieces: Pieces, wanted: NDArray[np.bool_]) -> Measures:
    """Measure which part of its convex hull a piece fills: 1 for a convex one, less where it has bays or holes.

    Parameters
    ----------
    pieces
        In a plane or volume.
    wanted
        Which pieces to measure; all others get 1.

    Returns
    -------
    ndarray
        Number of pixels of the piece by the number of pixels whose centres lie in the convex hull of the centres of its pixels.
    """
    boxes = yield from portion(boxes_steps(pieces.numbers), 0.0, 0.1)
    solidity = np.ones(len(pieces.sizes))
    for done, (number, box) in enumerate(boxes.items()):
        if wanted[number]:
            here = pieces.numbers[box]
            ends = []
            for part, _ in slabs(here.shape):
                ends.append(_row_ends(here[part] == number) + np.eye(1, here.ndim, dtype=np.int64) * part.start)
                yield 0.1 + 0.9 * done / len(boxes)
            solidity[number] = pieces.sizes[number] / _in_hull(np.concatenate(ends), int(pieces.sizes[number]))
        yield 0.1 + 0.9 * (done + 1) / len(boxes)
    return solidity


def hull_pixels(mask: NDArray[np.bool_]) -> int:
    """Count the pixels (voxels) in the convex hull of a mask.

    Voxels that all lie in one slanted plane or line are counted as they are.

    Examples
    --------
    >>> hull_pixels(np.array([[1, 0, 1], [0, 0, 0], [1, 0, 1]], bool))
    9
    """
    return _in_hull(_row_ends(mask), int(mask.sum()))


def _in_hull(points: NDArray[np.int64], at_least: int) -> int:
    flat = [axis for axis in range(points.shape[1]) if points.shape[1] == 3 and np.ptp(points[:, axis]) == 0]
    if flat:
        points = np.delete(points, flat[0], axis=1)
    return _in_polygon(points) if points.shape[1] == 2 else _in_polyhedron(points, at_least)


def _row_ends(mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    """First and last place of the mask in each row, shape ``(n, dimensions)``: the hull of these is the hull of all."""
    rows = np.nonzero(mask.any(axis=-1))
    inside = mask[rows]
    first, last = inside.argmax(axis=1), mask.shape[-1] - 1 - inside[:, ::-1].argmax(axis=1)
    return np.concatenate([np.stack([*rows, ends], axis=1) for ends in (first, last)]).astype(np.int64)


def _in_polygon(points: NDArray[np.int64]) -> int:
    """Count the lattice points in the convex hull of lattice points, by Pick's theorem."""
    import cv2

    corners = cv2.convexHull(points.astype(np.int32)).reshape(-1, 2).astype(np.int64)
    following = np.roll(corners, -1, axis=0)
    twice_area = abs(int((corners[:, 0] * following[:, 1] - corners[:, 1] * following[:, 0]).sum()))
    on_border = int(np.gcd(*np.abs(following - corners).T).sum())
    return (twice_area + on_border) // 2 + 1


def _in_polyhedron(points: NDArray[np.int64], at_least: int) -> int:
    """Count the lattice points in the convex hull of lattice points, row by row along the last axis."""
    from scipy.spatial import ConvexHull

    if np.linalg.matrix_rank(points - points[0]) < 3:
        return at_least
    planes: NDArray[Any] = np.unique(ConvexHull(points).equations.round(12), axis=0)  # a facet may consist of several triangles
    low, high = points.min(axis=0), points.max(axis=0)
    rows = np.stack(np.meshgrid(*(np.arange(a, b + 1) for a, b in zip(low[:2], high[:2], strict=True)), indexing="ij"), axis=-1).reshape(-1, 2)
    total, every = 0, max(1, _AT_A_TIME // len(planes))
    for first in range(0, len(rows), every):
        room = -planes[:, 3:] - planes[:, :2] @ rows[first : first + every].T  # along the row: slope · x <= room
        slope = np.broadcast_to(planes[:, 2:3], room.shape)
        with np.errstate(divide="ignore", invalid="ignore"):
            ends = room / slope
        last = np.where(slope > _ROUNDING, ends, np.inf).min(axis=0)
        start = np.where(slope < -_ROUNDING, ends, -np.inf).max(axis=0)
        open_ = np.where(np.abs(slope) <= _ROUNDING, room >= -_ROUNDING, True).all(axis=0)
        lengths = np.floor(last + _ROUNDING) - np.ceil(start - _ROUNDING) + 1
        total += int(np.maximum(lengths, 0)[open_].sum())
    return total
