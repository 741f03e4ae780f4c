"""Choose a method, learner or explainer, grouped by family, with a line that says what it is good for."""

from __future__ import annotations

from collections.abc import Iterable

from qtpy.QtCore import QObject, Qt, Signal
from qtpy.QtGui import QStandardItem, QStandardItemModel
from qtpy.QtWidgets import QComboBox, QGridLayout, QLabel, QSizePolicy, QWidget

from napari_segtool.core.registry import Entry
from napari_segtool.ui._fields import guard_wheel
from napari_segtool.ui._form import caption
from napari_segtool.ui._frame import wrapping


class EntryCombo(QWidget):
    """Combo box of registry entries under the headings of their families, and the summary of the one chosen.

    Parameters
    ----------
    entries
        What can be chosen.
    families
        Order of the families; others follow by name.
    title
        Caption in front of the box ("Method"), in the column of the panel's other captions; empty for none.
    """

    chosen = Signal(str)
    """Name of the entry the user has just chosen."""

    def __init__(self, entries: Iterable[Entry], families: tuple[str, ...] = (), title: str = "", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.entries = {entry.name: entry for entry in entries}
        self.box = QComboBox()
        self.box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.box.setMinimumContentsLength(10)
        self.box.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        guard_wheel(self.box)
        self.summary = wrapping(QLabel())
        self.summary.setMinimumHeight(2 * self.summary.fontMetrics().lineSpacing() + 2)
        self.summary.setAlignment(Qt.AlignmentFlag.AlignTop | Qt.AlignmentFlag.AlignLeft)
        layout = QGridLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setHorizontalSpacing(8)
        layout.setVerticalSpacing(2)
        layout.setColumnStretch(1, 1)
        if title:
            self.box.setAccessibleName(title)
            layout.addWidget(caption(title), 0, 0)
        layout.addWidget(self.box, 0, 1)
        layout.addWidget(self.summary, 1, 1)
        self.box.setModel(grouped_model(self.entries.values(), families, self.box))
        if self.entries:
            self.choose(next(self.box.itemData(row) for row in range(self.box.count()) if self.box.itemData(row)))
        self.box.activated.connect(self._activated)

    def entry(self) -> Entry | None:
        """Return the entry chosen; ``None`` if there is none to choose."""
        return self.entries.get(str(self.box.currentData()))

    def choose(self, name: str) -> None:
        """Show the entry called ``name`` as chosen, without saying so; an unknown one is ignored."""
        row = self.box.findData(name)
        if row >= 0:
            self.box.setCurrentIndex(row)
            self._describe()

    def _describe(self) -> None:
        entry = self.entry()
        self.summary.setText(entry.summary if entry is not None else "")
        self.box.setToolTip(f"{entry.summary}\n{entry.reference}".strip() if entry is not None else "")

    def _activated(self, _: int) -> None:
        self._describe()
        entry = self.entry()
        if entry is not None:
            self.chosen.emit(entry.name)


def grouped_model(entries: Iterable[Entry], families: tuple[str, ...], parent: QObject) -> QStandardItemModel:
    """Return the rows of a box of entries: under the headings of their families, by title, names as data, summaries as tooltips."""
    model = QStandardItemModel(parent)
    members: dict[str, list[Entry]] = {}
    for entry in sorted(entries, key=lambda entry: entry.title.casefold()):
        members.setdefault(entry.family, []).append(entry)
    for family in [*(f for f in families if f in members), *sorted(set(members) - set(families))]:
        if len(members) > 1:
            heading = QStandardItem(family.capitalize())
            heading.setFlags(Qt.ItemFlag.NoItemFlags)
            font = heading.font()
            font.setBold(True)
            heading.setFont(font)
            model.appendRow(heading)
        for entry in members[family]:
            item = QStandardItem(entry.title)
            item.setData(entry.name, Qt.ItemDataRole.UserRole)
            item.setToolTip(entry.summary)
            model.appendRow(item)
    return model
