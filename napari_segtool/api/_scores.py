"""Scores of a prediction against the truth."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_segtool.api._files import read
from napari_segtool.api._sources import Marks, marks_of
from napari_segtool.core.progress import Steps, drain
from napari_segtool.core.result import Prediction, Probabilities, Scores
from napari_segtool.core.stack import cut, parse_slices


def evaluate_steps(
    prediction: Prediction | Marks, truth: Marks, *, probabilities: Probabilities | NDArray[Any] | str | Path | None = None, slices: str = ""
) -> Steps[Scores]:
    """Generator form of `evaluate`."""
    from napari_segtool.evaluate._evaluate import evaluate_steps as steps
    from napari_segtool.evaluate._evaluate import make_case

    if probabilities is None and isinstance(prediction, Prediction):
        probabilities = prediction.probabilities
    guess, actual = marks_of(prediction), marks_of(truth)
    whole = guess.shape
    if slices:
        actual = cut(actual, *parse_slices(slices))
        if guess.shape != actual.shape:
            guess = cut(guess, *parse_slices(slices))
    if isinstance(probabilities, str | Path):
        probabilities = np.asarray(read(probabilities).data)
    if probabilities is not None and guess.shape != whole:
        data = np.asarray(probabilities)[(slice(None), *(slice(None),) * guess.slice_axis, slice(*parse_slices(slices)))]
        probabilities = replace(probabilities, data=data) if isinstance(probabilities, Probabilities) else data
    scores: Scores = yield from steps(make_case(guess, actual, probabilities))
    return scores


def evaluate(
    prediction: Prediction | Marks, truth: Marks, *, probabilities: Probabilities | NDArray[Any] | str | Path | None = None, slices: str = ""
) -> Scores:
    """Score a prediction against the truth.

    Parameters
    ----------
    prediction, truth
        Labels of equal shape, as objects, arrays or paths. Truth values 0/255 are taken as classes 0/1.
    probabilities
        Class axis first; with them V_Rand and V_Info are the best over thresholds, as in ISBI 2012.
    slices
        ``A:B`` of the truth (and of the prediction where it has as many slices).
    """
    return drain(evaluate_steps(prediction, truth, probabilities=probabilities, slices=slices))
