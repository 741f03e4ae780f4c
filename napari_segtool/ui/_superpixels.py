"""Paint whole superpixels: a click takes the small region under it, a drag all that it crosses."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
from napari.layers import Image
from napari.layers import Labels as LabelsLayer
from napari.utils.colormaps import DirectLabelColormap
from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import QCheckBox, QHBoxLayout, QLabel, QSlider, QSpinBox, QVBoxLayout, QWidget
from superqt.utils import signals_blocked

from napari_segtool.annotate.superpixels import Superpixels, superpixel_steps
from napari_segtool.ui._bridge import META, axes_of, fits, notes_of, visible_plane
from napari_segtool.ui._fields import guard_wheel
from napari_segtool.ui._jobs import LatestJob
from napari_segtool.ui._message import plain_words
from napari_segtool.ui._plane_layer import kept_selection, plane_data, plane_placement, remove_layer
from napari_segtool.ui._session import Session

SIZES_PX = (4, 80)
FIRST_SIZE_PX = 12
_WAIT_MS = 120
_MODES = ("paint", "erase")
_COLOURS = {None: "transparent", 0: "transparent", 1: "#ffffff"}
_OPACITY = 0.25


class SuperpixelBrush(QWidget):
    """A switch that lets brush and eraser of a labels layer take whole superpixels of the visible slice, and their size.

    They are worked out beside the window, anew for each slice that comes into view, and outlined faintly. A stroke is one step of
    napari's own undo.

    Parameters
    ----------
    session
        Says what image is worked on.
    """

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session, self._viewer = session, session.viewer
        self._image: Image | None = None
        self._layer: LabelsLayer | None = None
        self._outlines: LabelsLayer | None = None
        self._brush: list[Callable[..., Any]] = []
        self._in_view = False
        self.superpixels: Superpixels | None = None
        self.switch = QCheckBox("Whole superpixels")
        self.switch.setToolTip("Brush and eraser take the whole small region under the mouse; regions keep to the edges of the picture.")
        self.switch.clicked.connect(self._switched)
        self.size, self.size_box = QSlider(Qt.Orientation.Horizontal), QSpinBox()
        size = int(session.memory.recall("superpixels").get("size_px", FIRST_SIZE_PX))
        for widget in (self.size, self.size_box):
            widget.setRange(*SIZES_PX)
            widget.setValue(size)
            widget.setToolTip("Width of a superpixel in pixels: small ones follow fine structures.")
            widget.setAccessibleName("Superpixel size")
            guard_wheel(widget)
            widget.valueChanged.connect(self._resized)
        self.size_box.setSuffix(" px")
        self.said = QLabel()
        row = QHBoxLayout()
        row.setSpacing(6)
        row.addWidget(self.switch)
        row.addWidget(self.size, 1)
        row.addWidget(self.size_box)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        layout.addLayout(row)
        layout.addWidget(self.said)
        self._job = LatestJob("superpixels", self)
        self._job.returned.connect(self._take)
        self._job.failed.connect(self._failed)
        self._soon = QTimer(self)
        self._soon.setSingleShot(True)
        self._soon.setInterval(_WAIT_MS)
        self._soon.timeout.connect(self._ask)
        self._viewer.dims.events.ndisplay.connect(self._arrange)
        self._show_state()

    @property
    def on(self) -> bool:
        """True while strokes take whole superpixels."""
        layer, image = self._layer, self._image
        if layer is None or image is None or not (self.switch.isChecked() and self._in_view):
            return False
        return layer.mode in _MODES and self._viewer.dims.ndisplay == 2 and fits(layer, image)

    # what the panel says

    def follow(self, image: Image | None, layer: LabelsLayer | None) -> None:
        """Work on the slices of ``image``, and paint on ``layer``."""
        if layer is not self._layer:
            self._let_go()
            self._layer = layer
            if layer is not None:
                layer.events.mode.connect(self._arrange)
        self._image = image
        self.setEnabled(layer is not None and image is not None and fits(layer, image))
        self.superpixels = None
        self._arrange()

    def set_in_view(self, on: bool) -> None:
        """The panel was raised or covered: covered, the brush is an ordinary brush."""
        self._in_view = on
        self._arrange()

    def plane_changed(self) -> None:
        """The viewer shows another slice."""
        image, found = self._image, self.superpixels
        if image is not None and found is not None and found.index != visible_plane(self._viewer, image):
            self.superpixels = None
            self._arrange()

    def release(self) -> None:
        """Let go of everything."""
        self._in_view = False
        self._let_go()
        self._soon.stop()
        self._job.cancel()
        self._hide_outlines()
        self._viewer.dims.events.ndisplay.disconnect(self._arrange)

    # on and off

    def _switched(self, on: bool) -> None:
        if on and self._layer is not None and self._layer.mode not in _MODES:
            self._layer.mode = "paint"
        self._arrange()

    def _resized(self, size: int) -> None:
        for widget in (self.size, self.size_box):
            with signals_blocked(widget):
                widget.setValue(size)
        self._session.memory.remember("superpixels", {"size_px": size})
        self.superpixels = None
        self._arrange()

    def _arrange(self, event: Any = None) -> None:
        """Take napari's brush off the layer while superpixels are painted, and put it back after."""
        layer = self._layer
        if layer is not None:
            ours = self._drag in layer.mouse_drag_callbacks
            if self.on:
                taken = [callback for callback in layer.mouse_drag_callbacks if _is_brush(callback)]
                for callback in taken:
                    layer.mouse_drag_callbacks.remove(callback)
                self._brush = taken or self._brush
                if not ours:
                    layer.mouse_drag_callbacks.append(self._drag)
                layer.cursor = "cross"
            elif ours:
                self._give_back(layer)
        if self.on and self.superpixels is None:
            self._soon.start()
        elif not (self.switch.isChecked() and self._in_view):
            self._soon.stop()
            self._job.cancel()
            self._hide_outlines()
            self.superpixels = None
        self._show_state()

    def _give_back(self, layer: LabelsLayer) -> None:
        layer.mouse_drag_callbacks.remove(self._drag)
        if layer.mode in _MODES:
            layer.mouse_drag_callbacks.extend(callback for callback in self._brush if callback not in layer.mouse_drag_callbacks)
            layer.cursor = "circle"
        self._brush = []

    def _let_go(self) -> None:
        layer, self._layer = self._layer, None
        if layer is not None:
            layer.events.mode.disconnect(self._arrange)
            if self._drag in layer.mouse_drag_callbacks:
                self._give_back(layer)

    # superpixels

    def _ask(self) -> None:
        if not self.on or self._image is None:
            return
        stack = self._session.stack(self._image)
        self._job.submit(partial(superpixel_steps, stack, visible_plane(self._viewer, self._image), self.size.value()))
        self._show_state()

    def _take(self, found: Superpixels) -> None:
        if self._image is None or not self.switch.isChecked() or not self._in_view:
            return
        if found.index != visible_plane(self._viewer, self._image) or found.size_px != self.size.value():
            return self._soon.start()
        self.superpixels = found
        self._show_outlines(found)
        self._show_state()
        return None

    def _failed(self, error: BaseException) -> None:
        self._hide_outlines()
        self.said.setText(plain_words(error).splitlines()[0])

    def _show_state(self) -> None:
        if not self.switch.isChecked():
            self.said.setText("")
        elif self.superpixels is not None:
            self.said.setText(f"{self.superpixels.count} on this slice: click or drag to take them.")
        elif self.on:
            self.said.setText("Working out the superpixels of this slice…")
        else:
            self.said.setText("Choose the brush or the eraser, in the 2-D view." if self._layer is not None else "")

    # outlines

    def _show_outlines(self, found: Superpixels) -> None:
        assert self._image is not None
        data = plane_data(found.outlines().astype(np.uint8), self._image)
        placement = plane_placement(self._image, found.index)
        layer = self._outlines
        if layer is not None and layer in self._viewer.layers and layer.data.shape == data.shape:
            layer.data = data
            for key, value in placement.items():
                setattr(layer, key, value)
            return
        self._hide_outlines()
        notes = {META: {"role": "preview", "source": self._image.name}}
        layer = LabelsLayer(
            data, name=f"{self._image.name} · superpixels", opacity=_OPACITY, colormap=DirectLabelColormap(color_dict=_COLOURS), metadata=notes, **placement
        )
        layer.editable = False
        notes_of(layer)["axes"] = axes_of(self._image).replace("S", "")
        with kept_selection(self._viewer):
            self._viewer.add_layer(layer)
        self._outlines = layer

    def _hide_outlines(self) -> None:
        layer, self._outlines = self._outlines, None
        remove_layer(self._viewer, layer)

    # painting

    def _drag(self, layer: LabelsLayer, event: Any) -> Iterator[None]:
        """Paint the superpixels under a stroke; napari calls this with each press, and goes on with each move."""
        if event.button != 1 or not self.on:
            return
        if self.superpixels is None:
            self.said.setText("One moment: the superpixels of this slice are not ready yet.")
            return
        found = self.superpixels
        with layer.block_history():  # a stroke is undone as a whole
            last = self._place(layer, event)
            self._paint(layer, found, last, last)
            yield
            while event.type == "mouse_move":
                place = self._place(layer, event)
                self._paint(layer, found, last, place)
                last = place
                yield

    def _place(self, layer: LabelsLayer, event: Any) -> np.ndarray:
        return np.asarray(layer.world_to_data(event.position), float)

    def _paint(self, layer: LabelsLayer, found: Superpixels, start: np.ndarray, end: np.ndarray) -> None:
        axes = axes_of(layer)
        y, x = axes.index("Y"), axes.index("X")
        rows, columns = np.nonzero(found.under((start[y], start[x]), (end[y], end[x])))
        if not len(rows):
            return
        positions = iter(found.index)
        where = [rows if axis == "Y" else columns if axis == "X" else np.full(len(rows), 0 if axis == "C" else next(positions)) for axis in axes]
        value = 0 if layer.mode == "erase" else int(layer.selected_label)
        if layer.preserve_labels:
            free = np.asarray(layer.data[tuple(where)]) == (int(layer.selected_label) if value == 0 else 0)
            where = [places[free] for places in where]
        layer.data_setitem(tuple(where), value)


def _is_brush(callback: Callable[..., Any]) -> bool:
    """True for napari's own callback that paints."""
    return getattr(callback, "__name__", "") == "draw" and str(getattr(callback, "__module__", "")).startswith("napari.")
