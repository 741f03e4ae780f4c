"""Blur: each plane is a little out of focus."""

from __future__ import annotations

import numpy as np

from napari_segtool.core.params import Params, param
from napari_segtool.core.registry import AUGMENTATIONS
from napari_segtool.training.augment._patch import Patch


class BlurParams(Params):
    """How much planes are blurred."""

    strength: float = param(1.0, "1 draws a width from 0.3 to 1.2 px.", ge=0, le=5)
    probability: float = param(0.2, "Share of the patches that are changed.", ge=0, le=1)


@AUGMENTATIONS.register("blur", title="Blur", summary="Focus varies; so does what was done to the image before.", params=BlurParams, family="general")
def blur(patch: Patch, rng: np.random.Generator, params: BlurParams) -> Patch:
    """Smooth every plane by a Gaussian of ``strength`` times 0.3 to 1.2 pixels; in place."""
    import cv2

    if params.strength > 0:
        sigma_px = params.strength * rng.uniform(0.3, 1.2)
        for channel in patch.image:
            for plane in channel:
                cv2.GaussianBlur(plane, (0, 0), sigma_px, dst=plane)
    return patch
