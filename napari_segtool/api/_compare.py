"""Several methods on one slice, side by side: what each makes of it, how long it takes, and how good it is."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_segtool.api._classical import check_refines, for_refining, prepare_steps, segment_rule_steps
from napari_segtool.api._sources import step_of
from napari_segtool.core.chain import Chain, Link, parse_chain
from napari_segtool.core.given import Given, inputs_of
from napari_segtool.core.labels import as_label_array
from napari_segtool.core.planes import PlaneIndex, label_key, plane_work, read_plane, rule_at
from napari_segtool.core.progress import Progress, Steps, as_progress, drain
from napari_segtool.core.registry import FILTERS, METHODS
from napari_segtool.core.result import Step
from napari_segtool.core.stack import Stack
from napari_segtool.core.wanted import Wanted, check_plane


@dataclass(frozen=True, eq=False)
class Candidate:
    """What one method made of one slice.

    Parameters
    ----------
    link
        The method and all its parameters.
    title
        Its name in the window.
    labels
        ``(Y, X)``, smallest unsigned type; None where the method failed.
    seconds
        Time it took, with what it learned from the whole stack; what another method has learned before is not learned again.
    dice
        Dice overlap of its foreground with the truth; ``nan`` without truth, where the slice has none, and for a result that is a picture
        full of pieces without background.
    f1_50
        F1 of its objects at an IoU of 0.5; ``nan`` without truth, or where the truth holds classes rather than objects.
    error
        Why it failed.
    history
        Steps of the recipe that made the labels; their hashes are of the slice.
    """

    link: Link
    title: str
    labels: NDArray[Any] | None
    seconds: float
    dice: float = float("nan")
    f1_50: float = float("nan")
    error: Exception | None = None
    history: tuple[Step, ...] = ()


def compare_slice_steps(
    stack: Stack,
    entries: Chain,
    index: PlaneIndex,
    truth: NDArray[Any] | None = None,
    *,
    filters: Chain = (),
    then: Chain = (),
    mask: NDArray[Any] | None = None,
    given: Given | None = None,
    found: Callable[[Candidate], object] | None = None,
) -> Steps[tuple[Candidate, ...]]:
    """Generator form of `compare_slice`.

    Parameters
    ----------
    found
        Called with each candidate as soon as it is there, in the thread that runs the steps.
    """
    links, before, after = parse_chain(entries, METHODS), parse_chain(filters, FILTERS), parse_chain(then, METHODS)
    for link in after:
        check_refines(METHODS.get(link.name))
    place = check_plane(stack, index)
    ready, history = stack, []
    for link in before:
        history.append(step_of("filter", FILTERS.get(link.name), link.params, read_plane(ready, place)))
        ready = yield from prepare_steps(ready, [link])
    slice_ = _Slice(place, read_plane(ready, place), tuple(history), None if mask is None else _plane_of(stack, mask, place))
    ready = yield from prepare_steps(ready, (), mask)
    candidates = []
    for done, link in enumerate(links):
        work = _candidate_steps(ready, link, slice_, after, given or Given())
        candidate = yield from _within(work, done, len(links), METHODS.get(link.name).title)
        candidates.append(_scored(candidate, truth))
        if found is not None:
            found(candidates[-1])
        yield Progress(done + 1, len(links), candidate.title)
    return tuple(candidates)


def compare_slice(
    stack: Stack,
    entries: Chain,
    index: PlaneIndex,
    truth: NDArray[Any] | None = None,
    *,
    filters: Chain = (),
    then: Chain = (),
    mask: NDArray[Any] | None = None,
    given: Given | None = None,
) -> tuple[Candidate, ...]:
    """Run several methods on one slice, one after the other.

    Each learns from the whole stack what it learns when it is applied to it, so that the slice comes out as it would then. A method that
    fails does not keep the others from running.

    Parameters
    ----------
    stack
        Any axes.
    entries
        Methods with their settings: ``["otsu", "kmeans:clusters=3", ("canny", {"smoothing_px": 1})]``.
    index
        The slice, along `core.planes.plane_axes`; ``()`` for a single picture.
    truth
        Labels of the slice, ``(Y, X)``: 0 is background, the rest is what is looked for. Since numbers of labels mean nothing here, the
        classes of a result that together overlap best with the truth are taken for its foreground; where a result holds objects on
        background, they are its foreground.
    filters, then, mask
        As for `segment`; post-processing works on the slice alone.
    given
        Paint for the methods that start from it.

    Returns
    -------
    tuple of Candidate
        In the order of ``entries``.

    Raises
    ------
    ParameterError
        If an entry, or one of its parameters, is not known or not allowed.
    AxesError
        If the stack has no such slice.
    ShapeError
        If the truth has another shape than the slice.

    Examples
    --------
    >>> stack = Stack(np.repeat([[10, 10, 200, 190]], 4, axis=0).astype(np.uint8), "YX")
    >>> [(one.title, one.dice) for one in compare_slice(stack, ["otsu", "kmeans:clusters=2"], (), np.array([[0, 0, 1, 1]] * 4))]
    [('Otsu', 1.0), ('k-means', 1.0)]
    """
    return drain(compare_slice_steps(stack, entries, index, truth, filters=filters, then=then, mask=mask, given=given))


@dataclass(frozen=True, eq=False)
class _Slice:
    """Where the methods work: the plane behind the filters, and what was done to it."""

    index: PlaneIndex
    plane: NDArray[Any]
    history: tuple[Step, ...]
    mask: NDArray[Any] | None


def _candidate_steps(stack: Stack, link: Link, where: _Slice, after: tuple[Link, ...], given: Given) -> Steps[Candidate]:
    """Run one method on one plane of a stack that is ready for it; a failure is part of the answer."""
    entry = METHODS.get(link.name)
    known = Given(**{name: getattr(given, name) for name in inputs_of(entry)})
    begun = time.perf_counter()
    try:
        labels = yield from _plane_steps(stack, link, known, where.index)
        refined = [labels]
        for refining in after:
            refined.append((yield from _refined_steps(stack, refining, refined[-1], where.index)))
    except Exception as error:  # it is shown in the place of the result
        return Candidate(link, entry.title, None, time.perf_counter() - begun, error=error)
    seconds = time.perf_counter() - begun
    labels = as_label_array(refined[-1] if where.mask is None else np.where(where.mask != 0, refined[-1], 0))
    beside = {name: _given_plane(stack, known, name, where.index) for name in known.names()}
    history = [*where.history, step_of("segment", entry, link.params, where.plane, mask=where.mask, **beside)]
    history += [step_of("segment", METHODS.get(done.name), done.params, made, mask=where.mask) for done, made in zip(after, refined, strict=False)]
    return Candidate(link, entry.title, labels, seconds, history=tuple(history))


def _given_plane(stack: Stack, given: Given, name: str, index: PlaneIndex) -> NDArray[Any]:
    plane: NDArray[Any] = getattr(given.at(stack, index), name)
    return plane


def _plane_steps(stack: Stack, link: Link, given: Given, index: PlaneIndex) -> Steps[NDArray[Any]]:
    outcome = yield from segment_rule_steps(stack, link.name, given=given, **link.params)
    if isinstance(outcome, np.ndarray):
        return _plane_of(stack, outcome, index)
    made: NDArray[Any] = yield from as_progress(plane_work(rule_at(outcome, index), read_plane(stack, index)), 0, 1, link.name)
    return made


def _refined_steps(stack: Stack, link: Link, labels: NDArray[Any], index: PlaneIndex) -> Steps[NDArray[Any]]:
    """Post-process the labels of one plane, as a stack of that plane alone."""
    alone = Wanted(stack, [index]).cut()
    first = (0,) * len(index)
    flip = stack.label_axes.index("Y") > stack.label_axes.index("X")
    lying = np.zeros(alone.label_shape, labels.dtype)
    lying[label_key(alone, first)] = labels.T if flip else labels
    return (yield from _plane_steps(alone, link, for_refining(METHODS.get(link.name), lying, Given()), first))


def _scored(candidate: Candidate, truth: NDArray[Any] | None) -> Candidate:
    """Return the candidate with its scores."""
    from napari_segtool.evaluate._matching import as_objects, foreground_of, holds_objects, match_objects

    if truth is None or candidate.labels is None:
        return candidate
    actual = np.asarray(truth)
    foreground = foreground_of(candidate.labels, actual != 0)
    f1 = match_objects(as_objects(candidate.labels, foreground.mask), actual).f1 if holds_objects(actual) else float("nan")
    return replace(candidate, dice=foreground.dice, f1_50=f1)


def _plane_of(stack: Stack, array: NDArray[Any], index: PlaneIndex) -> NDArray[Any]:
    plane: NDArray[Any] = array[label_key(stack, index)]
    return plane.T if stack.label_axes.index("Y") > stack.label_axes.index("X") else plane


def _within(work: Steps[Candidate], done: int, total: int, label: str) -> Steps[Candidate]:
    """Report the progress of one method as its part of all."""
    try:
        while True:
            yield Progress(done + min(0.99, next(work).fraction), total, label)
    except StopIteration as stop:
        candidate: Candidate = stop.value
        return candidate
    finally:
        work.close()
