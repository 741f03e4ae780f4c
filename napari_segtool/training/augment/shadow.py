"""Shadow: bone, gas and stones let no sound through; it is dark below them."""

from __future__ import annotations

import numpy as np

from napari_segtool.core.params import Params, param
from napari_segtool.core.registry import AUGMENTATIONS
from napari_segtool.training.augment._patch import Patch, floor_of

_LOOKS = 12


class ShadowParams(Params):
    """How dark shadows are."""

    strength: float = param(1.0, "1 takes away up to 0.8 of the signal.", ge=0, le=1.25)
    probability: float = param(0.25, "Share of the patches that are changed.", ge=0, le=1)


@AUGMENTATIONS.register(
    "shadow",
    title="Shadow",
    summary="A dark band that begins below a bright reflector and widens with depth; depth is Y.",
    params=ShadowParams,
    family="ultrasound",
    reference="Smistad et al. 2018, doi:10.1117/1.JMI.5.4.044004; with depth and below a reflector as in Singla et al. 2022 (MIDL)",
)
def shadow(patch: Patch, rng: np.random.Generator, params: ShadowParams) -> Patch:
    """Darken a band below the brightest of a dozen places, in all planes; in place. Labels stay: what lies in a shadow is still there."""
    if params.strength <= 0:
        return patch
    height, width = patch.image.shape[2:]
    middle = patch.image[0, patch.image.shape[1] // 2]
    places = np.stack([rng.integers(0, max(1, round(0.7 * height)), _LOOKS), rng.integers(0, width, _LOOKS)])
    y, x = (float(n) for n in places[:, int(middle[places[0], places[1]].argmax())])
    half_px, spread, edge_px = rng.uniform(0.03, 0.15) * width + 0.5, rng.uniform(0, 0.2), rng.uniform(1, 6)
    depth = np.arange(height, dtype=np.float32)[:, None] - np.float32(y)
    band = np.abs(np.arange(width, dtype=np.float32) - np.float32(x)) / (half_px + spread * np.maximum(depth, 0))
    onset = 1 / (1 + np.exp(-np.clip(depth / edge_px, -30, 30)))
    dark = np.float32(min(1.0, params.strength * rng.uniform(0.2, 0.8))) * onset * np.exp(-(np.minimum(band, 8) ** 4))
    low = floor_of(patch.image)
    patch.image -= low
    patch.image *= (1 - dark).astype(np.float32)
    patch.image += low
    return patch
