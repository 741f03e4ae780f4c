"""What paint says about a picture: which classes there are, and how likely each grey value is in each of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_segtool.core.errors import DataError, PaintError
from napari_segtool.core.given import Given
from napari_segtool.core.planes import plane_indices
from napari_segtool.core.progress import Progress, Steps
from napari_segtool.core.slabs import slabs_along
from napari_segtool.core.stack import Stack
from napari_segtool.methods._grey import Grey

BINS = 256
_SMOOTHING = 3.0  # bins; few painted pixels make a ragged histogram
_LEAST = 1e-3  # share of a class that every grey value has: no pixel is impossible


@dataclass(frozen=True, eq=False)
class GreyModel:
    """How likely grey values are in each painted class.

    Parameters
    ----------
    classes
        The painted labels, in increasing order.
    costs
        Negative logarithm of the likelihood of each bin in each class, float32, shape ``(K, BINS)``.
    low, high
        Grey values of the first and the last bin.
    """

    classes: NDArray[np.int64]
    costs: NDArray[np.float32]
    low: float
    high: float

    def unary(self, grey: NDArray[Any]) -> NDArray[np.float32]:
        """Return the cost of each class at each pixel, shape ``(K, …)``; ``nan`` where a pixel has no value."""
        with np.errstate(invalid="ignore"):
            place = (grey.astype(np.float32) - np.float32(self.low)) * np.float32((BINS - 1) / (self.high - self.low))
        known = np.isfinite(place)
        bins = np.rint(np.where(known, np.clip(place, 0, BINS - 1), 0)).astype(np.intp)
        costs: NDArray[np.float32] = self.costs[:, bins]
        if not known.all():
            costs[:, ~known] = np.nan
        return costs


def check_paint_steps(paint: NDArray[Any]) -> Steps[NDArray[np.int64]]:
    """Return the painted classes of paint of any size.

    Raises
    ------
    PaintError
        If there are fewer than two.
    """
    there = np.zeros(1, bool)
    for part in slabs_along(paint.shape):
        strokes = paint[part]
        largest = int(strokes.max(initial=0))
        there = np.pad(there, (0, max(0, largest + 1 - len(there))))
        there[strokes] = True
        yield Progress(part.stop, len(paint), "classes")
    return check_paint(np.flatnonzero(there))


def check_paint(paint: NDArray[Any]) -> NDArray[np.int64]:
    """Return the painted classes among some pixels.

    Raises
    ------
    PaintError
        If there are fewer than two.
    """
    counts = np.bincount(paint.ravel()) if paint.size else np.zeros(1, np.int64)
    classes = np.flatnonzero(counts[1:]) + 1
    if classes.size < 2:
        found = "nothing is painted" if not classes.size else f"only class {classes[0]} is painted"
        raise PaintError(f"Paint of at least two classes is needed, but {found}.", hint="Paint a stroke for each class, the background too.")
    return classes


def model_steps(stack: Stack, grey: Grey, given: Given, kind: Literal["histogram", "gaussian"]) -> Steps[GreyModel]:
    """Learn the grey values of each class from the painted pixels of the whole stack.

    Raises
    ------
    PaintError
        If fewer than two classes are painted on pixels with a value.
    DataError
        If no pixel has a finite value, or all painted ones have the same.
    """
    assert given.paint is not None
    yield from check_paint_steps(given.paint)
    values, marks, known = [np.zeros(0, np.float32)], [np.zeros(0, np.int64)], False
    planes = list(plane_indices(stack))
    for done, index in enumerate(planes, start=1):
        paint = given.at(stack, index).paint
        if paint is not None and (paint.any() or not known):
            plane = grey.read(stack, index).astype(np.float32)
            known = known or bool(np.isfinite(plane).any())
            there = (paint > 0) & np.isfinite(plane)
            values.append(plane[there])
            marks.append(paint[there].astype(np.int64))
        yield Progress(done, len(planes), "paint")
    sample, labels = np.concatenate(values), np.concatenate(marks)
    if not known:
        raise DataError(f"{stack.name or 'The image'} has no pixel with a value.", hint="Check that the file is whole and not all NaN.")
    classes = check_paint(labels)
    low, high = float(sample.min()), float(sample.max())
    if high - low <= 1e-6 * max(abs(low), abs(high)):
        raise DataError("All painted pixels hold 1 grey value only: nothing tells the classes apart.", hint="Paint where the classes look different.")
    margin = 0.05 * (high - low)
    low, high = low - margin, high + margin
    bins = np.rint((sample - low) * ((BINS - 1) / (high - low))).astype(np.intp)
    costs = np.stack([_costs(bins[labels == value], kind) for value in classes])
    return GreyModel(classes, costs.astype(np.float32), low, high)


def _costs(bins: NDArray[np.intp], kind: str) -> NDArray[np.float64]:
    from scipy.ndimage import gaussian_filter1d

    if kind == "gaussian":
        deviation = max(_SMOOTHING, float(bins.std()))
        share = np.exp(-0.5 * ((np.arange(BINS) - bins.mean()) / deviation) ** 2)
    else:
        width = max(_SMOOTHING, 1.06 * float(bins.std()) * bins.size**-0.2)  # Silverman's rule: wider for fewer pixels
        share = gaussian_filter1d(np.bincount(bins, minlength=BINS).astype(np.float64), width, mode="constant")
    share = share / share.sum()
    return np.asarray(-np.log((1 - _LEAST) * share + _LEAST / BINS))
