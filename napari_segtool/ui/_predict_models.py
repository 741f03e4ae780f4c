"""The models of one viewer: those of its runs and those opened from files, and the one that is chosen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from qtpy.QtCore import QObject, Signal
from qtpy.QtWidgets import QComboBox, QFileDialog, QHBoxLayout, QLabel, QPushButton, QSizePolicy, QVBoxLayout, QWidget
from superqt.utils import signals_blocked

from napari_segtool.core.progress import Progress, Steps
from napari_segtool.core.registry import LEARNERS
from napari_segtool.core.result import ModelBundle
from napari_segtool.core.stack import Stack
from napari_segtool.nets._pixel_size import TOLERANCE, image_pixel_um, learned_pixel_um, pixel_text
from napari_segtool.ui._facts import spacing_text
from napari_segtool.ui._fields import guard_wheel
from napari_segtool.ui._jobs import LatestJob
from napari_segtool.ui._session import Session
from napari_segtool.ui._train_desk import TrainingDesk
from napari_segtool.ui._train_folder import run_has_model
from napari_segtool.ui._train_watch import Ending


@dataclass(frozen=True)
class ModelEntry:
    """One line of the model chooser."""

    path: Path
    title: str


class ModelDesk(QObject):
    """The models of one viewer; get it with ``session.shared(ModelDesk)``.

    Attributes
    ----------
    entries : tuple of ModelEntry
        Models that can be chosen, those of the newest runs first.
    chosen : Path or None
        Folder of the chosen model or run.
    bundle : ModelBundle or None
        The chosen model, once its card was read and its weights were checked.
    error : Exception or None
        Why the chosen model cannot be used.
    """

    entries_changed = Signal()
    opened = Signal()
    """`bundle` and `error` have changed."""

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._trainings = session.shared(TrainingDesk)
        self._files: list[ModelEntry] = []
        self.entries: tuple[ModelEntry, ...] = ()
        self.chosen: Path | None = None
        self.bundle: ModelBundle | None = None
        self.error: BaseException | None = None
        self._opening = LatestJob("model", self)
        self._opening.returned.connect(self._opened)
        self._opening.failed.connect(self._failed)
        self._trainings.runs_changed.connect(self._list)
        self._trainings.ended.connect(self._learned)
        session.closing.connect(self._opening.cancel)
        self._list()

    @property
    def busy(self) -> bool:
        """True while the chosen model is being opened."""
        return self._opening.busy

    def choose(self, path: Path) -> None:
        """Choose a model by its folder or that of its run, and open it beside the GUI thread."""
        if all(entry.path != path for entry in self.entries):
            self._files.insert(0, ModelEntry(path, path.name))
            self._list()
        self.chosen, self.bundle, self.error = path, None, None
        self.entries_changed.emit()
        self.opened.emit()
        self._opening.submit(partial(_open_steps, path))

    def look(self) -> None:
        """Find runs made before; called when a panel that offers models becomes visible."""
        self._trainings.adopt()

    def _list(self) -> None:
        runs = [ModelEntry(card.folder, card.title) for card in self._trainings.cards if card.has_model]
        known = {entry.path for entry in runs}
        entries = (*runs, *(entry for entry in self._files if entry.path not in known))
        if entries == self.entries:
            return
        self.entries = entries
        self.entries_changed.emit()
        if self.chosen is None and entries:
            self.choose(entries[0].path)

    def _learned(self, _: Ending) -> None:
        folder = self._trainings.folder
        if folder is not None and run_has_model(folder):
            self.choose(folder)

    def _opened(self, bundle: ModelBundle) -> None:
        self.bundle, self.error = bundle, None
        self.opened.emit()

    def _failed(self, error: BaseException) -> None:
        self.bundle, self.error = None, error
        self.opened.emit()


def _open_steps(path: Path) -> Steps[ModelBundle]:
    from napari_segtool.nets._bundle import open_bundle

    yield Progress(0, 0, "opening the model")
    return open_bundle(path)


class ModelChooser(QWidget):
    """The model to use, with its card: what it tells apart, what it learned from, how good it was.

    Parameters
    ----------
    session
        Whose models are listed.
    """

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.desk = session.shared(ModelDesk)
        self.box = QComboBox()
        self.box.setToolTip("The model to use: those of your trainings, newest first, and those opened from a folder.")
        self.box.setAccessibleName("Model")
        self.box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.box.setMinimumContentsLength(8)
        self.box.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        guard_wheel(self.box)
        self.opener = QPushButton("Open…")
        self.opener.setToolTip("Choose the folder of a model or of a run that is not in the list.")
        self.opener.clicked.connect(self._ask)
        self.card = QLabel()
        self.card.setWordWrap(True)
        self.card.setMinimumHeight(3 * self.card.fontMetrics().lineSpacing() + 2)
        row = QHBoxLayout()
        row.setSpacing(4)
        row.addWidget(self.box, 1)
        row.addWidget(self.opener)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        layout.addLayout(row)
        layout.addWidget(self.card)
        self.box.activated.connect(self._activated)
        self.desk.entries_changed.connect(self._fill)
        self.desk.opened.connect(self._show_card)
        self._fill()
        self._show_card()

    def release(self) -> None:
        """Let go of the desk."""
        self.desk.entries_changed.disconnect(self._fill)
        self.desk.opened.disconnect(self._show_card)

    def ask(self) -> None:
        """Ask for the folder of a model."""
        folder = QFileDialog.getExistingDirectory(self, "Choose the folder of a model or of a run")
        if folder:
            self.desk.choose(Path(folder))

    def _ask(self, _: bool) -> None:
        self.ask()

    def _fill(self) -> None:
        with signals_blocked(self.box):
            self.box.clear()
            for entry in self.desk.entries:
                self.box.addItem(entry.title, str(entry.path))
                self.box.setItemData(self.box.count() - 1, str(entry.path), 3)  # Qt.ItemDataRole.ToolTipRole
            self.box.setCurrentIndex(self.box.findData(str(self.desk.chosen)))
            self.box.setPlaceholderText("no model yet")

    def _activated(self, row: int) -> None:
        self.desk.choose(Path(self.box.itemData(row)))

    def _show_card(self) -> None:
        desk = self.desk
        if desk.bundle is not None:
            self.card.setText(card_text(desk.bundle.card))
        elif desk.error is not None:
            self.card.setText(f"▲ {desk.error}")
        else:
            self.card.setText("Opening…" if desk.chosen is not None else "Train one, or open one from a folder.")


def card_text(card: Mapping[str, Any]) -> str:
    """Return what a person wants to know of a model, in three lines."""
    names = [str(entry["name"]) for entry in card["classes"]]
    trained = card.get("trained", {})
    images = [str(name) for name in trained.get("images", ())]
    learned = f"Learned from {', '.join(images[:2])}{f' and {len(images) - 2} more' if len(images) > 2 else ''}" if images else ""
    dice = card.get("scores", {}).get("dice")
    score = f"Held-out Dice {dice:.3f}" if isinstance(dice, float) else "Not scored: nothing was held out"
    steps = f" · {trained['steps']} steps" if trained.get("steps") else ""
    lines = [
        f"{learner_title(card)} · {', '.join(names[:6])}{', …' if len(names) > 6 else ''}",
        " · ".join(part for part in (learned, spacing_text(tuple(card.get("spacing_um", ())))) if part),
        f"{score}{steps}",
    ]
    return "\n".join(lines)


def learner_title(card: Mapping[str, Any]) -> str:
    """Return the name of the learner that made a model, as the window shows it."""
    name = str(card["learner"])
    return LEARNERS.get(name).title if name in LEARNERS else name


def class_names(card: Mapping[str, Any]) -> dict[int, str]:
    """Return the names of a model's classes by label value."""
    return {int(entry["value"]): str(entry["name"]) for entry in card["classes"]}


def misfit(card: Mapping[str, Any], stack: Stack, *, resampled: bool = False) -> str:
    """Say in what the image differs from those the model learned from, where that will hurt; empty if it does not.

    Parameters
    ----------
    resampled
        Whether planes are shown to the model at its own pixel size, so that the image's does not hurt.
    """
    channels = stack.shape[stack.channel_axis] if stack.channel_axis >= 0 else 1
    if channels != int(card["channels"]):
        return f"The model wants {card['channels']} channel(s), but the image has {channels}: it cannot be used on it."
    if int(card["spatial"]) == 3 and len(stack.spatial) < 3:
        return "The model wants a volume, but the image is a single picture: it cannot be used on it."
    own, learned = image_pixel_um(stack), learned_pixel_um(card)
    if resampled or not own or not learned:
        return ""
    ratio = own[1] / learned[1]
    if 1 / TOLERANCE <= ratio <= TOLERANCE:
        return ""
    size = f"{ratio:.2g} times larger" if ratio > 1 else f"{1 / ratio:.2g} times smaller"
    return (
        f"A pixel of this image is {size} than those it learned from ({pixel_text(own)}, not {pixel_text(learned)}). "
        "Things look another size to it, and the result may be poor: resample the image first, or train on this one."
    )
