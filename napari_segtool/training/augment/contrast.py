"""Contrast: grey values are spread or drawn together about the mean of their plane."""

from __future__ import annotations

import numpy as np

from napari_segtool.core.params import Params, param
from napari_segtool.core.registry import AUGMENTATIONS
from napari_segtool.training.augment._patch import Patch


class ContrastParams(Params):
    """How much the contrast varies."""

    strength: float = param(1.0, "1 changes the contrast by up to a quarter.", ge=0, le=5)
    probability: float = param(1.0, "Share of the patches that are changed.", ge=0, le=1)


@AUGMENTATIONS.register("contrast", title="Contrast", summary="Exposure and staining differ from image to image.", params=ContrastParams, family="general")
def contrast(patch: Patch, rng: np.random.Generator, params: ContrastParams) -> Patch:
    """Multiply a patch by one factor, drawn from ``exp(±0.25 strength)``; in place."""
    if params.strength > 0:
        patch.image *= np.float32(np.exp(params.strength * rng.uniform(-0.25, 0.25)))
    return patch
