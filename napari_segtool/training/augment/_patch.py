"""What an augmentation is given and returns."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

UNLABELLED = 255


@dataclass(eq=False, slots=True)
class Patch:
    """A patch on its way into a batch. Whoever is given it may change its arrays.

    Parameters
    ----------
    image
        ``(C, Z, Y, X)`` float32, normalised: mean about 0 and deviation about 1 over whole planes. Z is 1 for a single plane; in 2.5-D it holds
        the neighbouring planes.
    classes
        ``(Z, Y, X)`` uint8 class indices, 255 for unlabelled.
    weights
        ``(Z, Y, X)`` float32, how much each pixel counts; None where all count alike.
    """

    image: NDArray[np.float32]
    classes: NDArray[np.uint8]
    weights: NDArray[np.float32] | None = None


def floor_of(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the lowest value of each channel, ``(C, 1, 1, 1)``: what is multiplied is the signal above it."""
    lowest: NDArray[np.float32] = image.min(axis=(1, 2, 3), keepdims=True)
    return lowest
