"""Smooth the boundaries of labels."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

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
from napari_segtool.preprocess._smooth import TRUNCATE, smooth_plane
from napari_segtool.preprocess._volumes import blocks_steps, widths_px
from napari_segtool.preprocess.gaussian import smooth_volume

_BLOCK_VOXELS = 1 << 20


class SmoothBoundariesParams(Params):
    """Settings of smoothing boundaries."""

    sigma_px: float = param(
        2.0, "Width of the Gaussian: in pixels along X; where the spacing is known, as wide in µm along the other axes.", unit="px", ge=0, le=50
    )
    sigma_um: float = param(0.0, "Width in µm, used in place of pixels when above 0; needs the spacing.", unit="µm", ge=0, le=1000, advanced=True)
    volume: bool = param(False, "Smooth surfaces through the slices, in place of outlines in each slice.")


@METHODS.register(
    "smooth-boundaries",
    title="Smooth boundaries",
    summary="Rounds jagged outlines of all labels at once, without gaps or overlaps between neighbours; specks disappear.",
    params=SmoothBoundariesParams,
    family="refine",
    phantom="crumbs",
    traits=("labels", "ignores-image"),
)
def smooth_boundaries(stack: Stack, params: SmoothBoundariesParams, given: Given) -> Steps[PlaceRule | NDArray[Any]]:
    """Give each pixel the label that is most frequent around it, weighed by a Gaussian.

    No label is an island of its own: 0 is smoothed as all others are. Of equally frequent labels the lowest wins. The Gaussian is mirrored at the
    border of the picture.

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
        If a width in µm is given and the spacing is unknown.
    AxesError
        If ``volume`` is asked for and the stack has no slices.
    """
    sigmas = widths_px(stack, params.sigma_px, params.sigma_um, params.volume)
    work = partial(smoothed_steps, sigmas=sigmas)
    return (yield from refine_steps(stack, given, work, volume=params.volume))


def smoothed_steps(labels: NDArray[Any], sigmas: tuple[float, float, float]) -> Fractions:
    """Smooth the labels of a plane or volume with a Gaussian of these widths along depth, Y and X, in samples."""
    rule = partial(_block_steps, sigmas=sigmas)
    if labels.ndim == 2:
        return (yield from rule(labels))
    return (yield from blocks_steps(labels, rule, _reach(sigmas), _BLOCK_VOXELS))


def _block_steps(labels: NDArray[Any], sigmas: tuple[float, float, float]) -> Fractions:
    boxes = yield from portion(boxes_steps(labels), 0.0, 0.1)
    margin = _reach(sigmas)[3 - labels.ndim :]
    result = np.zeros_like(labels)
    each = 0.9 / (len(boxes) + 1)
    most = yield from portion(_blurred_steps(labels == 0, sigmas), 0.1, 0.1 + each)
    for done, (label, box) in enumerate(boxes.items(), start=1):
        around = grown(box, margin, labels.shape)
        share = yield from portion(_blurred_steps(labels[around] == label, sigmas), 0.1 + done * each, 0.1 + (done + 1) * each)
        won = share > most[around]
        result[around][won] = label
        most[around][won] = share[won]
    yield 1.0
    return result


def _blurred_steps(mask: NDArray[np.bool_], sigmas: tuple[float, float, float]) -> Fractions:
    values = mask.astype(np.float32)
    if mask.ndim == 3:
        return (yield from smooth_volume(values, sigmas))
    yield 0.5
    return smooth_plane(values, sigmas[1], sigmas[2])


def _reach(sigmas: tuple[float, float, float]) -> tuple[int, int, int]:
    depth, rows, columns = (math.ceil(TRUNCATE * sigma) + 1 for sigma in sigmas)
    return depth, rows, columns
