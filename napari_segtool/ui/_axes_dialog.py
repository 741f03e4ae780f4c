"""Correct the axes and spacing of an image, where the file said nothing or nonsense."""

from __future__ import annotations

from napari.layers import Layer
from qtpy.QtWidgets import QComboBox, QDialog, QDialogButtonBox, QDoubleSpinBox, QLabel, QLineEdit, QVBoxLayout, QWidget

from napari_segtool.core.errors import SegtoolError
from napari_segtool.core.stack import SPATIAL
from napari_segtool.ui._bridge import axes_of, data_of, spacing_of
from napari_segtool.ui._facts import UNITS_UM, natural_unit
from napari_segtool.ui._form import form_layout
from napari_segtool.ui._message import MessageLine
from napari_segtool.ui._session import Session

_HELP = "One letter for each dimension, in order: T time, Z slice, C channel, Y row, X column; I or Q pages that are separate pictures."


class AxesDialog(QDialog):
    """Ask for the letters of the axes and the size of a sample along Z, Y and X; 0 means unknown."""

    def __init__(self, session: Session, layer: Layer, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session, self._layer = session, layer
        self.setWindowTitle("Axes and spacing")
        spacing = spacing_of(layer)
        letters = axes_of(layer).replace("S", "")
        self.axes = QLineEdit(letters)
        self.axes.setMaxLength(len(letters))
        self.axes.setToolTip(_HELP)
        self.unit = QComboBox()
        self.unit.addItems(list(UNITS_UM))
        self.unit.setCurrentText(natural_unit(spacing) if spacing else "µm")
        self.unit.setToolTip("Unit of the spacing below.")
        self.boxes: dict[str, QDoubleSpinBox] = {}
        form = form_layout()
        shape = "×".join(str(n) for n in data_of(layer).shape[: len(letters)])
        form.addRow("Image", QLabel(f"{layer.name}  ({shape})"))
        form.addRow("Axes", self.axes)
        form.addRow("Unit", self.unit)
        for letter in SPATIAL:
            box = QDoubleSpinBox()
            box.setDecimals(5)
            box.setRange(0.0, 1e6)
            box.setStepType(QDoubleSpinBox.StepType.AdaptiveDecimalStepType)
            box.setSpecialValueText("unknown")
            box.setToolTip(f"Distance between two {'slices' if letter == 'Z' else 'pixels'} along {letter}; 0 is unknown.")
            self.boxes[letter] = box
            form.addRow(f"Spacing {letter}", box)
        self._form = form
        for letter, value in zip([axis for axis in letters if axis in SPATIAL], spacing, strict=False):
            self.boxes[letter].setValue(value / UNITS_UM[self.unit.currentText()])
        self.message = MessageLine()
        self.message.say(_HELP)
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Ok | QDialogButtonBox.StandardButton.Cancel)
        buttons.accepted.connect(self.accept)
        buttons.rejected.connect(self.reject)
        layout = QVBoxLayout(self)
        layout.addLayout(form)
        layout.addWidget(self.message)
        layout.addWidget(buttons)
        self.setMinimumWidth(380)
        self.axes.textChanged.connect(self._show_boxes)
        self._show_boxes(letters)

    def accept(self) -> None:
        """Correct the layer, or say what does not fit and stay open."""
        letters = self.axes.text().strip().upper()
        values = [self.boxes[letter].value() * UNITS_UM[self.unit.currentText()] for letter in letters if letter in SPATIAL]
        try:
            self._session.correct(self._layer, letters, tuple(values) if any(values) else ())
        except SegtoolError as error:
            self.message.say(error.message, kind="warning")
            return
        super().accept()

    def _show_boxes(self, text: str) -> None:
        for letter, box in self.boxes.items():
            there = letter in text.upper()
            box.setEnabled(there)
            label = self._form.labelForField(box)
            if label is not None:
                label.setEnabled(there)
