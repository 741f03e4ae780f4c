"""Batches, made in a thread while the step before runs. Every batch depends on the seed and its number only."""

from __future__ import annotations

import math
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_segtool.nets._normalise import Normalisation
from napari_segtool.training._augment import STILL, Augmentation, cut, draw_map, vary_intensity
from napari_segtool.training._holdout import Field
from napari_segtool.training._pairs import IGNORED
from napari_segtool.training._patches import Draw, PatchSampler

_JITTER = 0.35
"""A patch's centre lies this share of its size, at most, from the pixel it was drawn for: not so far that rotation could push the pixel out."""
_TRIES = 4


@dataclass(frozen=True, eq=False)
class Batch:
    """Patches to learn from.

    Parameters
    ----------
    images
        ``(N, C, [Z,] Y, X)`` float32, normalised.
    classes
        ``(N, [Z,] Y, X)`` uint8 class indices, 255 for unlabelled; every patch has a labelled pixel.
    """

    images: NDArray[np.float32]
    classes: NDArray[np.uint8]


class BatchMaker:
    """Makes the batch of any step.

    Parameters
    ----------
    fields, sampler
        Where patches come from.
    patch
        ``(z, y, x)`` pixels; z is 1 in 2-D.
    count
        Patches in a batch.
    """

    def __init__(
        self,
        fields: tuple[Field, ...],
        sampler: PatchSampler,
        normalisation: Normalisation,
        augmentation: Augmentation,
        *,
        patch: tuple[int, int, int],
        count: int,
        seed: int,
        flat: bool,
    ) -> None:
        self._fields, self._sampler, self._augmentation = fields, sampler, augmentation
        self._patch, self._count, self._seed, self._flat = patch, count, seed, flat
        self._scales: dict[int, tuple[NDArray[np.float32], NDArray[np.float32]]] = {}
        self._normalisation = normalisation

    def make(self, step: int) -> Batch:
        """Return the batch of a step."""
        parts = [self._one(np.random.default_rng((self._seed, step, number))) for number in range(self._count)]
        images, classes = np.stack([image for image, _ in parts]), np.stack([marks for _, marks in parts])
        return Batch(images[:, :, 0], classes[:, 0]) if self._flat else Batch(images, classes)

    def _one(self, rng: np.random.Generator) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        for attempt in range(_TRIES):
            image, marks = self._patch_of(self._sampler.draw(rng), rng, self._augmentation if attempt + 1 < _TRIES else STILL, attempt + 1 < _TRIES)
            if (marks != IGNORED).any():
                break
        return image, marks

    def _patch_of(self, draw: Draw, rng: np.random.Generator, augmentation: Augmentation, jitter: bool) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        field = self._fields[draw.field]
        depth, height, width = self._patch
        shift = rng.uniform(-_JITTER, _JITTER, 3) * self._patch if jitter else np.zeros(3)
        z, y, x = (_inside(draw.pixel[axis] + shift[axis], self._patch[axis], field.learn.shape[axis]) for axis in range(3))
        first = max(draw.pixel[0] - depth + 1, min(draw.pixel[0], round(z - (depth - 1) / 2)))
        image, marks = cut(field.image, field.learn, (first, y, x), depth, draw_map(rng, (height, width), augmentation))
        mean, deviation = self._scale_of(draw.field)
        planes = [min(max(first + place, 0), len(field.image) - 1) for place in range(depth)]
        image -= mean[planes].T[:, :, None, None]
        image /= deviation[planes].T[:, :, None, None]
        if augmentation.flip_z and depth > 1 and rng.random() < 0.5:
            image, marks = image[:, ::-1], marks[::-1]
        return vary_intensity(np.ascontiguousarray(image), rng, augmentation.intensity), np.ascontiguousarray(marks)

    def _scale_of(self, number: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Mean and deviation, ``(Z, C)`` each, of a field's planes; computed when it is first drawn."""
        if number not in self._scales:
            pairs = [self._normalisation.scale(np.asarray(plane)) for plane in self._fields[number].image]
            self._scales[number] = np.stack([mean for mean, _ in pairs]), np.stack([deviation for _, deviation in pairs])
        return self._scales[number]


class Prefetcher:
    """Makes the next batch in a thread while the present one is used.

    Parameters
    ----------
    maker
        Makes them.
    """

    def __init__(self, maker: BatchMaker) -> None:
        self._maker = maker
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="batches")
        self._ahead: tuple[int, Future[Batch]] | None = None

    def take(self, step: int) -> Batch:
        """Return the batch of a step and begin with the one after."""
        ready = self._ahead is not None and self._ahead[0] == step
        batch = self._ahead[1].result() if self._ahead is not None and ready else self._maker.make(step)
        self._ahead = (step + 1, self._pool.submit(self._maker.make, step + 1))
        return batch

    def close(self) -> None:
        """Wait for the thread to end."""
        self._pool.shutdown(wait=True, cancel_futures=True)


def _inside(place: float, size: int, length: int) -> float:
    """Move a patch's centre so that it lies within the image where it can, else about its middle; on the grid of pixels, so that an unturned patch is exact."""
    first = place - (size - 1) / 2 if size < length else (length - size) / 2
    last = max(length - size, 0)
    return (size - 1) / 2 + (float(min(max(round(first), 0), last)) if size < length else math.floor(first))
