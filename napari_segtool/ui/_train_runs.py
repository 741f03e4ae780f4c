"""The run list: name, score, time; the curves of what is chosen; resume, rename, delete."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from qtpy.QtCore import QEvent, QObject, Qt, Signal
from qtpy.QtGui import QIcon
from qtpy.QtWidgets import QAbstractItemView, QHBoxLayout, QHeaderView, QPushButton, QTableWidget, QTableWidgetItem, QVBoxLayout, QWidget
from superqt.utils import signals_blocked

from napari_segtool.core.labels import OKABE_ITO
from napari_segtool.ui._facts import duration_text
from napari_segtool.ui._swatch import swatch
from napari_segtool.ui._train_curves import MOST_RUNS
from napari_segtool.ui._train_folder import RunCard

ROWS_SHOWN = 4
_MARKS = {"training": "▶", "done": "✓", "stopped": "■", "cancelled": "–", "failed": "✕", "interrupted": "…", "new": "○"}


class RunList(QWidget):
    """Table of runs, newest first, with what can be done with the chosen one. Up to six can be chosen, to compare."""

    chosen = Signal(object)
    """Tuple of the folders the user has chosen, at most six, the first chosen first."""
    resume_wanted = Signal(object)
    renamed = Signal(object, str)
    delete_wanted = Signal(object)
    predict_wanted = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._cards: tuple[RunCard, ...] = ()
        self._order: list[Path] = []
        self.table = QTableWidget(0, 3)
        self.table.setHorizontalHeaderLabels(["Run", "Dice", "Time"])
        self.table.setToolTip("Trainings, newest first. Choose one to see its curves; with Ctrl or Shift several, to compare. Double-click to rename.")
        self.table.setAccessibleName("Runs")
        self.table.verticalHeader().hide()
        self.table.setShowGrid(False)
        self.table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.table.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.table.setEditTriggers(QAbstractItemView.EditTrigger.DoubleClicked | QAbstractItemView.EditTrigger.EditKeyPressed)
        self.table.setTabKeyNavigation(False)
        self.table.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        header = self.table.horizontalHeader()
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        for column in (1, 2):
            header.setSectionResizeMode(column, QHeaderView.ResizeMode.ResizeToContents)
        header.setHighlightSections(False)
        row = self.table.verticalHeader().defaultSectionSize()
        self._row = min(row, self.fontMetrics().lineSpacing() + 6)
        self.table.verticalHeader().setDefaultSectionSize(self._row)
        self.table.setFixedHeight(header.sizeHint().height() + ROWS_SHOWN * self._row + 4)
        self.table.itemSelectionChanged.connect(self._selected)
        self.table.itemChanged.connect(self._edited)
        self.table.installEventFilter(self)
        self.resume = self._button("Resume", "Go on with the chosen run from its last checkpoint.", self._resume)
        self.rename = self._button("Rename", "Give the chosen run another name.", self._rename)
        self.delete = self._button("Delete", "Delete the chosen run with its model; you are asked first.", self._delete)
        self.predict = self._button("Predict", "Use the model of the chosen run.", self._predict)
        buttons = QHBoxLayout()
        buttons.setSpacing(4)
        for button in (self.resume, self.rename, self.delete, self.predict):
            buttons.addWidget(button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addWidget(self.table)
        layout.addLayout(buttons)
        self._enable()

    @property
    def selected(self) -> tuple[Path, ...]:
        """Folders chosen, at most six, the first chosen first."""
        return tuple(self._order[:MOST_RUNS])

    def card(self, folder: Path) -> RunCard | None:
        """Return the line of a folder."""
        return next((card for card in self._cards if card.folder == folder), None)

    def show_cards(self, cards: Sequence[RunCard]) -> None:
        """List these runs; the choice stays where it can."""
        if tuple(cards) == self._cards or self.table.state() == QAbstractItemView.State.EditingState:
            return
        self._cards = tuple(cards)
        with signals_blocked(self.table):
            self.table.setRowCount(len(cards))
            for row, card in enumerate(cards):
                for column, text in enumerate(_cells(card)):
                    item = QTableWidgetItem(text)
                    item.setToolTip(_details(card))
                    if column:
                        item.setFlags(item.flags() & ~Qt.ItemFlag.ItemIsEditable)
                        item.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
                    self.table.setItem(row, column, item)
        self.choose([folder for folder in self._order if self.card(folder) is not None])

    def update_card(self, card: RunCard) -> None:
        """Bring one line up to date."""
        row = next((row for row, each in enumerate(self._cards) if each.folder == card.folder), -1)
        if row < 0 or card == self._cards[row] or self.table.state() == QAbstractItemView.State.EditingState:
            return
        self._cards = (*self._cards[:row], card, *self._cards[row + 1 :])
        with signals_blocked(self.table):
            for column, text in enumerate(_cells(card)):
                self.table.item(row, column).setText(text)
                self.table.item(row, column).setToolTip(_details(card))
        self._enable()

    def choose(self, folders: Sequence[Path]) -> None:
        """Choose these runs, without saying so."""
        self._order = list(folders)[:MOST_RUNS]
        with signals_blocked(self.table):
            self.table.clearSelection()
            model = self.table.selectionModel()
            for row, card in enumerate(self._cards):
                if card.folder in self._order:
                    flags = model.SelectionFlag.Select | model.SelectionFlag.Rows
                    model.select(self.table.model().index(row, 0), flags)
        self._enable()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:  # noqa: N802
        """Let the Delete key ask to delete."""
        if event.type() == QEvent.Type.KeyPress and event.key() == Qt.Key.Key_Delete and len(self._order) == 1:
            self._delete(False)
            return True
        return False

    def _button(self, text: str, tip: str, action: Callable[[bool], None]) -> QPushButton:
        button = QPushButton(text)
        button.setToolTip(tip)
        button.clicked.connect(action)
        return button

    def _selected(self) -> None:
        rows = {index.row() for index in self.table.selectionModel().selectedRows()}
        folders = [self._cards[row].folder for row in sorted(rows) if row < len(self._cards)]
        kept = [folder for folder in self._order if folder in folders]
        self._order = [*kept, *(folder for folder in folders if folder not in kept)][:MOST_RUNS]
        self._enable()
        self.chosen.emit(self.selected)

    def _enable(self) -> None:
        self._mark_compared()
        card = self.card(self._order[0]) if len(self._order) == 1 else None
        self.resume.setEnabled(card is not None and card.can_resume)
        self.rename.setEnabled(card is not None)
        self.delete.setEnabled(card is not None and card.state != "training")
        self.predict.setEnabled(card is not None and card.has_model)

    def _mark_compared(self) -> None:
        """Give each run that is compared the colour of its lines."""
        with signals_blocked(self.table):
            for row, card in enumerate(self._cards):
                item = self.table.item(row, 0)
                if item is not None:
                    compared = len(self._order) > 1 and card.folder in self._order
                    item.setIcon(swatch(OKABE_ITO[self._order.index(card.folder)], 10) if compared else QIcon())

    def _edited(self, item: QTableWidgetItem) -> None:
        card = self._cards[item.row()]
        text = item.text().removeprefix(_MARKS[card.state]).strip()
        if text and text != card.title:
            self.renamed.emit(card.folder, text)
        else:
            with signals_blocked(self.table):
                item.setText(_cells(card)[0])

    def _resume(self, _: bool) -> None:
        self.resume_wanted.emit(self._order[0])

    def _rename(self, _: bool) -> None:
        row = next(row for row, card in enumerate(self._cards) if card.folder == self._order[0])
        self.table.setFocus()
        self.table.editItem(self.table.item(row, 0))

    def _delete(self, _: bool) -> None:
        self.delete_wanted.emit(self._order[0])

    def _predict(self, _: bool) -> None:
        self.predict_wanted.emit(self._order[0])


def _cells(card: RunCard) -> tuple[str, str, str]:
    score = "–" if math.isnan(card.dice) else f"{card.dice:.3f}"
    return f"{_MARKS[card.state]} {card.title}", score, duration_text(card.seconds)


def _details(card: RunCard) -> str:
    made = time.strftime("%d %b %Y, %H:%M", time.localtime(card.created))
    lines = [
        f"{card.title}: {card.words}, {card.step} steps in {duration_text(card.seconds)}",
        f"Made {made}",
        f"Classes: {', '.join(card.classes)}",
        f"Learned from: {', '.join(card.images)}" if card.images else "",
        str(card.folder),
    ]
    return "\n".join(line for line in lines if line)
