"""Planes whose gaps between objects are closed once all their tiles are there."""

from __future__ import annotations

import math
from collections.abc import Generator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_segtool.methods._closed_contours import with_closed_contours_steps
from napari_segtool.nets._tiling import Box

_BLOCK_PX, _OVERLAP_PX = 4096, 256
"""Larger planes are closed in blocks that overlap, so that memory stays bounded beside the probabilities themselves."""


class Closing:
    """Keeps the probabilities of planes until they are whole.

    Parameters
    ----------
    classes, separator
        Number of classes, and the one whose gaps are closed.
    shape
        ``(Y, X)`` of a plane.
    """

    def __init__(self, classes: int, separator: int, shape: Sequence[int]) -> None:
        self._separator = separator
        self._shape = (classes, *shape)
        self._planes: dict[tuple[int, ...], tuple[NDArray[np.float32], int]] = {}

    def put(self, scene: Sequence[int], box: Box, chances: Tensor) -> bool:
        """Keep a box ``(K, Y, X)`` of a plane; return whether the plane is whole now. No pixel may be put twice."""
        plane, missing = self._planes.get(tuple(scene)) or (np.empty(self._shape, np.float32), math.prod(self._shape[1:]))
        plane[(slice(None), *box)] = chances.cpu().numpy()
        missing -= math.prod(part.stop - part.start for part in box)
        self._planes[tuple(scene)] = plane, missing
        return not missing

    def take_steps(self, scene: Sequence[int]) -> Generator[float, None, Tensor]:
        """Give a whole plane away, its gaps closed; yields now and then."""
        plane, _ = self._planes.pop(tuple(scene))
        height, width = self._shape[1:]
        if max(height, width) <= _BLOCK_PX:
            yield from with_closed_contours_steps(plane, self._separator)
            return torch.from_numpy(plane)
        closed = np.empty_like(plane)
        for y in range(0, height, _BLOCK_PX):
            for x in range(0, width, _BLOCK_PX):
                top, left = max(0, y - _OVERLAP_PX), max(0, x - _OVERLAP_PX)
                block = plane[:, top : y + _BLOCK_PX + _OVERLAP_PX, left : x + _BLOCK_PX + _OVERLAP_PX].copy()
                yield from with_closed_contours_steps(block, self._separator)
                closed[:, y : y + _BLOCK_PX, x : x + _BLOCK_PX] = block[:, y - top : y - top + _BLOCK_PX, x - left : x - left + _BLOCK_PX]
        return torch.from_numpy(closed)
