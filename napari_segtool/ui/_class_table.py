"""The table of classes: colour, name, key, pixels painted, and an eye."""

from __future__ import annotations

from collections.abc import Mapping

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableWidget, QTableWidgetItem, QWidget

from napari_segtool.core.labels import class_colour
from napari_segtool.ui._facts import count_text
from napari_segtool.ui._swatch import swatch

COLUMNS = ("", "Class", "Key", "Pixels", "Show")
_COLOUR, _NAME, _KEY, _PIXELS, _SHOW = range(5)
_ROWS_SHOWN = 5


class ClassTable(QTableWidget):
    """One row for each class. Silent when code fills it; speaks when the user chooses, renames or hides a class."""

    class_chosen = Signal(int)
    renamed = Signal(int, str)
    shown = Signal(int, bool)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(0, len(COLUMNS), parent)
        self.setHorizontalHeaderLabels(COLUMNS)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setEditTriggers(QAbstractItemView.EditTrigger.DoubleClicked | QAbstractItemView.EditTrigger.EditKeyPressed)
        self.setTabKeyNavigation(False)
        self.setShowGrid(False)
        self.setWordWrap(False)
        self.setAccessibleName("Classes")
        self.setToolTip("Click a class to paint it; double-click its name to change it.")
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.verticalHeader().hide()
        header = self.horizontalHeader()
        header.setHighlightSections(False)
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(_NAME, QHeaderView.ResizeMode.Stretch)
        header.setDefaultAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
        self._filling = False
        self._chosen = 0
        self._set_height()
        self.itemChanged.connect(self._changed)
        self.itemSelectionChanged.connect(self._selected)

    def fill(self, names: Mapping[int, str], hidden: frozenset[int] = frozenset()) -> None:
        """Show the classes by label value; counts are added by `show_counts`."""
        self._filling = True
        self.setRowCount(len(names))
        for row, (value, name) in enumerate(names.items()):
            colour = QTableWidgetItem(swatch(class_colour(value)), "")
            colour.setData(Qt.ItemDataRole.UserRole, value)
            key = QTableWidgetItem(str(value) if value < 10 else "")
            pixels = QTableWidgetItem("0")
            pixels.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
            show = QTableWidgetItem("")
            show.setCheckState(Qt.CheckState.Unchecked if value in hidden else Qt.CheckState.Checked)
            show.setToolTip("Show or hide the paint of this class.")
            fixed = Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsSelectable
            for column, item in ((_COLOUR, colour), (_KEY, key), (_PIXELS, pixels)):
                item.setFlags(fixed)
                self.setItem(row, column, item)
            show.setFlags(fixed | Qt.ItemFlag.ItemIsUserCheckable)
            self.setItem(row, _SHOW, show)
            self.setItem(row, _NAME, QTableWidgetItem(name))
        self._filling = False
        self._set_height()
        self.choose(self._chosen)

    def show_counts(self, totals: Mapping[int, int]) -> None:
        """Write the pixels painted of each class; empty ones are marked."""
        self._filling = True
        for row in range(self.rowCount()):
            count, item = totals.get(self._value(row), 0), self.item(row, _PIXELS)
            item.setText(count_text(count) if count else "none ▲")
            item.setToolTip("" if count else "Nothing of this class is painted yet.")
        self._filling = False

    def choose(self, value: int) -> None:
        """Mark a class as the one being painted, without saying so."""
        self._filling = True
        self._chosen = value
        rows = [row for row in range(self.rowCount()) if self._value(row) == value]
        if rows:
            self.selectRow(rows[0])
        else:
            self.clearSelection()
        self._filling = False

    def edit_name(self, value: int) -> None:
        """Let the user type the name of a class."""
        for row in range(self.rowCount()):
            if self._value(row) == value:
                self.editItem(self.item(row, _NAME))

    def names(self) -> dict[int, str]:
        """Return the names shown, by label value."""
        return {self._value(row): self.item(row, _NAME).text() for row in range(self.rowCount())}

    def pixels_text(self, value: int) -> str:
        """Return what the table says about the pixels of a class."""
        return next(self.item(row, _PIXELS).text() for row in range(self.rowCount()) if self._value(row) == value)

    def _value(self, row: int) -> int:
        return int(self.item(row, _COLOUR).data(Qt.ItemDataRole.UserRole))

    def _changed(self, item: QTableWidgetItem) -> None:
        if self._filling:
            return
        value = self._value(item.row())
        if item.column() == _NAME:
            self.renamed.emit(value, item.text().strip())
        elif item.column() == _SHOW:
            self.shown.emit(value, item.checkState() == Qt.CheckState.Checked)

    def _selected(self) -> None:
        rows = {index.row() for index in self.selectedIndexes()}
        if self._filling or len(rows) != 1:
            return
        self._chosen = self._value(rows.pop())
        self.class_chosen.emit(self._chosen)

    def _set_height(self) -> None:
        row = self.verticalHeader().defaultSectionSize()
        rows = max(2, min(self.rowCount(), _ROWS_SHOWN))
        self.setFixedHeight(self.horizontalHeader().sizeHint().height() + rows * row + 2 * self.frameWidth() + 2)
