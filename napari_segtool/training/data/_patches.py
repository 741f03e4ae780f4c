"""Which patch comes next: balanced over classes and images, and never without a labelled pixel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_segtool.core.errors import PaintError
from napari_segtool.training.data._holdout import Field
from napari_segtool.training.runs._pairs import IGNORED

_MOST_PLACES = 4000


@dataclass(frozen=True)
class Draw:
    """A patch to cut.

    Parameters
    ----------
    field
        Number of the field.
    pixel
        The labelled pixel ``(z, y, x)`` it was drawn for.
    """

    field: int
    pixel: tuple[int, int, int]


class PatchSampler:
    """Draws labelled pixels: first a class, each as likely as any other, then an image that has it, then one of its fields, then a pixel there.

    Labels are read twice, plane by plane; at most 4000 places of each class and field are kept. A pixel of weight 0 is not drawn.

    Parameters
    ----------
    fields
        Where to draw from; fields without a pixel to learn from are passed over.
    classes
        Number of classes.
    balance
        1 draws every class equally often, 0 as often as it has pixels; in between is a mixture.
    seed
        Of the choice of places.

    Attributes
    ----------
    pixels : ndarray
        ``(classes,)`` int64: labelled pixels of each class.

    Raises
    ------
    PaintError
        If no pixel is labelled.
    """

    def __init__(self, fields: Sequence[Field], classes: int, *, balance: float, seed: int) -> None:
        rng = np.random.default_rng((seed, 3))
        self._shapes = [field.learn.shape for field in fields]
        self._places: list[dict[int, NDArray[np.int64]]] = [{} for _ in range(classes)]
        self._images: list[dict[int, list[int]]] = [{} for _ in range(classes)]
        self.pixels = np.zeros(classes, np.int64)
        for number, field in enumerate(fields):
            for index, places in enumerate(_places_of(field, classes, rng, self.pixels)):
                if len(places):
                    self._places[index][number] = places
                    self._images[index].setdefault(field.picture, []).append(number)
        if not self.pixels.any():
            raise PaintError("No pixel is left to learn from.", hint="Label more pixels of each class, in several places.")
        present = (self.pixels > 0).astype(float)
        self._chance = balance * present / present.sum() + (1 - balance) * self.pixels / self.pixels.sum()

    def draw(self, rng: np.random.Generator) -> Draw:
        """Choose the next patch."""
        index = int(rng.choice(len(self._chance), p=self._chance))
        images = self._images[index]
        fields = images[sorted(images)[int(rng.integers(len(images)))]]
        number = fields[int(rng.integers(len(fields)))]
        places = self._places[index][number]
        z, y, x = np.unravel_index(int(places[int(rng.integers(len(places)))]), self._shapes[number])
        return Draw(number, (int(z), int(y), int(x)))


def _marks(field: Field, z: int) -> NDArray[np.uint8]:
    """The flat labels of a plane; a pixel that counts nothing is as good as unlabelled."""
    marks = np.asarray(field.learn[z]).ravel()
    return marks if field.weights is None else np.where(np.asarray(field.weights[z]).ravel() > 0, marks, np.uint8(IGNORED))


def _places_of(field: Field, classes: int, rng: np.random.Generator, pixels: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Places of each class in a field, all or 4000 of them by chance, as indices into its flat labels; adds their true numbers to ``pixels``."""
    planes, height, width = field.learn.shape
    counts = np.zeros((planes, classes), np.int64)
    for z in range(planes):
        counts[z] = np.bincount(_marks(field, z), minlength=256)[:classes]
    totals = counts.sum(axis=0)
    pixels += totals
    ranks = [np.sort(rng.choice(int(n), _MOST_PLACES, replace=False)) if n > _MOST_PLACES else np.arange(n) for n in totals]
    before = np.cumsum(counts, axis=0) - counts
    found: list[list[NDArray[np.int64]]] = [[] for _ in range(classes)]
    for z in range(planes):
        plane: NDArray[np.uint8] | None = None
        for index in np.flatnonzero(counts[z]):
            first, last = np.searchsorted(ranks[index], (before[z, index], before[z, index] + counts[z, index]))
            if first < last:
                plane = _marks(field, z) if plane is None else plane
                found[index].append(z * height * width + np.flatnonzero(plane == index)[ranks[index][first:last] - before[z, index]])
    return [np.concatenate(parts) if parts else np.empty(0, np.int64) for parts in found]
