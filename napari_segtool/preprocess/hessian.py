"""Eigenvalues of the Hessian: the strongest or the weakest bend of grey values."""

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


class HessianParams(RidgeParams):
    """Settings of the eigenvalues of the Hessian."""

    eigenvalue: Literal["largest", "smallest"] = param("largest", "Bend across the ridge (largest: lines and sheets) or along it (smallest: blobs).")


@FILTERS.register(
    "hessian",
    title="Hessian eigenvalues",
    summary="Shows how grey values bend: positive on ridges, negative on valleys; the plainest filter for membranes, also as sheets in volumes.",
    params=HessianParams,
    family="ridges",
    reference="Lindeberg 1998, Edge detection and ridge detection with automatic scale selection, doi:10.1023/A:1008097225773",
    aliases=("hessian-eigenvalues",),
)
def hessian(stack: Stack, params: HessianParams) -> Steps[PlaneRule | NDArray[Any]]:
    """Return an eigenvalue of the Hessian of the stack smoothed with a Gaussian.

    Parameters
    ----------
    stack
        Any axes; every channel is measured on its own.
    params
        Settings. Widths are as wide in µm along each axis where the spacing is known.

    Returns
    -------
    PlaneRule or ndarray
        float32 in grey values: the eigenvalue times the width squared, above 0 where the picture bends as the ridges do that are looked for;
        of several widths the one that lies farthest from 0. A whole array for stacks with channels and for ``volume``. ``nan`` stays ``nan``,
        and is filled with the mean around it for its neighbours.

    Raises
    ------
    SpacingError
        If a width in µm is asked for and the spacing is unknown.
    AxesError
        If ``volume`` is asked for and the stack has no slices.
    """
    place = 0 if params.eigenvalue == "largest" else -1

    def answer(values: Parts, seen: Seen) -> NDArray[np.float32]:
        return values[place] * np.float32(seen.half)

    return (yield from ridge_steps(stack, params, answer, join=_farther))


def _farther(one: NDArray[np.float32], other: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.where(np.abs(other) > np.abs(one), other, one)
