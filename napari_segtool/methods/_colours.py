"""k-means of pixels with several channels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_segtool.core.errors import DataError
from napari_segtool.core.planes import plane_indices, read_plane
from napari_segtool.core.progress import Progress, Steps
from napari_segtool.core.stack import Stack
from napari_segtool.preprocess._smooth import smooth_plane

SAMPLE = 100_000
"""Pixels that clusters are learned from, spread evenly over the stack."""

_MEMO = "colours"
_BLOCK = 1 << 14
_MIX = np.uint64(0x9E3779B97F4A7C15)
_STARTS, _START_SAMPLE = 4, 10_000
_ROUNDS, _SETTLED = 100, 1e-5  # rounds at most, and the shift of the centres, as a part of the variance, that ends them


@dataclass(frozen=True, slots=True)
class Channels:
    """Turns a plane into the values of its channels, smoothed, without alpha.

    Parameters
    ----------
    colours
        Whether channels are colour samples, of which the first three are taken.
    smoothing_px
        Width of a Gaussian in the plane.
    """

    colours: bool
    smoothing_px: float = 0.0

    def __call__(self, plane: NDArray[Any]) -> NDArray[np.float32]:
        """Return float32 ``(C, Y, X)``."""
        used = plane[:3] if self.colours else plane
        values = np.empty(used.shape, np.float32)
        for target, channel in zip(values, used, strict=True):
            target[...] = smooth_plane(channel, self.smoothing_px, self.smoothing_px) if self.smoothing_px else channel
        return values


def sample_steps(stack: Stack, channels: Channels, most: int = SAMPLE) -> Steps[NDArray[np.float32]]:
    """Return every n-th pixel of the stack that is finite in all channels, at most ``most``, as ``(pixel, channel)``.

    The last sample is remembered with the stack, so that another number of clusters does not read it again.
    """
    kept: dict[tuple[Channels, int], NDArray[np.float32]] = stack.memo.setdefault(_MEMO, {})
    if (channels, most) in kept:
        return kept[channels, most]
    planes = list(plane_indices(stack))
    pixels = int(np.prod(stack.label_shape))
    stride = max(1, -(-pixels // most))
    parts, offset = [], 0
    for done, index in enumerate(planes, start=1):
        values = channels(read_plane(stack, index))
        flat = values.reshape(len(values), -1)
        chosen = flat[:, offset::stride].T
        offset = (offset - flat.shape[1]) % stride
        parts.append(chosen[np.isfinite(chosen).all(axis=1)])
        yield Progress(done, len(planes), "colours")
    sample = np.concatenate(parts) if parts else np.zeros((0, 1), np.float32)
    kept.clear()
    kept[channels, most] = sample
    return sample


def cluster_centres(sample: NDArray[np.float32], clusters: int, seed: int) -> NDArray[np.float64]:
    """Find cluster centres by Lloyd's algorithm from several k-means++ starts, and keep the tightest.

    Equal pixels are merged first, which loses nothing and makes pictures of few colours quick.

    Parameters
    ----------
    sample
        Shape ``(pixel, channel)``.
    clusters
        Number of clusters.
    seed
        Of the random starts.

    Returns
    -------
    ndarray
        Shape ``(cluster, channel)``, in order of increasing mean over the channels.

    Raises
    ------
    DataError
        If there are fewer different pixels than clusters.
    """
    points, weights = _merged(sample)
    if len(points) < clusters:
        raise DataError(f"The image holds {len(points)} different colours, but {clusters} clusters are wanted.", hint="Ask for fewer clusters.")
    generator = np.random.default_rng(seed)
    every = max(1, len(points) // max(_START_SAMPLE, clusters))
    few, their_weights = points[::every], weights[::every]
    best, least = points[:clusters], np.inf
    for _ in range(_STARTS):  # the starts are tried on a part of the sample, and the best one finished on all of it
        centres, error = _lloyd(few, their_weights, _spread_start(few, their_weights, clusters, generator))
        if error < least:
            best, least = centres, error
    best, _ = _lloyd(points, weights, best)
    return best[np.lexsort((*best.T, best.mean(axis=1)))]


def nearest(values: NDArray[Any], centres: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the index of the nearest centre of each row of ``(pixel, channel)``; of equally near ones the first."""
    distances = (centres**2).sum(axis=1) - 2 * (values @ centres.T)
    return np.asarray(distances.argmin(axis=1))


def best_scoring(values: NDArray[np.float32], scores: Callable[[NDArray[np.float32]], NDArray[np.float32]]) -> NDArray[np.uint8]:
    """Return which score is largest for each pixel, the first of equal ones; 0 where a channel has no value.

    Parameters
    ----------
    values
        Shape ``(channel, Y, X)``.
    scores
        Turns ``(channel, n)`` into ``(score, n)``.
    """
    flat = values.reshape(len(values), -1)
    found = np.empty(flat.shape[1], np.uint8)
    for start in range(0, flat.shape[1], _BLOCK):  # a block stays in the processor's cache
        block = flat[:, start : start + _BLOCK]
        known = np.isfinite(block).all(axis=0)
        if not known.all():
            block = np.where(known, block, np.float32(0))
        first, *others = scores(block)
        best = np.zeros(block.shape[1], np.uint8)
        for number, score in enumerate(others, start=1):
            best[score > first] = number
            np.maximum(first, score, out=first)
        found[start : start + _BLOCK] = best * known
    return found.reshape(values.shape[1:])


def _merged(sample: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Different rows, and how often each occurs; told apart by a number made of their bits, which sorts quickly."""
    rows = np.ascontiguousarray(sample) + np.float32(0)  # there is a zero with a minus, which is no other value
    marks = np.zeros(len(rows), np.uint64)
    for channel in rows.view(np.uint32).reshape(rows.shape).T:
        marks = (marks ^ channel) * _MIX
    _, first, owner, counts = np.unique(marks, return_index=True, return_inverse=True, return_counts=True)
    if np.array_equal(rows[first][owner], rows):
        return rows[first].astype(np.float64), counts.astype(np.float64)
    colours, counts = np.unique(rows, axis=0, return_counts=True)  # two rows got the same mark by chance
    return colours.astype(np.float64), counts.astype(np.float64)


def _spread_start(points: NDArray[np.float64], weights: NDArray[np.float64], clusters: int, generator: np.random.Generator) -> NDArray[np.float64]:
    """k-means++: each further centre is drawn with a chance that grows with its squared distance from those before."""
    chosen = [points[generator.choice(len(points), p=weights / weights.sum())]]
    distance = ((points - chosen[0]) ** 2).sum(axis=1)
    while len(chosen) < clusters:
        chance = distance * weights
        chosen.append(points[generator.choice(len(points), p=chance / chance.sum())])
        distance = np.minimum(distance, ((points - chosen[-1]) ** 2).sum(axis=1))
    return np.array(chosen)


def _lloyd(points: NDArray[np.float64], weights: NDArray[np.float64], centres: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
    clusters = len(centres)
    weighted = points * weights[:, None]
    settled = _SETTLED * float(np.average(points.var(axis=0)))
    for _ in range(_ROUNDS):
        owner = nearest(points, centres)
        total = np.bincount(owner, weights, clusters)
        filled = total > 0
        moved = centres.copy()
        for channel in range(points.shape[1]):
            moved[filled, channel] = np.bincount(owner, weighted[:, channel], clusters)[filled] / total[filled]
        shift = float(((moved - centres) ** 2).sum())
        centres = moved
        if shift <= settled:
            break
    owner = nearest(points, centres)
    return centres, float((weights * ((points - centres[owner]) ** 2).sum(axis=1)).sum())
