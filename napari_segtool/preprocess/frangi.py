"""Frangi's vesselness: how much a place is like a bright or dark line."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_segtool.core.params import param
from napari_segtool.core.planes import PlaneRule
from napari_segtool.core.progress import Steps
from napari_segtool.core.registry import FILTERS
from napari_segtool.core.stack import Stack
from napari_segtool.preprocess._hessian import Parts
from napari_segtool.preprocess._ridges import RidgeParams, Seen, ridge_steps


class FrangiParams(RidgeParams):
    """Settings of Frangi's vesselness."""

    shape: Literal["lines", "sheets"] = param("lines", "With volume: look for lines (vessels, fibres) or for sheets (membranes).")
    contrast: float = param(
        0.0, "Bend in grey values that counts as half a ridge; 0: half the strongest bend of each slice (with volume, of each volume).", ge=0, le=100_000
    )
    alpha: float = param(0.5, "How unlike a sheet a line must be: smaller lets flatter ones pass.", ge=0.05, le=5, advanced=True)
    beta: float = param(0.5, "How unlike a blob a ridge must be: larger lets shorter ones pass.", ge=0.05, le=5, advanced=True)


@FILTERS.register(
    "frangi",
    title="Frangi",
    summary="Shows vessels, fibres and membranes by their shape, from 0 to 1, however bright they are.",
    params=FrangiParams,
    family="ridges",
    reference="Frangi et al. 1998, Multiscale vessel enhancement filtering, doi:10.1007/BFb0056195",
)
def frangi(stack: Stack, params: FrangiParams) -> Steps[PlaneRule | NDArray[Any]]:
    """Measure how much each place is like a ridge of some width.

    Parameters
    ----------
    stack
        Any axes; every channel is measured on its own.
    params
        Settings. Widths are as wide in µm along each axis where the spacing is known.

    Returns
    -------
    PlaneRule or ndarray
        float32 from 0 (no ridge) to 1: the strongest answer of all widths; a whole array for stacks with channels and for ``volume``. ``nan``
        stays ``nan``, and is filled with the mean around it for its neighbours.

    Raises
    ------
    SpacingError
        If a width in µm is asked for and the spacing is unknown.
    AxesError
        If ``volume`` is asked for and the stack has no slices.
    """

    def answer(values: Parts, seen: Seen) -> NDArray[np.float32]:
        level = params.contrast / seen.half if params.contrast and seen.half else seen.largest / 2
        return vesselness(values, params.alpha, params.beta, level, sheets=params.shape == "sheets")

    return (yield from ridge_steps(stack, params, answer, refers=not params.contrast))


def vesselness(values: Parts, alpha: float, beta: float, level: float, *, sheets: bool = False) -> NDArray[np.float32]:
    """Return Frangi's measure of a ridge.

    Parameters
    ----------
    values
        Two or three eigenvalues of the Hessian, the largest first, positive across a ridge.
    alpha, beta, level
        Frangi's α, β and c; a level of 0 means that there is nothing to see.
    sheets
        With three eigenvalues: look for sheets, which bend in one direction only, not for lines, which bend in two.

    Returns
    -------
    ndarray
        float32, 0 to 1.

    Examples
    --------
    >>> line_and_blob = np.array([4.0, 4.0]), np.array([0.0, 4.0])
    >>> vesselness(line_and_blob, 0.5, 0.5, 1.0).round(2).tolist()
    [1.0, 0.14]
    """
    first, second, last = values[0], values[1], values[-1]
    if not level:
        return np.zeros_like(first)
    if len(values) == 2 or sheets:
        along, across, steep = np.maximum(np.abs(second), np.abs(last)), first, first
        ridge = (first > 0) & (first >= -last)
        flat = np.float32(1)
    else:
        along, across, steep = np.abs(last), second, first
        ridge = (second > 0) & (second >= -last)
        flat = 1 - np.exp(_squared(second, steep, ridge) / np.float32(-2 * alpha**2))
    blob = _squared(along, np.sqrt(np.where(ridge, across * steep, 0)), ridge)
    sizes = sum((value * value for value in values[1:]), first * first)
    response = np.exp(blob / np.float32(-2 * beta**2)) * flat * (1 - np.exp(sizes * np.float32(-0.5 / level**2)))
    return np.where(ridge, response, np.float32(0))


def _squared(one: NDArray[np.float32], other: NDArray[np.float32], where: NDArray[np.bool_]) -> NDArray[np.float32]:
    ratio = np.divide(one, other, out=np.zeros_like(one), where=where & (other > 0))
    return ratio * ratio
