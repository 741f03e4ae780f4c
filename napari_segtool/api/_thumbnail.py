"""Small pictures of a slice with labels over it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_segtool.core.labels import OKABE_ITO, class_colour
from napari_segtool.core.planes import PlaneIndex, read_plane
from napari_segtool.core.stack import Stack

_OPACITY = 0.45
_HUES = 251  # a prime, so that neighbours in number rarely share a colour


@dataclass(frozen=True, eq=False)
class Backdrop:
    """A slice made small, and which of its pixels are still seen.

    Parameters
    ----------
    picture
        uint8, ``(height, width, 3)``.
    rows, columns
        Rows and columns of the slice under each pixel of the picture.
    """

    picture: NDArray[np.uint8]
    rows: NDArray[np.intp]
    columns: NDArray[np.intp]

    @classmethod
    def of(cls, stack: Stack, index: PlaneIndex, limits: tuple[float, float], largest_px: int) -> Backdrop:
        """Make one of a plane, no wider and no higher than ``largest_px``, as wide against its height as it is in µm.

        ``limits`` are the grey values shown black and white; colours are shown as they are, other channels as their mean.
        """
        import cv2

        from napari_segtool.methods._grey import Grey

        plane = read_plane(stack, index)
        colour = "S" in stack.axes and plane.shape[0] >= 3
        shown = np.moveaxis(plane[:3], 0, -1) if colour else Grey.of(stack)(plane)
        height, width = (n * stack.spacing_of(axis) for n, axis in zip(shown.shape[:2], "YX", strict=True))
        scale = largest_px / max(height, width)
        size = max(1, round(height * scale)), max(1, round(width * scale))
        scaled = (np.nan_to_num(shown.astype(np.float32)) - limits[0]) * (255 / ((limits[1] - limits[0]) or 1.0))
        small = cv2.resize(scaled, size[::-1], interpolation=cv2.INTER_AREA).clip(0, 255).astype(np.uint8)
        picture = small if colour else np.repeat(small[..., None], 3, axis=-1)
        rows, columns = (((np.arange(few) + 0.5) * many / few).astype(np.intp) for few, many in zip(size, shown.shape[:2], strict=True))
        return cls(np.ascontiguousarray(picture), rows, columns)

    def with_labels(self, labels: NDArray[Any]) -> NDArray[np.uint8]:
        """Return the picture with the labels of the slice, ``(Y, X)``, in colour over it; 0 is clear."""
        seen = labels[np.ix_(self.rows, self.columns)].astype(np.int64)
        colours = label_colours(int(labels.max(initial=0)))
        painted = (1 - _OPACITY) * self.picture + _OPACITY * colours[np.where(seen, (seen - 1) % len(colours), 0)]
        return np.where((seen > 0)[..., None], painted, self.picture).astype(np.uint8)


def label_colours(largest: int) -> NDArray[np.float64]:
    """Return the colours of labels 1, 2, …: those of the classes for a few, or else many that repeat; ``(n, 3)``, 0 to 255."""
    if largest <= len(OKABE_ITO):
        names = [class_colour(value) for value in range(1, len(OKABE_ITO) + 1)]
        return np.array([[int(name[i : i + 2], 16) for i in (1, 3, 5)] for name in names], float)
    hue = (np.arange(_HUES) * 0.618034) % 1
    wheel: NDArray[np.float64] = np.abs((hue[:, None] * 6 + np.array([0, 4, 2])) % 6 - 3) - 1
    colours: NDArray[np.float64] = 255 * (0.25 + 0.75 * wheel.clip(0, 1))
    return colours
