"""Overlap of classes: Dice, IoU, precision, recall, accuracy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_segtool.core.params import Params
from napari_segtool.core.progress import Progress, Steps
from napari_segtool.core.registry import METRICS
from napari_segtool.core.result import Scores
from napari_segtool.evaluate._case import Case


@dataclass(frozen=True, slots=True)
class ClassOverlap:
    """How well one class is found; each is ``nan`` where it would divide by zero.

    Parameters
    ----------
    dice
        ``2 TP / (2 TP + FP + FN)``; ``nan`` for a class that is in neither picture.
    iou
        ``TP / (TP + FP + FN)``; likewise.
    precision
        ``TP / (TP + FP)``; ``nan`` for a class that was never predicted.
    recall
        ``TP / (TP + FN)``; ``nan`` for a class that is not in the truth.
    """

    dice: float
    iou: float
    precision: float
    recall: float


def class_overlap(confusion: NDArray[Any], index: int) -> ClassOverlap:
    """Score one class from a confusion table with the truth along the rows.

    Examples
    --------
    >>> class_overlap(np.array([[3, 1], [0, 4]]), 1).precision
    0.8
    """
    both = float(confusion[index, index])
    true, guess = float(confusion[index].sum()), float(confusion[:, index].sum())
    return ClassOverlap(_ratio(2 * both, true + guess), _ratio(both, true + guess - both), _ratio(both, guess), _ratio(both, true))


def confusion_steps(case: Case) -> Steps[NDArray[np.int64]]:
    """Count the pixels of every pair of classes, truth along the rows, in the order of `Case.class_values`."""
    count = len(case.class_values)
    place_of = np.zeros(max(case.class_values) + 1, np.int64)
    place_of[list(case.class_values)] = range(count)
    table = np.zeros(count * count, np.int64)
    for done, place in enumerate(case.planes, start=1):
        table += np.bincount((place_of[case.truth[place]] * count + place_of[case.prediction[place]]).ravel(), minlength=count * count)
        yield Progress(done, len(case.planes), "slice")
    return table.reshape(count, count)


@METRICS.register(
    "overlap",
    title="Overlap",
    summary="Dice, IoU, precision and recall of each class; accuracy, pixel error and mean IoU over all pixels.",
    params=Params,
    family="pixels",
    reference="Taha & Hanbury 2015, Metrics for evaluating 3D medical image segmentation, doi:10.1186/s12880-015-0068-x",
)
def overlap(case: Case) -> Steps[Scores]:
    """Score each class by its overlap with the truth, over all pixels of the stack together.

    Parameters
    ----------
    case
        Prediction and truth in one numbering.

    Returns
    -------
    Scores
        Per class `ClassOverlap`; overall ``accuracy``, ``pixel_error`` (1 - accuracy, of the labels as they are) and
        ``mean_iou``, the mean over the classes that are in the prediction or in the truth.
    """
    confusion = yield from confusion_steps(case)
    scores = [class_overlap(confusion, index) for index in range(len(case.class_values))]
    accuracy = float(np.trace(confusion) / confusion.sum())
    known = [score.iou for score in scores if score.iou == score.iou]
    return Scores(
        classes={
            name: {"dice": score.dice, "iou": score.iou, "precision": score.precision, "recall": score.recall}
            for name, score in zip(case.class_names, scores, strict=True)
        },
        overall={"accuracy": accuracy, "pixel_error": 1 - accuracy, "mean_iou": float(np.mean(known))},
    )


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else float("nan")
