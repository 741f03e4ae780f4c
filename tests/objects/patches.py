"""Labels to refine, and a way to run steps that also checks what they report."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.ndimage import gaussian_filter


def patches(shape: tuple[int, ...], labels: int = 4, seed: int = 0, sigma: float = 1.0) -> np.ndarray:
    """Irregular patches of labels 0 to ``labels - 1``; larger ones for a larger ``sigma``."""
    noise = np.random.default_rng(seed).normal(size=(labels, *shape))
    return gaussian_filter(noise, (0, *(sigma for _ in shape))).argmax(axis=0).astype(np.uint8)


def result_of(work: Any) -> Any:
    """Run steps that yield fractions, which must never run back, and return their result."""
    last = -1.0
    try:
        while True:
            part = next(work)
            assert last - 1e-12 <= part <= 1 + 1e-12
            last = part
    except StopIteration as stop:
        return stop.value
