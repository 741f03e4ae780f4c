"""k-means of pixels with several channels."""

from __future__ import annotations

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

_STARTS, _ROUNDS = 4, 100


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
        """Return float32 ``(Y, X, C)``."""
        used = plane[:3] if self.colours else plane
        return np.stack([smooth_plane(channel, self.smoothing_px, self.smoothing_px) for channel in used], axis=-1).astype(np.float32)


def sample_steps(stack: Stack, channels: Channels, most: int = SAMPLE) -> Steps[NDArray[np.float32]]:
    """Return every n-th pixel of the stack that is finite in all channels, at most ``most``, as ``(pixel, channel)``."""
    planes = list(plane_indices(stack))
    pixels = int(np.prod(stack.label_shape))
    stride = max(1, -(-pixels // most))
    parts, offset = [], 0
    for done, index in enumerate(planes, start=1):
        values = channels(read_plane(stack, index))
        flat = values.reshape(-1, values.shape[-1])
        chosen = flat[offset::stride]
        offset = (offset - len(flat)) % stride
        parts.append(chosen[np.isfinite(chosen).all(axis=1)])
        yield Progress(done, len(planes), "colours")
    return np.concatenate(parts) if parts else np.zeros((0, 1), np.float32)


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
    colours, counts = np.unique(sample, axis=0, return_counts=True)
    points, weights = colours.astype(np.float64), counts.astype(np.float64)
    if len(points) < clusters:
        raise DataError(f"The image holds {len(points)} different colours, but {clusters} clusters are wanted.", hint="Ask for fewer clusters.")
    generator = np.random.default_rng(seed)
    best, least = points[:clusters], np.inf
    for _ in range(_STARTS):
        centres, error = _lloyd(points, weights, _spread_start(points, weights, clusters, generator))
        if error < least:
            best, least = centres, error
    return best[np.lexsort((*best.T, best.mean(axis=1)))]


def nearest(values: NDArray[Any], centres: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the index of the nearest centre of each row of ``(pixel, channel)``; of equally near ones the first."""
    distances = (centres**2).sum(axis=1) - 2 * (values @ centres.T)
    return np.asarray(distances.argmin(axis=1))


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
    owner = nearest(points, centres)
    for _ in range(_ROUNDS):
        total = np.bincount(owner, weights, clusters)
        filled = total > 0
        centres = centres.copy()
        for channel in range(points.shape[1]):
            centres[filled, channel] = (np.bincount(owner, weights * points[:, channel], clusters) / np.where(filled, total, 1))[filled]
        moved = nearest(points, centres)
        if np.array_equal(moved, owner):
            break
        owner = moved
    return centres, float((weights * ((points - centres[owner]) ** 2).sum(axis=1)).sum())
