"""Contrast jump: neighbouring sections, or the two sides of a seam, were recorded differently."""

from __future__ import annotations

import numpy as np

from napari_segtool.core.params import Params, param
from napari_segtool.core.registry import AUGMENTATIONS
from napari_segtool.training.augment._patch import Patch


class ContrastJumpParams(Params):
    """How far contrast and brightness jump."""

    strength: float = param(1.0, "1 jumps in contrast and brightness by up to 0.4.", ge=0, le=3)
    probability: float = param(0.15, "Share of the patches that are changed.", ge=0, le=1)


@AUGMENTATIONS.register(
    "contrast-jump",
    title="Contrast jump",
    summary="Contrast and brightness jump from section to section, or at a seam within one.",
    params=ContrastJumpParams,
    family="em",
    reference="Lee et al. 2017, arXiv:1706.00120",
)
def contrast_jump(patch: Patch, rng: np.random.Generator, params: ContrastJumpParams) -> Patch:
    """Give every section a contrast and a brightness of its own; a single plane jumps at a straight seam through it. In place."""
    _, sections, height, width = patch.image.shape
    if params.strength <= 0:
        return patch
    reach = 0.4 * params.strength
    if sections > 1:
        factors, steps = np.exp(rng.uniform(-reach, reach, (sections, 1, 1))), rng.uniform(-reach, reach, (sections, 1, 1))
        patch.image *= factors.astype(np.float32)
        patch.image += steps.astype(np.float32)
        return patch
    angle, factor, step = rng.uniform(0, 2 * np.pi), np.exp(rng.uniform(-reach, reach)), rng.uniform(-reach, reach)
    y, x = rng.uniform(0.1, 0.9, 2) * (height, width)
    beyond = np.sin(angle) * (np.arange(height)[:, None] - y) + np.cos(angle) * (np.arange(width) - x) > 0
    patch.image *= np.where(beyond, np.float32(factor), np.float32(1))
    patch.image += np.where(beyond, np.float32(step), np.float32(0))
    return patch
