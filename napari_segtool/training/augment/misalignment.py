"""Misalignment: sections that were not laid exactly one upon the other."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_segtool.core.params import Params, param
from napari_segtool.core.registry import AUGMENTATIONS
from napari_segtool.training.augment._patch import UNLABELLED, Patch


class MisalignmentParams(Params):
    """How far sections slip."""

    strength: float = param(1.0, "1 moves sections by up to 10 px along each axis.", ge=0, le=5)
    probability: float = param(0.1, "Share of the patches that are changed.", ge=0, le=1)


@AUGMENTATIONS.register(
    "misalignment",
    title="Misalignment",
    summary="One section slips, or all from one on; labels move with them.",
    params=MisalignmentParams,
    family="em",
    dimensions=(3,),
    reference="Lee et al. 2017, arXiv:1706.00120",
)
def misalignment(patch: Patch, rng: np.random.Generator, params: MisalignmentParams) -> Patch:
    """Move one section, or all from one on, by whole pixels, with labels and weights; a single plane stays as it is.

    What comes in at the edge is mirrored and unlabelled. A slip that would push every label out of the patch does not happen.
    """
    sections, height, width = patch.classes.shape
    most = min(round(10 * params.strength), (min(height, width) - 1) // 2)
    if sections == 1 or most == 0:
        return patch
    first = int(rng.integers(1, sections))
    moved = slice(first, sections if rng.random() < 0.5 else first + 1)
    down, right = (int(step) for step in rng.integers(-most, most + 1, 2))
    classes = patch.classes.copy()
    classes[moved] = _moved(patch.classes[moved], down, right, UNLABELLED)
    if (patch.classes != UNLABELLED).any() and not (classes != UNLABELLED).any():
        return patch
    patch.classes = classes
    patch.image[:, moved] = _moved(patch.image[:, moved], down, right)
    if patch.weights is not None:
        patch.weights[moved] = _moved(patch.weights[moved], down, right)
    return patch


def _moved(planes: NDArray[Any], down: int, right: int, beyond: int | None = None) -> NDArray[Any]:
    """Planes ``(…, Y, X)`` moved by whole pixels; beyond their edge mirrored, or one value."""
    reach = [(0, 0)] * (planes.ndim - 2) + [(abs(down), abs(down)), (abs(right), abs(right))]
    wide = np.pad(planes, reach, mode="reflect") if beyond is None else np.pad(planes, reach, constant_values=beyond)
    top, left = abs(down) - down, abs(right) - right
    return wide[..., top : top + planes.shape[-2], left : left + planes.shape[-1]]
