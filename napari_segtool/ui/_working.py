"""A widget that works: one primary button that becomes Stop, progress with the time left, and a line that says what came out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Literal

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QProgressBar, QPushButton, QWidget

from napari_segtool.core.errors import SegtoolError
from napari_segtool.core.progress import Progress
from napari_segtool.ui._facts import progress_text
from napari_segtool.ui._jobs import Job, MakeSteps
from napari_segtool.ui._message import DetailsDialog, Kind, MessageLine, full_text, plain_words
from napari_segtool.ui._session import Session

State = Literal["empty", "ready", "working", "done", "failed"]


class WorkingWidget(QWidget):
    """Base of `Panel`: its state, what it says, and the work it runs.

    Parameters
    ----------
    session
        Runs the work, and ends it with the viewer.
    """

    action: str = "Start"
    """Text of the primary button; it reads Stop while work goes on."""
    action_help: ClassVar[str] = ""

    state_changed = Signal(str)

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.session = session
        self.job: Job | None = None
        self._state: State = "empty"
        self._details = ""
        self._on_result: Callable[[Any], object] | None = None
        self.button = QPushButton(self.action)
        self.button.setToolTip(self.action_help)
        self.button.setMinimumHeight(30)
        self.button.setAutoDefault(True)
        self.button.clicked.connect(self._clicked)
        self.bar = QProgressBar()
        self.bar.setTextVisible(True)
        self.bar.setFixedHeight(18)
        policy = self.bar.sizePolicy()
        policy.setRetainSizeWhenHidden(True)
        self.bar.setSizePolicy(policy)
        self.bar.hide()
        self.message = MessageLine()

    # hooks

    def start(self) -> None:
        """Do the work; the primary button was clicked."""

    def stop(self) -> None:
        """Stop the work going on; the button was clicked while it read Stop."""
        if self.job is not None:
            self.message.say("Stopping…")
            self.job.cancel()

    def lacks_image(self) -> bool:
        """True while there is nothing to work on."""
        return False

    @property
    def state(self) -> State:
        """One of ``empty``, ``ready``, ``working``, ``done``, ``failed``."""
        return self._state

    # what a panel says

    def say(self, text: str, actions: Mapping[str, Callable[[], object]] | None = None, kind: Kind = "info") -> None:
        """Write the message line, with a link for each action (``{"Go to Annotate": …}``)."""
        self.message.say(text, actions, kind)

    def missing(self, text: str, actions: Mapping[str, Callable[[], object]] | None = None) -> None:
        """Say what is missing before the work can start, and how to mend it."""
        self.message.say(text, actions, "warning")

    def done(self, text: str, actions: Mapping[str, Callable[[], object]] | None = None) -> None:
        """Say what came out, and the way on."""
        self._set_state("done")
        self.message.say(text, actions, "good")

    def fail(self, error: BaseException, actions: Mapping[str, Callable[[], object]] | None = None, *, details: str = "") -> None:
        """Say what went wrong in plain words; Details opens the full text."""
        self._set_state("failed")
        self._details = details or full_text(error)
        offers = dict(actions or {})
        if details or not isinstance(error, SegtoolError):
            offers["Details"] = self.show_details
        self.message.say(plain_words(error), offers, "bad")

    def show_details(self) -> None:
        """Open the full text of the last error."""
        DetailsDialog(self._details, self).show()

    def show_progress(self, progress: Progress, seconds_left: float = float("nan")) -> None:
        """Show how far the work has come and how long it still takes."""
        known = progress.total > 0
        self.bar.setRange(0, 1000 if known else 0)
        self.bar.setValue(round(progress.fraction * 1000))
        self.bar.setFormat(progress_text(progress, seconds_left) or "Working…")

    def working(self, what: str = "Working…") -> None:
        """Show that work goes on: the button reads Stop, the progress bar appears."""
        self._set_state("working")
        self.bar.setRange(0, 0)
        self.bar.setFormat(what)
        self.message.say(what)  # Qt writes nothing into a bar whose end is not known

    def rest(self) -> None:
        """Show that nothing goes on and nothing is to be reported."""
        self._set_state("empty" if self.lacks_image() else "ready")

    # work

    def run(self, make_steps: MakeSteps, on_result: Callable[[Any], object], what: str) -> Job:
        """Run long work off the GUI thread, with progress, Stop, and every error reported in the message line.

        Parameters
        ----------
        make_steps
            Called in the thread; it must not touch layers or widgets.
        on_result
            Called on the GUI thread with the result; it says what came out (`done`).
        what
            What is being done, for the progress bar ("Otsu").
        """
        job = self.session.start(make_steps, what)
        self.job = job
        self.working(f"{what}…")
        job.progressed.connect(self._job_progressed)
        job.returned.connect(self._job_returned)
        job.failed.connect(self.fail)
        job.cancelled.connect(self._job_cancelled)
        job.finished.connect(self._job_finished)
        self._on_result = on_result
        return job.start()

    def _job_progressed(self, progress: Progress) -> None:
        if self.job is not None:
            self.show_progress(progress, self.job.clock.seconds_left)

    def _job_returned(self, result: Any) -> None:
        on_result, self._on_result = self._on_result, None
        assert on_result is not None
        try:
            on_result(result)
        except Exception as error:
            self.fail(error)
        if self._state == "working":
            self.rest()
            self.message.clear()

    def _job_cancelled(self) -> None:
        self.rest()
        self.message.say("Stopped; nothing was changed.")

    def _job_finished(self) -> None:
        self.job = self._on_result = None
        if self._state == "working":
            self.rest()

    def guarded(self, action: Callable[[], object]) -> None:
        """Do something quick, and report an error in the message line instead of raising it."""
        try:
            action()
        except Exception as error:
            self.fail(error)

    def _clicked(self, _: bool) -> None:
        self.stop() if self._state == "working" else self.guarded(self.start)

    def _set_state(self, state: State) -> None:
        if state == self._state:
            return
        self._state = state
        self.button.setText("Stop" if state == "working" else self.action)
        self.bar.setVisible(state == "working")
        self.state_changed.emit(state)
