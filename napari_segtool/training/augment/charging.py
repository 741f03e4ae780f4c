"""Charging: electrons stay where the specimen conducts badly; it glows there, and the beam's line after it is drawn out."""

from __future__ import annotations

import numpy as np

from napari_segtool.core.params import Params, param
from napari_segtool.core.registry import AUGMENTATIONS
from napari_segtool.training.augment._patch import Patch


class ChargingParams(Params):
    """How much the specimen charges."""

    strength: float = param(1.0, "1 makes places up to 2.5 deviations brighter, or half of that darker.", ge=0, le=3)
    probability: float = param(0.1, "Share of the patches that are changed.", ge=0, le=1)


@AUGMENTATIONS.register(
    "charging",
    title="Charging",
    summary="Bright or dark glow with a tail along the scan line, as on specimens that conduct badly.",
    params=ChargingParams,
    family="em",
    reference="Reimer 1998, doi:10.1007/978-3-540-38967-5 (cause); the form is ours",
)
def charging(patch: Patch, rng: np.random.Generator, params: ChargingParams) -> Patch:
    """Add one to three glows to one section: a Gaussian across the scan line, a rise and an exponential tail along it; in place.

    The scan line runs along X, either way.
    """
    if params.strength <= 0:
        return patch
    _, sections, height, width = patch.image.shape
    plane = patch.image[:, int(rng.integers(sections))]
    rows, columns = np.arange(height, dtype=np.float32), np.arange(width, dtype=np.float32)
    for _ in range(int(rng.integers(1, 4))):
        y, x = rng.uniform(0, height), rng.uniform(0, width)
        height_px, tail_px = rng.uniform(0.01, 0.08) * height + 0.5, rng.uniform(0.1, 0.5) * width + 1
        size = params.strength * rng.uniform(0.5, 2.5) * (1.0 if rng.random() < 0.7 else -0.5)
        along = (columns - x) * (1 if rng.random() < 0.5 else -1)
        across = np.exp(-0.5 * ((rows - y) / height_px) ** 2)
        tail = np.where(along >= 0, np.exp(-np.maximum(along, 0) / tail_px), np.exp(-0.5 * (along / height_px) ** 2))
        plane += (size * across[:, None] * tail).astype(np.float32)
    return patch
