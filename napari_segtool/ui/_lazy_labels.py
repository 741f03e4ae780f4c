"""Labels whose planes are worked out when somebody looks at them, so that a preview of one slice need not make all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin
from numpy.typing import NDArray

from napari_segtool.core.labels import as_label_array
from napari_segtool.core.planes import AnyRule, PlaneIndex, apply_rule, plane_axes
from napari_segtool.core.stack import Stack


class WholeNeeded(Exception):  # noqa: N818  it is no error: whoever made the labels then makes all of them
    """Somebody asked for more of the labels than single planes."""


class PlaneLabels(NDArrayOperatorsMixin):
    """Stands for an array of labels, of which planes can be had one by one; everything else raises `WholeNeeded`.

    Parameters
    ----------
    stack
        What the labels lie over.
    rule
        Makes the labels of a plane.
    known
        Planes that have been made already.
    """

    def __init__(self, stack: Stack, rule: AnyRule, known: Mapping[PlaneIndex, NDArray[Any]]) -> None:
        self._stack, self._rule, self._known = stack, rule, dict(known)
        self.shape, self.ndim, self.dtype = stack.label_shape, len(stack.label_shape), np.dtype(np.uint32)

    def __getitem__(self, key: Any) -> NDArray[Any]:
        parts = dict(zip(self._stack.label_axes, key if isinstance(key, tuple) else (key,), strict=False))
        whole = all(isinstance(parts.get(axis), slice) and parts[axis] == slice(None) for axis in "YX")
        places = [parts.get(axis) for axis in plane_axes(self._stack)]
        if not whole or len(parts) != self.ndim or not all(isinstance(place, int | np.integer) for place in places):
            raise WholeNeeded
        index = tuple(int(place) for place in places if place is not None)
        if index not in self._known:
            self._known = {index: as_label_array(apply_rule(self._rule, self._stack, index))}  # one at a time: a stack of them would not be lazy
        plane = self._known[index]
        return plane.T if self._stack.label_axes.index("Y") > self._stack.label_axes.index("X") else plane

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NoReturn:
        raise WholeNeeded

    def __array_ufunc__(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise WholeNeeded

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("__"):
            raise AttributeError(name)  # numpy asks for protocols that are not there
        raise WholeNeeded
