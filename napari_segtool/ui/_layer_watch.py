"""Hear of every change of a layer's pixels or shapes, once for each act of the user."""

from __future__ import annotations

from typing import Any

from napari.layers import Labels as LabelsLayer
from napari.layers import Layer
from qtpy.QtCore import QObject, QTimer, Signal

_FINAL = ("added", "removed", "changed")


class LayerWatch(QObject):
    """Watch one layer at a time.

    Strokes and shapes say that they are done. Undo and direct writes only redraw, but so does every step to another slice, which
    changes nothing and is told from them by the place shown.

    Attributes
    ----------
    revision : int
        Another number after every change.
    """

    changed = Signal()

    def __init__(self, viewer: Any, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self.layer: Layer | None = None
        self.revision = 0
        self._shown: tuple[Any, ...] = ()
        self._soon = QTimer(self)  # one act of the user may say so several times
        self._soon.setSingleShot(True)
        self._soon.timeout.connect(self.changed)

    def follow(self, layer: Layer | None) -> None:
        """Watch ``layer`` instead of the one before."""
        if layer is self.layer:
            return
        for emitter, slot in self._connections():
            emitter.disconnect(slot)
        self._soon.stop()
        self.layer = layer
        self.revision += 1
        self._shown = self._place()
        for emitter, slot in self._connections():
            emitter.connect(slot)

    def let_pass(self) -> None:
        """Say nothing of changes made just now; `revision` knows of them."""
        self._soon.stop()

    def _connections(self) -> list[tuple[Any, Any]]:
        if self.layer is None:
            return []
        events = self.layer.events
        pairs = [(events.data, self._changed)]
        if isinstance(self.layer, LabelsLayer):
            pairs += [(events.paint, self._changed), (events.set_data, self._redrawn)]
        return pairs

    def _changed(self, event: Any) -> None:
        action = getattr(event, "action", None)
        if action is None or str(action).rsplit(".", 1)[-1].lower() in _FINAL:
            self._tell()

    def _redrawn(self, event: Any = None) -> None:
        place = self._place()
        if place == self._shown:
            self._tell()
        self._shown = place

    def _tell(self) -> None:
        self.revision += 1
        self._soon.start(0)

    def _place(self) -> tuple[Any, ...]:
        dims = self._viewer.dims
        return tuple(dims.point), tuple(dims.order), dims.ndisplay
