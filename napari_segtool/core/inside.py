"""What is seen inside a network: its layers, the patches a feature likes, how far a pixel sees, and places like another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_segtool.core.stack import Stack


@dataclass(frozen=True)
class Layer:
    """One block of a network.

    Parameters
    ----------
    name
        As explainers take it ("down.0", "bottom").
    features
        How many feature maps it makes.
    scale_px
        How many pixels of the image one of its own spans, along each spatial axis of the network.
    weights
        How many numbers it has learned.
    """

    name: str
    features: int
    scale_px: tuple[int, ...]
    weights: int


@dataclass(frozen=True, eq=False)
class Patch:
    """A part of an image that a feature answers to strongly.

    Parameters
    ----------
    image
        Which of the images it is from, counted from 0.
    plane
        Index of its plane, along the axes but Y and X.
    centre
        Its pixel ``(y, x)``.
    box
        ``(top, left, bottom, right)`` in pixels, the last two exclusive.
    value
        The feature's value there.
    pixels
        The image in the box as it is stored, ``(Y, X)`` or ``(C, Y, X)``.
    """

    image: int
    plane: tuple[int, ...]
    centre: tuple[int, int]
    box: tuple[int, int, int, int]
    value: float
    pixels: NDArray[Any]


@dataclass(frozen=True, eq=False)
class ReceptiveField:
    """What a pixel's answer depends on.

    Parameters
    ----------
    map
        float32 map of the plane, largest value 1, with ``memo`` as maps of explainers have it.
    outline
        Closed line around the effective receptive field: ``(N, 2)`` pixels ``(y, x)``.
    side_px
        Square root of the number of pixels in it.
    box
        What the network can see at all: ``(top, left, bottom, right)`` in pixels, the last two exclusive.
    """

    map: Stack
    outline: NDArray[np.float32]
    side_px: float
    box: tuple[int, int, int, int]


@dataclass(frozen=True)
class Place:
    """A place that looks like another to a network.

    Parameters
    ----------
    plane
        Index of its plane, along the axes but Y and X.
    centre
        Its pixel ``(y, x)``.
    box
        ``(top, left, bottom, right)`` in pixels, the last two exclusive; as large as what it is like.
    similarity
        Cosine of the angle between the features of both, -1 to 1.
    uncertainty
        Mean entropy of the probabilities there, divided by its maximum: 0 certain, 1 undecided.
    """

    plane: tuple[int, ...]
    centre: tuple[int, int]
    box: tuple[int, int, int, int]
    similarity: float
    uncertainty: float


def box_around(centre: tuple[int, int], sides: tuple[int, int], shape: tuple[int, int]) -> tuple[int, int, int, int]:
    """Return the box of a size around a pixel, moved into the picture where it sticks out, and cut where it is larger.

    Examples
    --------
    >>> box_around((1, 10), (4, 4), (20, 12))
    (0, 8, 4, 12)
    """
    starts = [min(max(0, at - side // 2), max(0, n - side)) for at, side, n in zip(centre, sides, shape, strict=True)]
    stops = [min(start + side, n) for start, side, n in zip(starts, sides, shape, strict=True)]
    return starts[0], starts[1], stops[0], stops[1]
