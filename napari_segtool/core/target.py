"""What an explanation asks about: a class, at a pixel, in a region, or wherever it is predicted."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_segtool.core.errors import AxesError, DataError
from napari_segtool.core.labels import Labels, Paint


@dataclass(frozen=True, eq=False)
class Region:
    """Pixels asked about together: drawn by hand, or one object of a label layer. It is cut to the box they fill.

    Parameters
    ----------
    mask
        True where a pixel belongs to it; one dimension for each axis of the labels ("ZYX"), or those of Y and X alone where
        `Target.plane` is given.
    start
        Index of the mask's first pixel in the labels, one entry for each of its dimensions; empty for their corner.

    Raises
    ------
    DataError
        If no pixel belongs to it.
    AxesError
        If ``start`` does not fit the mask.

    Examples
    --------
    >>> drawn = np.zeros((4, 5), bool)
    >>> drawn[1:3, 2] = True
    >>> region = Region(drawn)
    >>> region.start, region.mask.shape, region.pixels
    ((1, 2), (2, 1), 2)
    """

    mask: NDArray[np.bool_]
    start: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        mask, start = np.asarray(self.mask, bool), tuple(int(i) for i in self.start)
        start = start or (0,) * mask.ndim
        if len(start) != mask.ndim or mask.ndim < 2 or min(start) < 0:
            raise AxesError(f"The region has the shape {mask.shape}, which cannot begin at {start}.", hint="Give one number from 0 up for each dimension.")
        filled = [np.flatnonzero(mask.any(axis=tuple(other for other in range(mask.ndim) if other != axis))) for axis in range(mask.ndim)]
        if not len(filled[0]):
            raise DataError("The region has no pixels.", hint="Draw at least one, or choose an object that is there.")
        box = tuple(slice(int(along[0]), int(along[-1]) + 1) for along in filled)
        object.__setattr__(self, "mask", np.ascontiguousarray(mask[box]))
        object.__setattr__(self, "start", tuple(first + axis.start for first, axis in zip(start, box, strict=True)))

    @property
    def pixels(self) -> int:
        """How many pixels belong to it."""
        return int(np.count_nonzero(self.mask))

    @property
    def facts(self) -> dict[str, Any]:
        """What a recipe says of it, JSON-ready; its pixels are named there by their hash."""
        return {"start": list(self.start), "pixels": self.pixels}

    @classmethod
    def of_object(cls, labels: Any, value: int) -> Region:
        """Return the pixels of one object of a label array, whatever holds it; it is read slab by slab.

        Parameters
        ----------
        labels
            Whole numbers, one for each pixel; a `Labels` or an array.
        value
            The object's number.

        Raises
        ------
        DataError
            If no pixel has that number.

        Examples
        --------
        >>> Region.of_object(np.array([[0, 7, 7], [0, 0, 7]]), 7).pixels
        3
        """
        data = labels.data if isinstance(labels, Labels | Paint) else labels
        slabs: list[NDArray[np.bool_]] = []
        first = last = 0
        for index in range(data.shape[0]):
            slab = np.asarray(data[index]) == value
            if slab.any():
                first, last = (first if slabs else index), index
            if slabs or slab.any():
                slabs.append(slab)
        if not slabs:
            raise DataError(f"There is no object {value} in the labels.", hint="Choose one that is there; 0 is the background.")
        return cls(np.stack(slabs[: last - first + 1]), (first, *(0,) * (len(data.shape) - 1)))

    @classmethod
    def of_pixels(cls, indices: Iterable[Sequence[int]]) -> Region:
        """Return the region of these pixels, each given by its index.

        Examples
        --------
        >>> Region.of_pixels([(3, 4), (5, 4)]).start
        (3, 4)
        """
        places = np.asarray([tuple(index) for index in indices], np.int64)
        if places.ndim != 2:
            raise DataError("The region has no pixels.", hint="Give the index of at least one.")
        first = places.min(0)
        mask = np.zeros(places.max(0) - first + 1, bool)
        mask[tuple((places - first).T)] = True
        return cls(mask, tuple(int(i) for i in first))


@dataclass(frozen=True)
class Target:
    """The question "why this class, here?", always asked about logits, before any softmax.

    Parameters
    ----------
    class_value
        Label value of the class, in the numbering of the model.
    point
        Pixel index, one entry for each axis of the labels ("Z,Y,X").
    plane
        Index of the plane along the axes but Y and X; empty takes it from ``point`` or ``region`` (the plane with most of it), or the first plane.
    region
        Pixels asked about together. With neither point nor region it is every pixel of the plane that is predicted to have the class.
    against
        Label value of another class: "why this rather than that?", the difference of both logits; -1 for none.
    """

    class_value: int
    point: tuple[int, ...] = ()
    plane: tuple[int, ...] = ()
    region: Region | None = None
    against: int = -1
