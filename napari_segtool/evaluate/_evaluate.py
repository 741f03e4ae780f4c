"""Join the scores of every metric."""

from __future__ import annotations

from napari_segtool.core.progress import Progress, Steps
from napari_segtool.core.registry import METRICS
from napari_segtool.core.result import Scores
from napari_segtool.evaluate._case import Case, make_case

__all__ = ["Case", "evaluate_steps", "make_case"]


def evaluate_steps(case: Case) -> Steps[Scores]:
    """Run every registered metric and join what they say, yielding after each slice of each.

    Parameters
    ----------
    case
        From `make_case`.

    Returns
    -------
    Scores
        With all keys; ``nan`` where a score is undefined.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_segtool import Stack, drain
    >>> truth = Stack(np.array([[0, 1, 1, 1]]), "YX")
    >>> drain(evaluate_steps(make_case(truth, truth))).classes["1"]["dice"]
    1.0
    """
    entries = list(METRICS)
    classes: dict[str, dict[str, float]] = {name: {} for name in case.class_names}
    overall: dict[str, float] = {}
    for index, entry in enumerate(entries):
        steps: Steps[Scores] = entry.function(case)
        part = yield from _shifted(steps, index, len(entries), entry.title)
        for name, values in part.classes.items():
            classes[name].update(values)
        overall.update(part.overall)
    return Scores(classes, overall)


def _shifted(steps: Steps[Scores], index: int, count: int, label: str) -> Steps[Scores]:
    """Report the progress of one metric as its part of all."""
    try:
        while True:
            yield Progress(index + next(steps).fraction, count, label)
    except StopIteration as stop:
        scores: Scores = stop.value
        return scores
    finally:
        steps.close()
