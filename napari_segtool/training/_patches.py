"""Which patch comes next: balanced over classes and fields, and never without a labelled pixel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_segtool.core.errors import PaintError
from napari_segtool.training._holdout import Field

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
    """Draws labelled pixels: first a class, each as likely as any other, then a field that has it, then one of its pixels there.

    Parameters
    ----------
    fields
        Where to draw from; fields without a pixel to learn from are passed over.
    classes
        Number of classes.
    balance
        1 draws every class equally often, 0 as often as it has pixels; in between is a mixture.
    seed
        Of the choice of at most 4000 places for each class and field.

    Raises
    ------
    PaintError
        If no pixel is labelled.
    """

    def __init__(self, fields: Sequence[Field], classes: int, *, balance: float, seed: int) -> None:
        rng = np.random.default_rng((seed, 3))
        self._shapes = [field.learn.shape for field in fields]
        self._places: list[dict[int, NDArray[np.int64]]] = [{} for _ in range(classes)]
        self.pixels = np.zeros(classes, np.int64)
        for number, field in enumerate(fields):
            flat = field.learn.reshape(-1)
            for index in range(classes):
                places = np.flatnonzero(flat == index)
                self.pixels[index] += len(places)
                if len(places) > _MOST_PLACES:
                    places = rng.choice(places, _MOST_PLACES, replace=False)
                if len(places):
                    self._places[index][number] = places
        if not self.pixels.any():
            raise PaintError("No pixel is left to learn from.", hint="Paint more strokes of each class.")
        present = (self.pixels > 0).astype(float)
        self._chance = balance * present / present.sum() + (1 - balance) * self.pixels / self.pixels.sum()

    def draw(self, rng: np.random.Generator) -> Draw:
        """Choose the next patch."""
        index = int(rng.choice(len(self._chance), p=self._chance))
        numbers = sorted(self._places[index])
        number = numbers[int(rng.integers(len(numbers)))]
        places = self._places[index][number]
        place = int(places[int(rng.integers(len(places)))])
        z, y, x = np.unravel_index(place, self._shapes[number])
        return Draw(number, (int(z), int(y), int(x)))
