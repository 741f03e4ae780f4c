"""How likely each class is at each pixel, from probabilities or from labels, and methods that weigh it against the picture."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_segtool.core.errors import DataError, ParameterError
from napari_segtool.core.given import Given
from napari_segtool.core.labels import smallest_dtype
from napari_segtool.core.planes import Fractions, PlaceRule, PlaneIndex, SteppedRule
from napari_segtool.core.progress import Progress, Steps, as_progress
from napari_segtool.core.slabs import made_steps, put_steps
from napari_segtool.core.stack import Stack
from napari_segtool.methods._contours import read_volume_steps, unknown_steps, volumes_of
from napari_segtool.methods._grey import Grey
from napari_segtool.objects._pieces import slabs
from napari_segtool.preprocess._portions import portion

MOST_CLASSES = 64

Weigh = Callable[[NDArray[Any], NDArray[np.float32], "NDArray[np.bool_] | None"], Fractions]
"""Work on grey values ``(Y, X)`` or ``(depth, Y, X)``, shares ``(K, …)`` and where there is no grey value; returns the index of a class for each pixel."""


def weighed_steps(stack: Stack, grey: Grey, given: Given, confidence: float, weigh: Weigh, *, volume: bool) -> Steps[PlaceRule | NDArray[Any]]:
    """Return the rule that weighs classes against the picture in a plane; with ``volume`` the labels of all volumes.

    Parameters
    ----------
    stack, grey
        The picture.
    given
        ``probabilities``, or ``labels``. Classes of probabilities are numbered from 0, or from 1 where labels are given too that run from 1 up to
        their number.
    confidence
        How likely the class of a label is to be right, above 0 and below 1.
    weigh
        Does the work.

    Raises
    ------
    ParameterError
        If neither is given.
    DataError
        If there are too many classes.
    AxesError
        If ``volume`` is asked for and the stack has no slices.
    """
    values = yield from _class_values_steps(stack, given)

    def classes(grey_values: NDArray[Any], part: Given) -> Fractions:
        unknown = yield from portion(unknown_steps(grey_values), 0.0, 0.0)
        found = yield from _chosen_steps(grey_values, part, values, confidence, weigh, unknown)

        def named(rows: slice) -> NDArray[Any]:
            labels: NDArray[Any] = values[found[rows]]
            if unknown is not None:
                labels[unknown[rows]] = 0
            return labels

        return (yield from portion(made_steps(found.shape, values.dtype, named), 1.0, 1.0))

    if not volume:

        def at(index: PlaneIndex) -> SteppedRule:
            part = given.at(stack, index)
            return SteppedRule(lambda plane: classes(grey(plane), part))

        return PlaceRule(at)
    volumes = volumes_of(stack)
    result = np.zeros(stack.label_shape, values.dtype)
    for done, one in enumerate(volumes):
        read = yield from read_volume_steps(stack, grey, one, done, len(volumes))
        part = Given(labels=None if given.labels is None else one.of(given.labels))
        if given.probabilities is not None:
            likely = given.probabilities[(slice(None), *one.key)].transpose(0, *(axis + 1 for axis in one.order))
            part = replace(part, probabilities=likely)
        made = yield from as_progress(classes(read, part), done, len(volumes), "volume")
        for _ in put_steps(one.of(result), made):
            yield Progress(done + 1, len(volumes), "volume")
        del made
    return result


def _class_values_steps(stack: Stack, given: Given) -> Steps[NDArray[Any]]:
    """Label of each class, in order."""
    if given.probabilities is not None:
        count = len(given.probabilities)
        from_one = given.labels is not None and int(given.labels.max(initial=0)) == count and int(given.labels.min(initial=count)) >= 1
        values = np.arange(count) + from_one
    elif given.labels is not None:
        found: set[int] = set()
        for part, finished in slabs(given.labels.shape):
            found.update(np.unique(given.labels[part]).tolist())
            yield Progress(finished, 1, "classes")
        values = np.array(sorted(found), np.int64)
    else:
        raise ParameterError("There is nothing to weigh: neither probabilities nor labels are given.", hint="Give --probabilities FILE or --labels FILE.")
    if len(values) > MOST_CLASSES:
        raise DataError(
            f"The labels over {stack.name or 'the image'} have {len(values)} different values; at most {MOST_CLASSES} classes can be weighed.",
            hint="Give classes, not numbered objects.",
        )
    return values.astype(smallest_dtype(int(values.max(initial=0))))


def _chosen_steps(grey: NDArray[Any], part: Given, values: NDArray[Any], confidence: float, weigh: Weigh, unknown: NDArray[np.bool_] | None) -> Fractions:
    if len(values) == 1:
        yield 1.0
        return np.zeros(grey.shape, np.uint8)
    table = np.full((len(values), len(values)), (1 - confidence) / (len(values) - 1), np.float32)
    np.fill_diagonal(table, confidence)
    shares = np.empty((len(values), *grey.shape), np.float32)
    for rows, _ in slabs(grey.shape):
        if part.probabilities is not None:
            shares[:, rows] = _normalised(part.probabilities[:, rows])
        else:
            assert part.labels is not None
            places = np.searchsorted(values, part.labels[rows])
            for share, row in zip(shares, table, strict=True):
                share[rows] = row[places]
        yield 0.0
    return (yield from weigh(grey, shares, unknown))


def _normalised(probabilities: NDArray[Any]) -> NDArray[np.float32]:
    """Return probabilities that add up to 1; all classes are equally likely where nothing is known."""
    shares = np.nan_to_num(np.asarray(probabilities, np.float32), nan=0.0, posinf=0.0, neginf=0.0).clip(min=0)
    total = shares.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(total > 0, shares / total, np.float32(1 / len(shares)))
