"""What the Segment panel asks for, done step by step: the whole result, or what the visible slice will look like. No Qt here."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from napari_segtool.core.chain import Link
from napari_segtool.core.errors import SegtoolError
from napari_segtool.core.given import INPUTS, Given, inputs_of
from napari_segtool.core.labels import as_label_array
from napari_segtool.core.planes import AnyRule, PlaneIndex, evolved_plane, label_key, map_planes, plane_axes, plane_work, read_plane, rule_at
from napari_segtool.core.progress import Evolution, Progress, Steps, as_progress
from napari_segtool.core.registry import METHODS
from napari_segtool.core.result import Segmentation
from napari_segtool.core.stack import Stack
from napari_segtool.core.wanted import Wanted
from napari_segtool.ui._bars import Bars, bars_steps
from napari_segtool.ui._lazy_labels import PlaneLabels, WholeNeeded

MASK = "mask"
Key = tuple[slice, ...]
T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Taken:
    """Pixels that lie over the image, as a layer has them now; read only when they are needed, off the GUI thread.

    Parameters
    ----------
    key
        Changes whenever the pixels do.
    part
        Returns a copy of the part at an index of slices along the label axes; probabilities keep their class axis in front.
    """

    key: Hashable
    part: Callable[[Key], NDArray[Any]]


@dataclass(frozen=True, eq=False)
class Plan:
    """Everything that is chosen in the panel.

    Parameters
    ----------
    method
        Name of the method; empty where only the filtered picture is wanted.
    params
        Its parameters.
    filters, then
        Links before and after it.
    beside
        What lies over the image, by name: ``mask``, ``paint``, ``labels``, ``probabilities``.
    only
        Work on this plane as if it were the whole stack; None works on all of it.
    """

    method: str
    params: Mapping[str, Any]
    filters: tuple[Link, ...] = ()
    then: tuple[Link, ...] = ()
    beside: Mapping[str, Taken] = field(default_factory=dict)
    only: PlaneIndex | None = None


@dataclass(frozen=True, eq=False)
class Preview:
    """What one slice will look like.

    Parameters
    ----------
    plane
        Its labels, ``(Y, X)``; None where there are none, or they could not be made.
    index
        Which plane it is.
    bars
        Its histogram, where it was asked for.
    filtered
        The plane behind the filters, where it was asked for.
    error
        Why there are no labels.
    """

    plane: NDArray[Any] | None
    index: PlaneIndex
    bars: Bars | None = None
    filtered: NDArray[Any] | None = None
    error: Exception | None = None


def part_key(stack: Stack, only: PlaneIndex | None) -> Key:
    """Index of the whole stack, or of one plane that keeps all axes, in an array of `Stack.label_shape`."""
    places = {} if only is None else dict(zip(plane_axes(stack), only, strict=True))
    return tuple(slice(places[axis], places[axis] + 1) if axis in places else slice(None) for axis in stack.label_axes)


def part_of(stack: Stack, only: PlaneIndex | None) -> Stack:
    """Return the stack, or one plane of it that keeps all axes."""
    return stack if only is None else Wanted(stack, [only]).cut()


def apply_steps(stack: Stack, plan: Plan) -> Steps[Segmentation]:
    """Do what the plan says, exactly as `api.segment` does it with the same settings."""
    from napari_segtool import api

    key = part_key(stack, plan.only)
    beside: dict[str, Any] = {name: taken.part(key) for name, taken in plan.beside.items()}
    part = part_of(stack, plan.only)
    made: Segmentation = yield from api.segment_steps(part, plan.method, filters=plan.filters, then=plan.then, **beside, **plan.params)
    return made


class Bench:
    """What one preview leaves for the next: the filtered stack, what the method has learned, pixels read from layers.

    It is used by one thread at a time.
    """

    def __init__(self) -> None:
        self._kept: dict[str, tuple[Any, Any]] = {}
        self._filtered: list[tuple[Link, Stack]] = []
        self._unfiltered: Stack | None = None

    def part(self, stack: Stack, only: PlaneIndex | None) -> Stack:
        """Return the stack to work on; the same object as long as it is the same part."""
        return stack if only is None else self.once("part", (stack, only), lambda: part_of(stack, only))

    def filtered_steps(self, stack: Stack, filters: tuple[Link, ...]) -> Steps[Stack]:
        """Return the stack behind the filters; links that have not changed, and stand before those that have, are not done again."""
        from napari_segtool import api

        if self._unfiltered is not stack:
            self._unfiltered, self._filtered = stack, []
        same = 0
        while same < min(len(filters), len(self._filtered)) and self._filtered[same][0] == filters[same]:
            same += 1
        del self._filtered[same:]
        for link in filters[same:]:
            ready = yield from api.prepare_steps(self._filtered[-1][1] if self._filtered else stack, [link])
            self._filtered.append((link, ready))
        return self._filtered[-1][1] if self._filtered else stack

    def masked_steps(self, ready: Stack, mask: NDArray[Any] | None) -> Steps[Stack]:
        """Return the stack without values outside the mask."""
        from napari_segtool import api

        if mask is None:
            return ready
        if (kept := self.kept("masked", (ready, mask))) is not None:
            return kept
        return self.keep("masked", (ready, mask), (yield from api.prepare_steps(ready, (), mask)))

    def array(self, name: str, taken: Taken, stack: Stack, only: PlaneIndex | None) -> NDArray[Any]:
        """Return the pixels of one input; the same object as long as they are the same."""
        return self.once(name, (stack, only, taken.key), lambda: taken.part(part_key(stack, only)))

    def once(self, name: str, key: tuple[Any, ...], make: Callable[[], T]) -> T:
        """Return what was made for ``key``, or make and keep it."""
        kept = self.kept(name, key)
        return self.keep(name, key, make()) if kept is None else kept

    def kept(self, name: str, key: tuple[Any, ...]) -> Any:
        """Return what is kept under ``name`` if it was made for ``key``, else None."""
        before = self._kept.get(name)
        return before[1] if before is not None and _same(before[0], key) else None

    def keep(self, name: str, key: tuple[Any, ...], value: T) -> T:
        """Keep a value instead of the one kept under ``name`` before."""
        self._kept[name] = (key, value)
        return value


def preview_steps(bench: Bench, stack: Stack, plan: Plan, index: PlaneIndex, *, histogram: bool = False, filtered: bool = False) -> Steps[Preview]:
    """Work out what the plan makes of one plane, learning from the whole stack what the method learns.

    Where the method cannot work, the filtered plane is shown all the same, and the error goes with it.

    Parameters
    ----------
    histogram
        Whether the bars of that plane are wanted too.
    filtered
        Whether the plane behind the filters is wanted too.
    """
    part = bench.part(stack, plan.only)
    place = index if plan.only is None else (0,) * len(index)
    ready = yield from bench.filtered_steps(part, plan.filters)
    picture = read_plane(ready, place) if filtered and plan.filters else None
    if not plan.method:
        return Preview(None, index, None, picture)
    try:
        plane, bars = yield from _labels_steps(bench, stack, ready, plan, place, histogram)
    except SegtoolError as error:
        if picture is None:
            raise
        return Preview(None, index, None, picture, error)
    return Preview(plane, index, bars, picture)


def _labels_steps(bench: Bench, stack: Stack, ready: Stack, plan: Plan, place: PlaneIndex, histogram: bool) -> Steps[tuple[NDArray[Any], Bars | None]]:
    from napari_segtool import api
    from napari_segtool.api._classical import REFINES

    arrays = {name: bench.array(name, taken, stack, plan.only) for name, taken in plan.beside.items()}
    mask = arrays.pop(MASK, None)
    work = yield from bench.masked_steps(ready, mask)
    given = Given(**{name: arrays.get(name) for name in INPUTS})
    if mask is not None and given.labels is not None:
        given = replace(given, labels=bench.once("inside", (given.labels, mask), lambda: np.where(mask != 0, arrays["labels"], 0)))
    settings = (work, plan.method, dict(plan.params), given.paint, given.labels, given.probabilities)
    outcome = bench.kept("outcome", settings)
    if outcome is None:
        steps = api.segment_rule_steps(work, plan.method, given=given, **plan.params)
        outcome = bench.keep("outcome", settings, (yield from _looking_at(steps, work, place)))
    plane = yield from _plane_steps(outcome, work, place)
    bars = (yield from bars_steps(work, place, plane, float(plan.params.get("smoothing_px", 0.0)))) if histogram else None
    for link in plan.then:
        outcome = yield from _refined_steps(work, outcome, plane, place, link, given)
        plane = yield from _plane_steps(outcome, work, place)
    if mask is not None:
        outside = _plane_at(work, arrays["labels"], place) if METHODS.get(plan.method).family == REFINES and "labels" in arrays else 0
        plane = np.where(_plane_at(work, mask, place) != 0, plane, outside)
    return as_label_array(plane), bars


def _refined_steps(stack: Stack, outcome: AnyRule | NDArray[Any], plane: NDArray[Any], place: PlaneIndex, link: Link, given: Given) -> Steps[Any]:
    """Return what post-processing makes of an outcome; of the slices that it does not ask for, nothing is worked out."""
    from napari_segtool import api

    chances = given.probabilities if "probabilities" in inputs_of(METHODS.get(link.name)) else None
    if not isinstance(outcome, np.ndarray):
        labels: Any = PlaneLabels(stack, outcome, {place: as_label_array(plane)})
        lazy = Given(labels=labels, probabilities=chances)
        try:
            return (yield from api.segment_rule_steps(stack, link.name, given=lazy, **link.params))
        except WholeNeeded:
            outcome = yield from map_planes(stack, outcome)
    return (yield from api.segment_rule_steps(stack, link.name, given=Given(labels=as_label_array(outcome), probabilities=chances), **link.params))


def _plane_steps(outcome: AnyRule | NDArray[Any], stack: Stack, place: PlaneIndex) -> Steps[NDArray[Any]]:
    """Return one plane of an outcome; an evolution on the way is one of that plane."""
    if isinstance(outcome, np.ndarray):
        return _plane_at(stack, outcome, place)
    return (yield from as_progress(plane_work(rule_at(outcome, place), read_plane(stack, place)), 0, 1, "slice"))


def _looking_at(steps: Steps[T], stack: Stack, place: PlaneIndex) -> Steps[T]:
    """Turn what evolves in a volume into what evolves in the plane that is looked at."""
    try:
        while True:
            progress = next(steps)
            if isinstance(progress, Evolution):
                seen = evolved_plane(progress, stack, place)
                plain = Progress(progress.done, progress.total, progress.label, progress.metrics)
                progress = plain if seen is None else replace(progress, labels=seen, piece=0)
            yield progress
    except StopIteration as stop:
        made: T = stop.value
        return made
    finally:
        steps.close()


def _plane_at(stack: Stack, array: NDArray[Any], place: PlaneIndex) -> NDArray[Any]:
    plane: NDArray[Any] = array[label_key(stack, place)]
    return plane.T if stack.label_axes.index("Y") > stack.label_axes.index("X") else plane


def _same(first: tuple[Any, ...], second: tuple[Any, ...]) -> bool:
    """Tell whether two keys are equal; arrays and stacks are only equal to themselves."""
    return len(first) == len(second) and all(
        a is b or (type(a) is type(b) and not isinstance(a, np.ndarray) and a == b) for a, b in zip(first, second, strict=True)
    )
