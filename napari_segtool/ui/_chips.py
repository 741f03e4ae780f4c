"""A row of small buttons that wraps: the slices that carry paint."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QLabel, QPushButton, QVBoxLayout, QWidget
from superqt.utils import QFlowLayout

MOST = 40


class Chips(QWidget):
    """Clickable chips for plane indices.

    Parameters
    ----------
    caption
        Text in front of them.
    nothing
        Text while there are none.
    """

    clicked = Signal(object)
    """The plane index of the chip."""

    def __init__(self, caption: str, nothing: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._caption, self._nothing = caption, nothing
        self._label = QLabel(nothing)
        self._label.setWordWrap(True)
        self._row = QWidget()
        self._flow = QFlowLayout(self._row)
        self._flow.setContentsMargins(0, 0, 0, 0)
        self._flow.setHorizontalSpacing(3)
        self._flow.setVerticalSpacing(3)
        self.indices: tuple[tuple[int, ...], ...] = ()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(3)
        layout.addWidget(self._label)
        layout.addWidget(self._row)

    def show_indices(self, indices: Sequence[tuple[int, ...]]) -> None:
        """Show a chip for each index; very many are cut short."""
        if tuple(indices) == self.indices:
            return
        self.indices = tuple(indices)
        while self._flow.count():
            item = self._flow.takeAt(0)
            if item.widget() is not None:
                item.widget().deleteLater()
        for index in self.indices[:MOST]:
            chip = QPushButton(", ".join(str(number) for number in index))
            chip.setToolTip("Go to this slice.")
            chip.setStyleSheet("padding: 1px 6px;")
            chip.setProperty("plane", list(index))
            chip.clicked.connect(self._clicked)
            self._flow.addWidget(chip)
        more = f" (the first {MOST} of {len(self.indices)})" if len(self.indices) > MOST else ""
        self._label.setText(f"{self._caption}{more}" if self.indices else self._nothing)
        self._row.setVisible(bool(self.indices))

    def _clicked(self, _: bool) -> None:
        chip = self.sender()
        if chip is not None:
            self.clicked.emit(tuple(chip.property("plane")))
