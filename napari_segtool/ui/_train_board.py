"""What a training shows below the button: the preview switch, the curves, and the runs."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from qtpy.QtWidgets import QCheckBox, QHBoxLayout, QSizePolicy, QVBoxLayout, QWidget

from napari_segtool.core.errors import SegtoolError
from napari_segtool.core.progress import Progress
from napari_segtool.ui._fold import Fold
from napari_segtool.ui._session import Session
from napari_segtool.ui._train_curves import Curves
from napari_segtool.ui._train_desk import TrainingDesk, history_steps
from napari_segtool.ui._train_history import History
from napari_segtool.ui._train_runs import RunList

TALL_PX = 800


class TrainBoard(QWidget):
    """Curves of the training that goes on, or of the runs that are chosen in the list.

    Parameters
    ----------
    session
        Whose trainings are shown.
    """

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._desk = session.shared(TrainingDesk)
        self._chosen: tuple[Path, ...] = ()
        self._histories: dict[Path, History] = {}
        self._differing: Mapping[str, Sequence[Any]] = {}
        self._unfolded: bool | None = None
        self.preview = QCheckBox("Preview on the visible slice")
        self.preview.setToolTip("While it learns, show what it says of the slice you look at, in a layer of its own.")
        self.preview.clicked.connect(self._desk.set_previewing)
        self.curves = Curves(session.viewer.theme)
        self.runs = RunList()
        self.run_fold = Fold("Runs")
        self.run_fold.button.setToolTip("Trainings of this computer: resume, rename, delete, compare.")
        self.run_fold.button.clicked.connect(self._folded)
        listed = QVBoxLayout()
        listed.addWidget(self.runs)
        self.run_fold.setContentLayout(listed)
        listed.setContentsMargins(0, 0, 0, 0)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(6)
        top = QHBoxLayout()
        top.addWidget(self.preview)
        top.addStretch(1)
        top.addWidget(self.curves.switches)
        layout.addLayout(top)
        for widget in (self.curves, self.run_fold):
            layout.addWidget(widget)
        self.runs.chosen.connect(self._runs_chosen)
        self._desk.advanced.connect(self.refresh)
        self._desk.begun.connect(self._begun)
        self._desk.ended.connect(self._show_curves)
        self._desk.runs_changed.connect(self.show_runs)

    def release(self) -> None:
        """Let go of the desk."""
        self._desk.advanced.disconnect(self.refresh)
        self._desk.begun.disconnect(self._begun)
        self._desk.ended.disconnect(self._show_curves)
        self._desk.runs_changed.disconnect(self.show_runs)

    def restore(self, kept: Mapping[str, Any]) -> None:
        """Show what was remembered."""
        self.preview.setChecked(bool(kept.get("preview", True)))
        self._desk.set_previewing(self.preview.isChecked())
        self._unfolded = kept.get("runs_unfolded")
        self.curves.restore(kept.get("curves", ()))
        self.run_fold.unfold(self._unfolded is not False)

    def record(self) -> dict[str, Any]:
        """Return what is to be remembered, JSON-ready."""
        return {"preview": self.preview.isChecked(), "curves": self.curves.shown(), **({} if self._unfolded is None else {"runs_unfolded": self._unfolded})}

    def set_height(self, height_px: int, unfolded: bool) -> None:
        """Leave the settings room on a low screen, or while all of them are unfolded: the curves become lower and wait for something to draw.

        On a low screen the runs are folded too.
        """
        low = height_px < TALL_PX
        self.curves.set_compact(low or unfolded)
        if self._unfolded is None:
            self.run_fold.unfold(not low)

    def title_of(self, folder: Path | None) -> str:
        """Return the name of a run."""
        card = self.runs.card(folder) if folder is not None else None
        return card.title if card is not None else folder.name if folder is not None else ""

    def show_runs(self) -> None:
        """List the runs as the desk knows them."""
        self._histories.clear()
        self.runs.show_cards(self._desk.cards)
        self.run_fold.set_title(f"Runs ({len(self._desk.cards)})" if self._desk.cards else "Runs")
        self._update_line()

    def refresh(self) -> None:
        """Draw what has been learned since, and bring its line in the list up to date."""
        if not self._chosen or self._desk.folder in self._chosen:
            self._show_curves()
        self._update_line()

    def _begun(self) -> None:
        self._chosen = ()
        self.runs.choose(())
        self._show_curves()

    def _show_curves(self, _: object = None) -> None:
        if self._chosen:
            histories = [(self.title_of(folder), self._history_of(folder)) for folder in self._chosen]
            self.curves.show_runs([(title, history) for title, history in histories if history is not None], self._differing)
        else:
            self.curves.show_runs([(self.title_of(self._desk.folder), self._desk.history)])

    def _history_of(self, folder: Path) -> History | None:
        return self._desk.history if folder == self._desk.folder else self._histories.get(folder)

    def _runs_chosen(self, folders: tuple[Path, ...]) -> None:
        self._chosen, self._differing = folders, {}
        for folder in folders:
            if self._history_of(folder) is None:
                job = self._session.start(partial(_named_history, folder), "curves")
                job.returned.connect(self._history_read)
                job.start()
        if len(folders) > 1:
            job = self._session.start(partial(_differing_steps, folders), "comparing settings")
            job.returned.connect(self._differences_found)
            job.start()
        self._show_curves()

    def _differences_found(self, found: tuple[tuple[Path, ...], Mapping[str, Sequence[Any]]]) -> None:
        if found[0] == self._chosen:
            self._differing = found[1]
            self._show_curves()

    def _history_read(self, read: tuple[Path, History]) -> None:
        self._histories[read[0]] = read[1]
        self._show_curves()

    def _update_line(self) -> None:
        history, folder = self._desk.history, self._desk.folder
        card = self.runs.card(folder) if folder is not None else None
        if card is not None and self._desk.busy:
            self.runs.update_card(replace(card, state="training", dice=history.best_dice, seconds=history.seconds, step=history.step))

    def _folded(self, on: bool) -> None:
        self._unfolded = on


def _named_history(folder: Path) -> Generator[Progress, None, tuple[Path, History]]:
    history = yield from history_steps(folder)
    return folder, history


def _differing_steps(folders: tuple[Path, ...]) -> Generator[Progress, None, tuple[tuple[Path, ...], Mapping[str, Sequence[Any]]]]:
    from napari_segtool import api

    try:
        differing = api.runs_history(folders).differing
    except SegtoolError:  # one of them was deleted meanwhile: the list says so
        differing = {}
    return folders, differing
    yield
