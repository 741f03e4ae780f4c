"""What held-out pixels were taken for, unit by unit, so that it can be said how sure a score is."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Metric = Literal["dice", "iou", "loss"]
_FEW_UNITS = 5


@dataclass
class Tally:
    """Counts of pixels for each unit: one plane of one image, or one window of it.

    Attributes
    ----------
    groups
        For each unit, the plane it lies on: units of one plane resemble each other.
    counts
        For each unit ``(3, K)``: pixels of each class that were told right, that are, and that were taken for it.
    losses
        For each unit: weighted sum of the cross-entropy, and sum of the weights.
    """

    groups: list[str] = field(default_factory=list)
    counts: list[NDArray[np.int64]] = field(default_factory=list)
    losses: list[tuple[float, float]] = field(default_factory=list)

    def add(self, group: str, truth: NDArray[np.integer[Any]], guess: NDArray[np.integer[Any]], classes: int, loss: float, mass: float) -> None:
        """Count the labelled pixels of a window: ``truth`` and ``guess`` are their class indices, of one shape."""
        told = (truth[truth == guess], truth, guess)
        self.groups.append(group)
        self.counts.append(np.stack([np.bincount(each, minlength=classes) for each in told]))
        self.losses.append((loss, mass))

    def loss(self) -> float:
        """Mean cross-entropy; NaN where nothing was counted."""
        return float(_loss(np.sum(self.losses, axis=0))) if self.losses else math.nan

    def dice(self) -> NDArray[np.float64]:
        """Dice of each class; NaN for those that do not occur."""
        return overlap_of(np.sum(self.counts, axis=0), "dice")

    def iou(self) -> NDArray[np.float64]:
        """Intersection over union of each class; NaN for those that do not occur."""
        return overlap_of(np.sum(self.counts, axis=0), "iou")

    def doubt(self, other: Tally, metric: Metric) -> float:
        """Return the standard error of the difference between two scores of the same pixels, by the jackknife over planes (or windows, where planes are few).

        0 where the tallies are not of the same units, or of fewer than two.
        """
        if self.groups != other.groups:
            return 0.0
        mine, theirs = (each._without_each(metric) for each in (self, other))  # (U,)
        return jackknife_error(mine - theirs)

    def _without_each(self, metric: Metric) -> NDArray[np.float64]:
        """The score of all units but one, for each in turn."""
        if not self.groups:
            return np.zeros(0)
        _, planes = np.unique(self.groups, return_inverse=True)
        units = planes if planes.max() + 1 >= _FEW_UNITS else np.arange(len(planes))
        values: NDArray[Any] = np.asarray(self.losses) if metric == "loss" else np.asarray(self.counts)
        sums = np.zeros((units.max() + 1, *values.shape[1:]), values.dtype)
        np.add.at(sums, units, values)
        rest = sums.sum(axis=0) - sums  # (U, …)
        if metric == "loss":
            return _loss(rest)
        scores = np.ma.masked_invalid(overlap_of(rest, metric)).mean(axis=1)  # a class that only one unit has is missing where that one is left out
        each: NDArray[np.float64] = np.ma.filled(scores, np.nan)
        return each

    def record(self) -> dict[str, Any]:
        """What a checkpoint remembers of it, JSON-ready."""
        return {"groups": self.groups, "counts": [count.tolist() for count in self.counts], "losses": self.losses}

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> Tally:
        """Read what `record` wrote."""
        counts = [np.asarray(count, np.int64) for count in record.get("counts", ())]
        return cls(list(record.get("groups", ())), counts, [(float(loss), float(mass)) for loss, mass in record.get("losses", ())])


def jackknife_error(values: NDArray[np.float64]) -> float:
    """Return the standard error of a figure from what it is without each unit in turn; those that are not numbers are left out; 0 for fewer than two.

    References
    ----------
    Quenouille 1956, doi:10.1093/biomet/43.3-4.353; Tukey 1958, doi:10.1214/aoms/1177706647.

    Examples
    --------
    >>> jackknife_error(np.array([2.0, 1.5, 1.0]))  # the mean of 1, 2 and 3 without each: their deviation 1, divided by the root of 3
    0.5773502691896257
    """
    known = values[np.isfinite(values)]
    return math.sqrt((len(known) - 1) * float(known.var())) if len(known) > 1 else 0.0


def _loss(sums: NDArray[Any]) -> NDArray[np.float64]:
    """Weighted means from sums ``(…, 2)``."""
    return np.where(sums[..., 1] > 0, sums[..., 0] / np.where(sums[..., 1] > 0, sums[..., 1], 1), np.nan)


def overlap_of(counts: NDArray[Any], metric: Literal["dice", "iou"]) -> NDArray[np.float64]:
    """Return the scores of the classes ``(…, K)`` from counts ``(…, 3, K)`` as `Tally` has them, or sums of weights; NaN for classes that do not occur."""
    shared, truths, guesses = np.moveaxis(counts, -2, 0)
    over, under = (2 * shared, truths + guesses) if metric == "dice" else (shared, truths + guesses - shared)
    return np.where(truths > 0, over / np.maximum(under, 1e-12), np.nan)  # sums of weights may leave a rest where there is nothing
