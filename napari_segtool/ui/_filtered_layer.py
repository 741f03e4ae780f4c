"""The visible slice behind the filters, shown as an image of that one slice."""

from __future__ import annotations

from typing import Any

import numpy as np
from napari.layers import Image
from numpy.typing import NDArray
from qtpy.QtCore import QObject, QTimer

from napari_segtool.core.planes import PlaneIndex
from napari_segtool.ui._bridge import META
from napari_segtool.ui._plane_layer import add_above, plane_data, plane_placement, remove_layer

REMOVED_AFTER_MS = 150
_SHOWN_PERCENT = (0.2, 99.8)


class FilteredLayer(QObject):
    """At most one image layer over the image worked on; nobody can choose it to work on.

    It vanishes at once but leaves the viewer a few frames later: where an image and labels are taken away between two frames, and labels come
    back after the next, Mesa's software OpenGL (on which remote desktops run) crashes.
    """

    def __init__(self, viewer: Any, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self.layer: Image | None = None
        self._opacity = 1.0
        self._placed: tuple[Any, ...] = ()
        self._leaving = QTimer(self)
        self._leaving.setSingleShot(True)
        self._leaving.setInterval(REMOVED_AFTER_MS)
        self._leaving.timeout.connect(self._leave)

    @property
    def shown(self) -> bool:
        """True while it is to be seen."""
        return self.layer is not None and self.layer in self._viewer.layers and not self._leaving.isActive()

    def show(self, plane: NDArray[Any], index: PlaneIndex, like: Image) -> None:
        """Show a filtered plane of ``like``, ``(Y, X)`` or ``(C, Y, X)``; of channels the mean."""
        grey = plane if plane.ndim == 2 else plane.mean(axis=0, dtype=np.float32)
        data, name, limits = plane_data(grey, like), f"{like.name} · filtered", _limits(grey, like)
        if self._leaving.isActive():
            self._leaving.stop()
            if self.layer is not None:
                self.layer.opacity = self._opacity
        layer = self.layer if self.layer is not None and self.layer in self._viewer.layers else None
        if layer is not None and layer.name == name and layer.data.shape == data.shape:
            layer.data = data
            if self._placed != (index, tuple(like.scale), tuple(like.translate)):
                for key, value in plane_placement(like, index).items():
                    setattr(layer, key, value)
        else:
            remove_layer(self._viewer, layer)
            notes = {"role": "preview", "source": like.name}
            self.layer = Image(data, name=name, metadata={META: notes}, contrast_limits=limits, **plane_placement(like, index))
            add_above(self._viewer, self.layer, like)
        assert self.layer is not None
        self._placed = (index, tuple(like.scale), tuple(like.translate))
        if tuple(self.layer.contrast_limits) != limits:
            self.layer.contrast_limits = limits

    def remove(self) -> None:
        """Take the layer away."""
        if self.shown and self.layer is not None:
            self._opacity, self.layer.opacity = self.layer.opacity, 0.0
            self._leaving.start()

    def _leave(self) -> None:
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
