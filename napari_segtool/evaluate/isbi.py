"""The two scores of the ISBI 2012 challenge: V_Rand and V_Info after border thinning."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_segtool.core.errors import ParameterError, ShapeError
from napari_segtool.core.params import Params
from napari_segtool.core.progress import Progress, Steps, drain
from napari_segtool.core.registry import METRICS
from napari_segtool.core.result import Scores
from napari_segtool.evaluate._case import Case
from napari_segtool.evaluate._objects import Overlap, objects_of, overlap_of, thin_boundary

THRESHOLDS = tuple(step / 10 for step in range(10))
"""Thresholds on the probability of foreground that the challenge tries: 0, 0.1, … 0.9; a pixel must lie above."""

Triple = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class AgreementScore:
    """Agreement of two partitions into objects, at the threshold where it is best.

    Parameters
    ----------
    score
        0 (worst) to 1: the mean over slices of the F-score that weighs splits and mergers alike (alpha = 0.5);
        ``nan`` where no slice has any true foreground.
    split
        Lowered by objects cut in pieces only; mean over slices.
    merge
        Lowered by objects joined only; mean over slices.
    threshold
        Threshold at which ``score`` was reached; 0 for labels.
    slices
        Score of each slice at that threshold; ``nan`` for a slice without true foreground, which no mean counts.
    """

    score: float
    split: float
    merge: float
    threshold: float
    slices: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class ChallengeScores:
    """Both scores of the challenge, each at its own best threshold."""

    v_rand: AgreementScore
    v_info: AgreementScore


def v_rand(foreground: Any, truth: Any, thresholds: Sequence[float] = THRESHOLDS) -> AgreementScore:
    """Score objects as the ISBI 2012 challenge does: foreground-restricted Rand score after border thinning.

    Slice by slice: pixels above the threshold are foreground; their 4-connected components grow until one-pixel dams
    part them (`thin_boundary`), and are compared with the 4-connected components of the true foreground. Pixels of the
    true boundary do not count; a dam inside a true object counts as one object for each pixel. With
    ``p_ij`` the share of pixels in true object ``i`` and proposed object ``j``, ``t_i`` and ``s_j`` their sums, the score is
    ``Σ p_ij² / (½ Σ s_j² + ½ Σ t_i²)``. Scores are averaged over slices for each threshold, and the best
    threshold of the whole stack is taken. A proposal without any foreground is one object.

    Parameters
    ----------
    foreground
        Shape ``(Y, X)`` or ``(…, Y, X)``; floats are the probability of foreground (not of boundary), 0 to 1, and ``nan``
        is boundary; booleans and whole numbers are labels, where 0 is boundary.
    truth
        Same shape; 0 is boundary, everything else foreground.
    thresholds
        Thresholds to try, each from 0 to below 1; labels use none.

    Returns
    -------
    AgreementScore
        ``nan`` where no slice has any true foreground.

    Raises
    ------
    ShapeError
        If the shapes differ or have fewer than two dimensions.
    ParameterError
        If there is no threshold, or one is not in 0 ≤ threshold < 1.

    References
    ----------
    .. [1] Arganda-Carreras et al. 2015, Crowdsourcing the creation of image segmentation algorithms for connectomics,
       doi:10.3389/fnana.2015.00142

    Examples
    --------
    >>> truth = np.array([[1, 1, 0, 1, 1]])
    >>> v_rand(truth, truth).score
    1.0
    >>> round(v_rand(np.ones((1, 5), int), truth).merge, 3)  # two objects of two pixels, joined: (4 + 4) / 16
    0.5
    """
    return drain(challenge_steps(foreground, truth, thresholds)).v_rand


def v_info(foreground: Any, truth: Any, thresholds: Sequence[float] = THRESHOLDS) -> AgreementScore:
    """Score objects as the ISBI 2012 challenge does: foreground-restricted information score after border thinning.

    Objects and averages are those of `v_rand`; the score is ``2 I(S; T) / (H(S) + H(T))``, with ``merge`` ``I / H(T)`` and
    ``split`` ``I / H(S)``. Where truth and proposal are one object each, they agree and all three are 1 (the challenge's own
    program divides zero by zero there and reports 0).

    Parameters
    ----------
    foreground, truth, thresholds
        As in `v_rand`.

    Returns
    -------
    AgreementScore
        ``nan`` where no slice has any true foreground.

    Raises
    ------
    ShapeError, ParameterError
        As `v_rand`.

    References
    ----------
    .. [1] Arganda-Carreras et al. 2015, doi:10.3389/fnana.2015.00142

    Examples
    --------
    >>> truth = np.array([[1, 1, 0, 1, 1]])
    >>> v_info(truth, truth).score, v_info(np.ones((1, 5), int), truth).score
    (1.0, 0.0)
    """
    return drain(challenge_steps(foreground, truth, thresholds)).v_info


def challenge_steps(foreground: Any, truth: Any, thresholds: Sequence[float] = THRESHOLDS) -> Steps[ChallengeScores]:
    """Compute `v_rand` and `v_info` together, yielding after each slice; the arguments are those of `v_rand`."""
    if tuple(foreground.shape) != tuple(truth.shape) or len(truth.shape) < 2:
        raise ShapeError(
            f"The proposal has the shape {tuple(foreground.shape)}, the truth {tuple(truth.shape)}; both must be the same, with Y and X last.",
            hint="Compare the same slices of the same picture.",
        )
    probable = np.dtype(foreground.dtype).kind == "f"
    tried = tuple(float(threshold) for threshold in thresholds) if probable else (0.0,)
    if not tried or not all(0 <= threshold < 1 for threshold in tried):
        raise ParameterError(f"thresholds = {tried} is not allowed.", hint="Give one or more values from 0 to below 1, for example 0.5.")
    places = list(itertools.product(*(range(n) for n in truth.shape[:-2])))
    rand, info = np.full((2, len(tried), len(places), 3), np.nan)
    for at, place in enumerate(places):
        true_objects = objects_of(np.asarray(truth[place]) != 0)
        if true_objects.any():
            plane = np.asarray(foreground[place])
            for row, threshold in enumerate(tried):
                mask = plane > threshold if probable else plane != 0
                overlap = overlap_of(true_objects, thin_boundary(mask))
                rand[row, at], info[row, at] = rand_of(overlap), info_of(overlap)
        yield Progress(at + 1, len(places), "slice")
    return ChallengeScores(_best(rand, tried), _best(info, tried))


def rand_of(overlap: Overlap) -> Triple:
    """Rand F-score, split and merge score of one slice; ``nan`` where the truth has no object."""
    if not overlap.pixels:
        return (np.nan, np.nan, np.nan)
    both = float((overlap.cells**2).sum()) + overlap.singles
    true, guess = float((overlap.truth**2).sum()), float((overlap.proposal**2).sum()) + overlap.singles
    return 2 * both / (true + guess), both / true, both / guess


def info_of(overlap: Overlap) -> Triple:
    """Information F-score, split and merge score of one slice; ``nan`` where the truth has no object."""
    if not overlap.pixels:
        return (np.nan, np.nan, np.nan)
    true = _entropy(overlap.truth, 0, overlap.pixels)
    guess = _entropy(overlap.proposal, overlap.singles, overlap.pixels)
    shared = max(0.0, true + guess - _entropy(overlap.cells, overlap.singles, overlap.pixels))
    if true == guess == 0:
        return (1.0, 1.0, 1.0)
    return 2 * shared / (true + guess), shared / guess if guess else 1.0, shared / true if true else 1.0


def _entropy(counts: NDArray[np.float64], singles: int, pixels: float) -> float:
    shares = counts / pixels
    return float(abs(np.sum(shares * np.log(shares)))) + singles / pixels * float(np.log(pixels))


def _best(triples: NDArray[np.float64], tried: tuple[float, ...]) -> AgreementScore:
    """Average over the slices that have a truth, and keep the threshold with the highest score."""
    known = ~np.isnan(triples[0, :, 0])
    if not known.any():
        return AgreementScore(np.nan, np.nan, np.nan, tried[0], tuple(triples[0, :, 0].tolist()))
    means = triples[:, known].mean(axis=1)
    best = int(means[:, 0].argmax())
    score, split, merge = means[best].tolist()
    return AgreementScore(score, split, merge, tried[best], tuple(triples[best, :, 0].tolist()))


@METRICS.register(
    "isbi",
    title="ISBI 2012",
    summary="V_Rand and V_Info: how well objects are kept apart, slice by slice, whatever the width of the boundary.",
    params=Params,
    family="objects",
    reference="Arganda-Carreras et al. 2015, Crowdsourcing the creation of image segmentation algorithms for connectomics, doi:10.3389/fnana.2015.00142",
)
def isbi(case: Case) -> Steps[Scores]:
    """Score how well the objects of each slice are kept apart.

    The first class is boundary, everything else is foreground; with probabilities, that of foreground is one minus that of
    the first class, and `v_rand` and `v_info` are the best over `THRESHOLDS`.

    Parameters
    ----------
    case
        Prediction and truth in one numbering.

    Returns
    -------
    Scores
        Overall ``v_rand`` and ``v_info`` with their best thresholds (``nan`` for labels), and ``adapted_rand_error``: one minus
        the Rand F-score of the labels as they are, without thinning and without a choice of threshold, where each
        true foreground pixel that was called boundary is an object of its own. All are means over the slices that
        have true foreground, ``nan`` where none has.
    """
    boundary = case.class_values[0]
    truth = case.truth != boundary
    labels = case.prediction != boundary
    foreground = labels if case.probabilities is None else Foreground(case.probabilities)
    scores = yield from challenge_steps(foreground, truth)
    plain = []
    for place in case.planes:
        plain.append(rand_of(overlap_of(objects_of(truth[place]), objects_of(labels[place])))[0])
        yield Progress(1, 1, "slice")
    known = [value for value in plain if value == value]
    probable = case.probabilities is not None
    return Scores(
        classes={},
        overall={
            "v_rand": scores.v_rand.score,
            "v_info": scores.v_info.score,
            "v_rand_threshold": scores.v_rand.threshold if probable else float("nan"),
            "v_info_threshold": scores.v_info.threshold if probable else float("nan"),
            "adapted_rand_error": 1 - float(np.mean(known)) if known else float("nan"),
        },
    )


@dataclass(frozen=True, eq=False)
class Foreground:
    """Probability of foreground, computed for the plane that is asked for: one minus the first class.

    Parameters
    ----------
    probabilities
        Shape ``(class, …, Y, X)``, float; may be memory-mapped.
    """

    probabilities: Any

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape without the classes."""
        return tuple(int(n) for n in self.probabilities.shape[1:])

    @property
    def dtype(self) -> np.dtype[Any]:
        """Always float."""
        return np.dtype(np.float32)

    def __getitem__(self, place: tuple[int, ...]) -> NDArray[np.float32]:
        return 1 - np.asarray(self.probabilities[(0, *place)], np.float32)
