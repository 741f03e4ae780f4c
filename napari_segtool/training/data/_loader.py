"""Batches, made in a thread while the step before runs. Every batch depends on the seed and its number only."""

from __future__ import annotations

import math
import os
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_segtool.nets._normalise import Normalisation, gap_values
from napari_segtool.training.augment._patch import Patch
from napari_segtool.training.augment._presets import prepare, vary
from napari_segtool.training.data._augment import STILL, Augmentation
from napari_segtool.training.data._cut import Levels, Scale, cut
from napari_segtool.training.data._holdout import Field
from napari_segtool.training.data._patches import Draw, PatchSampler
from napari_segtool.training.data._spacing import z_ratio_of
from napari_segtool.training.data._warp import draw_map
from napari_segtool.training.runs._pairs import IGNORED

_JITTER = 0.35
"""A patch's centre lies this share of its size, at most, from the pixel it was drawn for: not so far that rotation could push the pixel out."""
_TRIES = 4
_MOST_THREADS = 8


@dataclass(frozen=True, eq=False)
class Batch:
    """Patches to learn from.

    Parameters
    ----------
    images
        ``(N, C, [Z,] Y, X)`` float32, normalised. In 2.5-D ``C`` counts the neighbouring planes of the first channel, then those of the next.
    classes
        ``(N, [Z,] Y, X)`` uint8 class indices, 255 for unlabelled; every patch has a labelled pixel.
    weights
        ``(N, [Z,] Y, X)`` float32, how much each pixel counts; None where all count alike.
    """

    images: NDArray[np.float32]
    classes: NDArray[np.uint8]
    weights: NDArray[np.float32] | None = None


class BatchMaker:
    """Makes the batch of any step.

    Parameters
    ----------
    fields, sampler
        Where patches come from. Images may be numpy, memory maps or zarr, of any shape and dtype: a patch reads the box it needs, and each plane
        once as a whole for its mean and deviation.
    normalisation
        Of grey values.
    augmentation
        How patches are varied.
    patch
        ``(z, y, x)`` pixels; z is 1 in 2-D.
    count
        Patches in a batch.
    seed
        Of all randomness.
    flat
        Whether patches are single planes.
    neighbours
        2.5-D: planes on each side that become channels; only with ``flat``.
    rim_px
        Pixels of the image on each side of a patch that come with it and have no labels.
    """

    def __init__(
        self,
        fields: Sequence[Field],
        sampler: PatchSampler,
        normalisation: Normalisation,
        augmentation: Augmentation,
        *,
        patch: tuple[int, int, int],
        count: int,
        seed: int,
        flat: bool,
        neighbours: int = 0,
        rim_px: int = 0,
    ) -> None:
        self._fields, self._sampler, self._augmentation = tuple(fields), sampler, augmentation
        self._patch, self._count, self._seed, self._flat = patch, count, seed, flat
        self._neighbours = neighbours if flat else 0
        self._rim_px, self._seen = rim_px, (patch[0], patch[1] + 2 * rim_px, patch[2] + 2 * rim_px)
        self._levels: dict[tuple[int, int], tuple[NDArray[np.float32], ...]] = {}
        self._normalisation = normalisation
        self._effects = prepare(augmentation.effects, augmentation.intensity)
        self._weighted = any(field.weights is not None for field in self._fields)

    def make(self, step: int) -> Batch:
        """Return the batch of a step."""
        parts = [self._one(np.random.default_rng((self._seed, step, number))) for number in range(self._count)]
        images, classes = np.stack([part.image for part in parts]), np.stack([part.classes for part in parts])
        weights = np.stack([_weights_of(part) for part in parts]) if self._weighted else None
        if not self._flat:
            return Batch(images, classes, weights)
        middle = self._neighbours
        flat = images.reshape(len(images), -1, *images.shape[3:])
        return Batch(flat, np.ascontiguousarray(classes[:, middle]), None if weights is None else np.ascontiguousarray(weights[:, middle]))

    def _one(self, rng: np.random.Generator) -> Patch:
        for attempt in range(1, _TRIES + 1):
            last = attempt == _TRIES
            patch = self._patch_of(self._sampler.draw(rng), rng, STILL if last else self._augmentation, jitter=not last)
            if _has_something(patch):
                break
        return patch

    def _patch_of(self, draw: Draw, rng: np.random.Generator, augmentation: Augmentation, *, jitter: bool) -> Patch:
        field = self._fields[draw.field]
        zoom = (1.0, *field.zoom)
        size = [max(1, round(n * factor)) for n, factor in zip(self._patch, zoom, strict=True)]
        shift = rng.uniform(-_JITTER, _JITTER, 3) * size if jitter else np.zeros(3)
        z, y, x = (_inside(draw.pixel[axis] + shift[axis], size[axis], field.learn.shape[axis]) for axis in range(3))
        first = max(draw.pixel[0] - size[0] + 1, min(draw.pixel[0], round(z - (size[0] - 1) / 2)))
        z_ratio = 0.0 if self._flat else z_ratio_of(field.spacing_um, field.zoom)
        places = draw_map(rng, self._seen, augmentation, z_ratio=z_ratio, zoom=zoom)
        if self._neighbours and field.around is not None:
            image, offset = field.around, field.section
        else:
            image, offset = field.image, 0
        depth = self._patch[0] + 2 * self._neighbours
        centre = (first + (size[0] - 1) / 2, y, x)
        scale = self._scale(field, image, offset)
        patch = cut(image, field.learn, centre, depth, places, weights=field.weights, scale=scale, offset=offset, zoom=field.zoom)
        if augmentation.flip_z and depth > 1 and rng.random() < 0.5:
            patch.image, patch.classes = np.ascontiguousarray(patch.image[:, ::-1]), np.ascontiguousarray(patch.classes[::-1])
            patch.weights = None if patch.weights is None else np.ascontiguousarray(patch.weights[::-1])
        return self._without_rim(vary(patch, rng, self._effects) if augmentation is not STILL else patch)

    def _without_rim(self, patch: Patch) -> Patch:
        if self._rim_px:
            core = (slice(None), slice(self._rim_px, -self._rim_px), slice(self._rim_px, -self._rim_px))
            patch.classes = np.ascontiguousarray(patch.classes[core])
            patch.weights = None if patch.weights is None else np.ascontiguousarray(patch.weights[core])
        return patch

    def _scale(self, field: Field, image: NDArray[np.generic], offset: int) -> Scale:
        """Levels of an image's planes, each computed when it is first needed."""

        def scale(planes: Sequence[int]) -> Levels:
            found = []
            for plane in planes:
                key = (field.picture, field.first - offset + plane)
                if key not in self._levels:
                    whole = np.asarray(image[plane])
                    self._levels[key] = (*self._normalisation.scale(whole), gap_values(whole))
                found.append(self._levels[key])
            return Levels(*(np.stack(each) for each in zip(*found, strict=True)))

        return scale


class Prefetcher:
    """Makes the next batches in threads while the present one is used.

    One thread, one batch ahead, is enough beside a CPU, whose steps take ten times as long as their batches. Whenever a training has to wait
    (beside a GPU) one more is put to work; what the batches are does not depend on that.

    Parameters
    ----------
    maker
        Makes them.
    most
        Threads at most; 0 takes the cores of this process but one, up to eight.
    """

    def __init__(self, maker: BatchMaker, most: int = 0) -> None:
        self._maker, self._threads = maker, 1
        self._most = most or min(_MOST_THREADS, max(1, _cores() - 1))
        self._pool = ThreadPoolExecutor(self._most, thread_name_prefix="batches")
        self._ahead: deque[tuple[int, Future[Batch]]] = deque()

    def take(self, step: int) -> Batch:
        """Return the batch of a step and begin with those after it."""
        while self._ahead and self._ahead[0][0] != step:
            self._ahead.popleft()[1].cancel()
        mine = self._ahead.popleft()[1] if self._ahead else None
        if mine is not None and not mine.done():
            self._threads = min(self._most, self._threads + 1)
        following = self._ahead[-1][0] + 1 if self._ahead else step + 1
        for number in range(following, step + 1 + self._threads):
            self._ahead.append((number, self._pool.submit(self._maker.make, number)))
        return mine.result() if mine is not None else self._maker.make(step)

    def close(self) -> None:
        """Wait for the threads to end."""
        self._pool.shutdown(wait=True, cancel_futures=True)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _has_something(patch: Patch) -> bool:
    known = patch.classes != IGNORED
    return bool(known.any() if patch.weights is None else (known & (patch.weights > 0)).any())


def _weights_of(patch: Patch) -> NDArray[np.float32]:
    return np.ones(patch.classes.shape, np.float32) if patch.weights is None else patch.weights


def _inside(place: float, size: int, length: int) -> float:
    """Move a patch's centre so that it lies within the image where it can, else about its middle; on the grid of pixels, so that an unturned patch is exact."""
    first = place - (size - 1) / 2 if size < length else (length - size) / 2
    last = max(length - size, 0)
    return (size - 1) / 2 + (float(min(max(round(first), 0), last)) if size < length else math.floor(first))
