"""Keep count of the paint in a layer while it is painted, erased, filled, undone and replaced."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from napari.layers import Labels as LabelsLayer
from qtpy.QtCore import QObject, QTimer, Signal

from napari_segtool.annotate.counts import PaintCounts, count_steps
from napari_segtool.core.errors import SegtoolError
from napari_segtool.core.planes import PlaneIndex, read_plane
from napari_segtool.core.progress import Steps
from napari_segtool.core.stack import Stack
from napari_segtool.ui._bridge import axes_of, paint_of
from napari_segtool.ui._jobs import LatestJob

RECOUNT_AFTER_MS = 120
_MOST_PLANES_AT_ONCE = 16


class PaintWatch(QObject):
    """Counts of the paint of one layer at a time, up to date a moment after every change.

    A stroke tells which slices it touched, and only those are counted. Undo and a changed array tell nothing, so then all
    slices are counted again, off the GUI thread.
    """

    changed = Signal()

    def __init__(self, viewer: Any, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._layer: LabelsLayer | None = None
        self._paint: Stack | None = None
        self.counts = PaintCounts(1)
        self._point: tuple[float, ...] = ()
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(RECOUNT_AFTER_MS)
        self._timer.timeout.connect(self._count_all)
        self._dirty: set[PlaneIndex] = set()
        self._soon = QTimer(self)
        self._soon.setSingleShot(True)
        self._soon.timeout.connect(self._count_dirty)
        self._job = LatestJob("paint count", self)
        self._job.returned.connect(self._take)

    @property
    def layer(self) -> LabelsLayer | None:
        """The layer watched."""
        return self._layer

    @property
    def busy(self) -> bool:
        """True while a count is under way, so that `counts` may be out of date."""
        return self._timer.isActive() or self._soon.isActive() or self._job.busy

    def follow(self, layer: LabelsLayer | None) -> None:
        """Watch ``layer`` instead of the one before."""
        if self._layer is not None:
            events = self._layer.events
            events.paint.disconnect(self._painted)
            events.set_data.disconnect(self._redrawn)
            events.data.disconnect(self._replaced)
        self._layer, self.counts, self._paint = layer, PaintCounts(1), None
        self._job.cancel()
        self._timer.stop()
        self._soon.stop()
        self._dirty = set()
        self._point = tuple(self._viewer.dims.point)
        if layer is not None:
            layer.events.paint.connect(self._painted)
            layer.events.set_data.connect(self._redrawn)
            layer.events.data.connect(self._replaced)
            self._count_all()
        self.changed.emit()

    def _replaced(self, event: Any = None) -> None:
        self._timer.start()

    def _redrawn(self, event: Any = None) -> None:
        # Undo and direct writes only redraw, but so does every step to another slice, which changes no pixel.
        point = tuple(self._viewer.dims.point)
        if point == self._point:
            self._timer.start()
        self._point = point

    def _painted(self, event: Any) -> None:
        if self._layer is not None:
            self._dirty |= _planes_of(event.value, axes_of(self._layer))
            self._soon.start(0)  # a fill says that it painted just before it does

    def _count_dirty(self) -> None:
        planes, self._dirty = self._dirty, set()
        if self._paint is None or self._job.busy or len(planes) > _MOST_PLANES_AT_ONCE:
            self._timer.start()
            return
        for index in planes:
            self.counts.count(index, read_plane(self._paint, index))
        self.changed.emit()

    def _count_all(self) -> None:
        layer = self._layer
        if layer is None:
            return
        try:
            paint = paint_of(layer)
        except SegtoolError:  # labels with channels cannot be painted on; the panel says so where it matters
            return
        self._paint = Stack(paint.data, paint.axes)
        self._job.submit(_Counting(self._paint))

    def _take(self, counts: PaintCounts) -> None:
        self.counts = counts
        self.changed.emit()


class _Counting:
    def __init__(self, paint: Stack) -> None:
        self._paint = paint

    def __call__(self) -> Steps[PaintCounts]:
        return count_steps(self._paint)


def _planes_of(atoms: Any, axes: str) -> set[PlaneIndex]:
    """Planes that a paint event touched; napari's atoms are boxes, those of ``data_setitem`` index arrays."""
    across = [i for i, axis in enumerate(axes) if axis not in "CYX"]
    planes: set[PlaneIndex] = set()
    for atom in atoms:
        key = getattr(atom, "slice_key", None)
        if key is None:
            key = tuple(slice(int(np.min(places)), int(np.max(places)) + 1) for places in atom[0])
        spans = [range(key[i].start, key[i].stop) if isinstance(key[i], slice) else range(int(key[i]), int(key[i]) + 1) for i in across]
        planes.update(itertools.product(*spans))
    return planes
