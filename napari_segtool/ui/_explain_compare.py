"""Several explainers side by side: the same question, a small map for each; the one that is liked becomes the overlay."""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from napari.layers import Image
from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from napari_segtool.core.registry import EXPLAINERS
from napari_segtool.ui._compare_methods import MethodTree
from napari_segtool.ui._compare_window import ComparisonWindow
from napari_segtool.ui._explain_asked import Explained, Wish
from napari_segtool.ui._explain_grid import Answer, MapGrid, Subject, answers_steps
from napari_segtool.ui._explain_host import Ready
from napari_segtool.ui._explain_settings import FAMILIES
from napari_segtool.ui._predict_models import class_names
from napari_segtool.ui._predict_worker import NetworkProcess
from napari_segtool.ui._session import Session
from napari_segtool.ui._working import WorkingWidget

SIZE_PX = (1080, 720)
USUAL = ("occlusion", "gradcam", "gradient", "integrated-gradients", "guided-backprop")
_MEMORY = "explain-compare"


@dataclass(frozen=True, eq=False)
class Query:
    """What is asked, of which image, with which settings of each explainer; ``words`` name it."""

    image: Image
    subject: Subject
    values: Mapping[str, Mapping[str, Any]]
    words: str


Find = Callable[[], "Query | str"]
Use = Callable[[Image, Explained], object]


class ExplainerComparison(WorkingWidget):
    """Explainers to tick at the left, their maps at the right."""

    action = "Compare"
    action_help = "Ask the explainers ticked, one after the other, what is pointed at in the Explain panel now."

    _arrived = Signal(int, str, object)

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(session, parent)
        self._find: Find = _nobody
        self._use: Use | None = None
        self._image: Image | None = None
        self._turn = 0
        self._process = session.shared(NetworkProcess)
        self.tree = MethodTree(EXPLAINERS, FAMILIES)
        self.tree.tree.setAccessibleName("Explainers to compare")
        self.tree.all_button.setToolTip("Tick every explainer.")
        self.tree.choose(session.memory.recall(_MEMORY).get("explainers", USUAL))
        self.tree.changed.connect(self._ticked)
        self.grid = MapGrid()
        self.grid.wanted.connect(self._use_chosen)
        self.grid.currentItemChanged.connect(self._choice_changed)
        self.place = QLabel()
        self.use_button = QPushButton("Show this one")
        self.use_button.setToolTip("Lay this map over the picture, and choose this explainer in the Explain panel.")
        self.use_button.clicked.connect(self._use_chosen)
        self._arrived.connect(self._take, Qt.ConnectionType.QueuedConnection)
        self._lay_out()
        self._choice_changed()
        self.rest()

    def open_on(self, find: Find, use: Use) -> None:
        """Compare what ``find`` returns now; ``use`` is told the map that is liked."""
        self._find, self._use = find, use
        self.guarded(self.start)

    def start(self) -> None:
        """Ask the explainers ticked."""
        found = self._find()
        names = sorted(self.tree.chosen(), key=lambda name: EXPLAINERS.get(name).family == "perturbation")  # the slow ones last
        if isinstance(found, str):
            return self.missing(found)
        if not names:
            return self.missing("Tick at least one explainer at the left.")
        self.place.setText(found.words)
        self._image = found.image
        self._turn += 1
        self.grid.begin(names)
        entries = [(name, found.values.get(name, {})) for name in names]
        self.run(partial(answers_steps, self._process.client, found.subject, entries, partial(self._tell, self._turn)), self._finished, "Comparing")
        return None

    def stop(self) -> None:
        """Keep what is there; the one being worked on is left."""
        self._turn += 1
        self.grid.stop_waiting()
        if self.job is not None:
            super().stop()

    def release(self) -> None:
        """End with the viewer."""
        if self.job is not None:
            self.stop()
        self._find, self._use, self._image = _nobody, None, None

    def _job_cancelled(self) -> None:
        self.rest()
        self.say("Stopped.")

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
            self.grid.show_backdrop(value, None)
        else:
            self.grid.add_answer(value)
            self._choice_changed()

    def _finished(self, answers: tuple[Answer, ...]) -> None:
        there = [answer for answer in answers if answer.explained is not None]
        if not there:
            return self.missing("No explainer could answer; each says why in its place.")
        if self.grid.answer() is None:
            self.grid.choose(there[0].name)
        counted = f"{len(there)} of {len(answers)} explainers answered. " if len(there) < len(answers) else ""
        return self.done(f"{counted}Where maps that share no theory agree, believe them. Choose one to show it in the picture.")

    def _choice_changed(self, *_: Any) -> None:
        self.use_button.setEnabled(self.grid.answer() is not None)

    def _use_chosen(self, *_: Any) -> None:
        answer, image = self.grid.answer(), self._image
        if answer is None or answer.explained is None or self._use is None or image is None:
            return
        self._use(image, answer.explained)
        self.say(f"{EXPLAINERS.get(answer.name).title} lies over the picture now.", kind="good")

    def _ticked(self) -> None:
        self.session.memory.remember(_MEMORY, {"explainers": list(self.tree.chosen())})

    def _lay_out(self) -> None:
        middle = QHBoxLayout()
        self.tree.setFixedWidth(230)
        middle.addWidget(self.tree)
        middle.addWidget(self.grid, 1)
        self.message.setMinimumWidth(200)
        bottom = QHBoxLayout()
        bottom.addWidget(self.message, 1)
        for button in (self.button, self.use_button):
            button.setMinimumHeight(30)
            button.setAutoDefault(False)
            bottom.addWidget(button)
        layout = QVBoxLayout(self)
        layout.addWidget(self.place)
        layout.addLayout(middle, 1)
        layout.addWidget(self.bar)
        layout.addLayout(bottom)


class ExplainerWindow(ComparisonWindow):
    """The window of the comparison of explainers."""

    title = "Compare explainers"
    size_px = SIZE_PX
    makes = ExplainerComparison


def show_explainers(session: Session, find: Find, use: Use) -> ExplainerComparison:
    """Open the comparison, or bring it to the front, and run it on what ``find`` returns.

    Parameters
    ----------
    find
        Returns what is asked in the panel now, or what is missing.
    use
        Called with the image and the map that the user likes.
    """
    dialog = session.shared(ExplainerWindow)
    dialog.show()
    dialog.raise_()
    dialog.comparison.open_on(find, use)
    return dialog.comparison


def query_of(panel: Any, ready: Ready, wish: Wish) -> Query:
    """Return what the Explain panel asks now, for the comparison."""
    limits = (0.0, 255.0) if ready.image.rgb else tuple(float(value) for value in ready.image.contrast_limits)
    looks = panel.threshold.value() / 100, panel.opacity.value() / 100
    subject = Subject(ready.bundle, ready.stack, wish, (limits[0], limits[1]), *looks, panel.process.device)
    names = class_names(ready.bundle.card)
    rather = f" rather than “{html.escape(names[wish.against])}”" if wish.against in names else ""
    what = {"pixel": "a pixel", "object": "an object", "region": "a region", "class": "all its pixels on the slice"}[wish.kind]
    words = f"Why <b>“{html.escape(names[wish.class_value])}”</b>{rather}: {what}, in <b>{html.escape(ready.image.name)}</b>"
    return Query(ready.image, subject, panel.settings.values(), words)


def _nobody() -> str:
    return "The panel was closed."
