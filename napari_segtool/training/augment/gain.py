"""Gain: the sliders by which an ultrasound machine makes up for what is lost on the way down."""

from __future__ import annotations

import numpy as np

from napari_segtool.core.params import Params, param
from napari_segtool.core.registry import AUGMENTATIONS
from napari_segtool.training.augment._patch import Patch, floor_of

_SLIDERS = 8


class GainParams(Params):
    """How far the sliders are moved."""

    strength: float = param(1.0, "1 moves each slider by a factor of up to 1.35.", ge=0, le=4)
    probability: float = param(0.5, "Share of the patches that are changed.", ge=0, le=1)


@AUGMENTATIONS.register(
    "gain",
    title="Time gain",
    summary="Brightness changes smoothly with depth, as by the time-gain sliders of the machine; depth is Y.",
    params=GainParams,
    family="ultrasound",
    reference="Singla et al. 2022, Speckle and Shadows (MIDL)",
)
def gain(patch: Patch, rng: np.random.Generator, params: GainParams) -> Patch:
    """Multiply the signal by a smooth curve over Y through eight random sliders, ``exp(±0.3 strength)`` each; in place."""
    if params.strength <= 0:
        return patch
    rows = patch.image.shape[2]
    sliders = params.strength * rng.uniform(-0.3, 0.3, _SLIDERS)
    curve = np.interp(np.linspace(0, _SLIDERS - 1, rows), np.arange(_SLIDERS), sliders)
    width = max(1, rows // _SLIDERS)
    smooth = np.convolve(np.pad(curve, width, mode="edge"), np.full(2 * width + 1, 1 / (2 * width + 1)), mode="valid")
    low = floor_of(patch.image)
    patch.image -= low
    patch.image *= np.exp(smooth).astype(np.float32)[:, None]
    patch.image += low
    return patch
