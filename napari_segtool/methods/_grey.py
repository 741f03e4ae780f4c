"""One grey value for each pixel, whatever the channels: what classical methods work on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_segtool.core.planes import PlaneIndex, read_plane
from napari_segtool.core.stack import Stack
from napari_segtool.preprocess._smooth import float_plane, native, restored, smooth_plane

_LUMINANCE = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601, as OpenCV and Pillow weigh red, green and blue


@dataclass(frozen=True, slots=True)
class Grey:
    """Turns a plane of a stack into smoothed grey values.

    Colour samples become their luminance (alpha is ignored), other channels their mean; both keep the type, and whole
    numbers are rounded. Booleans become 0 and 1.

    Parameters
    ----------
    colours
        Whether channels are colour samples (axis ``S``).
    smoothing_px
        Width of a Gaussian in the plane; 0 smooths nothing.
    whole
        Whether whole numbers stay whole after smoothing (so that they can be counted); gradients need the fractions.
    """

    colours: bool
    smoothing_px: float = 0.0
    whole: bool = True

    @classmethod
    def of(cls, stack: Stack, smoothing_px: float = 0.0, *, whole: bool = True) -> Grey:
        """Make one for the channels of ``stack``."""
        return cls("S" in stack.axes, smoothing_px, whole)

    def changes_nothing(self, stack: Stack) -> bool:
        """Tell whether the grey values of ``stack`` are those that it holds."""
        return not self.smoothing_px and self.whole and stack.label_shape == stack.shape and np.dtype(stack.data.dtype).isnative

    def __call__(self, plane: NDArray[Any]) -> NDArray[Any]:
        """Return grey values ``(Y, X)`` of a plane ``(Y, X)`` or ``(C, Y, X)``, in native byte order."""
        grey = plane if plane.ndim == 2 else self._mixed(plane)
        if grey.dtype.kind == "b":
            grey = grey.astype(np.uint8)
        if not self.whole:
            grey = float_plane(grey)
        return smooth_plane(grey, self.smoothing_px, self.smoothing_px) if self.smoothing_px else native(grey)

    def read(self, stack: Stack, index: PlaneIndex) -> NDArray[Any]:
        """Return the grey values of one plane of ``stack``."""
        return self(read_plane(stack, index))

    def _mixed(self, plane: NDArray[Any]) -> NDArray[Any]:
        channels = plane.shape[0]
        if self.colours:
            channels = 3 if channels >= 3 else 1
        if channels == 1:
            first: NDArray[Any] = plane[0]
            return first
        weights = _LUMINANCE if self.colours else np.full(channels, 1 / channels)
        mixed = np.zeros(plane.shape[1:], np.float64)
        for weight, channel in zip(weights, plane, strict=False):
            mixed += weight * float_plane(channel)
        return restored(mixed, plane.dtype)
