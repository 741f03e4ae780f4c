"""Other images, with their labels, to learn from together with the chosen one."""

from __future__ import annotations

from functools import partial
from typing import Any

from napari.layers import Image, Layer
from napari.layers import Labels as LabelsLayer
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QCheckBox, QGridLayout, QLabel, QWidget

from napari_segtool.ui._bridge import fits, is_labels, is_source_image
from napari_segtool.ui._layers import LayerCombo


class OtherPairs(QWidget):
    """A line for each other image that has labels: a check box, and the choice of its labels.

    Parameters
    ----------
    viewer
        The viewer whose layers are listed.
    """

    changed = Signal()

    def __init__(self, viewer: Any, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._rows: list[tuple[Image, QCheckBox, LayerCombo]] = []
        self._grid = QGridLayout(self)
        self._grid.setContentsMargins(12, 0, 0, 0)
        self._grid.setHorizontalSpacing(6)
        self._grid.setVerticalSpacing(3)
        self._grid.setColumnStretch(1, 1)
        self._nothing = QLabel("Open another image with its labels, to learn from both.")
        self._nothing.setWordWrap(True)
        self._grid.addWidget(self._nothing, 0, 0, 1, 2)

    def pairs(self) -> list[tuple[Image, LabelsLayer]]:
        """Return the pairs that are switched on."""
        return [(image, combo.layer()) for image, box, combo in self._rows if box.isChecked() and combo.layer() is not None]

    def fill(self, chosen: Layer | None) -> None:
        """List the images anew, but ``chosen``; what was switched on stays so."""
        images = [layer for layer in self._viewer.layers if is_source_image(layer) and layer is not chosen and self._labels_for(layer)]
        if images == [image for image, _, _ in self._rows]:
            for image, box, combo in self._rows:
                box.setText(image.name)
                combo.fill()
            return
        on = {image for image, box, _ in self._rows if box.isChecked()}
        for _, box, combo in self._rows:
            for widget in (box, combo):
                self._grid.removeWidget(widget)
                widget.deleteLater()
        self._rows = [self._row(number, image, image in on) for number, image in enumerate(images, start=1)]
        self._nothing.setVisible(not images)

    def _row(self, number: int, image: Image, on: bool) -> tuple[Image, QCheckBox, LayerCombo]:
        box = QCheckBox(image.name)
        box.setChecked(on)
        box.setToolTip(f"Learn from {image.name} too.")
        box.clicked.connect(self._clicked)
        combo = LayerCombo(self._viewer, partial(_fitting, image=image))
        combo.setToolTip(f"The labels of {image.name}.")
        combo.setAccessibleName(f"Labels of {image.name}")
        combo.set_layer(self._labels_for(image)[-1])
        combo.chosen.connect(self._clicked)
        self._grid.addWidget(box, number, 0)
        self._grid.addWidget(combo, number, 1)
        return image, box, combo

    def _labels_for(self, image: Layer) -> list[Layer]:
        return [layer for layer in self._viewer.layers if _fitting(layer, image)]

    def _clicked(self, _: object) -> None:
        self.changed.emit()


def _fitting(layer: Layer, image: Layer) -> bool:
    return is_labels(layer) and fits(layer, image)
