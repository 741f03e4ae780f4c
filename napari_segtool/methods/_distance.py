"""How deep inside an object each pixel lies."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from napari_segtool.core.planes import Fractions
from napari_segtool.core.slabs import made_steps, slabs_along
from napari_segtool.methods._components import PART, components_steps
from napari_segtool.preprocess._portions import portion


def plane_distance(inside: NDArray[np.bool_], size: tuple[float, ...] = (1.0, 1.0)) -> NDArray[np.float32]:
    """Return the distance to the nearest pixel outside, 0 there; what lies beyond the picture is not outside.

    Parameters
    ----------
    inside
        Mask of shape ``(Y, X)``.
    size
        Length of a pixel along Y and X.

    Returns
    -------
    ndarray
        float32; infinite everywhere if no pixel lies outside.
    """
    if inside.all():
        return np.full(inside.shape, np.inf, np.float32)
    if size[0] != size[1]:
        from scipy.ndimage import distance_transform_edt

        return np.asarray(distance_transform_edt(inside, sampling=size), np.float32)
    import cv2

    distance = cv2.distanceTransform(np.ascontiguousarray(inside, np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    # Squares of distances are whole numbers; OpenCV's root differs in the last bit with where the array happens to lie in memory.
    distance = np.sqrt(np.rint(np.square(distance, dtype=np.float64))).astype(np.float32)
    return np.asarray(distance * np.float32(size[0]), np.float32)


def distance_steps(inside: NDArray[np.bool_], size: tuple[float, ...], reach: float = np.inf) -> Fractions:
    """Return the Euclidean distance to the nearest pixel outside, in planes or volumes, exactly.

    In a volume the distance within each slice comes first; then each voxel asks the slices above and below, as far away as they can matter.

    Parameters
    ----------
    inside
        Mask of shape ``(Y, X)`` or ``(depth, Y, X)``.
    size
        Length of a voxel along each axis.
    reach
        Distances that are longer than this need not be exact, only longer too: quicker in volumes.

    Yields
    ------
    float
        The finished part.

    Returns
    -------
    ndarray
        float32; infinite everywhere if nothing lies outside.
    """
    if inside.ndim == 2:
        yield 0.0
        return plane_distance(inside, size)
    squared = np.empty(inside.shape, np.float32)
    for z, plane in enumerate(inside):
        squared[z] = plane_distance(plane, size[1:]) ** 2
        yield 0.4 * (z + 1) / len(inside)
    rows = max(1, PART // max(1, inside[:, :1].size))
    for start in range(0, inside.shape[1], rows):
        own = np.ascontiguousarray(squared[:, start : start + rows])
        nearest = own.copy()
        for step in range(1, len(own)):
            far = np.float32((step * size[0]) ** 2)
            if far > reach * reach or float(nearest.max()) <= far:
                break
            np.minimum(nearest[step:], own[:-step] + far, out=nearest[step:])
            np.minimum(nearest[:-step], own[step:] + far, out=nearest[:-step])
            yield 0.4 + 0.6 * min(1.0, start / inside.shape[1])
        squared[:, start : start + rows] = nearest
        yield 0.4 + 0.6 * min(1.0, (start + rows) / inside.shape[1])
    return np.sqrt(squared, out=squared)


def filled_steps(inside: NDArray[np.bool_], known: NDArray[np.bool_]) -> Fractions:
    """Fill holes: what the border of the picture cannot be reached from through faces. Pixels without a value are no hole.

    Parameters
    ----------
    inside, known
        Masks of shape ``(Y, X)`` or ``(depth, Y, X)``.
    """
    outside = yield from portion(_components_outside_steps(inside), 0.0, 0.9)
    open_ = np.zeros(int(outside.max(initial=0)) + 1, bool)
    for axis in range(outside.ndim):
        for end in (0, -1):
            open_[np.take(outside, end, axis=axis)] = True
    open_[0] = True
    for part in slabs_along(known.shape):
        open_[outside[part][~known[part]]] = True
        yield 0.9
    return (yield from portion(made_steps(inside.shape, bool, lambda part: inside[part] | (~open_[outside[part]] & known[part])), 0.9, 1.0))


def _components_outside_steps(inside: NDArray[np.bool_]) -> Fractions:
    outside = yield from portion(made_steps(inside.shape, bool, lambda part: ~inside[part]), 0.0, 0.0)
    return (yield from components_steps(outside))
