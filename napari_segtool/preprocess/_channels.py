"""Apply a filter of one picture to every channel of a stack."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_segtool.core.parallel import in_order
from napari_segtool.core.planes import PlaneRule, map_planes, plane_work
from napari_segtool.core.progress import Steps
from napari_segtool.core.stack import Stack

Learn = Callable[[Stack], Steps[PlaneRule | NDArray[Any]]]
"""Looks at a whole stack without channels and returns a rule for its planes, or the filtered stack."""


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
    keys = [tuple(slice(None) if axis in "YX" else i for axis, i in zip(stack.axes, place, strict=True)) for place in places]
    result: NDArray[Any] | None = None
    targets = iter(keys)

    def put(filtered: NDArray[Any]) -> None:
        nonlocal result
        result = np.empty(stack.shape, filtered.dtype) if result is None else result
        result[next(targets)] = filtered.T if flip else filtered

    planes = (np.asarray(stack.data[key]) for key in keys)
    yield from in_order((plane_work(rule, plane.T if flip else plane) for plane in planes), put, len(keys), "slice")
    return np.empty(stack.shape, np.uint8) if result is None else result


def own_channel_steps(stack: Stack, learn: Learn) -> Steps[PlaneRule | NDArray[Any]]:
    """Let a filter that looks at the whole stack first look at each channel on its own.

    Parameters
    ----------
    stack
        Any axes.
    learn
        Called with the stack itself where it has no channels, else with one channel of it after another.

    Returns
    -------
    PlaneRule or ndarray
        What ``learn`` returned, or the filtered array of the stack's own shape and axes.
    """
    if stack.channel_axis < 0:
        return (yield from learn(stack))
    count = stack.shape[stack.channel_axis]
    result: NDArray[Any] | None = None
    for channel in range(count):
        memo = stack.memo.setdefault(f"channel {channel}", {})  # so that moving a slider does not look at every plane again
        alone = replace(stack, data=OneChannel(stack.data, stack.channel_axis, channel), axes=stack.label_axes, memo=memo)
        steps = _channel_steps(alone, learn)
        filtered: NDArray[Any] = yield from _counted(steps, channel, count)
        result = np.empty(stack.shape, filtered.dtype) if result is None else result
        result[(slice(None),) * stack.channel_axis + (channel,)] = filtered
    return np.empty(stack.shape, np.uint8) if result is None else result


def _channel_steps(stack: Stack, learn: Learn) -> Steps[NDArray[Any]]:
    outcome = yield from learn(stack)
    return outcome if isinstance(outcome, np.ndarray) else (yield from map_planes(stack, outcome))


def _counted(steps: Steps[NDArray[Any]], channel: int, count: int) -> Steps[NDArray[Any]]:
    """Say which channel a stage belongs to, so that none seems to start anew."""
    try:
        while True:
            part = next(steps)
            yield replace(part, label=f"{part.label} of channel {channel + 1}" if count > 1 else part.label)
    except StopIteration as stop:
        return np.asarray(stop.value)
    finally:
        steps.close()


class OneChannel:
    """One channel of an array that is read in parts: the array's own data are read where it is indexed, and nowhere else."""

    def __init__(self, data: Any, axis: int, channel: int) -> None:
        self._data, self._axis, self._channel = data, axis, channel
        self.shape = tuple(n for i, n in enumerate(data.shape) if i != axis)
        self.dtype, self.ndim = data.dtype, len(self.shape)

    def __getitem__(self, key: Any) -> Any:
        keys = key if isinstance(key, tuple) else (key,)
        keys += (slice(None),) * (self.ndim - len(keys))
        return self._data[(*keys[: self._axis], self._channel, *keys[self._axis :])]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.asarray(self[()], dtype=dtype)
