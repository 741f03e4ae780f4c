"""Put together a chain of entries: filters before a method, or post-processing after it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QCheckBox, QComboBox, QHBoxLayout, QLabel, QSizePolicy, QToolButton, QVBoxLayout, QWidget

from napari_segtool.core.chain import Link
from napari_segtool.core.registry import Entry
from napari_segtool.ui._entry_combo import grouped_model
from napari_segtool.ui._fields import guard_wheel
from napari_segtool.ui._fold import Fold
from napari_segtool.ui._form import ParamsForm
from napari_segtool.ui._frame import wrapping

_MOST_SHOWN = 24


class ChainRow(QWidget):
    """One link: its name, on or off, its place in the chain, and its settings, folded.

    Parameters
    ----------
    entry
        What the link is.
    """

    edited = Signal()
    """A setting was changed by the user."""
    switched = Signal()
    asked = Signal(str)
    """The user wants it ``up``, ``down`` or ``away``."""

    def __init__(self, entry: Entry, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.entry = entry
        self.form = ParamsForm(entry.params)
        self.form.changed.connect(self._edited)
        self.fold = Fold(entry.title)
        self.fold.button.setToolTip(entry.summary)
        self.fold.button.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)  # long titles must not widen the panel
        inside = QVBoxLayout()
        inside.addWidget(self.form)
        self.fold.setContentLayout(inside)
        self.switch = QCheckBox()
        self.switch.setChecked(True)
        self.switch.setToolTip(f"Switch {entry.title} on or off without losing its settings.")
        self.switch.setAccessibleName(f"{entry.title} on")
        self.switch.clicked.connect(self._switched)
        self.buttons: dict[str, QToolButton] = {}
        self.fold.head.insertWidget(0, self.switch)
        self.fold.head.setStretch(1, 1)
        for name, sign, what in (("up", "↑", "earlier"), ("down", "↓", "later"), ("away", "✕", "")):
            button = QToolButton()
            button.setText(sign)
            button.setObjectName(name)
            button.setAutoRaise(True)
            words = f"Apply {entry.title} {what}." if what else f"Remove {entry.title}."
            button.setToolTip(words)
            button.setAccessibleName(words)
            button.clicked.connect(self._asked)
            self.fold.head.addWidget(button)
            self.buttons[name] = button
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.fold)

    @property
    def link(self) -> Link:
        """The link as it is set."""
        return Link(self.entry.name, self.form.values())

    def _edited(self, _: str) -> None:
        self.edited.emit()

    def _switched(self, _: bool) -> None:
        self.switched.emit()

    def _asked(self, _: bool) -> None:
        sender = self.sender()
        assert sender is not None
        self.asked.emit(sender.objectName())


class ChainEditor(QWidget):
    """Folded list of links, and a box to add one. Silent when code fills it.

    The user wants to try one thing after another in changing order. Empty: one sentence and a box. Folded: the heading names what is on.

    Parameters
    ----------
    title
        Heading ("Prepare").
    purpose
        What the chain is for, in one sentence.
    entries
        What can be added.
    families
        Order of their families.
    invitation
        Text of the box ("Add a filter…").
    """

    edited = Signal()
    """A setting of a link that is on was changed, perhaps one of many while a slider moves."""
    rebuilt = Signal()
    """Links were added, removed, moved or switched."""

    def __init__(
        self, title: str, purpose: str, entries: Iterable[Entry], families: tuple[str, ...] = (), invitation: str = "Add…", parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._title = title
        self.entries = {entry.name: entry for entry in entries}
        self.rows: list[ChainRow] = []
        self.fold = Fold(title)
        self.fold.button.setToolTip(purpose)
        self.purpose = wrapping(QLabel(purpose))
        self.box = QComboBox()
        self.box.setModel(grouped_model(self.entries.values(), families, self.box))
        self.box.setPlaceholderText(invitation)
        self.box.setCurrentIndex(-1)
        self.box.setMaxVisibleItems(_MOST_SHOWN)
        self.box.setAccessibleName(invitation)
        self.box.setToolTip(purpose)
        self.box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.box.setMinimumContentsLength(10)
        guard_wheel(self.box)
        self.box.activated.connect(self._add_chosen)
        self._place = QVBoxLayout()
        self._place.setSpacing(2)
        self.extra = QHBoxLayout()
        """A line under the box, for what belongs to the chain as a whole."""
        inside = QVBoxLayout()
        inside.setSpacing(4)
        inside.addWidget(self.purpose)
        inside.addLayout(self._place)
        inside.addWidget(self.box)
        inside.addLayout(self.extra)
        self.fold.setContentLayout(inside)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.fold)
        self._show()

    def links(self) -> tuple[Link, ...]:
        """Return the links that are on, in order."""
        return tuple(row.link for row in self.rows if row.switch.isChecked())

    def add(self, name: str, params: Mapping[str, Any] | None = None, *, on: bool = True) -> ChainRow | None:
        """Add a link at the end, without saying so; an unknown one is ignored."""
        if name not in self.entries:
            return None
        row = ChainRow(self.entries[name])
        row.form.set_values(params or {})
        row.switch.setChecked(on)
        row.edited.connect(self._row_edited)
        row.switched.connect(self._changed)
        row.asked.connect(self._move)
        self.rows.append(row)
        self._place.addWidget(row)
        self._show()
        return row

    def record(self) -> list[dict[str, Any]]:
        """Return what `restore` takes, ready for JSON."""
        return [{"name": row.entry.name, "on": row.switch.isChecked(), "params": row.form.values()} for row in self.rows]

    def restore(self, records: Sequence[Mapping[str, Any]]) -> None:
        """Show a chain recorded before instead of this one, without saying so."""
        for row in list(self.rows):
            self._drop(row)
        for record in records:
            self.add(str(record["name"]), record.get("params", {}), on=bool(record.get("on", True)))
        self._show()

    def _add_chosen(self, position: int) -> None:
        name = self.box.itemData(position)
        self.box.setCurrentIndex(-1)
        row = self.add(str(name)) if name else None
        if row is not None:
            for other in self.rows:
                other.fold.unfold(other is row)
            self.rebuilt.emit()

    def _move(self, where: str) -> None:
        row = self.sender()
        assert isinstance(row, ChainRow)
        place = self.rows.index(row)
        if where == "away":
            self._drop(row)
        else:
            target = place + (-1 if where == "up" else 1)
            if not 0 <= target < len(self.rows):
                return
            self.rows.insert(target, self.rows.pop(place))
            self._place.removeWidget(row)
            self._place.insertWidget(target, row)
        self._changed()

    def _drop(self, row: ChainRow) -> None:
        self.rows.remove(row)
        self._place.removeWidget(row)
        row.setParent(None)
        row.deleteLater()

    def _row_edited(self) -> None:
        row = self.sender()
        assert isinstance(row, ChainRow)
        if row.switch.isChecked():
            self.edited.emit()

    def _changed(self) -> None:
        self._show()
        self.rebuilt.emit()

    def _show(self) -> None:
        names = [row.entry.title for row in self.rows if row.switch.isChecked()]
        self.fold.set_title(f"{self._title}: {_shortened(names)}" if names else self._title)
        for place, row in enumerate(self.rows):
            row.buttons["up"].setEnabled(place > 0)
            row.buttons["down"].setEnabled(place < len(self.rows) - 1)


def _shortened(names: Sequence[str], most: int = 2) -> str:
    """Return names in order of work, cut where they would not fit into a heading.

    Examples
    --------
    >>> _shortened(["Median", "Gaussian", "Gamma"])
    'Median → Gaussian → 1 more'
    """
    more = [f"{len(names) - most} more"] if len(names) > most else []
    return " → ".join([*names[:most], *more])
