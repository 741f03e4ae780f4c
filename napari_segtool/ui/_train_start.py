"""What a training begins with: a new network, or the weights of a model."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QComboBox, QFileDialog, QSizePolicy, QWidget
from superqt.utils import signals_blocked

from napari_segtool.ui._fields import guard_wheel
from napari_segtool.ui._train_folder import RunCard, is_model, run_has_model

NEW = "a new network"
_OPEN = "a model from a folder…"
_HELP = (
    "A new network, or a model that has learned already: go on from it when you have corrected or painted more, or for another image of the same kind. "
    "The model itself stays as it is."
)
_ASK = object()


class StartFrom(QComboBox):
    """Chooser of the model to go on from: those of the runs of one learner, newest first, and those opened from a folder."""

    edited = Signal()
    """Another one was chosen."""
    refused = Signal(str)
    """A folder that was chosen holds no model, with what to do."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setToolTip(_HELP)
        self.setAccessibleName("Start from")
        self.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.setMinimumContentsLength(8)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        guard_wheel(self)
        self._runs: dict[Path, str] = {}
        self._opened: list[Path] = []
        self._chosen: Path | None = None
        self._fill()
        self.activated.connect(self._activated)

    @property
    def model(self) -> Path | None:
        """Folder of the model or of its run; None for a new network."""
        return self._chosen if self.findData(str(self._chosen)) >= 0 else None

    @property
    def title(self) -> str:
        """What the choice is called."""
        return self.currentText()

    def offer(self, cards: Iterable[RunCard], learner: str) -> None:
        """List the models of the runs of ``learner``; what was chosen stays so, as long as it is there."""
        runs = {card.folder: card.title for card in cards if card.has_model and card.learner == learner}
        opened = [path for path in self._opened if _holds_model(path)]
        if (runs, opened) != (self._runs, self._opened):  # an open list is not closed for nothing
            self._runs, self._opened = runs, opened
            self._fill()

    def choose(self, model: Path | None) -> None:
        """Show a choice, without saying so; a model that is no longer there counts as a new network."""
        self._chosen = model
        if model is not None and model not in self._opened and _holds_model(model):
            self._opened.insert(0, model)
        self._fill()

    def ask(self) -> None:
        """Ask for the folder of a model."""
        folder = QFileDialog.getExistingDirectory(self, "Choose the folder of a model or of a run")
        if folder and not _holds_model(Path(folder)):
            self.refused.emit(f"There is no model in {folder}. Choose the folder of a model or of a run that has one.")
            folder = ""
        self.choose(Path(folder) if folder else self._chosen)

    def _fill(self) -> None:
        with signals_blocked(self):
            self.clear()
            self.addItem(NEW)
            opened = {path: path.name for path in self._opened if path not in self._runs}
            for path, title in {**opened, **self._runs}.items():
                self.addItem(title, str(path))
                self.setItemData(self.count() - 1, str(path), Qt.ItemDataRole.ToolTipRole)
            self.insertSeparator(self.count())
            self.addItem(_OPEN, _ASK)
            self.setCurrentIndex(max(0, self.findData(str(self._chosen))))

    def _activated(self, row: int) -> None:
        before = self.model
        if self.itemData(row) is _ASK:
            self.ask()
        else:
            self._chosen = Path(self.itemData(row)) if self.itemData(row) else None
        if self.model != before:
            self.edited.emit()


def _holds_model(folder: Path) -> bool:
    return is_model(folder) or run_has_model(folder)
