"""Classes from paint: where a random walker would arrive first."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_segtool.core.errors import DataError
from napari_segtool.core.given import Given
from napari_segtool.core.labels import smallest_dtype
from napari_segtool.core.neighbours import next_along
from napari_segtool.core.params import Params, param
from napari_segtool.core.planes import AnyRule, Fractions
from napari_segtool.core.progress import Steps
from napari_segtool.core.registry import METHODS
from napari_segtool.core.stack import Stack
from napari_segtool.methods._components import components_steps, slabs_of
from napari_segtool.methods._grey import Grey
from napari_segtool.methods._histogram import Histogram, stack_histogram_steps
from napari_segtool.methods._painted import check_paint_steps
from napari_segtool.methods._pieces import Piece, pieces_steps
from napari_segtool.methods._walk import potential_steps, pyramid_steps
from napari_segtool.preprocess._portions import portion

LARGEST = 1 << 22
"""Pixels that are solved at full resolution; larger pictures and volumes are solved coarser first."""

_LEAST = 1e-7  # conductance across the steepest edge: no pixel is cut off


class RandomWalkerParams(Params):
    """Settings of the random walker."""

    beta: float = param(130.0, "How much an edge holds the walker up: larger keeps closer to edges, smaller gives smoother shapes.", ge=0, le=10_000)
    smoothing_px: float = param(1.0, "Width of a Gaussian in each slice before: keeps noise from being an edge.", unit="px", ge=0, le=20)
    volume: bool = param(False, "Walk through the slices too: paint in some of them serves all.")


@METHODS.register(
    "random-walker",
    title="Random walker",
    summary="Gives each pixel to the stroke that is easiest to reach without crossing edges; good for weak or broken boundaries.",
    params=RandomWalkerParams,
    family="regions",
    reference="Grady 2006, Random walks for image segmentation, doi:10.1109/TPAMI.2006.233",
    phantom="painted",
    traits=("paint",),
)
def random_walker(stack: Stack, params: RandomWalkerParams, given: Given) -> Steps[AnyRule | NDArray[Any]]:
    """Give each pixel the class of the stroke that a random walker starting there most likely meets first.

    A step between neighbours is as likely as ``exp(-beta · (d / s)² / 10)``, with the difference ``d`` of their grey values and the standard
    deviation ``s`` of the stack's (as scikit-image's ``beta``), over the square of their distance in pixels along X.

    Parameters
    ----------
    stack
        Any axes; colours are taken as luminance, other channels as their mean.
    params
        Settings.
    given
        Paint of at least two classes. Without ``volume`` strokes serve their own slice.

    Returns
    -------
    PlaneRule or ndarray
        Smallest unsigned type, the painted labels; painted pixels keep theirs. 0 in slices without paint, where pixels without a value lie,
        and in what they cut off from all paint. Pictures and volumes of more than 4,194,304 pixels are solved at half, a quarter … of the
        resolution; boundaries in volumes are then drawn anew at full resolution, slice by slice.

    Raises
    ------
    PaintError
        If fewer than two classes are painted.
    DataError
        If no pixel has a finite value, or all have the same.
    AxesError
        If ``volume`` is asked for and the stack has no slices.
    """
    assert given.paint is not None
    yield from check_paint_steps(given.paint)
    grey = Grey.of(stack, params.smoothing_px, whole=False)
    deviation = _deviation((yield from stack_histogram_steps(stack, grey)))
    if deviation == 0:
        raise DataError(f"{stack.name or 'The image'} holds 1 grey value only: there is no edge.", hint="Nothing can be told apart in it.")
    largest = int(max(plane.max(initial=0) for plane in given.paint))

    def work(piece: Piece) -> Fractions:
        paint = piece.given.paint
        assert paint is not None
        known = yield from piece.known_steps()
        scaled, strokes = np.empty(known.shape, np.float32), np.empty(known.shape, smallest_dtype(largest))
        for part in slabs_of(known.shape):
            scaled[part] = np.where(known[part], piece.grey[part], 0) / deviation
            strokes[part] = np.where(known[part], paint[part], 0)
            yield 0.02 * part.stop / len(known)
        return (yield from portion(walked_steps(scaled, known, strokes, piece.size, params.beta), 0.02, 1.0))

    return (yield from pieces_steps(stack, grey, work, given, volume=params.volume))


def walked_steps(grey: NDArray[np.float32], known: NDArray[np.bool_], paint: NDArray[Any], size: tuple[float, ...], beta: float) -> Fractions:
    """Return the class that a walker from each pixel most likely meets first.

    Parameters
    ----------
    grey
        Grey values in standard deviations, finite, shape ``(Y, X)`` or ``(depth, Y, X)``.
    known
        Where a walker may go.
    paint
        Classes, 0 where there is none.
    size
        Length of a voxel along each axis, in pixels along X.
    beta
        How much edges hold it up.
    """
    if not any(plane.any() for plane in paint):
        yield 1.0
        return np.zeros(paint.shape, paint.dtype)
    if grey.size > LARGEST:
        return (yield from _coarse_first_steps(grey, known, paint, size, beta))
    classes = np.flatnonzero(np.bincount(paint.ravel())[1:]) + 1
    parts = yield from portion(components_steps(known), 0.0, 0.1)
    reached = np.zeros(int(parts.max(initial=0)) + 1, bool)
    reached[parts[paint > 0]] = True
    reached[0] = False
    labels = np.where(reached[parts], classes[-1], 0).astype(paint.dtype)
    if classes.size > 1:
        weights = yield from portion(_conductance_steps(grey, known, size, beta), 0.1, 0.1)
        levels = yield from portion(pyramid_steps(weights, known & (paint == 0)), 0.1, 0.1)
        best, rest = np.zeros(grey.shape, np.float32), np.ones(grey.shape, np.float32)
        for done, value in enumerate(classes[:-1]):  # the potentials of all classes add up to 1
            source = _source(weights, (paint == value).astype(np.float32))
            low, high = 0.1 + 0.9 * done / (classes.size - 1), 0.1 + 0.9 * (done + 1) / (classes.size - 1)
            yield low
            potential = yield from portion(potential_steps(levels, source), low, high)
            rest -= potential
            yield high
            nearer = (potential > best) & reached[parts]
            np.copyto(best, potential, where=nearer)
            labels[nearer] = value
        yield 1.0
        labels[(rest > best) & reached[parts]] = classes[-1]
    labels[paint > 0] = paint[paint > 0]
    yield 1.0
    return labels


def _deviation(histogram: Histogram) -> float:
    values = np.arange(len(histogram.counts)) * histogram.step
    count = float(histogram.counts.sum())
    mean = float((histogram.counts * values).sum()) / count
    return float(np.sqrt((histogram.counts * (values - mean) ** 2).sum() / count)) if len(histogram.levels()) > 1 else 0.0


def _conductance_steps(
    grey: NDArray[np.float32], known: NDArray[np.bool_], size: tuple[float, ...], beta: float
) -> Generator[float, None, tuple[NDArray[np.float32], ...]]:
    weights = []
    for axis, length in enumerate(size):
        low, high = next_along(axis, grey.ndim)
        weight = grey[high] - grey[low]
        weight *= weight
        weight *= np.float32(-beta / 10)
        with np.errstate(under="ignore"):
            np.exp(weight, out=weight)
        weight += np.float32(_LEAST)
        weight *= np.float32(1 / length**2)
        weight *= known[low] & known[high]
        weights.append(weight)
        yield 0.0
    return tuple(weights)


def _source(weights: tuple[NDArray[np.float32], ...], painted: NDArray[np.float32]) -> NDArray[np.float32]:
    """What flows from painted pixels into their neighbours."""
    source = np.zeros_like(painted)
    for axis, weight in enumerate(weights):
        low, high = next_along(axis, painted.ndim)
        source[low] += weight * painted[high]
        source[high] += weight * painted[low]
    return source


def _coarse_first_steps(grey: NDArray[np.float32], known: NDArray[np.bool_], paint: NDArray[Any], size: tuple[float, ...], beta: float) -> Fractions:
    """Solve at a lower resolution, then draw the boundaries anew in each slice between what lies well inside the classes."""
    factors = [1] * grey.ndim
    while grey.size / np.prod(factors) > LARGEST:
        axis = min(range(grey.ndim), key=lambda i: size[i] * factors[i] if grey.shape[i] > 2 * factors[i] else np.inf)
        factors[axis] *= 2
    small, where, strokes = yield from portion(_shrunk_steps(grey, known, paint, tuple(factors)), 0.0, 0.2)
    coarse_size = tuple(length * factor for length, factor in zip(size, factors, strict=True))
    coarse = yield from portion(walked_steps(small, where, strokes, coarse_size, beta), 0.2, 0.6)
    sure = _inner(coarse)
    labels = np.zeros(paint.shape, paint.dtype)
    planes = range(len(grey)) if grey.ndim == 3 else range(1)
    for z in planes:
        here = z if grey.ndim == 3 else slice(None)
        rough, certain = (part[z // factors[0]] if grey.ndim == 3 else part for part in (coarse, sure))
        shape = grey[here].shape
        for axis, factor in enumerate(factors[-2:]):
            rough, certain = (np.repeat(part, factor, axis=axis)[tuple(slice(0, n) for n in shape[: axis + 1])] for part in (rough, certain))
        marks = np.where(paint[here] > 0, paint[here], np.where(certain & known[here], rough, 0)).astype(paint.dtype)
        if grey.ndim == 3:
            labels[here] = yield from portion(
                walked_steps(grey[here], known[here], marks, size[1:], beta), 0.6 + 0.4 * z / len(planes), 0.6 + 0.4 * (z + 1) / len(planes)
            )
        else:
            labels = np.where(known & (marks == 0), rough, marks).astype(paint.dtype)
    yield 1.0
    return labels


def _shrunk_steps(
    grey: NDArray[np.float32], known: NDArray[np.bool_], paint: NDArray[Any], factors: tuple[int, ...]
) -> Generator[float, None, tuple[NDArray[np.float32], NDArray[np.bool_], NDArray[Any]]]:
    """Return the mean grey value, whether any pixel is known, and the largest painted class of each block."""
    shape = tuple(-(-n // factor) for n, factor in zip(grey.shape, factors, strict=True))
    mean, where, strokes = np.zeros(shape, np.float32), np.zeros(shape, bool), np.zeros(shape, paint.dtype)
    for start in range(shape[0]):
        part = slice(start * factors[0], (start + 1) * factors[0])
        count, total = known[part].sum(axis=0, dtype=np.float32), (grey[part] * known[part]).sum(axis=0)
        top = paint[part].max(axis=0)
        for axis, factor in enumerate(factors[1:]):
            edges = np.arange(0, count.shape[axis], factor)
            count, total = np.add.reduceat(count, edges, axis=axis), np.add.reduceat(total, edges, axis=axis)
            top = np.maximum.reduceat(top, edges, axis=axis)
        where[start], strokes[start] = count > 0, top
        mean[start] = total / np.maximum(count, 1)
        yield (start + 1) / shape[0]
    return mean, where, strokes


def _inner(labels: NDArray[Any]) -> NDArray[np.bool_]:
    """Where all face neighbours have the same label."""
    same = np.ones(labels.shape, bool)
    for axis in range(labels.ndim):
        low, high = next_along(axis, labels.ndim)
        equal = labels[low] == labels[high]
        same[low] &= equal
        same[high] &= equal
    return same
