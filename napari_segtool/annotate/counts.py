"""Count what has been painted: pixels of each class on each slice."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_segtool.core.planes import PlaneIndex, plane_indices, plane_shape, read_plane
from napari_segtool.core.progress import Progress, Steps
from napari_segtool.core.stack import Stack


@dataclass
class PaintCounts:
    """Pixels painted, by plane and class; planes without paint are left out.

    Parameters
    ----------
    plane_px
        Pixels of one plane.
    by_plane
        For each plane painted, pixels of each class by label value (0 is left out).

    Examples
    --------
    >>> counts = PaintCounts(plane_px=4)
    >>> counts.count((2,), np.array([[1, 1], [0, 3]], np.uint8))
    >>> counts.totals()
    {1: 2, 3: 1}
    >>> counts.planes()
    ((2,),)
    >>> counts.fraction()
    0.75
    """

    plane_px: int
    by_plane: dict[PlaneIndex, dict[int, int]] = field(default_factory=dict)

    def count(self, index: PlaneIndex, plane: NDArray[Any]) -> None:
        """Count one plane (anew).

        Parameters
        ----------
        index
            Its position.
        plane
            Label values, ``(Y, X)``, any integer type.
        """
        found = _histogram(plane)
        if found:
            self.by_plane[index] = found
        else:
            self.by_plane.pop(index, None)

    def totals(self) -> dict[int, int]:
        """Return pixels of each class over all planes, by label value, in increasing order."""
        totals: dict[int, int] = {}
        for counts in self.by_plane.values():
            for value, count in counts.items():
                totals[value] = totals.get(value, 0) + count
        return dict(sorted(totals.items()))

    def planes(self) -> tuple[PlaneIndex, ...]:
        """Return the planes that carry paint, in order."""
        return tuple(sorted(self.by_plane))

    def fraction(self) -> float:
        """Return the painted part of the planes that carry paint, 0 to 1; 0 where there is none."""
        painted = sum(self.totals().values())
        return painted / (self.plane_px * len(self.by_plane)) if self.by_plane and self.plane_px else 0.0


def count_steps(paint: Stack) -> Steps[PaintCounts]:
    """Count all paint, plane by plane.

    Parameters
    ----------
    paint
        Label values with axes; 0 is not labelled.
    """
    plane_px = paint.shape[paint.axes.index("Y")] * paint.shape[paint.axes.index("X")]
    counts, total = PaintCounts(plane_px), int(np.prod(plane_shape(paint), dtype=np.int64))
    for done, index in enumerate(plane_indices(paint), start=1):
        counts.count(index, read_plane(paint, index))
        yield Progress(done, total, "slice")
    return counts


def _histogram(plane: NDArray[Any]) -> dict[int, int]:
    if plane.dtype.itemsize == 1:
        counts = np.bincount(plane.astype(np.uint8, copy=False).ravel(), minlength=1)
        return {int(value): int(counts[value]) for value in np.flatnonzero(counts) if value}
    values, sizes = np.unique(plane[plane != 0], return_counts=True)
    return {int(value): int(size) for value, size in zip(values, sizes, strict=True)}
