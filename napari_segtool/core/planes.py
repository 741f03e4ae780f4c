"""Walk a stack picture by picture: one (Y, X) plane, with its channels, at a time."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from napari_segtool.core.parallel import in_order
from napari_segtool.core.progress import Evolution, Steps
from napari_segtool.core.stack import CHANNELS, Stack

R = TypeVar("R")

PlaneIndex = tuple[int, ...]
"""Position of a plane along every axis of the labels but Y and X, in order."""


def plane_axes(stack: Stack) -> str:
    """Axes that planes are counted along: all but channels, Y and X."""
    return "".join(axis for axis in stack.label_axes if axis not in "YX")


def plane_shape(stack: Stack) -> tuple[int, ...]:
    """Number of planes along each of `plane_axes`."""
    return tuple(n for axis, n in zip(stack.axes, stack.shape, strict=True) if axis in plane_axes(stack))


def plane_indices(stack: Stack) -> Iterator[PlaneIndex]:
    """Every plane's index, in storage order; one empty index for a single picture."""
    return itertools.product(*(range(n) for n in plane_shape(stack)))


def read_plane(stack: Stack, index: PlaneIndex) -> NDArray[np.generic]:
    """Return one plane as ``(Y, X)``, or ``(C, Y, X)`` where the stack has channels."""
    positions = dict(zip(plane_axes(stack), index, strict=True))
    key = tuple(positions.get(axis, slice(None)) for axis in stack.axes)
    left = [axis for axis in stack.axes if axis not in positions]
    order = sorted(range(len(left)), key=lambda i: (left[i] not in CHANNELS, "CSYX".index(left[i])))
    return np.asarray(stack.data[key]).transpose(order)


def label_key(stack: Stack, index: PlaneIndex) -> tuple[int | slice, ...]:
    """Index that addresses the plane in an array of `Stack.label_shape` whose Y and X may stand anywhere."""
    positions = dict(zip(plane_axes(stack), index, strict=True))
    return tuple(positions.get(axis, slice(None)) for axis in stack.label_axes)


PlaneRule = Callable[[NDArray[Any]], NDArray[Any]]
"""Turns one plane, ``(Y, X)`` or ``(C, Y, X)``, into a ``(Y, X)`` result; knows nothing of other planes."""

Fractions = Generator[float, None, NDArray[Any]]
"""Work on one plane or volume: yields the finished part, 0 to 1, and returns the result."""


@dataclass(frozen=True, slots=True)
class SteppedRule:
    """A `PlaneRule` whose work on one plane takes long, so that it can be walked in steps and left between two.

    Parameters
    ----------
    steps
        Does the work on one plane.
    """

    steps: Callable[[NDArray[Any]], Fractions]

    def __call__(self, plane: NDArray[Any]) -> NDArray[Any]:
        """Do the whole work in place."""
        work = self.steps(plane)
        try:
            while True:
                next(work)
        except StopIteration as stop:
            return np.asarray(stop.value)


@dataclass(frozen=True, slots=True)
class PlaceRule:
    """Rules that differ from plane to plane, because paint or labels lie there.

    Parameters
    ----------
    at
        Returns the rule for the plane of that index.
    """

    at: Callable[[PlaneIndex], PlaneRule | SteppedRule]


AnyRule = PlaneRule | SteppedRule | PlaceRule
"""What a method or filter may return instead of a finished array."""


def apply_rule(rule: AnyRule, stack: Stack, index: PlaneIndex) -> NDArray[Any]:
    """Return what a rule makes of one plane of ``stack``, as ``(Y, X)``."""
    return np.asarray(rule_at(rule, index)(read_plane(stack, index)))


def rule_at(rule: AnyRule, index: PlaneIndex) -> PlaneRule | SteppedRule:
    """Return the rule for one plane."""
    return rule.at(index) if isinstance(rule, PlaceRule) else rule


def plane_work(rule: PlaneRule | SteppedRule, plane: NDArray[Any]) -> Fractions:
    """Return the work of a rule on one plane, not begun; it has steps where the rule has."""
    made = (yield from rule.steps(plane)) if isinstance(rule, SteppedRule) else rule(plane)
    return np.asarray(made)


def evolved_plane(evolution: Evolution, stack: Stack, index: PlaneIndex) -> NDArray[Any] | None:
    """Return what one plane looks like by now, as ``(Y, X)``; None where something else evolves.

    Parameters
    ----------
    evolution
        From the steps of a method that evolves over all planes or volumes of ``stack``.
    index
        The plane that is looked at.
    """
    labels = evolution.labels
    if labels is None:
        return None
    axes, shape = plane_axes(stack), plane_shape(stack)
    depth = next((axes.index(axis) for axis in "ZIQ" if axis in axes), -1) if labels.ndim == 3 else -1
    counts = [n for i, n in enumerate(shape) if i != depth]
    places = [n for i, n in enumerate(index) if i != depth]
    if tuple(np.unravel_index(evolution.piece, counts) if counts else ()) != tuple(places):
        return None
    plane: NDArray[Any] = labels[index[depth]] if depth >= 0 else labels
    return plane


def over_planes(stack: Stack, work: Callable[[NDArray[Any], int], R], take: Callable[[R], object], label: str) -> Steps[None]:
    """Do ``work`` on every plane, several at a time where that pays, and hand over each result, in storage order.

    Parameters
    ----------
    work
        Looks at one plane, ``(Y, X)`` or ``(C, Y, X)``, the how-manieth of all from 0; it may run in another thread and must not change
        anything it shares.
    take
        Gets the results one by one, in the caller's thread.
    label
        What the progress counts.
    """

    def alone(plane: NDArray[Any], number: int) -> Generator[float, None, R]:
        yield 0.0
        return work(plane, number)

    indices = list(plane_indices(stack))
    yield from in_order((alone(read_plane(stack, index), number) for number, index in enumerate(indices)), take, len(indices), label)


def map_planes(stack: Stack, rule: AnyRule, label: str = "slice") -> Steps[NDArray[Any]]:
    """Apply ``rule`` to every plane, several at a time, and return the results as one array of `Stack.label_shape`.

    Planes are read in order by the thread that walks the steps; rules run in threads of their own where they take long, so they must not
    change anything they share. Yields after each plane, and within one where the rule is a `SteppedRule`, so that it can be cancelled there.
    """
    indices = list(plane_indices(stack))
    result: NDArray[Any] | None = None
    flip = stack.label_axes.index("Y") > stack.label_axes.index("X")
    places = iter(indices)

    def put(plane: NDArray[Any]) -> None:
        nonlocal result
        if result is None:
            result = np.zeros(stack.label_shape, plane.dtype)
        elif result.dtype != np.promote_types(result.dtype, plane.dtype):
            result = result.astype(np.promote_types(result.dtype, plane.dtype))
        result[label_key(stack, next(places))] = plane.T if flip else plane

    works = (plane_work(rule_at(rule, index), read_plane(stack, index)) for index in indices)
    yield from in_order(works, put, len(indices), label)
    return np.zeros(stack.label_shape, np.uint8) if result is None else result
