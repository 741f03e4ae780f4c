"""Noise: independent Gaussian noise in every pixel."""

from __future__ import annotations

import numpy as np

from napari_segtool.core.params import Params, param
from napari_segtool.core.registry import AUGMENTATIONS
from napari_segtool.training.augment._patch import Patch


class NoiseParams(Params):
    """How much noise is added."""

    strength: float = param(1.0, "1 adds noise of up to a quarter of the deviation of grey values.", ge=0, le=5)
    probability: float = param(0.3, "Share of the patches that are changed.", ge=0, le=1)


@AUGMENTATIONS.register("noise", title="Noise", summary="Some images were taken faster than others.", params=NoiseParams, family="general")
def noise(patch: Patch, rng: np.random.Generator, params: NoiseParams) -> Patch:
    """Add Gaussian noise whose deviation is drawn from 0 to ``0.25 strength``; in place."""
    if params.strength > 0:
        grain = rng.standard_normal(patch.image.shape, dtype=np.float32)
        grain *= np.float32(params.strength * rng.uniform(0, 0.25))
        patch.image += grain
    return patch
