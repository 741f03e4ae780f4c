"""Gamma: middle grey values move, black and white stay."""

from __future__ import annotations

import numpy as np

from napari_segtool.core.params import Params, param
from napari_segtool.core.registry import AUGMENTATIONS
from napari_segtool.training.augment._patch import Patch


class GammaParams(Params):
    """How much the response curve varies."""

    strength: float = param(1.0, "1 draws exponents from 0.7 to 1.42.", ge=0, le=5)
    probability: float = param(0.3, "Share of the patches that are changed.", ge=0, le=1)


@AUGMENTATIONS.register("gamma", title="Gamma", summary="Detectors and displays answer by different curves.", params=GammaParams, family="general")
def gamma(patch: Patch, rng: np.random.Generator, params: GammaParams) -> Patch:
    """Raise grey values, scaled from 0 to 1 over the patch, to a power drawn from ``exp(±0.35 strength)``."""
    import cv2

    low, high = patch.image.min(), patch.image.max()
    if params.strength > 0 and high > low:
        power = float(np.exp(params.strength * rng.uniform(-0.35, 0.35)))
        patch.image = cv2.pow((patch.image - low).reshape(-1) / (high - low), power).reshape(patch.image.shape) * (high - low) + low
    return patch
