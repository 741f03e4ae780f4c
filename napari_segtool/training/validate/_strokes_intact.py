"""Whether painted strokes stay in one piece: what a few strokes can tell about how classes are connected."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_SHORTEST_PX = 12.0
_ROOM_PX = 8
"""The way from end to end may leave the stroke by so much: people do not paint along the middle of what they mean."""
_SOFTNESS = 0.5
_LEARNED_WEIGHT = 0.5
"""Of strokes that were learned from: there are more of them, but the network knows them too well."""
_FEWEST = 6

Plane = tuple[NDArray[np.float32], NDArray[np.uint8], NDArray[np.uint8]]


@dataclass(frozen=True, eq=False)
class StrokeStrengths:
    """How surely the strokes of two classes are in one piece.

    Parameters
    ----------
    strengths
        For each class one number a stroke: the log-odds of its class at the weakest place of the best way from end to end.
    held
        Held-out strokes of each class; they come first.
    """

    strengths: tuple[NDArray[np.float64], NDArray[np.float64]]
    held: tuple[int, int]

    @property
    def enough(self) -> bool:
        """Whether there are enough strokes of both classes to judge by, and held-out ones among them."""
        return min(self.held) >= 1 and min(len(each) for each in self.strengths) >= _FEWEST

    def intact(self, bias: float, *, learned: bool) -> float:
        """Mean share of strokes in one piece, for a bias of the first class.

        The step from broken to intact is soft: a stroke that just holds may break on the next picture.

        Parameters
        ----------
        bias
            Added to the log-odds of the first class.
        learned
            Whether strokes that were learned from count too, half as much as held-out ones.
        """
        parts = []
        for strength, count, way in zip(self.strengths, self.held, (1, -1), strict=True):
            weight = np.where(np.arange(len(strength)) < count, 1.0, _LEARNED_WEIGHT if learned else 0.0)
            chance = 1 / (1 + np.exp(-np.clip((strength + way * bias) / _SOFTNESS, -50, 50)))
            parts.append(float(np.average(chance, weights=weight)))
        return float(np.mean(parts))


def measure_strokes(planes: Sequence[Plane]) -> StrokeStrengths:
    """Measure the strokes of two classes.

    Parameters
    ----------
    planes
        ``(chances (2, Y, X), check (Y, X), learn (Y, X))`` each; see `_threshold.Case`.
    """
    strengths: tuple[list[float], list[float]] = ([], [])
    held = [0, 0]
    for learned in (False, True):
        for chances, check, learn in planes:
            odds = np.log(np.maximum(chances, 1e-12))
            for index in (0, 1):
                lead = odds[index] - odds[1 - index]
                for stroke in _strokes((learn if learned else check) == index):
                    strengths[index].append(_weakest_link(lead, stroke))
                    held[index] += not learned
    return StrokeStrengths((np.array(strengths[0]), np.array(strengths[1])), (held[0], held[1]))


def _strokes(mask: NDArray[np.bool_]) -> Iterator[NDArray[np.intp]]:
    """Pixels ``(n, 2)`` of every stroke that is long enough to have two ends, sorted along it."""
    import cv2

    count, names = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)
    places = np.argwhere(names > 0)
    order = np.argsort(names[tuple(places.T)], kind="stable")
    ends = np.cumsum(np.bincount(names[names > 0], minlength=count)[1:])[:-1]
    for part in np.split(places[order], ends) if len(places) else ():
        centred = part - part.mean(axis=0)
        along = centred @ np.linalg.eigh(centred.T @ centred)[1][:, -1]
        if np.ptp(along) + 1 >= _SHORTEST_PX:
            yield part[np.argsort(along, kind="stable")]


def _weakest_link(lead: NDArray[np.float32], stroke: NDArray[np.intp]) -> float:
    """The largest value that a way from end to end of the stroke need not go below."""
    import cv2

    low = np.maximum(stroke.min(axis=0) - _ROOM_PX, 0)
    high = stroke.max(axis=0) + _ROOM_PX + 1
    values = lead[low[0] : high[0], low[1] : high[1]]
    y, x = (stroke - low).T
    room = np.zeros(values.shape, np.uint8)
    room[y, x] = 1
    room = cv2.dilate(room, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * _ROOM_PX + 1, 2 * _ROOM_PX + 1)))
    tip = max(1, len(stroke) // 7)
    least, most = float(values[room > 0].min()), float(values[room > 0].max())
    for _ in range(16):
        middle = (least + most) / 2
        _, names = cv2.connectedComponents(((values >= middle) & (room > 0)).astype(np.uint8), connectivity=8)
        first, last = (set(names[y[part], x[part]].tolist()) - {0} for part in (slice(tip), slice(-tip, None)))
        least, most = (middle, most) if first & last else (least, middle)
    return least
