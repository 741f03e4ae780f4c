"""Speckle: echoes of many small scatterers that add up by chance."""

from __future__ import annotations

import numpy as np

from napari_segtool.core.params import Params, param
from napari_segtool.core.registry import AUGMENTATIONS
from napari_segtool.training.augment._patch import Patch, floor_of


class SpeckleParams(Params):
    """How much speckle is laid over the picture."""

    strength: float = param(1.0, "1 mixes in up to 0.4 of full speckle.", ge=0, le=2.5)
    probability: float = param(0.3, "Share of the patches that are changed.", ge=0, le=1)


@AUGMENTATIONS.register(
    "speckle",
    title="Speckle",
    summary="Multiplicative grain whose amplitude follows Rayleigh's law, as coherent waves make it.",
    params=SpeckleParams,
    family="ultrasound",
    reference="Wagner et al. 1983, doi:10.1109/T-SU.1983.31404",
)
def speckle(patch: Patch, rng: np.random.Generator, params: SpeckleParams) -> Patch:
    """Multiply the signal by ``1 + a (r - 1)``, r Rayleigh-distributed with mean 1, ``a`` up to ``0.4 strength``; in place.

    Grains are wider than deep, as the beam is: the two Gaussian fields whose length is the amplitude are smoothed by up to 2.5 × 1.2 pixels.
    """
    import cv2

    if params.strength <= 0:
        return patch
    share = np.float32(min(1.0, params.strength * rng.uniform(0.1, 0.4)))
    across_px, deep_px = rng.uniform(0.7, 2.5), rng.uniform(0.4, 1.2)
    fields = rng.standard_normal((2, *patch.image.shape), dtype=np.float32)
    for plane in fields.reshape(-1, *patch.image.shape[2:]):
        cv2.GaussianBlur(plane, (0, 0), across_px, dst=plane, sigmaY=deep_px)
    grain = np.hypot(fields[0], fields[1])
    grain /= max(float(grain.mean()), 1e-6)
    low = floor_of(patch.image)
    patch.image -= low
    patch.image *= 1 + share * (grain - 1)
    patch.image += low
    return patch
