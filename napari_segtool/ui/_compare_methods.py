"""Which methods take part in a comparison: a list by family with boxes to tick."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QHBoxLayout, QPushButton, QTreeWidget, QTreeWidgetItem, QVBoxLayout, QWidget
from superqt.utils import signals_blocked

from napari_segtool.core.given import INPUTS
from napari_segtool.core.registry import Entry

_NAME = Qt.ItemDataRole.UserRole
_NEEDS = {"seeds": "seeds", "paint": "paint", "labels": "labels", "probabilities": "probabilities"}


def takes_part(entry: Entry) -> bool:
    """True for a method that makes labels of a picture; those that change labels come after one."""
    return entry.family != "refine"


def needs_of(entry: Entry) -> tuple[str, ...]:
    """Return what a method must be given beside the picture."""
    return tuple(name for name in ("seeds", *INPUTS) if name in entry.traits)


class MethodTree(QWidget):
    """Methods by family; those that lack something say what, and cannot be ticked."""

    changed = Signal()
    """The user ticked or unticked a method."""

    def __init__(self, entries: Iterable[Entry], families: tuple[str, ...] = (), parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._entries = {entry.name: entry for entry in entries if takes_part(entry)}
        self._items: dict[str, QTreeWidgetItem] = {}
        self.tree = QTreeWidget()
        self.tree.setHeaderHidden(True)
        self.tree.setAccessibleName("Methods to compare")
        self.tree.setIndentation(14)
        known = {entry.family for entry in self._entries.values()}
        for family in [*(f for f in families if f in known), *sorted(known - set(families))]:
            heading = QTreeWidgetItem(self.tree, [family.capitalize()])
            heading.setFlags(Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsUserCheckable | Qt.ItemFlag.ItemIsAutoTristate)
            for entry in sorted((entry for entry in self._entries.values() if entry.family == family), key=lambda entry: entry.title):
                item = QTreeWidgetItem(heading, [entry.title])
                item.setData(0, _NAME, entry.name)
                item.setToolTip(0, entry.summary)
                item.setCheckState(0, Qt.CheckState.Unchecked)
                self._items[entry.name] = item
            heading.setExpanded(True)
        self.all_button, self.none_button = QPushButton("All"), QPushButton("None")
        self.all_button.setToolTip("Tick every method that lacks nothing.")
        self.none_button.setToolTip("Untick all.")
        self.all_button.clicked.connect(self._tick_all)
        self.none_button.clicked.connect(self._untick_all)
        buttons = QHBoxLayout()
        buttons.addWidget(self.all_button)
        buttons.addWidget(self.none_button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addWidget(self.tree, 1)
        layout.addLayout(buttons)
        self.tree.itemChanged.connect(self._item_changed)

    def automatic(self) -> tuple[str, ...]:
        """Names of the methods that need nothing beside the picture, in the order shown."""
        return tuple(name for name in self._items if not needs_of(self._entries[name]))

    def chosen(self) -> tuple[str, ...]:
        """Names of the methods ticked, in the order shown."""
        return tuple(name for name, item in self._items.items() if not item.isDisabled() and item.checkState(0) == Qt.CheckState.Checked)

    def choose(self, names: Collection[str]) -> None:
        """Tick these and no others, without saying so."""
        with signals_blocked(self.tree):
            for name, item in self._items.items():
                item.setCheckState(0, Qt.CheckState.Checked if name in names else Qt.CheckState.Unchecked)

    def show_given(self, given: Mapping[str, bool]) -> None:
        """Say for each method whether all it needs is there; ``{"seeds": True}`` says that there are seeds."""
        with signals_blocked(self.tree):
            for name, item in self._items.items():
                entry = self._entries[name]
                missing = [_NEEDS[need] for need in needs_of(entry) if not given.get(need)]
                item.setDisabled(bool(missing))
                item.setText(0, f"{entry.title} (needs {' and '.join(missing)})" if missing else entry.title)

    def _tick_all(self, _: bool) -> None:
        self.choose([name for name, item in self._items.items() if not item.isDisabled()])
        self.changed.emit()

    def _untick_all(self, _: bool) -> None:
        self.choose(())
        self.changed.emit()

    def _item_changed(self, item: QTreeWidgetItem, _: int) -> None:
        self.changed.emit()
