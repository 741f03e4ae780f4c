"""Apply a filter of one picture to every channel of a stack."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_segtool.core.planes import PlaneRule, plane_steps
from napari_segtool.core.progress import Progress, Steps
from napari_segtool.core.stack import Stack


def each_channel_steps(stack: Stack, rule: PlaneRule) -> Steps[PlaneRule | NDArray[Any]]:
    """Return ``rule`` itself for a stack without channels; else apply it to every plane of every channel.

    Parameters
    ----------
    stack
        Any axes.
    rule
        Turns ``(Y, X)`` into ``(Y, X)``.

    Returns
    -------
    PlaneRule or ndarray
        The rule, or the filtered array of the stack's own shape and axes.
    """
    if stack.channel_axis < 0:
        return rule
    counts = [1 if axis in "YX" else n for axis, n in zip(stack.axes, stack.shape, strict=True)]
    places = list(itertools.product(*(range(n) for n in counts)))
    flip = stack.axes.index("Y") > stack.axes.index("X")
    result: NDArray[Any] | None = None
    for done, place in enumerate(places, start=1):
        key = tuple(slice(None) if axis in "YX" else i for axis, i in zip(stack.axes, place, strict=True))
        plane = np.asarray(stack.data[key])
        filtered = yield from plane_steps(rule, plane.T if flip else plane, done - 1, len(places), "slice")
        result = np.empty(stack.shape, filtered.dtype) if result is None else result
        result[key] = filtered.T if flip else filtered
        yield Progress(done, len(places), "slice")
    return np.empty(stack.shape, np.uint8) if result is None else result
