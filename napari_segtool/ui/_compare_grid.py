"""The results of a comparison: one small picture for each method, with its name, its time and its scores."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from qtpy.QtCore import QRectF, QSize, Qt, Signal
from qtpy.QtGui import QColor, QIcon, QImage, QPainter, QPixmap, QTextOption
from qtpy.QtWidgets import QAbstractItemView, QListView, QListWidget, QListWidgetItem, QWidget

from napari_segtool.api import Candidate
from napari_segtool.api._thumbnail import Backdrop
from napari_segtool.core.params import describe
from napari_segtool.core.registry import METHODS, Registry
from napari_segtool.ui._message import plain_words

LARGEST_PX = 176
_NAME = Qt.ItemDataRole.UserRole
_ALIKE = 0.0005


class CandidateGrid(QListWidget):
    """A grid that arrows, Tab and the mouse walk through; each cell waits, works, shows a result, or says what went wrong."""

    wanted = Signal()
    """A cell was double-clicked, or Enter was pressed on it."""

    def __init__(self, parent: QWidget | None = None, *, entries: Registry = METHODS) -> None:
        super().__init__(parent)
        self._entries = entries
        self.candidates: dict[str, Candidate] = {}
        self._cells: dict[str, QListWidgetItem] = {}
        self._backdrop: Backdrop | None = None
        self.setAccessibleName("Results")
        self.setViewMode(QListView.ViewMode.IconMode)
        self.setMovement(QListView.Movement.Static)
        self.setResizeMode(QListView.ResizeMode.Adjust)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setIconSize(QSize(LARGEST_PX, LARGEST_PX))
        self.setSpacing(6)
        self.setWordWrap(True)
        self.itemActivated.connect(self._activated)

    def begin(self, names: Iterable[str]) -> None:
        """Make an empty cell for each method, in this order."""
        self.clear()
        self.candidates, self._cells, self._backdrop = {}, {}, None
        for name in names:
            self._cells[name] = self._cell(self._entries.get(name).title, "waits", name)
            self._write(self._cells[name], "…")
        first = next(iter(self._cells.values()), None)
        if first is not None:
            self.setCurrentItem(first)

    def show_backdrop(self, backdrop: Backdrop, truth: np.ndarray | None) -> None:
        """Show the slice in the cells that wait, and the truth in a cell of its own before them."""
        self._backdrop = backdrop
        size = backdrop.picture.shape[:2]
        self.setIconSize(QSize(size[1], size[0]))
        for cell in self._cells.values():
            self._write(cell, "…")
        if truth is not None:
            cell = QListWidgetItem("Truth\nto compare with")
            cell.setFlags(Qt.ItemFlag.ItemIsEnabled)
            cell.setTextAlignment(Qt.AlignmentFlag.AlignHCenter)
            self.insertItem(0, cell)
            self._show(cell, pixmap_of(backdrop.with_labels(truth)))
        self._say_next()

    def add(self, candidate: Candidate) -> None:
        """Show a result, or why there is none."""
        name = candidate.link.name
        if name not in self._cells or self._backdrop is None:
            return
        self.candidates[name] = candidate
        cell = self._cells[name]
        cell.setToolTip(_details(candidate))
        if candidate.labels is None:
            assert candidate.error is not None
            self._write(cell, plain_words(candidate.error).splitlines()[0])
            cell.setText(f"{candidate.title}\nfailed")
        else:
            self._show(cell, pixmap_of(self._backdrop.with_labels(candidate.labels)))
        self._say_scores()
        self._say_next()

    def stop_waiting(self) -> None:
        """Say of the cells that have no result that none will come."""
        for name, cell in self._cells.items():
            if name not in self.candidates:
                cell.setText(f"{self._entries.get(name).title}\nstopped")

    def chosen(self) -> Candidate | None:
        """Return the result chosen, if it is there."""
        cell = self.currentItem()
        candidate = self.candidates.get(str(cell.data(_NAME))) if cell is not None else None
        return candidate if candidate is not None and candidate.labels is not None else None

    def choose(self, name: str) -> None:
        """Choose the cell of a method."""
        self.setCurrentItem(self._cells[name])

    def best(self) -> Candidate | None:
        """Return the result with the highest Dice, or the first where there is no truth; None while there is none."""
        there = [one for name in self._cells if (one := self.candidates.get(name)) is not None and one.labels is not None]
        return max(there, key=lambda one: one.dice if one.dice == one.dice else -1.0, default=None)

    def texts(self) -> Mapping[str, str]:
        """Return what is written under each picture, by method."""
        return {name: cell.text() for name, cell in self._cells.items()}

    def _cell(self, title: str, text: str, name: str) -> QListWidgetItem:
        cell = QListWidgetItem(f"{title}\n{text}", self)
        cell.setData(_NAME, name)
        cell.setTextAlignment(Qt.AlignmentFlag.AlignHCenter)
        return cell

    def _say_scores(self) -> None:
        best = max((one.dice for one in self.candidates.values() if one.dice == one.dice), default=math.nan)
        for name, candidate in self.candidates.items():
            if candidate.labels is not None:
                star = " ★" if candidate.dice >= best - _ALIKE else ""
                self._cells[name].setText(f"{candidate.title}{star}\n{_scores(candidate)}")

    def _say_next(self) -> None:
        """Say which method works now: the first without a result, since they run in this order."""
        name = next((name for name in self._cells if name not in self.candidates), None)
        if name is not None:
            self._cells[name].setText(f"{self._entries.get(name).title}\nworks…")

    def _write(self, cell: QListWidgetItem, text: str) -> None:
        """Write where the picture would be, on a dark form of the slice."""
        size = self.iconSize()
        pixmap = QPixmap(size)
        pixmap.fill(QColor("#303030"))
        if self._backdrop is not None:
            pixmap = pixmap_of((self._backdrop.picture * 0.35).astype(np.uint8))
        painter = QPainter(pixmap)
        painter.setPen(QColor("#eeeeee"))
        option = QTextOption(Qt.AlignmentFlag.AlignCenter)
        option.setWrapMode(QTextOption.WrapMode.WordWrap)
        painter.drawText(QRectF(8, 8, pixmap.width() - 16, pixmap.height() - 16), text, option)
        painter.end()
        self._show(cell, pixmap)

    def _show(self, cell: QListWidgetItem, pixmap: QPixmap) -> None:
        icon = QIcon()
        for mode in (QIcon.Mode.Normal, QIcon.Mode.Selected, QIcon.Mode.Active, QIcon.Mode.Disabled):  # Qt would tint the one selected
            icon.addPixmap(pixmap, mode)
        cell.setIcon(icon)

    def _activated(self, cell: Any) -> None:
        if self.chosen() is not None:
            self.wanted.emit()


def _scores(candidate: Candidate) -> str:
    seconds = candidate.seconds
    parts = [f"{max(1, round(1000 * seconds))} ms" if seconds < 1 else f"{seconds:.1f} s"]
    if candidate.dice == candidate.dice:
        parts.append(f"Dice {candidate.dice:.2f}")
    if candidate.f1_50 == candidate.f1_50:
        parts.append(f"F1 {candidate.f1_50:.2f}")
    return " · ".join(parts)


def _details(candidate: Candidate) -> str:
    """Say what the method was set to, and its failure in full."""
    fields = {field.name: field for field in describe(METHODS.get(candidate.link.name).params)}
    changed = [f"{fields[name].label}: {value}" for name, value in candidate.link.params.items() if name in fields and value != fields[name].default]
    settings = "Settings: " + (", ".join(changed) if changed else "as they come")
    return f"{plain_words(candidate.error)}\n{settings}" if candidate.error is not None else settings


def pixmap_of(picture: np.ndarray) -> QPixmap:
    """Return a pixmap of a uint8 picture ``(height, width, 3)``."""
    whole = np.ascontiguousarray(picture)
    height, width = whole.shape[:2]
    return QPixmap.fromImage(QImage(whole.tobytes(), width, height, 3 * width, QImage.Format.Format_RGB888).copy())
