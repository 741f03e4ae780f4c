"""Objects of one slice, and how two sets of objects overlap."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Labelled = NDArray[np.int32]
_TABLE_LIMIT = 4_000_000  # cells; beyond it a sparse count takes less memory than a dense table


def objects_of(foreground: NDArray[np.bool_]) -> Labelled:
    """Number the 4-connected components of a ``(Y, X)`` mask from 1; 0 is what lies outside."""
    import cv2

    _, labelled = cv2.connectedComponents(np.ascontiguousarray(foreground, np.uint8), connectivity=4, ltype=cv2.CV_32S)
    return np.asarray(labelled, np.int32)


def thin_boundary(foreground: NDArray[np.bool_]) -> Labelled:
    """Let the objects of a mask grow until only one-pixel dams part them.

    The objects are the 4-connected components of ``foreground``. They grow at equal speed (city-block distance), as in a
    watershed of the two-valued picture; where two meet, the pixel reached later becomes a dam. A mask without
    foreground is one object without a dam.

    Parameters
    ----------
    foreground
        Mask of shape ``(Y, X)``, dtype bool.

    Returns
    -------
    ndarray
        int32, shape ``(Y, X)``: 0 on dams, objects from 1. No two objects are 4-neighbours.

    References
    ----------
    .. [1] Vincent & Soille 1991, Watersheds in digital spaces, doi:10.1109/34.87344

    Examples
    --------
    >>> thin_boundary(np.array([[1, 0, 0, 0, 0, 1]], bool))
    array([[1, 1, 1, 0, 2, 2]], dtype=int32)
    """
    import cv2

    if not foreground.any():
        return np.ones(foreground.shape, np.int32)
    seeds = objects_of(foreground)
    distance, nearest = cv2.distanceTransformWithLabels((~foreground).astype(np.uint8), cv2.DIST_L1, 5, labelType=cv2.DIST_LABEL_PIXEL)
    object_of = np.zeros(int(nearest.max()) + 1, np.int32)
    object_of[nearest[foreground]] = seeds[foreground]
    grown: Labelled = object_of[nearest]
    grown[_dams(grown, distance)] = 0
    return grown


def _dams(grown: Labelled, distance: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Find the pixels that touch another object reached before them and that is no dam itself there."""
    meetings = []
    for first, second in (((slice(None, -1), slice(None)), (slice(1, None), slice(None))), ((slice(None), slice(None, -1)), (slice(None), slice(1, None)))):
        meet = grown[first] != grown[second]
        second_later = distance[second] >= distance[first]
        meetings.append((first, second, meet & second_later, meet & ~second_later))
    dams = np.zeros(grown.shape, bool)
    while True:  # "later" orders the pixels, so this settles after as many rounds as the longest chain of dams
        settled = np.zeros(grown.shape, bool)
        for first, second, second_yields, first_yields in meetings:
            settled[second] |= second_yields & ~dams[first]
            settled[first] |= first_yields & ~dams[second]
        if np.array_equal(settled, dams):
            return dams
        dams = settled


@dataclass(frozen=True, slots=True)
class Overlap:
    """How the pixels of the truth's objects are shared among proposed objects.

    Parameters
    ----------
    cells
        Pixels in each non-empty pair of a truth object and a proposed object.
    truth, proposal
        Pixels of each truth object and of each proposed object (inside the truth's foreground).
    singles
        Pixels of the truth's foreground that belong to no proposed object; each counts as an object of its own.
    """

    cells: NDArray[np.float64]
    truth: NDArray[np.float64]
    proposal: NDArray[np.float64]
    singles: int

    @property
    def pixels(self) -> float:
        """Pixels of the truth's foreground."""
        return float(self.truth.sum())


def overlap_of(truth: NDArray[Any], proposal: NDArray[Any]) -> Overlap:
    """Count the pixels that objects of ``truth`` and ``proposal`` share; 0 is no object, and only truth objects count.

    Examples
    --------
    >>> overlap_of(np.array([0, 1, 1, 1]), np.array([5, 1, 1, 0])).singles
    1
    """
    inside = truth > 0
    true, guess = truth[inside].astype(np.int64), proposal[inside].astype(np.int64)
    columns = int(guess.max(initial=0)) + 1
    rows = int(true.max(initial=0)) + 1
    if rows * columns <= _TABLE_LIMIT:
        table = np.bincount(true * columns + guess, minlength=rows * columns).reshape(rows, columns)[:, 1:].ravel()
        cells = table[table > 0]
    else:
        cells = np.unique((true * columns + guess)[guess > 0], return_counts=True)[1]
    by_object = np.bincount(guess, minlength=1)
    by_truth = np.bincount(true)
    return Overlap(
        cells=cells.astype(np.float64),
        truth=by_truth[by_truth > 0].astype(np.float64),
        proposal=by_object[1:][by_object[1:] > 0].astype(np.float64),
        singles=int(by_object[0]),
    )
