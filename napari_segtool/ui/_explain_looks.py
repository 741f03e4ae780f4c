"""How strongly the overlay covers the picture, and what of it is left out; both act while they are dragged."""

from __future__ import annotations

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QHBoxLayout, QLabel, QSlider, QWidget

from napari_segtool.ui._fields import guard_wheel
from napari_segtool.ui._form import caption, form_layout

OPACITY, THRESHOLD = 70, 10


class LookRows(QWidget):
    """Two sliders with their values."""

    changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.opacity = _slider("Opacity", "How strongly the overlay covers the picture.", OPACITY)
        self.threshold = _slider("Hide below", "Leave out what is weaker than this part of the strongest.", THRESHOLD)
        self._texts: list[tuple[QSlider, QLabel]] = []
        rows = form_layout()
        for slider in (self.opacity, self.threshold):
            value = QLabel()
            value.setFixedWidth(value.fontMetrics().horizontalAdvance("100 %"))
            value.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
            self._texts.append((slider, value))
            row = QHBoxLayout()
            row.addWidget(slider, 1)
            row.addWidget(value)
            label = caption(slider.accessibleName())
            label.setBuddy(slider)
            label.setToolTip(slider.toolTip())
            rows.addRow(label, row)
            slider.valueChanged.connect(self._moved)
        self.setLayout(rows)
        self._write()

    def _moved(self, _: int) -> None:
        self._write()
        self.changed.emit()

    def _write(self) -> None:
        for slider, text in self._texts:
            text.setText(f"{slider.value()} %")


def _slider(name: str, tip: str, value: int) -> QSlider:
    slider = QSlider(Qt.Orientation.Horizontal)
    slider.setRange(0, 100)
    slider.setValue(value)
    slider.setAccessibleName(name)
    slider.setToolTip(tip)
    guard_wheel(slider)
    return slider
