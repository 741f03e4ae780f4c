"""Uneven illumination, taken off as a polynomial of low degree."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_segtool.core.params import Params, param
from napari_segtool.core.planes import PlaneRule
from napari_segtool.core.progress import Steps
from napari_segtool.core.registry import FILTERS
from napari_segtool.core.stack import Stack
from napari_segtool.preprocess._background import mean_where, without_background
from napari_segtool.preprocess._channels import each_channel_steps

_BLOCK_PIXELS = 1 << 16


class BackgroundPolynomialParams(Params):
    """Settings of the polynomial background."""

    degree: int = param(2, "Degree of the polynomial: 1 is a slope, 2 a bowl or vignette, more follows more bends.", ge=1, le=4)
    how: Literal["subtract", "divide"] = param("subtract", "Subtract a background of added light, or divide by an uneven illumination.")


@FILTERS.register(
    "background-polynomial",
    title="Background: polynomial",
    summary="Evens out a slope, a bowl or a vignette over the whole picture, however large the objects are.",
    params=BackgroundPolynomialParams,
    family="intensity",
    dimensions=(2,),
    phantom="shading",
    traits=("keeps-type", "keeps-constant"),
)
def background_polynomial(stack: Stack, params: BackgroundPolynomialParams) -> Steps[PlaneRule | NDArray[Any]]:
    """Subtract or divide by the polynomial in y and x that fits each slice best (least squares); the mean of that background is kept.

    Parameters
    ----------
    stack
        Any axes; every channel is corrected on its own.
    params
        Settings.

    Returns
    -------
    PlaneRule or ndarray
        The type of the stack in native byte order, whole numbers rounded and cut at the limits of their type. ``nan`` and infinite values stay
        as they are and are not fitted.
    """

    def even(plane: NDArray[Any]) -> NDArray[Any]:
        background = fitted_polynomial(plane, params.degree)
        return without_background(plane, background, params.how, mean_where(background, plane))

    return (yield from each_channel_steps(stack, even))


def fitted_polynomial(plane: NDArray[Any], degree: int) -> NDArray[np.float64]:
    """Return the polynomial of total degree ``degree`` that fits the finite pixels of a ``(Y, X)`` plane best; 0 where there are none.

    Examples
    --------
    >>> fitted_polynomial(np.array([[1, 3, 5], [2, 4, 6]], np.uint8), 1).round(6).tolist()
    [[1.0, 3.0, 5.0], [2.0, 4.0, 6.0]]
    """
    from numpy.polynomial.legendre import legvander

    # Legendre polynomials on -1 to 1 are nearly orthogonal on the pixels, so that the normal equations stay well conditioned
    along_y, along_x = (legvander(np.linspace(-1, 1, n) if n > 1 else np.zeros(1), degree) for n in plane.shape)
    powers = [(i, j) for i in range(degree + 1) for j in range(degree + 1 - i)]
    normal, right = np.zeros((len(powers), len(powers))), np.zeros(len(powers))
    base = float(plane[np.isfinite(plane)].astype(np.float64).mean()) if np.isfinite(plane).any() else 0.0
    rows = max(1, _BLOCK_PIXELS // plane.shape[1])
    for start in range(0, plane.shape[0], rows):
        part = plane[start : start + rows].astype(np.float64)
        known = np.isfinite(part)
        terms = np.stack([(along_y[start : start + rows, i, None] * along_x[:, j])[known] for i, j in powers])
        normal += terms @ terms.T
        right += terms @ (part[known] - base)
    weights = np.zeros((degree + 1, degree + 1))
    for (i, j), weight in zip(powers, np.linalg.pinv(normal, rcond=1e-12, hermitian=True) @ right, strict=True):
        weights[i, j] = weight
    fitted: NDArray[np.float64] = base + along_y @ weights @ along_x.T
    return fitted
