"""Gaussian smoothing of one plane that keeps its type and leaves out pixels without a value."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

TRUNCATE = 4.0
"""Widths of the Gaussian at which its kernel ends, as in SciPy."""

WIDE_PX = 16.0
"""Width above which a product in the spectrum is quicker than a kernel."""


def smooth_plane(plane: NDArray[Any], sigma_y: float, sigma_x: float) -> NDArray[Any]:
    """Smooth a plane with a Gaussian, mirrored at the border.

    Parameters
    ----------
    plane
        Shape ``(Y, X)``, whole numbers or floats of any byte order; ``nan`` is no value: it stays ``nan`` and its
        neighbours are averaged without it. Infinite values count as ``nan`` for their neighbours and stay as they are.
    sigma_y, sigma_x
        Widths in pixels; 0 leaves that axis alone.

    Returns
    -------
    ndarray
        Of the type of ``plane`` in native byte order; whole numbers are rounded.

    Examples
    --------
    >>> smooth_plane(np.array([[0, 0, 90, 0, 0]], np.uint8), 0, 0.5).tolist()
    [[0, 10, 71, 10, 0]]
    """
    if sigma_y <= 0 and sigma_x <= 0:
        return native(plane)
    values = float_plane(plane)
    if plane.dtype.kind != "f" or np.isfinite(values).all():
        return restored(_blur(values, sigma_y, sigma_x), plane.dtype)
    known = np.isfinite(values)
    weight = _blur(known.astype(values.dtype), sigma_y, sigma_x)
    with np.errstate(invalid="ignore", divide="ignore"):
        smooth = _blur(np.where(known, values, 0), sigma_y, sigma_x) / weight
    return restored(np.where(known, smooth, values), plane.dtype)


def native(plane: NDArray[Any]) -> NDArray[Any]:
    """Return the plane in this machine's byte order, contiguous; the same object where it is so already."""
    return np.ascontiguousarray(plane, plane.dtype.newbyteorder("="))


def float_plane(plane: NDArray[Any]) -> NDArray[Any]:
    """Return the plane as float32 where that holds every value exactly, else as float64."""
    narrow = plane.dtype.kind == "b" or (plane.dtype.kind in "iu" and plane.dtype.itemsize <= 2) or (plane.dtype.kind == "f" and plane.dtype.itemsize <= 4)
    return np.ascontiguousarray(plane, np.float32 if narrow else np.float64)


def restored(values: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return ``values`` in ``dtype``; whole numbers are rounded, not cut."""
    dtype = dtype.newbyteorder("=")
    return (np.rint(values) if dtype.kind in "biu" and values.dtype.kind == "f" else values).astype(dtype, copy=False)


def wide_blur(values: NDArray[Any], sigmas: dict[int, float]) -> NDArray[Any]:
    """Smooth along some axes with a Gaussian of any width, mirrored at the border, at a cost that does not grow with the width.

    A cosine transform is the spectrum of the mirrored picture, so a Gaussian is a product there.

    Parameters
    ----------
    values
        float32 or float64, finite.
    sigmas
        Width in pixels for each axis to smooth along.
    """
    from scipy.fft import dctn, idctn

    spectrum = dctn(values, axes=tuple(sigmas))
    for axis, sigma in sigmas.items():
        count = values.shape[axis]
        with np.errstate(under="ignore"):
            damping = np.exp(-0.5 * (np.pi * sigma / count * np.arange(count)) ** 2).astype(values.dtype)
        spectrum *= damping.reshape([-1 if i == axis else 1 for i in range(values.ndim)])
    smooth: NDArray[Any] = idctn(spectrum, axes=tuple(sigmas))
    return smooth


def _blur(values: NDArray[Any], sigma_y: float, sigma_x: float) -> NDArray[Any]:
    import cv2

    wide = {axis: sigma for axis, sigma in ((0, sigma_y), (1, sigma_x)) if sigma > WIDE_PX}
    if wide:
        values = wide_blur(values, wide)
        sigma_y, sigma_x = (0.0 if axis in wide else sigma for axis, sigma in ((0, sigma_y), (1, sigma_x)))
    size = (_width(sigma_x), _width(sigma_y))
    if size == (1, 1):
        return values
    # OpenCV takes a width of 0 as "the same as the other", so an axis that is to be left alone gets a kernel of one pixel
    blurred: NDArray[Any] = cv2.GaussianBlur(values, size, sigmaX=sigma_x or 1.0, sigmaY=sigma_y or 1.0, borderType=cv2.BORDER_REFLECT)
    return blurred


def _width(sigma: float) -> int:
    return 2 * math.floor(TRUNCATE * sigma + 0.5) + 1 if sigma > 0 else 1
