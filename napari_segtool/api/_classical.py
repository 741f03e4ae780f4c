"""Segmenting and filtering without learning."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_segtool.api._sources import Image, check_pixels, stack_of, step_of
from napari_segtool.core.labels import Labels, as_label_array
from napari_segtool.core.planes import PlaneRule, map_planes
from napari_segtool.core.progress import Steps, drain
from napari_segtool.core.registry import FILTERS, METHODS
from napari_segtool.core.result import Segmentation
from napari_segtool.core.stack import Stack


def segment_rule_steps(stack: Stack, method: str, **params: Any) -> Steps[PlaneRule | NDArray[Any]]:
    """Learn from the whole stack what a method needs, and return its rule for one plane (or the finished volume).

    For previews: apply the rule to the visible plane only, see `core.planes.read_plane`.
    """
    entry = METHODS.get(method)
    values = entry.params.build(**params)
    check_pixels(stack)
    outcome: PlaneRule | NDArray[Any] = yield from entry.function(stack, values)
    return outcome


def segment_steps(image: Image, method: str, *, slices: str = "", **params: Any) -> Steps[Segmentation]:
    """Generator form of `segment`."""
    stack = stack_of(image, slices)
    outcome = yield from segment_rule_steps(stack, method, **params)
    labels = outcome if isinstance(outcome, np.ndarray) else (yield from map_planes(stack, outcome))
    step = step_of("segment", METHODS.get(method), params, stack)
    return Segmentation(Labels(as_label_array(labels), stack.label_axes), stack.spacing_um, (step,), f"{stack.name} · {METHODS.get(method).title}".strip(" ·"))


def segment(image: Image, method: str, *, slices: str = "", **params: Any) -> Segmentation:
    """Segment a stack with a classical method.

    Parameters
    ----------
    image
        Stack or path.
    method
        Name from ``segtool list methods``.
    slices
        ``A:B`` along the first spatial axis; empty takes all.
    **params
        The method's parameters.

    Returns
    -------
    Segmentation
        ``labels.data`` is uint8, uint16 or uint32, of the stack's shape without channels.

    Examples
    --------
    >>> stack = Stack(np.repeat([[10, 200]], 4, axis=0).astype(np.uint8), "YX")
    >>> segment(stack, "otsu").labels.data[0].tolist()
    [0, 1]
    """
    return drain(segment_steps(image, method, slices=slices, **params))


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
