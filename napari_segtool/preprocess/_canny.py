"""Canny's edges of one plane: those of scikit-image, pixel for pixel, several times quicker."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_segtool.preprocess._smooth import TRUNCATE, float_plane

Mask = NDArray[np.bool_]
_NOISE = 1e-5  # of the largest grey value: gradients that rounding leaves behind in a constant picture
_Line = tuple[int | slice, int | slice]
_RING: tuple[_Line, ...] = ((0, slice(None)), (-1, slice(None)), (slice(None), 0), (slice(None), -1))
_OUTERMOST: tuple[_Line, ...] = ((1, slice(None)), (-2, slice(None)), (slice(None), 1), (slice(None), -2))
_BLOCK = 1 << 16  # pixels thinned at a time, so that all that is worked on stays in the processor's cache


@dataclass(frozen=True, eq=False)
class Gradients:
    """Sobel gradients of a smoothed plane, with a ring of one pixel around it, where the strength is 0.

    Parameters
    ----------
    along_x, along_y, strength
        float32, shape ``(Y + 2, X + 2)``.
    known
        Pixels ``(Y, X)`` with a value, and so have all their neighbours in the picture; None where all are.
    """

    along_x: NDArray[np.float32]
    along_y: NDArray[np.float32]
    strength: NDArray[np.float32]
    known: Mask | None


def gradients(grey: NDArray[Any], sigma_px: float, scale: float = 1.0) -> Gradients:
    """Smooth a plane with a Gaussian and return its Sobel gradients.

    What lies beyond the border, and pixels without a value, are left out of the smoothing.

    Parameters
    ----------
    grey
        Shape ``(Y, X)``, whole numbers or floats; ``nan`` and infinite pixels have no value.
    sigma_px
        Width of the Gaussian, whose kernel ends at 4 widths as in SciPy; 0 smooths nothing.
    scale
        Factor of the gradients.
    """
    import cv2

    ringed, known = _smooth(grey, sigma_px)
    along_x, along_y = (cv2.Sobel(ringed, ringed.dtype.itemsize // 4 + 4, *way, scale=scale) for way in ((1, 0), (0, 1)))
    along_x, along_y = along_x.astype(np.float32, copy=False), along_y.astype(np.float32, copy=False)
    strength: NDArray[np.float32] = cv2.magnitude(along_x, along_y)
    for line in _RING:
        strength[line] = 0
    if known is not None:
        known = cv2.erode(known.view(np.uint8), np.ones((3, 3), np.uint8), borderType=cv2.BORDER_REPLICATE).view(np.bool_)
    return Gradients(along_x, along_y, strength, known)


def strengths(grey: NDArray[Any], sigma_px: float, every: int = 1, rows: slice = slice(None)) -> NDArray[np.float64]:
    """Return the strength of the gradient of every n-th pixel of some rows, without those that are 0 or rounding noise."""
    first, last, _ = rows.indices(len(grey))
    reach = math.floor(TRUNCATE * sigma_px + 0.5) + 1
    start = max(0, first - reach)
    part = grey[start : last + reach]
    finite = part[np.isfinite(part)] if part.dtype.kind == "f" else part
    largest = max(float(finite.max(initial=0)), -float(finite.min(initial=0)))
    if not largest > np.finfo(np.float32).tiny:
        return np.zeros(0)
    found, inner = gradients(part, sigma_px, 1 / largest), slice(first - start, last - start)
    strength = found.strength[1:-1, 1:-1][inner]
    some = (strength if found.known is None else strength[found.known[inner]]).ravel()[::every]
    return largest * some[some > _NOISE].astype(np.float64)


def edges(grey: NDArray[Any], sigma_px: float, low: float, high: float) -> Mask:
    """Return Canny's edges of a plane: thin, 8-connected, and none where a pixel or a neighbour has no value.

    A pixel of at least ``low`` is on an edge if neither neighbour in the direction of its gradient is stronger, where the strength between
    two pixels is interpolated; edges that nowhere reach ``high`` are dropped. On the outermost pixels, whose gradient is half a guess,
    no edge starts, but one that comes from inside reaches the border.

    Parameters
    ----------
    grey
        Shape ``(Y, X)``, whole numbers or floats.
    sigma_px
        Width of the Gaussian that goes before.
    low, high
        Strength of the gradient in grey values, as Sobel's operator gives it, above 0.

    Returns
    -------
    ndarray
        bool, shape ``(Y, X)``. Away from the outermost pixels these are the edges of ``skimage.feature.canny`` with the same settings.

    References
    ----------
    .. [1] Canny 1986, A computational approach to edge detection, doi:10.1109/TPAMI.1986.4767851

    Examples
    --------
    >>> ramp = np.repeat([[0, 0, 45, 90, 90]], 5, axis=0)
    >>> edges(ramp, 1.0, 50, 100)[2].tolist()
    [False, False, True, False, False]
    """
    found = gradients(grey, sigma_px, 1 / high)
    thin = _thin(found, low / high)
    outermost = [(line, thin[line].copy()) for line in _OUTERMOST]
    for line in (*_RING, *_OUTERMOST):
        thin[line] = False
    linked = _linked(thin, np.logical_and(thin, found.strength >= 1))
    beside = _beside(linked)
    for line, ends in outermost:
        linked[line] = ends & beside[line]
    return np.ascontiguousarray(linked[1:-1, 1:-1])


def _smooth(grey: NDArray[Any], sigma_px: float) -> tuple[NDArray[Any], Mask | None]:
    """Return smoothed floats with a ring that repeats the outermost pixels, finite everywhere, and which pixels have a value (None where all do)."""
    values = float_plane(grey)
    known = np.isfinite(values) if grey.dtype.kind == "f" else None
    if known is not None and known.all():
        known = None
    if known is not None:
        values = np.where(known, values, values.dtype.type(0))
    ringed = np.empty((values.shape[0] + 2, values.shape[1] + 2), values.dtype)
    smooth = ringed[1:-1, 1:-1]
    reach = math.floor(TRUNCATE * sigma_px + 0.5)
    _blur(values, sigma_px, reach, smooth)
    if known is not None:
        weight = np.empty_like(values)
        _blur(known.astype(values.dtype), sigma_px, reach, weight)
        np.divide(smooth, weight + np.finfo(values.dtype).eps, out=smooth)
    elif reach:
        kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma_px) ** 2)
        running = np.concatenate([[0.0], np.cumsum(kernel / kernel.sum())])
        for lines in (smooth, smooth.T):
            for part in (slice(0, reach), slice(max(reach, len(lines) - reach), len(lines))):
                lines[part] /= _weight_inside(len(lines), np.arange(len(lines))[part], running).astype(values.dtype)[:, None]
    for line, outermost in zip(_RING, _OUTERMOST, strict=True):  # the columns after the rows, and so the corners too
        ringed[line] = ringed[outermost]
    return ringed, known


def _blur(values: NDArray[Any], sigma_px: float, reach: int, out: NDArray[Any]) -> None:
    """Write the sum of the pixels in reach, weighed with a Gaussian, into ``out``; beyond the border there are none."""
    import cv2

    if reach:
        cv2.GaussianBlur(values, (2 * reach + 1, 2 * reach + 1), sigma_px, out, borderType=cv2.BORDER_CONSTANT)
    else:
        out[...] = values


def _weight_inside(count: int, place: NDArray[np.int64], running: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return which part of the Gaussian around some of ``count`` pixels in a line lies on the line; ``running`` are the sums of its kernel."""
    reach = len(running) // 2 - 1
    weights: NDArray[np.float64] = running[np.minimum(2 * reach + 1, count - place + reach)] - running[np.maximum(0, reach - place)]
    return weights


def _thin(found: Gradients, low: float) -> Mask:
    """Return the pixels of at least ``low`` that no neighbour along their gradient outdoes; shape ``(Y + 2, X + 2)``.

    The neighbours' strength is interpolated between the pixel beside (or above) and the one across the corner. Everything is flat and
    goes block by block: a shift of the picture is an offset then, and nothing leaves the cache.
    """
    import cv2

    width, count = found.strength.shape[1], found.strength.size
    along_x, along_y, strength = (part.reshape(1, -1) for part in (found.along_x, found.along_y, found.strength))
    thin: Mask = np.zeros((1, count), np.bool_)
    besides, acrosses, ratios = (np.empty((1, _BLOCK), np.float32) for _ in range(3))
    levels, falls, oks = (np.empty((1, _BLOCK), np.bool_) for _ in range(3))
    for start in range(width + 1, count - width - 1, _BLOCK):
        stop = min(start + _BLOCK, count - width - 1)
        here, size = np.s_[:, start:stop], np.s_[:, : stop - start]
        beside, across, ratio = besides[size], acrosses[size], ratios[size]
        level, fall, ok, own, result = levels[size], falls[size], oks[size], strength[here], thin[here]
        np.greater_equal(own, low, out=result)
        np.greater_equal(along_x[here], 0, out=fall)
        np.greater_equal(along_y[here], 0, out=ok)
        np.equal(fall, ok, out=fall)  # the gradient points down to the right or up to the left
        np.abs(along_x[here], out=beside)
        np.abs(along_y[here], out=across)
        np.greater(beside, across, out=level)  # and rather along X than along Y
        np.minimum(beside, across, out=ratio)
        np.maximum(beside, across, out=beside)
        with np.errstate(invalid="ignore"):
            np.divide(ratio, beside, out=ratio)  # how far it turns from the axis to the corner; 0 / 0 is no edge
        for side in (1, -1):

            def shifted(rows: int, columns: int, start: int = start, stop: int = stop, side: int = side) -> NDArray[np.float32]:
                offset = side * (rows * width + columns)
                return strength[:, start + offset : stop + offset]

            np.copyto(beside, shifted(1, 0))
            cv2.copyTo(shifted(0, 1), level.view(np.uint8), beside)
            np.copyto(across, shifted(1, -1))
            cv2.copyTo(shifted(-1, 1), level.view(np.uint8), across)
            cv2.copyTo(shifted(1, 1), fall.view(np.uint8), across)
            np.subtract(across, beside, out=across)
            np.multiply(across, ratio, out=across)
            np.add(across, beside, out=across)
            np.less_equal(across, own, out=ok)
            np.logical_and(result, ok, out=result)
    thin = thin.reshape(found.strength.shape)
    if found.known is not None:
        thin[1:-1, 1:-1] &= found.known
    return thin


def _linked(thin: Mask, strong: Mask) -> Mask:
    """Return the pixels of ``thin`` that are 8-connected to a strong one."""
    import cv2

    weak = np.logical_and(thin, ~strong)  # only these need numbers
    places = np.flatnonzero(weak)
    count, numbered = cv2.connectedComponents(weak.view(np.uint8), connectivity=8, ltype=cv2.CV_32S)
    numbers = numbered.ravel()[places]
    kept = np.zeros(count, np.bool_)
    kept[numbers[_beside(strong).ravel()[places]]] = True
    linked = strong.copy()
    linked.ravel()[places] = kept[numbers]
    return linked


def _beside(mask: Mask) -> Mask:
    """Return the mask and all pixels that touch it."""
    import cv2

    grown: NDArray[np.uint8] = cv2.dilate(mask.view(np.uint8), np.ones((3, 3), np.uint8))
    return grown.view(np.bool_)
