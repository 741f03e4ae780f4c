"""Where the result goes: how much of the stack is worked on, and into which layer it is written."""

from __future__ import annotations

from typing import Any

from napari.layers import Image, Layer
from napari.layers import Labels as LabelsLayer
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QComboBox, QGridLayout, QHBoxLayout, QRadioButton, QSizePolicy, QVBoxLayout, QWidget

from napari_segtool.core.errors import SegtoolError
from napari_segtool.ui._bridge import fits, is_labels, plane_count
from napari_segtool.ui._fields import guard_wheel
from napari_segtool.ui._form import caption
from napari_segtool.ui._layers import LayerCombo
from napari_segtool.ui._write_into import Where

NEW = "a new layer"
_WHERE: dict[Where, tuple[str, str]] = {
    "all": ("replacing all", "Every pixel gets the label of the result, 0 too."),
    "found": ("where something was found", "Pixels that are 0 in the result stay as they are in the layer."),
    "empty": ("where it is empty", "Only pixels that are 0 in the layer change: what is there already stays."),
}


class OutputRows(QWidget):
    """Whole stack or this slice; a new layer, or one that is there. Silent when code sets it.

    The user wants to collect results without losing work: what is there changes only where it may, and undo brings it back.
    """

    scope_changed = Signal()
    target_changed = Signal()

    def __init__(self, viewer: Any, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._image: Image | None = None
        self.whole = QRadioButton("whole stack")
        self.whole.setToolTip("Work on every slice.")
        self.whole.setChecked(True)
        self.slice = QRadioButton("this slice")
        self.slice.setToolTip("Work on the slice you see as if it were the whole stack: grey values of other slices do not count either.")
        for button in (self.whole, self.slice):
            button.clicked.connect(self._scope_clicked)
        self.scope = QWidget()
        row = QHBoxLayout(self.scope)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(8)
        row.addWidget(caption("Work on"))
        row.addWidget(self.whole)
        row.addWidget(self.slice)
        row.addStretch(1)
        self.target_box = LayerCombo(viewer, self._accepts, nothing=NEW)
        self.target_box.setToolTip("A new layer, or a labels layer that is there; Ctrl+Z takes back what is written into it.")
        self.target_box.setAccessibleName("Result into")
        self.target_box.chosen.connect(self._target_chosen)
        self.where_box = QComboBox()
        for key, (words, help_text) in _WHERE.items():
            self.where_box.addItem(words, key)
            self.where_box.setItemData(self.where_box.count() - 1, help_text, 3)  # Qt.ItemDataRole.ToolTipRole
        self.where_box.setToolTip("Which pixels of the layer may change.")
        self.where_box.setAccessibleName("Which pixels change")
        self.where_box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.where_box.setMinimumContentsLength(8)
        self.where_box.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        guard_wheel(self.where_box)
        into = QGridLayout()
        into.setHorizontalSpacing(8)
        into.setVerticalSpacing(4)
        into.setColumnStretch(1, 1)
        into.addWidget(caption("Into"), 0, 0)
        into.addWidget(self.target_box, 0, 1)
        into.addWidget(self.where_box, 1, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addWidget(self.scope)
        layout.addLayout(into)
        self._show()

    @property
    def one_slice(self) -> bool:
        """True where only the visible slice is worked on."""
        return self.slice.isChecked() and not self.scope.isHidden()

    @property
    def target(self) -> LabelsLayer | None:
        """The layer to write into; None for a new one."""
        return self.target_box.layer()

    @property
    def where(self) -> Where:
        """Which pixels of that layer may change."""
        return self.where_box.currentData()

    def follow(self, image: Image | None) -> None:
        """List what lies over ``image``; a single picture has no slices to choose from."""
        self._image = image
        self.fill()

    def fill(self) -> None:
        """List the layers anew."""
        self.target_box.fill()
        self._show()

    def set_target(self, layer: LabelsLayer | None) -> None:
        """Show a layer, or None for a new one, as chosen."""
        self.target_box.set_layer(layer)
        self._show()

    def record(self) -> dict[str, Any]:
        """Return what `restore` takes, ready for JSON."""
        return {"slice": self.slice.isChecked(), "where": self.where}

    def restore(self, record: dict[str, Any]) -> None:
        """Show what was chosen before."""
        (self.slice if record.get("slice") else self.whole).setChecked(True)
        self.where_box.setCurrentIndex(max(0, self.where_box.findData(record.get("where", "all"))))

    def _accepts(self, layer: Layer) -> bool:
        return self._image is not None and is_labels(layer) and fits(layer, self._image)

    def _show(self) -> None:
        self.where_box.setVisible(self.target is not None)
        self.scope.setVisible(self._image is not None and _slices(self._image) > 1)

    def _scope_clicked(self, _: bool) -> None:
        self.scope_changed.emit()

    def _target_chosen(self, _: Layer | None) -> None:
        self._show()
        self.target_changed.emit()


def _slices(image: Image) -> int:
    try:
        return plane_count(image)
    except SegtoolError:  # its axes make no sense yet; the line under the image says so
        return 1
