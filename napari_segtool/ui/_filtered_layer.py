"""The visible slice behind the filters, shown as an image of that one slice."""

from __future__ import annotations

from typing import Any

import numpy as np
from napari.layers import Image
from numpy.typing import NDArray

from napari_segtool.core.planes import PlaneIndex
from napari_segtool.ui._bridge import META
from napari_segtool.ui._plane_layer import add_above, plane_data, plane_placement, remove_layer

_SHOWN_PERCENT = (0.2, 99.8)


class FilteredLayer:
    """At most one image layer over the image worked on; nobody can choose it to work on."""

    def __init__(self, viewer: Any) -> None:
        self._viewer = viewer
        self.layer: Image | None = None
        self._placed: tuple[Any, ...] = ()

    def show(self, plane: NDArray[Any], index: PlaneIndex, like: Image) -> None:
        """Show a filtered plane of ``like``, ``(Y, X)`` or ``(C, Y, X)``; of channels the mean."""
        grey = plane if plane.ndim == 2 else plane.mean(axis=0, dtype=np.float32)
        data, placed = plane_data(grey, like), (id(like), index)
        limits = _limits(grey, like)
        if self.layer is not None and self.layer in self._viewer.layers and self._placed == placed and self.layer.data.shape == data.shape:
            self.layer.data = data
        else:
            self.remove()
            self.layer = Image(
                data,
                name=f"{like.name} · filtered",
                metadata={META: {"role": "preview", "source": like.name}},
                contrast_limits=limits,
                **plane_placement(like, index),
            )
            self._placed = placed
            add_above(self._viewer, self.layer, like)
        self.layer.contrast_limits = limits

    def remove(self) -> None:
        """Take the layer away."""
        layer, self.layer = self.layer, None
        remove_layer(self._viewer, layer)


def _limits(plane: NDArray[Any], like: Image) -> tuple[float, float]:
    """Contrast of the image where the scale is the same, else that of the plane."""
    if plane.dtype == like.dtype and not like.rgb:
        low, high = like.contrast_limits
        return float(low), float(high)
    finite = plane[np.isfinite(plane)]
    low, high = np.percentile(finite, _SHOWN_PERCENT) if finite.size else (0.0, 1.0)
    return (float(low), float(high)) if high > low else (float(low), float(low) + 1.0)
