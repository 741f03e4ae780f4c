"""The weight map of the U-Net of 2015: pixels between two objects that nearly touch count more."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_segtool.core.errors import ParameterError, ShapeError
from napari_segtool.core.planes import Fractions
from napari_segtool.core.progress import as_progress, drain
from napari_segtool.methods._components import components_steps
from napari_segtool.methods._distance import distance_steps
from napari_segtool.preprocess._portions import portion
from napari_segtool.training.runs._pairs import IGNORED

_LEAST = 1e-8
"""Share of w₀ below which the border term is left out; float32 does not see it."""


def border_weights(
    classes: NDArray[np.uint8],
    *,
    w0: float = 10.0,
    sigma_px: float = 5.0,
    class_weights: Sequence[float] | NDArray[Any] | None = None,
    sampling: Sequence[float] | None = None,
    background: int = 0,
) -> NDArray[np.float32]:
    """Weigh pixels as Ronneberger et al. 2015 do, equation 2.

    The map is w(x) = w_c(x) + w₀ · exp(−(d₁(x) + d₂(x))² / 2σ²), where w_c is the weight of the pixel's class, d₁ the distance to the nearest object and
    d₂ that to the second nearest. The second term is there only on background, and only where there are two objects. Objects are the connected parts of each
    other class; pixels that touch by a corner only are not connected, so that a thin slanting line of background parts two objects.

    Parameters
    ----------
    classes
        ``(Y, X)`` or ``(Z, Y, X)`` uint8 class indices, 255 for unlabelled.
    w0
        Weight of the border term right between two objects that touch; 0 leaves it out.
    sigma_px
        How fast it falls with the width of the gap: at a gap of 2σ it is 0.14 w₀.
    class_weights
        ``(K,)`` w_c of each class; 1 each where not given. A loss that uses the map must not weigh the classes once more.
    sampling
        Distance between pixels along each axis, in pixels of the finest axis, for example ``(8, 1, 1)`` for thick sections; 1 each where not given.
    background
        Class index of what lies between the objects.

    Returns
    -------
    ndarray
        float32 of the same shape; 1 on unlabelled pixels, which no loss looks at.

    Raises
    ------
    ShapeError
        If ``classes`` has not two or three axes, or ``sampling`` another number.
    ParameterError
        If a number is out of bounds or a class has no weight.

    References
    ----------
    Ronneberger et al. 2015, doi:10.1007/978-3-319-24574-4_28.

    Examples
    --------
    Two cells with three pixels between them: d₁ + d₂ is 4 at each, and 10 · exp(−16 / 50) = 7.26.

    >>> print(border_weights(np.array([[1, 0, 0, 0, 1]], np.uint8)).round(2))
    [[1.   8.26 8.26 8.26 1.  ]]
    """
    work = border_steps(classes, w0=w0, sigma_px=sigma_px, class_weights=class_weights, sampling=sampling, background=background)
    return drain(as_progress(work, 0, 1, "weights"))


def border_steps(
    classes: NDArray[np.uint8],
    *,
    w0: float = 10.0,
    sigma_px: float = 5.0,
    class_weights: Sequence[float] | NDArray[Any] | None = None,
    sampling: Sequence[float] | None = None,
    background: int = 0,
) -> Fractions:
    """Generator form of `border_weights`: yields the finished part, from 0 to 1."""
    classes = np.asarray(classes)
    size = _checked(classes, w0, sigma_px, sampling)
    weights = _class_map(classes, class_weights)
    between = classes == background
    if not w0 or not between.any():
        return weights
    objects = np.where(between | (classes == IGNORED), 0, classes.astype(np.int16) + 1).astype(np.uint8)
    names = yield from portion(components_steps(objects), 0.0, 0.1)
    reach = sigma_px * math.sqrt(-2 * math.log(_LEAST))
    nearest, second = yield from portion(_two_nearest(names, size, reach), 0.1, 1.0)
    with np.errstate(over="ignore"):
        weights[between] += np.float32(w0) * np.exp((nearest[between] + second[between]) ** 2 / np.float32(-2 * sigma_px**2))
    return weights


def _two_nearest(names: NDArray[np.uint32], size: tuple[float, ...], reach: float) -> Any:
    """Return the distances to the nearest and to the second nearest object; infinite where there is none.

    The numbers of the objects are written in binary. For each digit, the distance to the objects that have 0 there and to those that have 1 are two distance
    transforms; the larger belongs to another object than the nearest. The second nearest differs from the nearest in at least one digit, so the smallest of
    the larger ones is its distance. That takes 2 log₂(n) transforms in place of n.
    """
    digits = max(int(names.max()) - 1, 0).bit_length()
    inside = names > 0
    nearest: NDArray[np.float32] = np.full(names.shape, np.inf, np.float32)
    second = nearest.copy()
    for digit in range(digits):
        ones = ((names - np.uint32(1)) >> np.uint32(digit) & np.uint32(1)).astype(bool)
        low, high = digit / digits, (digit + 1) / digits
        to_zeros = yield from portion(distance_steps(~(inside & ~ones), size, reach), low, (low + high) / 2)
        to_ones = yield from portion(distance_steps(~(inside & ones), size, reach), (low + high) / 2, high)
        np.minimum(second, np.maximum(to_zeros, to_ones), out=second)
        np.minimum(nearest, np.minimum(to_zeros, to_ones), out=nearest)
    return nearest, second


def _checked(classes: NDArray[Any], w0: float, sigma_px: float, sampling: Sequence[float] | None) -> tuple[float, ...]:
    if classes.ndim not in (2, 3) or classes.dtype.kind not in "ui":
        raise ShapeError(f"A weight map needs class indices (Y, X) or (Z, Y, X), got {classes.dtype} of shape {classes.shape}.")
    size = tuple(float(step) for step in sampling) if sampling is not None else (1.0,) * classes.ndim
    if len(size) != classes.ndim:
        raise ShapeError(f"The sampling {size} names {len(size)} axes, but the labels have {classes.ndim}: {classes.shape}.")
    if not all(0 < step < math.inf for step in size):
        raise ParameterError(f"The sampling {size} is not possible.", hint="Give a distance above 0 for each axis, for example 8,1,1.")
    if not 0 <= w0 < math.inf:
        raise ParameterError(f"A border weight of {w0} is not possible.", hint="Give 0 (none) or more; the U-Net of 2015 took 10.")
    if not 0 < sigma_px < math.inf:
        raise ParameterError(f"A border width of {sigma_px} px is not possible.", hint="Give more than 0; the U-Net of 2015 took 5 px.")
    return size


def _class_map(classes: NDArray[Any], class_weights: Sequence[float] | NDArray[Any] | None) -> NDArray[np.float32]:
    """Return w_c of every pixel."""
    if class_weights is None:
        return np.ones(classes.shape, np.float32)
    given = np.asarray(class_weights, np.float32).ravel()
    if not np.isfinite(given).all() or (given < 0).any():
        raise ParameterError(f"The class weights {given.tolist()} are not possible.", hint="Give 0 or more for each class.")
    table = np.full(256, np.nan, np.float32)
    table[: min(len(given), IGNORED)] = given[:IGNORED]
    table[IGNORED] = 1.0
    weights: NDArray[np.float32] = table[classes]
    if np.isnan(weights).any():
        raise ParameterError(f"There are {len(given)} class weights, but the labels hold class {int(classes[np.isnan(weights)].max())}.")
    return weights
