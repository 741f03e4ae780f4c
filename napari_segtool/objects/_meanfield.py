"""Mean-field inference in fully connected random fields whose pairs are weighed by Gaussian kernels."""

from __future__ import annotations

import itertools
import math
from collections.abc import Generator, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from napari_segtool.core.errors import DataError
from napari_segtool.core.planes import Fractions
from napari_segtool.preprocess._portions import portion

Values = NDArray[np.float32]
Filtered = Generator[float, None, Values]

LEAST_SHARE = 1e-5
"""Probabilities below count as this one, so that no class is ruled out."""

_FINENESS = 2.0  # cells of the grid to a width of the kernel
_TRUNCATE = 4.0
_MOST_CELLS = 60_000_000
_KEPT_WEIGHTS, _CHUNK_PIXELS = 16_000_000, 1 << 18


class Kernel(Protocol):
    """Sums values over all pixels, weighed by nearness; the weights are symmetric."""

    def filter_steps(self, values: Values) -> Filtered:
        """Return the sums at each pixel for values of the picture's shape; yields the finished part."""


def mean_field_steps(shares: Values, known: NDArray[np.bool_], kernels: Sequence[tuple[float, Kernel]], iterations: int) -> Fractions:
    """Find the most likely class of each pixel, where near (and similar) pixels prefer the same class.

    The field has the energy ``Σ −log share[class(i), i] + Σ weight · kernel(i, j) · [class(i) ≠ class(j)]`` over all pixels i and pairs i, j. Kernels are
    normalised symmetrically, ``kernel(i, j) / √(sum(i) · sum(j))``, so that a weight means the same for every width and at the border; a pixel counts
    among its own neighbours.

    Parameters
    ----------
    shares
        Probability of each class, ``(K, Y, X)`` or ``(K, depth, Y, X)``.
    known
        Pixels that take part, of the picture's shape.
    kernels
        Weight and kernel of each kind of pairs.
    iterations
        Number of updates, each of all pixels at once.

    Returns
    -------
    ndarray
        Index of the most likely class; 0 where pixels take no part.

    References
    ----------
    .. [1] Krähenbühl & Koltun 2011, Efficient inference in fully connected CRFs with Gaussian edge potentials, arXiv:1210.5644
    """
    beliefs = yield from beliefs_steps(shares, known, kernels, iterations)
    chosen = np.zeros(known.shape, np.uint8)
    for rows in _rows(known.shape):
        chosen[rows] = np.where(known[rows], beliefs[:, rows].argmax(axis=0), 0)
        yield 1.0
    return chosen


def beliefs_steps(shares: Values, known: NDArray[np.bool_], kernels: Sequence[tuple[float, Kernel]], iterations: int) -> Fractions:
    """Return the mean field itself: the probability of each class at each pixel; see `mean_field_steps`."""
    classes = len(shares)
    pieces = len(kernels) * (iterations * classes + 1)
    done = 0
    norms = []
    for _, kernel in kernels:
        total = yield from portion(_product_steps(kernel, known), done / pieces, (done + 1) / pieces)
        done += 1
        for rows in _rows(known.shape):
            total[rows] = np.where(known[rows], 1 / np.sqrt(np.maximum(total[rows], np.float32(1e-12))), 0)
            yield done / pieces
        norms.append(total)
    beliefs, scores = np.empty_like(shares), np.empty_like(shares)
    for rows in _rows(known.shape):
        beliefs[:, rows] = np.where(known[rows], shares[:, rows], 0)
        yield done / max(1, pieces)
    for _ in range(iterations):
        for rows in _rows(known.shape):
            scores[:, rows] = np.log(np.maximum(shares[:, rows], np.float32(LEAST_SHARE)))
            yield done / max(1, pieces)
        for (weight, kernel), norm in zip(kernels, norms, strict=True):
            for belief, score in zip(beliefs, scores, strict=True):
                message = yield from portion(_product_steps(kernel, belief, norm), done / pieces, (done + 1) / pieces)
                done += 1
                for rows in _rows(known.shape):
                    score[rows] += np.float32(weight) * norm[rows] * message[rows]
                    yield done / pieces
        for rows in _rows(known.shape):
            likely = np.exp(scores[:, rows] - scores[:, rows].max(axis=0))
            beliefs[:, rows] = np.where(known[rows], likely / likely.sum(axis=0), 0)
            yield done / max(1, pieces)
    yield 1.0
    return beliefs


def _product_steps(kernel: Kernel, *factors: NDArray[Any]) -> Filtered:
    """Filter the product of some values."""
    product = np.empty(factors[0].shape, np.float32)
    for rows in _rows(product.shape):
        product[rows] = math.prod(factor[rows] for factor in factors)
        yield 0.0
    return (yield from kernel.filter_steps(product))


def _rows(shape: tuple[int, ...]) -> list[slice]:
    """Parts of rows or slices that are worked on between two steps."""
    count = max(1, _CHUNK_PIXELS // max(1, int(np.prod(shape[1:]))))
    return [slice(first, min(first + count, shape[0])) for first in range(0, shape[0], count)]


class NearKernel:
    """A Gaussian of the distance between pixels.

    Parameters
    ----------
    sigmas
        Width along each axis in samples; an axis with 0 is left alone.
    """

    def __init__(self, sigmas: tuple[float, ...]) -> None:
        self._sigmas = sigmas

    def filter_steps(self, values: Values) -> Filtered:
        """Blur, with nothing beyond the border."""
        if values.ndim == 2:
            yield 0.0
            return _plane_blur(values, self._sigmas[0], self._sigmas[1])
        blurred = np.empty_like(values)
        for z, plane in enumerate(values):
            blurred[z] = _plane_blur(plane, self._sigmas[1], self._sigmas[2])
            yield 0.5 * (z + 1) / len(values)
        if self._sigmas[0] > 0:
            rows = max(1, _CHUNK_PIXELS // max(1, blurred[:, :1].size))
            for first in range(0, blurred.shape[1], rows):
                part = blurred[:, first : first + rows]
                part[...] = _along(part, self._sigmas[0], 0)
                yield 0.5 + 0.5 * min(1.0, (first + rows) / blurred.shape[1])
        return blurred


class SimilarKernel:
    """A Gaussian of the distance between pixels and of the difference of their grey values.

    The sums are worked out on a grid over places and grey values, two cells to a width: values are spread over the cells around each pixel, the
    grid is blurred, and read where the pixels are. That replaces the Gaussian by one of the same variance that differs from it by about a hundredth.

    Parameters
    ----------
    grey
        ``(Y, X)`` or ``(depth, Y, X)``.
    known
        Where there is a grey value.
    sigmas
        Width along each axis in samples, above 0.
    sigma_grey
        Width in grey values, above 0.

    References
    ----------
    .. [1] Paris & Durand 2009, A fast approximation of the bilateral filter using a signal processing approach, doi:10.1007/s11263-007-0110-8

    Raises
    ------
    DataError
        If the grid would be too large: a narrow kernel over a large volume.
    """

    def __init__(self, grey: NDArray[Any], known: NDArray[np.bool_], sigmas: tuple[float, ...], sigma_grey: float) -> None:
        self._grey, self._known = grey, known
        self._steps = tuple(sigma / _FINENESS for sigma in sigmas)
        self._grey_step = sigma_grey / _FINENESS
        values = grey if known.all() else grey[known]
        self._lowest = float(values.min()) if values.size else 0.0
        levels = (float(values.max()) - self._lowest) / self._grey_step if values.size else 0.0
        self._shape = (*(math.floor((n - 1) / step) + 2 for n, step in zip(grey.shape, self._steps, strict=True)), math.floor(levels) + 2)
        if math.prod(self._shape) > _MOST_CELLS:
            raise DataError(
                f"Comparing pixels so finely would need a grid of {math.prod(self._shape):,} cells.",
                hint="Choose a wider appearance or a larger contrast, or work slice by slice.",
            )
        self._chunks = _rows(grey.shape)
        self._kept: dict[int, Any] | None = {} if grey.size * 2 ** len(self._shape) <= _KEPT_WEIGHTS else None

    def filter_steps(self, values: Values) -> Filtered:
        """Spread, blur, read."""
        grid = np.zeros(math.prod(self._shape), np.float32)
        for number, chunk in enumerate(self._chunks):
            grid += self._weights(number).T @ values[chunk][self._known[chunk]]
            yield 0.4 * (number + 1) / len(self._chunks)
        blurred = grid.reshape(self._shape)
        width = math.sqrt(_FINENESS**2 - 1 / 3)  # spreading and reading have a variance of a sixth of a cell each
        for axis, count in enumerate(self._shape):
            if count > 1:
                blurred = _along(blurred, width, axis)
            yield 0.4 + 0.2 * (axis + 1) / len(self._shape)
        flat = blurred.ravel()
        sums = np.zeros(values.shape, np.float32)
        for number, chunk in enumerate(self._chunks):
            sums[chunk][self._known[chunk]] = self._weights(number) @ flat
            yield 0.6 + 0.4 * (number + 1) / len(self._chunks)
        return sums

    def _weights(self, number: int) -> Any:
        """Shares of the cells around each known pixel of a chunk, as a sparse matrix ``(pixels, cells)``."""
        from scipy.sparse import csr_matrix

        if self._kept is not None and number in self._kept:
            return self._kept[number]
        chunk = self._chunks[number]
        known = self._known[chunk]
        places = [(place + (chunk.start if axis == 0 else 0)) / self._steps[axis] for axis, place in enumerate(np.nonzero(known))]
        places.append((self._grey[chunk][known].astype(np.float64) - self._lowest) / self._grey_step)
        corners = [np.floor(place).astype(np.int64) for place in places]
        rests = [(place - corner).astype(np.float32) for place, corner in zip(places, corners, strict=True)]
        strides = [math.prod(self._shape[axis + 1 :]) for axis in range(len(self._shape))]
        ways = list(itertools.product((0, 1), repeat=len(places)))
        cells, shares = np.empty((len(corners[0]), len(ways)), np.int32), np.empty((len(corners[0]), len(ways)), np.float32)
        for column, way in enumerate(ways):
            cells[:, column] = sum((corner + bit) * stride for corner, bit, stride in zip(corners, way, strides, strict=True))
            shares[:, column] = math.prod(rest if bit else 1 - rest for rest, bit in zip(rests, way, strict=True))
        starts = np.arange(0, shares.size + 1, len(ways), dtype=np.int32)
        weights = csr_matrix((shares.ravel(), cells.ravel(), starts), shape=(len(shares), math.prod(self._shape)))
        if self._kept is not None:
            self._kept[number] = weights
        return weights


def _along(values: Values, sigma: float, axis: int) -> Values:
    from scipy.ndimage import gaussian_filter1d

    blurred: Values = gaussian_filter1d(values, sigma, axis=axis, mode="constant", truncate=_TRUNCATE)
    return blurred


def _plane_blur(plane: Values, sigma_y: float, sigma_x: float) -> Values:
    import cv2

    size = tuple(2 * math.floor(_TRUNCATE * sigma + 0.5) + 1 for sigma in (sigma_x, sigma_y))
    if size == (1, 1):
        return plane.copy()
    blurred: Values = cv2.GaussianBlur(plane, size, sigmaX=sigma_x or 1.0, sigmaY=sigma_y or 1.0, borderType=cv2.BORDER_CONSTANT)
    return blurred
