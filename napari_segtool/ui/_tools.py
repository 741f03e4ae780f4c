"""Brush, eraser, fill, pick and their size, in the panel, so that nobody has to find napari's corner controls."""

from __future__ import annotations

from typing import Any

from napari.layers import Labels as LabelsLayer
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QButtonGroup, QGridLayout, QHBoxLayout, QLabel, QPushButton, QSlider, QSpinBox, QWidget
from superqt.utils import signals_blocked

from napari_segtool.ui._fields import guard_wheel

TOOLS = (
    ("pan_zoom", "Move", "Drag and zoom the picture (Z)."),
    ("paint", "Brush", "Paint the chosen class (P)."),
    ("erase", "Erase", "Take paint away (E)."),
    ("fill", "Fill", "Fill a closed area with the chosen class (F)."),
    ("pick", "Pick", "Choose the class under the mouse (L)."),
)
LARGEST_PX = 100


class PaintTools(QWidget):
    """Buttons for the modes of a labels layer, the size of its brush, and undo."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._layer: LabelsLayer | None = None
        self.buttons: dict[str, QPushButton] = {}
        self._group = QButtonGroup(self)
        row = QHBoxLayout()
        row.setSpacing(2)
        for mode, title, help_text in TOOLS:
            button = QPushButton(title)
            button.setCheckable(True)
            button.setObjectName(mode)
            button.setToolTip(help_text)
            button.setStyleSheet("padding: 4px 2px;")
            self.buttons[mode] = button
            self._group.addButton(button)
            row.addWidget(button, 1)
        self._group.buttonClicked.connect(self._chosen)
        self.size = QSlider(Qt.Orientation.Horizontal)
        self.size_box = QSpinBox()
        for widget in (self.size, self.size_box):
            widget.setRange(1, LARGEST_PX)
            widget.setToolTip("Width of the brush and the eraser in pixels ([ and ]).")
            widget.setAccessibleName("Brush size")
            guard_wheel(widget)
        self.size_box.setSuffix(" px")
        self.undo = QPushButton("Undo")
        self.undo.setToolTip("Take the last stroke back (Ctrl+Z); Ctrl+Shift+Z brings it back.")
        self.undo.clicked.connect(self._undo)
        sizes = QHBoxLayout()
        sizes.setSpacing(6)
        sizes.addWidget(QLabel("Size"))
        sizes.addWidget(self.size, 1)
        sizes.addWidget(self.size_box)
        sizes.addWidget(self.undo)
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setVerticalSpacing(4)
        grid.addLayout(row, 0, 0)
        grid.addLayout(sizes, 1, 0)
        self.size.valueChanged.connect(self._resized)
        self.size_box.valueChanged.connect(self._resized)
        self.follow(None)

    def follow(self, layer: LabelsLayer | None) -> None:
        """Show and set the tools of ``layer``."""
        if self._layer is not None:
            self._layer.events.mode.disconnect(self._show_mode)
            self._layer.events.brush_size.disconnect(self._show_size)
        self._layer = layer
        self.setEnabled(layer is not None)
        if layer is not None:
            layer.events.mode.connect(self._show_mode)
            layer.events.brush_size.connect(self._show_size)
            self._show_mode()
            self._show_size()

    def _chosen(self, button: QPushButton) -> None:
        if self._layer is not None:
            self._layer.mode = button.objectName()

    def _resized(self, size: int) -> None:
        if self._layer is not None:
            self._layer.brush_size = size

    def _undo(self, _: bool) -> None:
        if self._layer is not None:
            self._layer.undo()

    def _show_mode(self, event: Any = None) -> None:
        if self._layer is None:
            return
        button = self.buttons.get(str(getattr(self._layer.mode, "value", self._layer.mode)))
        if button is not None:
            button.setChecked(True)
        else:  # napari's polygon and transform tools have no button here
            self._group.setExclusive(False)
            for other in self.buttons.values():
                other.setChecked(False)
            self._group.setExclusive(True)

    def _show_size(self, event: Any = None) -> None:
        if self._layer is None:
            return
        size = round(min(LARGEST_PX, self._layer.brush_size))
        for widget in (self.size, self.size_box):
            with signals_blocked(widget):
                widget.setValue(size)
