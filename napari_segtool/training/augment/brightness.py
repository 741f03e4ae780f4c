"""Brightness: one value is added everywhere."""

from __future__ import annotations

import numpy as np

from napari_segtool.core.params import Params, param
from napari_segtool.core.registry import AUGMENTATIONS
from napari_segtool.training.augment._patch import Patch


class BrightnessParams(Params):
    """How much the brightness varies."""

    strength: float = param(1.0, "1 adds up to a quarter of the deviation of grey values.", ge=0, le=5)
    probability: float = param(1.0, "Share of the patches that are changed.", ge=0, le=1)


@AUGMENTATIONS.register(
    "brightness", title="Brightness", summary="A patch may be brighter or darker than its image.", params=BrightnessParams, family="general"
)
def brightness(patch: Patch, rng: np.random.Generator, params: BrightnessParams) -> Patch:
    """Add one value to a patch, drawn from ``±0.25 strength`` deviations; in place."""
    if params.strength > 0:
        patch.image += np.float32(params.strength * rng.uniform(-0.25, 0.25))
    return patch
