"""Signed distances to the boundaries of classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_segtool.core.errors import ShapeError
from napari_segtool.core.planes import Fractions
from napari_segtool.methods._distance import distance_steps
from napari_segtool.training.runs._pairs import IGNORED


def signed_distances(target: NDArray[Any], classes: Sequence[int], sampling: Sequence[float] = ()) -> NDArray[np.float32]:
    """Return how far each pixel lies from the boundary of each class, negative inside the class.

    Only labelled pixels count: the distance goes to the nearest labelled pixel on the other side, less half a pixel of the finest axis, where the boundary runs
    between the two.

    Parameters
    ----------
    target
        ``(N, Y, X)`` or ``(N, Z, Y, X)`` class indices of patches, 255 for unlabelled.
    classes
        Those to measure.
    sampling
        Distance between pixels along each spatial axis; empty for 1.

    Returns
    -------
    ndarray
        ``(N, len(classes), …)`` float32; 0 on unlabelled pixels, and for a class that a patch has none of, or nothing else: it has no boundary there.

    Raises
    ------
    ShapeError
        If ``sampling`` does not name the spatial axes.

    Examples
    --------
    >>> print(signed_distances(np.array([[[0, 0, 1, 1, 255]]]), [1])[0, 0])
    [[ 1.5  0.5 -0.5 -1.5  0. ]]
    """
    size = tuple(float(step) for step in sampling) or (1.0,) * (target.ndim - 1)
    if len(size) != target.ndim - 1:
        raise ShapeError(f"The sampling {size} does not fit patches of {target.ndim - 1} axes.")
    maps = np.zeros((len(target), len(classes), *target.shape[1:]), np.float32)
    known = target != IGNORED
    for patch, labelled, out in zip(target, known, maps, strict=True):
        for place, index in enumerate(classes):
            inside = patch == index
            outside = labelled & ~inside
            if inside.any() and outside.any():
                out[place][outside] = _drained(distance_steps(~inside, size))[outside] - min(size) / 2
                out[place][inside] = min(size) / 2 - _drained(distance_steps(~outside, size))[inside]
    return maps


def _drained(work: Fractions) -> NDArray[Any]:
    try:
        while True:
            next(work)
    except StopIteration as stop:
        distance: NDArray[Any] = stop.value
        return distance
