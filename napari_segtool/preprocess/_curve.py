"""Put a grey value in the place of another, whatever the type of the picture."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_segtool.preprocess._smooth import restored

Curve = Callable[[NDArray[np.float64]], NDArray[np.float64]]
"""Turns finite grey values into others, each on its own."""


def along_curve(plane: NDArray[Any], curve: Curve) -> NDArray[Any]:
    """Apply a curve to every pixel; keeps the type, whole numbers are rounded and cut at its limits.

    Parameters
    ----------
    plane
        Any shape and type; pixels that are not finite stay as they are.
    curve
        Asked once for each grey value of an 8 or 16 bit type, once for each pixel of other types.
    """
    dtype = plane.dtype.newbyteorder("=")
    if dtype.kind == "b" or (dtype.kind in "iu" and dtype.itemsize <= 2):
        narrow = np.dtype(np.uint8) if dtype.kind == "b" else dtype
        limits = np.iinfo(narrow)
        table = cut(curve(np.arange(limits.min, int(limits.max) + 1, dtype=np.float64)), narrow)
        places = plane.astype(np.int32) - int(limits.min) if dtype.kind == "i" else plane.astype(narrow, copy=False)
        looked_up: NDArray[Any] = table[places]
        return looked_up.astype(dtype, copy=False)
    if dtype.kind != "f":
        return cut(curve(plane.astype(np.float64)), dtype)
    known = np.isfinite(plane)
    values = np.where(known, plane, 0).astype(np.float64)
    return cut(np.where(known, curve(values), plane), dtype)


def cut(values: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return ``values`` in ``dtype``, rounded where that is whole, and cut at its limits."""
    if dtype.kind == "b":
        return values >= 0.5
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        highest = float(limits.max) if dtype.itemsize < 8 else np.nextafter(float(limits.max), 0)
        values = np.clip(values, float(limits.min), highest)
    with np.errstate(over="ignore"):  # a float16 may be too narrow for what a curve makes
        return restored(values, dtype)
