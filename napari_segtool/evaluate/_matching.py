"""Which labels mean the thing that is looked for, and which objects were found: scores for results whose numbers mean nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_segtool.core.errors import ParameterError, ShapeError

MOST_CLASSES = 16
"""Labels that cover the picture without background are classes where they are no more than this."""
_PIECES = 1.1
"""Labels are objects where there are hardly more pieces than labels."""


@dataclass(frozen=True, eq=False)
class Foreground:
    """The labels that together overlap best with a mask.

    Parameters
    ----------
    mask
        bool, where those labels lie.
    labels
        Their values, in increasing order.
    dice
        ``2 |A ∩ B| / (|A| + |B|)``; ``nan`` where there is nothing to find.
    """

    mask: NDArray[np.bool_]
    labels: tuple[int, ...]
    dice: float


def best_foreground(labels: NDArray[Any], wanted: NDArray[np.bool_]) -> Foreground:
    """Choose the labels, 0 among them, whose union has the highest Dice overlap with ``wanted``, and leave at least one out.

    Where what is wanted covers most of the picture, all labels together would score well and say nothing: a result of several labels
    has to part the picture. The union that is best takes every label of which a larger share lies inside than half the Dice it
    reaches, so the labels are added in order of that share; if all of them would be taken, the one that costs least is left out.

    Parameters
    ----------
    labels
        Unsigned integers of any shape.
    wanted
        bool, same shape.

    Returns
    -------
    Foreground
        At least one label, and not all where there are several.

    Raises
    ------
    ShapeError
        If the shapes differ.

    Examples
    --------
    >>> found = best_foreground(np.array([0, 1, 2, 2]), np.array([False, False, True, True]))
    >>> found.labels, found.dice
    ((2,), 1.0)
    """
    _check_alike(labels, wanted)
    values, place = np.unique(labels, return_inverse=True)
    sizes = np.bincount(place.ravel(), minlength=len(values))
    inside = np.bincount(place.ravel()[wanted.ravel()], minlength=len(values))
    order = np.lexsort((values, -(inside / sizes)))
    total = int(inside.sum())
    added = 2 * np.cumsum(inside[order]) / (np.cumsum(sizes[order]) + total)
    chosen = np.zeros(len(values), bool)
    chosen[order[: int(np.argmax(added)) + 1]] = True
    if chosen.all() and len(values) > 1:
        chosen[int(np.argmax((total - inside) / (sizes.sum() - sizes + total)))] = False
    mask: NDArray[np.bool_] = chosen[place].reshape(labels.shape)
    dice = 2 * int(inside[chosen].sum()) / (int(sizes[chosen].sum()) + total)
    return Foreground(mask, tuple(int(value) for value in values[chosen]), dice if total else float("nan"))


def foreground_of(labels: NDArray[Any], wanted: NDArray[np.bool_]) -> Foreground:
    """Return what a result means by foreground.

    Objects on background are the foreground themselves. Up to 16 labels are taken for classes, and the best of them chosen
    (`best_foreground`). More labels that leave no background are pieces of the whole picture: any thing could be put together from them,
    so they have no foreground and no Dice.

    Parameters
    ----------
    labels, wanted
        ``(Y, X)``, as for `best_foreground`.
    """
    pieces = holds_objects(labels)
    if pieces and labels.all() and np.unique(labels).size > MOST_CLASSES:
        return Foreground(np.zeros(labels.shape, bool), (), float("nan"))
    if not pieces or labels.all():
        return best_foreground(labels, wanted)
    _check_alike(labels, wanted)
    mask, total = labels != 0, int(wanted.sum())
    dice = 2 * int((mask & wanted).sum()) / (int(mask.sum()) + total)
    return Foreground(mask, tuple(int(value) for value in np.unique(labels) if value), dice if total else float("nan"))


@dataclass(frozen=True, slots=True)
class ObjectMatches:
    """How many objects were found.

    Parameters
    ----------
    found
        Objects of the truth that have a partner.
    missed
        Objects of the truth without one.
    invented
        Objects of the guess without one.
    """

    found: int
    missed: int
    invented: int

    @property
    def f1(self) -> float:
        """``2 TP / (2 TP + FN + FP)``; ``nan`` where neither holds an object."""
        total = 2 * self.found + self.missed + self.invented
        return 2 * self.found / total if total else float("nan")

    def __add__(self, other: ObjectMatches) -> ObjectMatches:
        return ObjectMatches(self.found + other.found, self.missed + other.missed, self.invented + other.invented)


def match_objects(guess: NDArray[Any], truth: NDArray[Any], iou: float = 0.5) -> ObjectMatches:
    """Count the objects that overlap by more than ``iou`` (intersection over union); then each has one partner only.

    Parameters
    ----------
    guess, truth
        Object ids, unsigned integers of equal shape; 0 is no object.
    iou
        From 0.5, below which partners would be ambiguous, to below 1.

    Raises
    ------
    ShapeError
        If the shapes differ.
    ParameterError
        If ``iou`` is out of bounds.

    References
    ----------
    .. [1] Caicedo et al. 2019, Nucleus segmentation across imaging experiments, doi:10.1038/s41592-019-0612-7

    Examples
    --------
    >>> match_objects(np.array([1, 1, 1, 0, 2]), np.array([7, 7, 0, 0, 0]))
    ObjectMatches(found=1, missed=0, invented=1)
    """
    _check_alike(guess, truth)
    if not 0.5 <= iou < 1:
        raise ParameterError(f"iou = {iou} is not allowed.", hint="Give a value from 0.5 to below 1.")
    guesses, at_guess = np.unique(guess, return_inverse=True)
    truths, at_truth = np.unique(truth, return_inverse=True)
    pairs, shared = np.unique(at_truth.ravel().astype(np.int64) * len(guesses) + at_guess.ravel(), return_counts=True)
    rows, columns = np.divmod(pairs, len(guesses))
    true_sizes, guess_sizes = np.bincount(at_truth.ravel()), np.bincount(at_guess.ravel())
    both = (truths[rows] > 0) & (guesses[columns] > 0)
    union = true_sizes[rows] + guess_sizes[columns] - shared
    found = int(np.count_nonzero(both & (shared > iou * union)))
    return ObjectMatches(found, int(np.count_nonzero(truths)) - found, int(np.count_nonzero(guesses)) - found)


def holds_objects(labels: NDArray[Any]) -> bool:
    """True if the labels of a ``(Y, X)`` picture are single objects rather than classes: two or more, each in one piece.

    Examples
    --------
    >>> holds_objects(np.array([[1, 0, 2, 0, 3]], np.uint8)), holds_objects(np.array([[1, 2, 1, 2, 1]], np.uint8))
    (True, False)
    """
    import cc3d

    values = np.unique(labels)
    count = int(np.count_nonzero(values))
    if count < 2:
        return False
    _, pieces = cc3d.connected_components(np.ascontiguousarray(labels, np.uint32), connectivity=8, return_N=True)
    return bool(pieces <= _PIECES * count)


def as_objects(labels: NDArray[Any], foreground: NDArray[np.bool_]) -> NDArray[Any]:
    """Return the objects of a ``(Y, X)`` picture: its labels where they are objects, or else the pieces of the foreground."""
    import cv2

    if holds_objects(labels):
        return labels
    return np.asarray(cv2.connectedComponents(np.ascontiguousarray(foreground, np.uint8), connectivity=8, ltype=cv2.CV_32S)[1])


def _check_alike(first: NDArray[Any], second: NDArray[Any]) -> None:
    if first.shape != second.shape:
        raise ShapeError(f"The labels have the shape {first.shape}, the truth {second.shape}; both must be the same.", hint="Compare the same slice.")
