"""Labels (0 is background) and paint (0 is *not labelled*): two types, because 0 differs."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_segtool.core.errors import AxesError, DataError
from napari_segtool.core.slabs import made_steps, slabs_along

OKABE_ITO = ("#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7", "#999999")
"""Colours of classes 1, 2, … (Okabe & Ito 2008, colour-blind safe), the same in lists, layers, plots and reports."""


def class_colour(index: int) -> str:
    """Return the colour of class ``index`` as ``#RRGGBB``; class 0 is the first colour's neutral grey.

    Examples
    --------
    >>> class_colour(1)
    '#E69F00'
    """
    return "#666666" if index == 0 else OKABE_ITO[(index - 1) % len(OKABE_ITO)]


def smallest_dtype(largest: int) -> np.dtype[Any]:
    """Return uint8, uint16 or uint32: the smallest that holds ``largest``.

    Raises
    ------
    DataError
        If ``largest`` is negative or above 4294967295.
    """
    for dtype in (np.uint8, np.uint16, np.uint32):
        if 0 <= largest <= np.iinfo(dtype).max:
            return np.dtype(dtype)
    raise DataError(f"Label {largest} cannot be stored: labels run from 0 to 4294967295.")


def as_label_array(data: Any) -> NDArray[Any]:
    """Return ``data`` as an unsigned label array of the smallest dtype; floats must be whole numbers."""
    work = label_array_steps(data)
    try:
        while True:
            next(work)
    except StopIteration as stop:
        return np.asarray(stop.value)


def label_array_steps(data: Any) -> Generator[float, None, NDArray[Any]]:
    """Generator form of `as_label_array`; yields the finished part."""
    array = np.asarray(data)
    if array.dtype.kind not in "biuf":
        raise DataError(f"Labels must be whole numbers, got {array.dtype}.")
    low, high, rows = 0, 0, array.reshape(1) if array.ndim == 0 else array
    for part in slabs_along(rows.shape):
        slab = rows[part]
        if array.dtype.kind == "f" and (not np.isfinite(slab).all() or (slab != np.round(slab)).any()):
            raise DataError(f"Labels must be whole numbers, got {array.dtype} with fractions or NaN.", hint="Threshold probabilities first.")
        low, high = min(low, int(slab.min(initial=0))), max(high, int(slab.max(initial=0)))
        yield 0.0
    if low < 0:
        raise DataError(f"Labels cannot be negative, got {low}.")
    kind = smallest_dtype(high)
    if array.dtype == kind:
        yield 1.0
        return array
    made = yield from made_steps(rows.shape, kind, lambda part: rows[part])
    return made.reshape(array.shape)


@dataclass(frozen=True, eq=False)
class _Marked:
    data: Any
    axes: str
    class_names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if len(self.axes) != self.data.ndim:
            raise AxesError(
                f"The labels have {self.data.ndim} dimensions {tuple(self.data.shape)}, but the axes {self.axes!r} name {len(self.axes)}.",
                hint="Give one letter for each dimension, for example --axes ZYX.",
            )

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.asarray(self.data, dtype=dtype)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the array."""
        return tuple(int(n) for n in self.data.shape)


class Labels(_Marked):
    """Dense result: 0 is background or class 0, then classes or object ids.

    Parameters
    ----------
    data
        Unsigned integer array, one value for each pixel.
    axes
        One letter for each dimension, without channels ("ZYX").
    class_names
        Name of class 0, 1, …; empty for object ids.
    """


class Paint(_Marked):
    """Sparse annotation: 0 is *not labelled*, 1…K are classes.

    Parameters
    ----------
    data
        Unsigned integer array.
    axes
        One letter for each dimension, without channels ("ZYX").
    class_names
        Name of class 1, 2, …
    """
