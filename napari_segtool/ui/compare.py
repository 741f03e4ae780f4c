"""Compare on this slice: several methods side by side, each with its time and its scores; the one that is liked is kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
from napari.layers import Labels as LabelsLayer
from napari.layers import Layer
from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QComboBox, QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget
from superqt.utils import signals_blocked

from napari_segtool.api import Candidate
from napari_segtool.core.chain import Link
from napari_segtool.core.errors import SegtoolError
from napari_segtool.core.params import describe
from napari_segtool.core.planes import label_key
from napari_segtool.core.registry import METHODS
from napari_segtool.ui._bridge import class_names_of, fits, is_labels, labels_of, notes_of, unpainted_is_background
from napari_segtool.ui._compare_grid import CandidateGrid
from napari_segtool.ui._compare_methods import MethodTree
from napari_segtool.ui._compare_subject import Subject, comparison_steps, keep_candidate, place_text, subject_of
from napari_segtool.ui._compare_window import ComparisonWindow
from napari_segtool.ui._fields import guard_wheel
from napari_segtool.ui._layers import LayerCombo
from napari_segtool.ui._session import Session
from napari_segtool.ui._working import WorkingWidget

__all__ = ["CompareDialog", "Comparison", "show_comparison", "subject_of"]

FAMILIES = ("threshold", "clustering", "edges", "regions", "watershed", "contours", "objects")
SIZE_PX = (1120, 720)
_MOST_CLASSES = 8
_MEMORY = "compare"


Find = Callable[[], Subject | None]
Use = Callable[[str, Mapping[str, Any]], object]


class Comparison(WorkingWidget):
    """Methods to tick at the left, their results at the right, and what to do with the one chosen below."""

    action = "Compare"
    action_help = "Run the methods ticked on the slice the viewer shows, one after the other."

    _arrived = Signal(int, str, object)

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(session, parent)
        self.viewer = session.viewer
        self._find: Find = _nothing
        self._use: Use | None = None
        self._subject: Subject | None = None
        self._turn = 0
        self.tree = MethodTree(METHODS, FAMILIES)
        remembered = session.memory.recall(_MEMORY).get("methods")
        self.tree.choose(self.tree.automatic() if remembered is None else remembered)
        self.tree.changed.connect(self._ticked)
        self.grid = CandidateGrid()
        self.grid.wanted.connect(self._use_chosen)
        self.grid.currentItemChanged.connect(self._choice_changed)
        self.place = QLabel()
        self.truth = LayerCombo(self.viewer, self._may_be_truth, nothing="no truth")
        self.truth.setToolTip("Labels that are right: results are scored against them.")
        self.truth.setAccessibleName("Truth")
        self.truth.chosen.connect(self._truth_chosen)
        self.truth_class = QComboBox()
        self.truth_class.setToolTip("What is looked for.")
        self.truth_class.setAccessibleName("Class looked for")
        guard_wheel(self.truth_class)
        self.use_button, self.keep_button = QPushButton("Use this one"), QPushButton("Keep as layer")
        self.use_button.setToolTip("Choose this method, with these settings, in the Segment panel.")
        self.keep_button.setToolTip("Add the labels of this slice as a layer.")
        self.use_button.clicked.connect(self._use_chosen)
        self.keep_button.clicked.connect(self._keep_chosen)
        self._arrived.connect(self._take, Qt.ConnectionType.QueuedConnection)
        session.layers_changed.connect(self._layers_changed)
        self._lay_out()
        self._choice_changed()
        self.rest()

    # doors

    def open_on(self, find: Find, use: Use) -> None:
        """Compare what ``find`` returns now; ``use`` is told the method that is liked, and its settings."""
        self._find, self._use = find, use
        self._offer_truth()
        self.guarded(self.start)

    def start(self) -> None:
        """Run the methods ticked."""
        subject = self._find()
        if subject is None:
            return self.missing("Open an image first.")
        names = self._show_subject(subject)
        if not names:
            return self.missing("Tick at least one method at the left.")
        entries = [Link(name, self._settings(subject, name)) for name in names]
        truth = self._truth_plane(subject)
        self._turn += 1
        self._subject = subject
        self.grid.begin(names)
        limits = tuple(float(value) for value in subject.image.contrast_limits)
        tell = partial(self._tell, self._turn)
        self.run(partial(comparison_steps, subject, entries, truth, limits, tell), self._finished, "Comparing")
        return None

    def stop(self) -> None:
        """Stop at once: what is there stays, and the step being worked on ends by itself."""
        job = self.job
        if job is None:
            return
        for signal, slot in ((job.progressed, self._job_progressed), (job.returned, self._job_returned), (job.failed, self.fail)):
            signal.disconnect(slot)
        job.cancelled.disconnect(self._job_cancelled)
        job.finished.disconnect(self._job_finished)
        job.cancel()
        self.job = self._on_result = None
        self._turn += 1
        self.grid.stop_waiting()
        self.rest()
        self.say("Stopped.")

    def release(self) -> None:
        """End with the viewer."""
        self.stop()
        self._find, self._use, self._subject = _nothing, None, None
        self.session.layers_changed.disconnect(self._layers_changed)

    # results

    def _tell(self, turn: int, kind: str, value: object) -> None:
        """Hand a result from the thread that made it to the window."""
        try:
            self._arrived.emit(turn, kind, value)
        except RuntimeError as error:  # Qt has deleted us because the window is gone: nobody is left to tell
            if "deleted" not in str(error):
                raise

    def _take(self, turn: int, kind: str, value: Any) -> None:
        if turn != self._turn:
            return
        if kind == "backdrop":
            self.grid.show_backdrop(*value)
        else:
            self.grid.add(value)
            self._choice_changed()

    def _finished(self, candidates: tuple[Candidate, ...]) -> None:
        ran, best = sum(candidate.labels is not None for candidate in candidates), self.grid.best()
        if best is None:
            return self.missing("No method ran; each says why in its place.")
        if self.grid.chosen() is None:
            self.grid.choose(best.link.name)
        counted = f"{ran} of {len(candidates)} methods ran. " if ran < len(candidates) else ""
        praised = f"Closest to the truth: {best.title}, Dice {best.dice:.2f}. " if best.dice == best.dice else ""
        self.done(f"{counted}{praised}Choose one to use it or keep it.")
        return None

    def _choice_changed(self, *_: Any) -> None:
        chosen = self.grid.chosen()
        for button in (self.use_button, self.keep_button):
            button.setEnabled(chosen is not None)

    def _use_chosen(self, *_: Any) -> None:
        chosen = self.grid.chosen()
        if chosen is None or self._use is None:
            return
        points = {info.name for info in describe(METHODS.get(chosen.link.name).params) if info.kind == "points"}
        self._use(chosen.link.name, {name: value for name, value in chosen.link.params.items() if name not in points})
        self.say(f"{chosen.title} is chosen in the Segment panel.", kind="good")

    def _keep_chosen(self, *_: Any) -> None:
        chosen, subject = self.grid.chosen(), self._subject
        if chosen is None or chosen.labels is None or subject is None:
            return
        if subject.image not in self.viewer.layers:
            return self.missing("The image was closed meanwhile.")
        layer = keep_candidate(self.viewer, chosen, subject)
        self.say(f"Labels of this slice in layer “{layer.name}”.", kind="good")
        return None

    # what takes part

    def _show_subject(self, subject: Subject) -> tuple[str, ...]:
        """Say what is compared, and return the methods that take part."""
        self.place.setText(f"<b>{subject.image.name}</b>{place_text(subject)}")
        self.tree.show_given({"seeds": bool(subject.seeds), **dict.fromkeys(subject.beside, True)})
        return self.tree.chosen()

    def _settings(self, subject: Subject, name: str) -> dict[str, Any]:
        entry = METHODS.get(name)
        values = dict(subject.values.get(name, {}))
        for info in describe(entry.params):
            if info.kind == "points":
                values[info.name] = subject.seeds
        try:
            entry.params.build(**values)
        except SegtoolError:  # remembered by another version
            return {}
        return values

    def _ticked(self) -> None:
        self.session.memory.remember(_MEMORY, {"methods": list(self.tree.chosen())})

    # truth

    def _may_be_truth(self, layer: Layer) -> bool:
        image = self._subject.image if self._subject is not None else self.session.image
        sparse = isinstance(layer, LabelsLayer) and notes_of(layer).get("role") == "paint" and not unpainted_is_background(layer)
        return is_labels(layer) and not sparse and (image is None or fits(layer, image))

    def _offer_truth(self) -> None:
        self.truth.fill()
        if self.truth.layer() is None:
            known = [layer for layer in self.viewer.layers if self._may_be_truth(layer) and notes_of(layer).get("role") == "truth"]
            self.truth.set_layer(known[0] if known else None)
        self._truth_chosen(self.truth.layer())

    def _truth_chosen(self, layer: Layer | None) -> None:
        """Offer the classes of the truth, where it has few."""
        names = {}
        if isinstance(layer, LabelsLayer):
            given = notes_of(layer).get("class_names", ())
            names = dict(enumerate(map(str, given))) or class_names_of(layer)
            if not names and isinstance(layer.data, np.ndarray) and layer.data.dtype.itemsize == 1:
                found = np.flatnonzero(np.bincount(layer.data.ravel(), minlength=1)).tolist()
                names = {value: f"label {value}" for value in found} if 2 < len(found) <= _MOST_CLASSES + 1 else {}
        with signals_blocked(self.truth_class):
            self.truth_class.clear()
            self.truth_class.addItem("everything labelled", None)
            for value, name in list(names.items())[: _MOST_CLASSES + 1]:
                self.truth_class.addItem(name, value)
        self.truth_class.setVisible(len(names) > 1)

    def _truth_plane(self, subject: Subject) -> np.ndarray | None:
        layer = self.truth.layer()
        if not isinstance(layer, LabelsLayer) or not fits(layer, subject.image):
            return None
        labels, wanted = labels_of(layer), self.truth_class.currentData()
        plane = np.asarray(labels.data[label_key(subject.stack, subject.index)])
        plane = plane.T if labels.axes.index("Y") > labels.axes.index("X") else plane
        return plane if wanted is None else (plane == wanted).astype(np.uint8)

    def _layers_changed(self, event: Any = None) -> None:
        self.truth.fill()

    def _lay_out(self) -> None:
        top = QHBoxLayout()
        top.addWidget(self.place)
        top.addStretch(1)
        top.addWidget(QLabel("Truth"))
        top.addWidget(self.truth)
        top.addWidget(self.truth_class)
        middle = QHBoxLayout()
        self.tree.setFixedWidth(250)
        middle.addWidget(self.tree)
        middle.addWidget(self.grid, 1)
        self.message.setMinimumWidth(200)
        bottom = QHBoxLayout()
        bottom.addWidget(self.message, 1)
        for button in (self.button, self.use_button, self.keep_button):
            button.setMinimumHeight(30)
            button.setAutoDefault(False)
            bottom.addWidget(button)
        layout = QVBoxLayout(self)
        layout.addLayout(top)
        layout.addLayout(middle, 1)
        layout.addWidget(self.bar)
        layout.addLayout(bottom)


class CompareDialog(ComparisonWindow):
    """The window of the comparison of methods."""

    title = "Compare on this slice"
    size_px = SIZE_PX
    makes = Comparison


def show_comparison(session: Session, find: Find, use: Use) -> Comparison:
    """Open the comparison, or bring it to the front, and run it on what ``find`` returns.

    Parameters
    ----------
    find
        Returns what the panel works on now, or None without an image; asked again at each run.
    use
        Called with the name and the settings of the method that the user likes.
    """
    dialog = session.shared(CompareDialog)
    dialog.show()
    dialog.raise_()
    dialog.comparison.open_on(find, use)
    return dialog.comparison


def _nothing() -> None:
    return None
