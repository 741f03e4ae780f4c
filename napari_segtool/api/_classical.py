"""Segmenting and filtering without learning: filters, then a method, then post-processing."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_segtool.api._files import read
from napari_segtool.api._sources import Image, Marks, check_pixels, over_steps, stack_of, step_of_steps
from napari_segtool.core.chain import Chain, Link, parse_chain
from napari_segtool.core.errors import DataError
from napari_segtool.core.given import Given, check_given, inputs_of
from napari_segtool.core.labels import Labels, as_label_array, label_array_steps
from napari_segtool.core.masked import inside
from napari_segtool.core.planes import AnyRule, map_planes
from napari_segtool.core.progress import Steps, as_progress, drain
from napari_segtool.core.registry import FILTERS, METHODS, Entry
from napari_segtool.core.result import Prediction, Probabilities, Segmentation
from napari_segtool.core.slabs import made_steps
from napari_segtool.core.stack import Stack, parse_slices

REFINES = "refine"
"""Family of the methods that change labels rather than make them: post-processing."""

Likelihood = Prediction | Probabilities | Stack | NDArray[Any] | str | Path


def prepare_steps(stack: Stack, filters: Chain = (), mask: NDArray[Any] | None = None) -> Steps[Stack]:
    """Return the stack that a method works on: behind the filters, and without values outside the mask.

    Keep what it returns: planes are filtered once, when they are first read.
    """
    from napari_segtool.preprocess._chain import filtered_steps

    check_pixels(stack)
    ready: Stack = yield from filtered_steps(stack, parse_chain(filters, FILTERS))
    return ready if mask is None else inside(ready, mask)


def segment_rule_steps(stack: Stack, method: str, *, given: Given | None = None, **params: Any) -> Steps[AnyRule | NDArray[Any]]:
    """Learn from the whole stack what a method needs, and return its rule for one plane (or the finished volume).

    For previews: apply the rule to the visible plane only, see `core.planes.apply_rule`.

    Parameters
    ----------
    given
        What lies over the stack, for the methods that work with it.
    """
    entry = METHODS.get(method)
    values = entry.params.build(**params)
    check_pixels(stack)
    given = yield from _completed_steps(entry, stack, given or Given())
    check_given(entry, given)
    work = entry.function(stack, values, given) if inputs_of(entry) else entry.function(stack, values)
    outcome: AnyRule | NDArray[Any] = yield from work
    return outcome


def segment_steps(
    image: Image,
    method: str,
    *,
    slices: str = "",
    filters: Chain = (),
    then: Chain = (),
    mask: Marks | None = None,
    paint: Marks | None = None,
    labels: Prediction | Marks | None = None,
    probabilities: Likelihood | None = None,
    **params: Any,
) -> Steps[Segmentation]:
    """Generator form of `segment`."""
    stack, entry = stack_of(image, slices), METHODS.get(method)
    before, after = parse_chain(filters, FILTERS), parse_chain(then, METHODS)
    for link in after:
        check_refines(METHODS.get(link.name))
    limits = None if mask is None else (yield from over_steps(mask, stack, slices, "mask"))
    given = Given(
        None if paint is None else (yield from over_steps(paint, stack, slices, "paint")),
        None if labels is None else (yield from over_steps(labels, stack, slices, "label image")),
        None if probabilities is None else _likelihood(probabilities, stack, slices),
    )
    history = []
    ready = stack
    for link in before:
        history.append((yield from step_of_steps("filter", FILTERS.get(link.name), link.params, ready.data)))
        ready = yield from prepare_steps(ready, [link])
    everything, given = given, _left_for(entry, given, after)
    history.append((yield from step_of_steps("segment", entry, params, ready.data, mask=limits, **_arrays(given))))
    outside = None
    if limits is not None:
        outside = yield from _original_steps(entry, stack, given)
        given = yield from _completed_steps(entry, ready, given)  # a mask makes fractions of labels that are the image itself
    ready = yield from prepare_steps(ready, (), limits)
    made = yield from _labels_steps(ready, entry.name, (yield from _within_steps(given, limits)), params)
    for link in after:
        refining = for_refining(METHODS.get(link.name), made, everything)
        beside = _arrays(replace(refining, labels=None))
        history.append((yield from step_of_steps("segment", METHODS.get(link.name), link.params, made, mask=limits, **beside)))
        made = yield from _labels_steps(ready, link.name, refining, link.params)
    if limits is not None:
        made = yield from as_progress(_joined_steps(limits, made, outside), 0, 1, "mask")
    made = yield from as_progress(label_array_steps(made), 0, 1, "labels")
    name = f"{stack.name} · {entry.title}".strip(" ·")
    return Segmentation(Labels(made, stack.label_axes), stack.spacing_um, tuple(history), name)


def segment(
    image: Image,
    method: str,
    *,
    slices: str = "",
    filters: Chain = (),
    then: Chain = (),
    mask: Marks | None = None,
    paint: Marks | None = None,
    labels: Prediction | Marks | None = None,
    probabilities: Likelihood | None = None,
    **params: Any,
) -> Segmentation:
    """Segment a stack with a classical method.

    Parameters
    ----------
    image
        Stack or path. A method that changes labels (post-processing) takes labels here too, where ``labels`` is left out.
    method
        Name from ``segtool list methods``.
    slices
        ``A:B`` along the first spatial axis; empty takes all. Masks, paint and labels may be given for those slices or for all.
    filters
        Filters to apply first, in order: ``["median", ("gaussian", {"sigma_px": 2})]`` or ``["gaussian:sigma_px=2"]``.
    then
        Post-processing to apply afterwards, in order, written in the same way.
    mask
        Work only where it is not 0; outside, labels are 0 (or stay as they were, where labels are changed).
    paint
        For methods that start from paint: 0 is not labelled, 1…K are classes.
    labels, probabilities
        For methods that change labels, or weigh probabilities (class axis first).
    **params
        The method's parameters.

    Returns
    -------
    Segmentation
        ``labels.data`` is uint8, uint16 or uint32, of the stack's shape without channels.

    Raises
    ------
    ParameterError
        If a parameter is not allowed, or something that the method needs is not given.
    DataError
        If the image is empty, or what is given does not lie over it.

    Examples
    --------
    >>> stack = Stack(np.repeat([[10, 200]], 4, axis=0).astype(np.uint8), "YX")
    >>> segment(stack, "otsu").labels.data[0].tolist()
    [0, 1]
    """
    return drain(
        segment_steps(
            image,
            method,
            slices=slices,
            filters=filters,
            then=then,
            mask=mask,
            paint=paint,
            labels=labels,
            probabilities=probabilities,
            **params,
        )
    )


def apply_filter_steps(image: Image, name: str, *, slices: str = "", **params: Any) -> Steps[Stack]:
    """Generator form of `apply_filter`."""
    stack, entry = stack_of(image, slices), FILTERS.get(name)
    values = entry.params.build(**params)
    check_pixels(stack)
    outcome = yield from entry.function(stack, values)
    data = outcome if isinstance(outcome, np.ndarray) else (yield from map_planes(stack, outcome))
    axes = stack.axes if data.ndim == len(stack.axes) else stack.label_axes
    return Stack(data, axes, stack.spacing_um, f"{stack.name} · {entry.title}".strip(" ·"))


def apply_filter(image: Image, name: str, *, slices: str = "", **params: Any) -> Stack:
    """Filter a stack; returns a stack of the same spacing.

    Parameters
    ----------
    image
        Stack or path.
    name
        Name from ``segtool list filters``.
    slices
        ``A:B`` along the first spatial axis; empty takes all.
    **params
        The filter's parameters.
    """
    return drain(apply_filter_steps(image, name, slices=slices, **params))


def _labels_steps(stack: Stack, method: str, given: Given, params: Any) -> Steps[NDArray[Any]]:
    outcome = yield from segment_rule_steps(stack, method, given=given, **params)
    return outcome if isinstance(outcome, np.ndarray) else (yield from map_planes(stack, outcome))


def _completed_steps(entry: Entry, stack: Stack, given: Given) -> Steps[Given]:
    """Take the image itself for labels where a method needs labels alone and none are given."""
    if "labels" not in entry.traits or given.labels is not None or given.probabilities is not None:
        return given
    if stack.channel_axis >= 0 or np.dtype(stack.data.dtype).kind not in "bui":
        return given
    return replace(given, labels=(yield from as_progress(label_array_steps(stack.data), 0, 1, "labels")))


def check_refines(entry: Entry) -> None:
    """Raise `DataError` unless the method changes labels, so that it can come after another."""
    if entry.family != REFINES:
        names = [other.name for other in METHODS if other.family == REFINES]
        raise DataError(f"{entry.title} makes labels anew; it cannot come after another method.", hint=f"Choose one of: {', '.join(names)}.")


def for_refining(entry: Entry, labels: NDArray[Any], given: Given) -> Given:
    """Return what post-processing is given: the labels made so far, and probabilities where it weighs them."""
    return Given(labels=as_label_array(labels), probabilities=given.probabilities if "probabilities" in inputs_of(entry) else None)


def _left_for(entry: Entry, given: Given, after: tuple[Link, ...]) -> Given:
    """Return what is given without probabilities that only post-processing weighs."""
    weighed = any("probabilities" in inputs_of(METHODS.get(link.name)) for link in after)
    return replace(given, probabilities=None) if weighed and "probabilities" not in inputs_of(entry) else given


def _original_steps(entry: Entry, stack: Stack, given: Given) -> Steps[NDArray[Any] | None]:
    """Labels that stay as they were outside a mask: those that a method of post-processing changes."""
    return (yield from _completed_steps(entry, stack, given)).labels if entry.family == REFINES else None


def _within_steps(given: Given, mask: NDArray[Any] | None) -> Steps[Given]:
    if mask is None or given.labels is None:
        return given
    return replace(given, labels=(yield from as_progress(_joined_steps(mask, given.labels, None), 0, 1, "mask")))


def _joined_steps(mask: NDArray[Any], within: NDArray[Any], outside: NDArray[Any] | None) -> Generator[float, None, NDArray[Any]]:
    """Return the labels within a mask, and others (or 0) outside."""
    kind = within.dtype if outside is None else np.promote_types(within.dtype, outside.dtype)
    return (yield from made_steps(within.shape, kind, lambda part: np.where(mask[part] != 0, within[part], 0 if outside is None else outside[part])))


def _arrays(given: Given) -> dict[str, NDArray[Any]]:
    return {name: getattr(given, name) for name in given.names()}


def _likelihood(probabilities: Likelihood, stack: Stack, slices: str) -> NDArray[Any]:
    """Return probabilities as a float32 array, class axis first, that lies over ``stack``."""
    source: Any = probabilities.probabilities if isinstance(probabilities, Prediction) else probabilities
    if isinstance(source, str | Path):
        source = read(source)
    array = np.asarray(source.data if isinstance(source, Probabilities | Stack) else source, np.float32)
    if slices and array.ndim == len(stack.label_shape) + 1:
        axis = 1 + stack.label_axes.index(stack.axes[stack.slice_axis])
        if array.shape[axis] != stack.slices:
            array = array[(slice(None),) * axis + (slice(*parse_slices(slices)),)]
    if array.shape[1:] != stack.label_shape:
        raise DataError(
            f"The probabilities have the shape {array.shape}, but the image needs (classes, {', '.join(map(str, stack.label_shape))}).",
            hint="Give the class axis first, as predict writes them.",
        )
    return array
