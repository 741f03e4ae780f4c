"""Take a background off a picture."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_segtool.preprocess._curve import cut

How = Literal["subtract", "divide"]


def without_background(plane: NDArray[Any], background: NDArray[Any], how: How, level: float) -> NDArray[Any]:
    """Return a picture whose background is ``level`` everywhere.

    Parameters
    ----------
    plane
        Any shape and type; pixels that are not finite stay as they are.
    background
        Of the same shape, float; finite where the plane is.
    how
        ``subtract`` for light that was added, ``divide`` for uneven illumination; where the background is not above 0, which no
        illumination is, a pixel that would be divided stays as it is.
    level
        Grey value of the background afterwards.

    Returns
    -------
    ndarray
        Of the type of ``plane`` in native byte order; whole numbers are rounded and cut at the limits of their type.
    """
    dtype = plane.dtype.newbyteorder("=")
    values = plane.astype(background.dtype)
    known = np.isfinite(values)
    if how == "subtract":
        with np.errstate(invalid="ignore"):
            mended = values - background + level
    else:
        lit = known & (background > 0)
        mended = values.copy()
        np.divide(values, background, out=mended, where=lit)
        np.multiply(mended, level, out=mended, where=lit)
    return cut(np.where(known, mended, values), dtype)


def mean_where(background: NDArray[Any], plane: NDArray[Any]) -> float:
    """Return the mean of the background where the plane has finite values; 0 where there are none."""
    if plane.dtype.kind != "f":
        return float(background.mean(dtype=np.float64))
    known = np.isfinite(plane)
    return float(background.mean(dtype=np.float64, where=known)) if known.any() else 0.0
