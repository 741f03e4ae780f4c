"""Sato's tubeness: how strongly grey values bend across a line."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_segtool.core.planes import PlaneRule
from napari_segtool.core.progress import Steps
from napari_segtool.core.registry import FILTERS
from napari_segtool.core.stack import Stack
from napari_segtool.preprocess._hessian import Parts
from napari_segtool.preprocess._ridges import RidgeParams, Seen, ridge_steps


class SatoParams(RidgeParams):
    """Settings of Sato's tubeness."""


@FILTERS.register(
    "sato",
    title="Sato",
    summary="Shows lines by how far they stand out, in grey values: faint ones stay faint; good for membranes in slices and vessels in volumes.",
    params=SatoParams,
    family="ridges",
    reference="Sato et al. 1998, Three-dimensional multi-scale line filter, doi:10.1016/S1361-8415(98)80009-1",
)
def sato(stack: Stack, params: SatoParams) -> Steps[PlaneRule | NDArray[Any]]:
    """Measure how strongly grey values bend across a line of some width.

    Parameters
    ----------
    stack
        Any axes; every channel is measured on its own.
    params
        Settings. Widths are as wide in µm along each axis where the spacing is known.

    Returns
    -------
    PlaneRule or ndarray
        float32, 0 or above, in grey values: in a slice the largest eigenvalue of the Hessian times the width squared, in a volume the
        geometric mean of the two largest, of that width which answers most. A whole array for stacks with channels and for ``volume``.
        ``nan`` stays ``nan``, and is filled with the mean around it for its neighbours.

    Raises
    ------
    SpacingError
        If a width in µm is asked for and the spacing is unknown.
    AxesError
        If ``volume`` is asked for and the stack has no slices.
    """
    return (yield from ridge_steps(stack, params, _tubeness))


def _tubeness(values: Parts, seen: Seen) -> NDArray[np.float32]:
    bends = [np.maximum(value, 0) for value in values[:-1]]
    return (bends[0] if len(bends) == 1 else np.sqrt(bends[0] * bends[1])) * np.float32(seen.half)
