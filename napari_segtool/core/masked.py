"""Work inside a mask: pixels outside have no value, so that nothing counts or enters them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_segtool.core.errors import DataError
from napari_segtool.core.stack import Stack


def inside(stack: Stack, mask: NDArray[Any]) -> Stack:
    """Return the stack with ``nan`` outside ``mask``, made part by part as it is read.

    Parameters
    ----------
    stack
        Any axes.
    mask
        Shape `Stack.label_shape`; work goes on where it is not 0.

    Raises
    ------
    DataError
        If the mask is empty.
    """
    chosen = np.asarray(mask) != 0
    if not chosen.any():
        raise DataError("The mask is empty: there is nothing to work on.", hint="Draw the region first, or work on the whole picture.")
    return replace(stack, data=MaskedPixels(stack, chosen), memo={})


class MaskedPixels:
    """An array of floats that reads another, with ``nan`` outside a mask.

    Parameters
    ----------
    stack
        Where the values come from.
    mask
        bool, `Stack.label_shape`.
    """

    def __init__(self, stack: Stack, mask: NDArray[np.bool_]) -> None:
        self._data = stack.data
        channel = stack.channel_axis
        self._mask = mask if channel < 0 else np.broadcast_to(np.expand_dims(mask, channel), stack.shape)
        self.shape, self.ndim = stack.shape, len(stack.shape)
        source = np.dtype(stack.data.dtype)
        self.dtype = np.dtype(np.float32 if source.itemsize <= 2 or source == np.float32 else np.float64)

    def __getitem__(self, key: Any) -> NDArray[Any]:
        values = np.asarray(self._data[key]).astype(self.dtype)
        return np.where(self._mask[key], values, self.dtype.type(np.nan))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.asarray(self[...], dtype=dtype)
