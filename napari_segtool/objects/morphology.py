"""Erode, dilate, open or close labels."""

from __future__ import annotations

import math
from functools import partial
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_segtool.core.given import Given
from napari_segtool.core.params import Params, param
from napari_segtool.core.planes import Fractions, PlaceRule
from napari_segtool.core.progress import Steps
from napari_segtool.core.registry import METHODS
from napari_segtool.core.stack import Stack
from napari_segtool.methods._label_boxes import boxes_steps, grown
from napari_segtool.objects._walk import refine_steps
from napari_segtool.preprocess._portions import portion
from napari_segtool.preprocess._volumes import blocks_steps, widths_px

Operation = Literal["erode", "dilate", "open", "close"]
Radii = tuple[float, ...]

_BLOCK_VOXELS = 1 << 18
_ROUNDING = 1e-4


class MorphologyParams(Params):
    """Settings of morphology on labels."""

    operation: Operation = param("open", "Erode shrinks, dilate grows; open removes what is thinner than the disc, close fills gaps and bays narrower than it.")
    radius_px: float = param(
        2.0, "Radius of the disc or ball: in pixels along X; where the spacing is known, as far in µm along the other axes.", unit="px", ge=0, le=50
    )
    radius_um: float = param(0.0, "Radius in µm, used in place of pixels when above 0; needs the spacing.", unit="µm", ge=0, le=1000, advanced=True)
    volume: bool = param(False, "Use a ball through the slices, in place of a disc in each slice.")


@METHODS.register(
    "morphology",
    title="Morphology of labels",
    summary="Shrinks, grows, opens or closes every label by a disc or ball, without one label taking pixels of another.",
    params=MorphologyParams,
    family="refine",
    reference="Haralick, Sternberg & Zhuang 1987, Image analysis using mathematical morphology, doi:10.1109/TPAMI.1987.4767941",
    phantom="crumbs",
    traits=("labels", "ignores-image"),
)
def morphology(stack: Stack, params: MorphologyParams, given: Given) -> Steps[PlaceRule | NDArray[Any]]:
    """Apply an operation of mathematical morphology to each label as if it were alone.

    The structuring element holds all places no farther than the radius, measured in µm where the spacing is known. What lies beyond the border of
    the picture is unknown and changes nothing. A pixel that has a label is never taken by another one: where two labels reach a free pixel, it goes to
    the nearer, and of equally near ones to the lower.

    Parameters
    ----------
    stack
        What the labels lie over; only its axes and spacing matter.
    params
        Settings.
    given
        ``labels``, classes or objects.

    Returns
    -------
    PlaceRule or ndarray
        Labels of the same type; the whole array with ``volume``.

    Raises
    ------
    SpacingError
        If a radius in µm is given and the spacing is unknown.
    AxesError
        If ``volume`` is asked for and the stack has no slices.
    """
    radii = widths_px(stack, params.radius_px, params.radius_um, params.volume)
    work = partial(changed_steps, operation=params.operation, radii=radii if params.volume else radii[1:])
    return (yield from refine_steps(stack, given, work, volume=params.volume))


def changed_steps(labels: NDArray[Any], operation: Operation, radii: Radii) -> Fractions:
    """Apply an operation to each label of a plane or volume.

    Parameters
    ----------
    labels
        ``(Y, X)`` or ``(depth, Y, X)``.
    operation
        What to do.
    radii
        Radius along each axis, in samples.
    """
    if max(radii) < 1:
        yield 1.0
        return labels.copy()
    rule = partial(_block_steps, operation=operation, radii=radii)
    if labels.ndim == 2:
        return (yield from rule(labels))
    times = 1 if operation in ("erode", "dilate") else 2
    reach = tuple(times * math.floor(radius + _ROUNDING) + 1 for radius in radii)
    return (yield from blocks_steps(labels, rule, (reach[0], reach[1], reach[2]), _BLOCK_VOXELS))


def _block_steps(labels: NDArray[Any], operation: Operation, radii: Radii) -> Fractions:
    boxes = yield from portion(boxes_steps(labels), 0.0, 0.1)
    result = np.zeros_like(labels) if operation in ("erode", "open") else labels.copy()
    nearest = np.full(labels.shape, np.inf, np.float32) if operation in ("dilate", "close") else None
    margin = tuple(math.floor(radius + _ROUNDING) + 1 for radius in radii)
    for done, (label, box) in enumerate(boxes.items()):
        around = grown(box, margin, labels.shape)
        here = labels[around]
        mask = here == label
        if nearest is None:
            kept = _eroded(mask, radii)
            if operation == "open":
                kept = mask & (_distance(kept, radii) <= 1)
            result[around][kept] = label
        else:
            distance = _distance(mask, radii)
            reached = distance <= 1
            if operation == "close":
                reached = _eroded(reached, radii)
            won = reached & (here == 0) & (distance < nearest[around])
            result[around][won] = label
            nearest[around][won] = distance[won]
        yield 0.1 + 0.9 * (done + 1) / len(boxes)
    return result


def _eroded(mask: NDArray[np.bool_], radii: Radii) -> NDArray[np.bool_]:
    return np.asarray(_distance(~mask, radii) > 1)


def _distance(mask: NDArray[np.bool_], radii: Radii) -> NDArray[np.float32]:
    """Return how far each pixel lies from the mask, in radii and a little less, so that what lies at the radius is not farther; ``inf`` if it is empty."""
    if not mask.any():
        return np.full(mask.shape, np.inf, np.float32)
    if mask.ndim == 2 and radii[0] == radii[1]:
        import cv2

        flat: NDArray[np.float32] = cv2.distanceTransform((~mask).view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
        return flat / np.float32(radii[0] + _ROUNDING)
    from scipy.ndimage import distance_transform_edt

    distance: NDArray[np.float64] = distance_transform_edt(~mask, sampling=[1 / (max(radius, 1e-9) + _ROUNDING) for radius in radii])
    return distance.astype(np.float32)
