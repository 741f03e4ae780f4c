"""Where the border between classes is best drawn: a bias for each class, found on pixels the network has not learned from.

The most probable class is not always the best answer. A gap of one pixel in a membrane joins two cells, so a few membrane pixels too many cost less than
one too few; a class that was drawn for training more often than it occurs is found too often. So a bias is added to the logarithm of each class's
probability, chosen by what the held-out pixels can judge:

- *objects*: labels are dense and objects lie close together. How well the objects agree with the true ones counts: the Rand score of the ISBI 2012
  challenge, smoothed over neighbouring thresholds, because the next picture is a little different.
- *web*: two classes are painted, and by what the network says one of them is a thin web (a membrane) that parts the other into many pieces. Its gaps are
  closed; the bias makes it as common as pretrained weights see it where they know both classes, else as the probabilities of all pixels say that it is.
  Strokes cannot tell more.
- *strokes*: two classes are painted otherwise. A stroke is in one piece where its class leads from one end to the other; how many are counts. Strokes that
  were learned from are looked at as well, as few are held out.
- *dice*: in all other cases the mean Dice of the classes; for paint with equal mass for each class, because how much was painted of each says nothing.

Objects are judged a second time with the gaps of the class that parts them closed (`methods._closed_contours`), in probabilities with the bias that makes
the held-out pixels most likely; if that is better, prediction will close them too.

A bias has to earn its place: it is drawn to 0 where little is held out or held-out planes disagree, and never makes the held-out pixels worse than
the most probable class does.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from napari_segtool.methods._closed_contours import with_closed_contours_steps
from napari_segtool.training.runs._pairs import IGNORED
from napari_segtool.training.survey._touching import gaps_between
from napari_segtool.training.validate._agreement import object_agreement
from napari_segtool.training.validate._known_shares import known_shares
from napari_segtool.training.validate._parting import parts_the_other
from napari_segtool.training.validate._strokes_intact import StrokeStrengths, measure_strokes
from napari_segtool.training.validate._tally import jackknife_error, overlap_of

_GRID = np.arange(-12, 13) / 4
_FINE_GRID = np.arange(-30, 31) / 10
_MOST_SHIFT, _ROUNDS = 1.5, 50
_MOST_KNOWN_SHIFT = 3.0
_SMOOTHING = 1.0
"""Of the objects' agreement, in units of the bias."""
_DICE_TO_LOSE, _DICE_SHARE = 0.05, 0.1
"""What objects and strokes may cost in Dice, and how much Dice counts beside them."""
_SHRINKAGE, _SHRINKAGE_PAINT = 0.1, 0.5
_PIXELS_A_PART = 500
"""A bias of 1 has to gain this, divided by the number of objects or strokes that speak for it; a large one counts for each so many pixels. Painted
pixels are where people were sure, and say less about all others."""
_LEAST_GAIN = 0.002
_SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
_MOST_PIXELS = 100_000
_FEWEST_OBJECTS, _CLOSE_SHARE = 4, 0.5

Criterion = Literal["objects", "web", "strokes", "dice", "none"]


@dataclass(frozen=True, eq=False)
class Case:
    """A held-out plane, or a part of one, with what the network says about it.

    Parameters
    ----------
    chances
        ``(K, Y, X)`` float32, adding up to 1.
    check
        ``(Y, X)`` uint8 class indices of the held-out pixels, 255 elsewhere.
    learn
        The same of the pixels learned from; they only steady the strokes.
    known
        ``(E, Y, X)`` float32: what the weights that the network began with take the pixels for, adding up to 1; None where they knew no classes.
    """

    chances: NDArray[np.float32]
    check: NDArray[np.uint8]
    learn: NDArray[np.uint8]
    known: NDArray[np.float32] | None = None


@dataclass(frozen=True)
class Decision:
    """A bias and what it is good for.

    Parameters
    ----------
    bias
        ``(K,)``, added to the logarithm of the probabilities; empty where the most probable class is taken.
    criterion
        What it was chosen by; ``"none"`` where nothing is held out.
    before, after
        The criterion on the held-out pixels without and with it.
    separator
        Index of the class whose gaps are to be closed before; -1 for none.
    """

    bias: tuple[float, ...]
    criterion: Criterion
    before: float = math.nan
    after: float = math.nan
    separator: int = -1

    @property
    def threshold(self) -> float:
        """Two classes: the probability of the second above which a pixel is given to it.

        Examples
        --------
        >>> Decision((0.5, -0.5), "dice").threshold  # 1 / (1 + 1/e)
        0.731
        """
        first, second = self.bias if len(self.bias) == 2 else (0.0, 0.0)
        return round(1 / (1 + math.exp(second - first)), 3)


def decide(cases: Sequence[Case], classes: int, *, sparse: bool) -> Iterator[Decision]:
    """Find the best bias; yields the most probable class as the answer while it searches, and the decision at last.

    Parameters
    ----------
    cases
        Held-out planes.
    classes
        Number of classes, K.
    sparse
        Whether the labels are paint.
    """
    cases = [case for case in cases if (case.check != IGNORED).any()]
    if not cases or classes < 2:
        yield Decision((), "none")
        return
    pixels = _Pixels(cases, classes, balanced=sparse)
    yield Decision((), "none")
    if sparse and classes == 2:
        shares = known_shares(cases, classes)
        for index in (0, 1):
            shift = _prior_shift(cases, index) if shares is None else _share_shift(cases, index, float(shares[index]))
            bias = _along(index, shift, classes)
            shut = yield from _closed(cases, bias, index)
            if parts_the_other([case.chances for case in shut], index):
                yield replace(_decision(bias, "web", math.nan, math.nan), separator=index)
                return
        strokes = measure_strokes([(case.chances, case.check, case.learn) for case in cases])
        yield _by_strokes(strokes, pixels) if strokes.enough else _by_dice(pixels)
        return
    separator = -1 if sparse else _separator(cases, classes)
    if separator < 0:
        yield _by_dice(pixels)
        return
    found = yield from _by_objects(cases, pixels, separator, classes)
    bias = _along(separator, _likeliest(pixels, separator), classes)
    shut = yield from _closed(cases, bias, separator)
    after = float(np.mean([_agreement(case, np.zeros(classes), separator) for case in shut]))
    worth = after + _DICE_SHARE * _Pixels(shut, classes, balanced=False).dice(np.zeros(classes))
    if after >= found.decision.before and worth >= found.worth + _LEAST_GAIN:
        yield replace(_decision(bias, "objects", found.decision.before, after), separator=separator)
        return
    yield found.decision


@dataclass(frozen=True)
class _Found:
    """A decision, and what it was chosen by: the criterion, steadied."""

    decision: Decision
    worth: float


def _likeliest(pixels: _Pixels, index: int) -> float:
    """The bias of one class that makes what the held-out pixels are most likely: it takes back what weights of classes did to the probabilities."""
    return float(_FINE_GRID[np.argmax([pixels.likelihood(_along(index, step, len(pixels.present))) for step in _FINE_GRID])])


def _prior_shift(cases: Sequence[Case], index: int) -> float:
    """The bias of one class that takes it from as common as the other, as it was painted, to as common as it is.

    How common that is, is estimated from the probabilities of all pixels by expectation and maximisation: Saerens, Latinne & Decaestecker 2002, Adjusting
    the outputs of a classifier to new a priori probabilities, doi:10.1162/089976602753284446.
    """
    chances = np.concatenate([case.chances[index].reshape(-1) for case in cases]).astype(np.float64)
    chances = chances[:: -(-len(chances) // _MOST_PIXELS)]
    share = 0.5
    for _ in range(_ROUNDS):
        risen, rest = chances * share, (1 - chances) * (1 - share)
        share = float(np.mean(risen / np.maximum(risen + rest, 1e-12)))
    return float(np.clip(math.log(max(share, 1e-6) / max(1 - share, 1e-6)), -_MOST_SHIFT, _MOST_SHIFT))


def _share_shift(cases: Sequence[Case], index: int, share: float) -> float:
    """The bias of one of two classes with which it has that share of all pixels."""
    odds = np.concatenate([np.log(np.maximum(case.chances[index], 1e-12) / np.maximum(1 - case.chances[index], 1e-12)).reshape(-1) for case in cases])
    return float(np.clip(-np.quantile(odds, 1 - share), -_MOST_KNOWN_SHIFT, _MOST_KNOWN_SHIFT))


def _closed(cases: Sequence[Case], bias: NDArray[np.float64], separator: int) -> Generator[Decision, None, list[Case]]:
    """The same planes with the bias in their probabilities and the gaps of a class closed, as prediction does it."""
    shut = []
    for case in cases:
        raised = case.chances * np.exp(bias.astype(np.float32))[:, None, None]
        chances = raised / raised.sum(0)
        for _ in with_closed_contours_steps(chances, separator):
            yield Decision((), "none")
        shut.append(replace(case, chances=chances))
    return shut


def _by_objects(cases: Sequence[Case], pixels: _Pixels, separator: int, classes: int) -> Generator[Decision, None, _Found]:
    curve = []
    for step in _GRID:
        bias = _along(separator, step, classes)
        curve.append(float(np.mean([_agreement(case, bias, separator) for case in cases])))
        yield Decision((), "none")
    objects = sum(gaps_between([_others(case.check, separator)]).objects for case in cases)
    return _best_on_grid("objects", np.array(curve), _smooth(np.array(curve)), pixels, separator, objects)


class _Pixels:
    """Held-out pixels as one list, and their mean Dice."""

    def __init__(self, cases: Sequence[Case], classes: int, *, balanced: bool) -> None:
        truth = np.concatenate([case.check[case.check != IGNORED] for case in cases])
        chances = np.concatenate([case.chances[:, case.check != IGNORED] for case in cases], axis=1)
        some = slice(None, None, -(-len(truth) // _MOST_PIXELS))
        self.truth, self.scores = truth[some], np.log(np.maximum(chances[:, some], 1e-12))
        counts = np.bincount(self.truth, minlength=classes)
        self.present, self.balanced = counts > 0, balanced
        self._mass = np.where(self.present, 1 / np.maximum(counts, 1), 0)[self.truth] if balanced else np.ones(len(self.truth))
        case = np.repeat(np.arange(len(cases)), [int((case.check != IGNORED).sum()) for case in cases])[some]
        self._first, self._size = case * classes, len(cases) * classes  # where the counts of a pixel's plane begin, and how many there are
        self._truths = np.bincount(self._first + self.truth, self._mass, self._size)
        self.evidence = sum(_count_parts(case.check) for case in cases) + len(truth) / _PIXELS_A_PART

    def likelihood(self, bias: NDArray[np.float64]) -> float:
        """Mean log-probability of what the pixels are."""
        scores = self.scores + bias[:, None]
        return float(np.mean(scores[self.truth, np.arange(len(self.truth))] - np.log(np.exp(scores).sum(0))))

    def dice(self, bias: NDArray[np.float64]) -> float:
        """Mean Dice of the classes that occur."""
        return float(self._dice(self._counts(bias).sum(axis=0)))

    def doubt(self, bias: NDArray[np.float64]) -> float:
        """Standard error of what the bias gains in Dice, by the jackknife over the held-out planes; 0 where there is only one."""
        each, without = self._counts(bias), self._counts(np.zeros_like(bias))  # (cases, 3, K)
        return jackknife_error(self._dice(each.sum(axis=0) - each) - self._dice(without.sum(axis=0) - without))

    def _counts(self, bias: NDArray[np.float64]) -> NDArray[np.float64]:
        """Mass of each class in each plane that is told right, that is there, and that is taken for it."""
        guess = (self.scores + bias[:, None]).argmax(0)
        hit = guess == self.truth
        shared = np.bincount((self._first + guess)[hit], self._mass[hit], self._size)
        guesses = np.bincount(self._first + guess, self._mass, self._size)
        return np.stack([shared, self._truths, guesses]).astype(np.float64).reshape(3, -1, len(bias)).swapaxes(0, 1)

    def _dice(self, counts: NDArray[np.float64]) -> NDArray[np.float64]:
        each: NDArray[np.float64] = np.nan_to_num(overlap_of(counts, "dice"))[..., self.present].mean(axis=-1)
        return each


def _best_on_grid(name: Criterion, raw: NDArray[np.float64], smooth: NDArray[np.float64], pixels: _Pixels, index: int, units: int) -> _Found:
    """The step on the grid with the best smooth score among those whose raw score is no worse than without a bias."""
    classes, middle = len(pixels.present), len(_GRID) // 2
    dice = np.array([pixels.dice(_along(index, step, classes)) for step in _GRID])
    allowed = (raw >= raw[middle]) & (dice >= dice[middle] - _DICE_TO_LOSE)
    wanted = np.where(allowed, smooth + _DICE_SHARE * dice - _SHRINKAGE / max(units, 1) * _GRID**2, -np.inf)
    best = int(wanted.argmax())
    if wanted[best] < wanted[middle] + _LEAST_GAIN:
        best = middle
    return _Found(_decision(_along(index, _GRID[best], classes), name, raw[middle], raw[best]), float(wanted[best]))


def _by_strokes(strokes: StrokeStrengths, pixels: _Pixels) -> Decision:
    raw = np.array([strokes.intact(step, learned=False) for step in _GRID])
    smooth = np.array([strokes.intact(step, learned=True) for step in _GRID])
    return _best_on_grid("strokes", raw, smooth, pixels, 0, min(len(each) for each in strokes.strengths)).decision


def _by_dice(pixels: _Pixels) -> Decision:
    """Move the bias of one class after the other; then go back towards none as far as the planes cannot tell the difference (one standard error)."""
    classes = len(pixels.present)
    shrinkage = _SHRINKAGE_PAINT if pixels.balanced else _SHRINKAGE

    def worth(bias: NDArray[np.float64]) -> float:
        return pixels.dice(bias) - shrinkage / max(pixels.evidence, 1) * float(((bias - bias.mean()) ** 2).sum())

    bias = np.zeros(classes)
    without = best = worth(bias)
    for width in (0.25, 0.1, 0.05):
        for index in np.flatnonzero(pixels.present):
            tried = [bias + _along(int(index), step * width, classes) for step in range(-8, 9)]
            worths = [worth(each) for each in tried]
            if max(worths) > best:
                best, bias = max(worths), tried[int(np.argmax(worths))]
    before = pixels.dice(np.zeros(classes))
    needed = pixels.dice(bias) - pixels.doubt(bias)
    bias = next(part for part in (share * bias for share in _SHARES) if pixels.dice(part) >= needed)
    after = pixels.dice(bias)
    if best < without + _LEAST_GAIN or after < before:
        return _decision(np.zeros(classes), "dice", before, before)
    return _decision(bias, "dice", before, after)


def _decision(bias: NDArray[np.float64], criterion: Criterion, before: float, after: float) -> Decision:
    centred = bias - bias.mean()
    return Decision(tuple(round(float(value), 4) for value in centred) if centred.any() else (), criterion, float(before), float(after))


def _along(index: int, step: float, classes: int) -> NDArray[np.float64]:
    bias = np.zeros(classes)
    bias[index] = step
    return bias


def _smooth(curve: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean over neighbouring thresholds, as far as the grid goes."""
    kernel = np.exp(-0.5 * ((_GRID[:, None] - _GRID[None]) / _SMOOTHING) ** 2)
    smoothed: NDArray[np.float64] = kernel @ curve / kernel.sum(axis=1)
    return smoothed


def _separator(cases: Sequence[Case], classes: int) -> int:
    """The class that parts objects lying close together; -1 if there is none."""
    best, most = -1, 0.0
    for index in range(classes):
        gaps = gaps_between([_others(case.check, index) for case in cases])
        if gaps.objects >= _FEWEST_OBJECTS and gaps.close_share >= _CLOSE_SHARE and gaps.objects * gaps.close_share > most:
            best, most = index, gaps.objects * gaps.close_share
    return best


def _others(marks: NDArray[np.uint8], index: int) -> NDArray[np.uint8]:
    """1 where another class is, 0 where class ``index`` is, 255 where nothing is known."""
    return np.where(marks == IGNORED, np.uint8(IGNORED), (marks != index).astype(np.uint8))


def _agreement(case: Case, bias: NDArray[np.float64], separator: int) -> float:
    scores = np.log(np.maximum(case.chances, 1e-12)) + bias[:, None, None].astype(np.float32)
    return object_agreement(scores.argmax(0) != separator, _others(case.check, separator) == 1)


def _count_parts(marks: NDArray[np.uint8]) -> int:
    import cv2

    return sum(cv2.connectedComponents((marks == index).astype(np.uint8), connectivity=8)[0] - 1 for index in np.unique(marks) if index != IGNORED)
