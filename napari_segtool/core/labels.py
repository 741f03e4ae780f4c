"""Labels (0 is background) and paint (0 is *not labelled*): two types, because 0 differs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_segtool.core.errors import AxesError, DataError

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
    array = np.asarray(data)
    if array.dtype == bool:
        return array.astype(np.uint8)
    if array.dtype.kind == "f":
        if not np.isfinite(array).all() or (array != np.round(array)).any():
            raise DataError(f"Labels must be whole numbers, got {array.dtype} with fractions or NaN.", hint="Threshold probabilities first.")
        array = array.astype(np.int64)
    if array.dtype.kind not in "iu":
        raise DataError(f"Labels must be whole numbers, got {array.dtype}.")
    low, high = (int(array.min()), int(array.max())) if array.size else (0, 0)
    if low < 0:
        raise DataError(f"Labels cannot be negative, got {low}.")
    return array.astype(smallest_dtype(high), copy=False)


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
