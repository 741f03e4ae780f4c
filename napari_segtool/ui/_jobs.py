"""The only threads of the window: long work runs beside it, and answers on the GUI thread."""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable
from functools import partial
from typing import Any

from qtpy.QtCore import QObject, Qt, QTimer, Signal

from napari_segtool.core.progress import Evolution, Progress, Steps

MakeSteps = Callable[[], Steps[Any]]

REPORT_EVERY_S = 0.05
CANCEL_GRACE_S = 0.7


class Job(QObject):
    """Run one `Steps` generator in a thread of its own.

    All signals arrive on the GUI thread. Exactly one of `returned`, `failed` and `cancelled` is emitted, then `finished`.
    Every exception is reported, `RuntimeError` and `SystemExit` too. After that the job keeps no reference to the work,
    its result, or what it was made from.

    Parameters
    ----------
    make_steps
        Called in the thread; returns the generator to run. It must not touch layers or widgets.
    name
        What runs, for messages and for the thread's name.
    """

    progressed = Signal(object)
    """`Progress`, at most every 50 ms."""
    returned = Signal(object)
    """What the generator returned."""
    failed = Signal(object)
    """The exception."""
    cancelled = Signal()
    finished = Signal()

    _posted = Signal(str, object)

    def __init__(self, make_steps: MakeSteps, name: str = "work", parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.name = name
        self.clock = TimeLeft()
        self._make_steps: MakeSteps | None = make_steps
        self._stop = threading.Event()
        self._answered = False
        self._thread: threading.Thread | None = None
        self._posted.connect(self._receive, Qt.ConnectionType.QueuedConnection)

    @property
    def running(self) -> bool:
        """True from `start` until it was answered with a result, an error or a cancel."""
        return self._thread is not None and not self._answered

    def start(self) -> Job:
        """Start the thread; returns the job, so that it can be written in one line."""
        self._thread = threading.Thread(target=self._run, name=f"segtool {self.name}", daemon=True)
        self._thread.start()
        return self

    def cancel(self) -> None:
        """Stop after the step being worked on; the window is answered within a second, even if that step takes longer.

        The generator is closed in its own thread, so what stands in its ``finally`` runs.
        """
        if self.running and not self._stop.is_set():
            self._stop.set()
            QTimer.singleShot(int(CANCEL_GRACE_S * 1000), self._give_up_waiting)

    def wait(self, timeout_s: float = 5.0) -> bool:
        """Block until the thread has ended; False if it has not after ``timeout_s``. For closing time and tests."""
        if self._thread is not None:
            self._thread.join(timeout_s)
            return not self._thread.is_alive()
        return True

    def _run(self) -> None:
        kind, value = "cancelled", None
        try:
            steps = self._make_steps()  # type: ignore[misc]
            try:
                kind, value = self._walk(steps)
            finally:
                steps.close()
                del steps
        except BaseException as error:
            kind, value = "failed", error
        self._make_steps = None
        self._post(kind, value)

    def _walk(self, steps: Steps[Any]) -> tuple[str, Any]:
        last = 0.0
        while not self._stop.is_set():
            try:
                progress = next(steps)
            except StopIteration as end:
                return "returned", end.value
            now = time.monotonic()
            if now - last >= REPORT_EVERY_S or progress.fraction >= 1.0 or isinstance(progress, Evolution):  # those come seldom enough
                last = now
                self._post("progressed", progress)
        return "cancelled", None

    def _post(self, kind: str, value: Any) -> None:
        try:
            self._posted.emit(kind, value)
        except RuntimeError as error:  # Qt has deleted us because the window is gone: nobody is left to tell
            if "deleted" not in str(error):
                raise

    def _receive(self, kind: str, value: Any) -> None:
        if self._answered:
            return
        if kind == "progressed":
            if not self._stop.is_set():
                self.clock.note(value)
                self.progressed.emit(value)
            return
        self._answered = True
        if kind == "failed":
            self.failed.emit(value)
        elif self._stop.is_set():
            self.cancelled.emit()
        else:
            self.returned.emit(value)
        self.finished.emit()

    def _give_up_waiting(self) -> None:
        self._receive("cancelled", None)


class LatestJob(QObject):
    """Run previews one after another where only the newest request counts.

    A request replaces the one that waits and cancels the one that runs, so that what is delivered always belongs to what
    was asked last. A request may have patience with the one that runs, which is then delivered first if it is ready in
    time: a slider that is dragged faster than answers come would else show nothing until it rests. Answers never arrive
    in another order than they were asked for, and the last request is always answered last.
    """

    returned = Signal(object)
    failed = Signal(object)
    progressed = Signal(object)
    """`Progress` of the request that runs."""
    busy_changed = Signal(bool)

    def __init__(self, name: str = "preview", parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.name = name
        self._job: Job | None = None
        self._waiting: MakeSteps | None = None
        self._stale = False
        self._begun = 0.0

    @property
    def busy(self) -> bool:
        """True while a request is worked on or waits."""
        return self._waiting is not None or (self._job is not None and not self._stale)

    @property
    def overtaken(self) -> bool:
        """True while a newer request waits for the one that runs."""
        return self._waiting is not None

    def submit(self, make_steps: MakeSteps, *, patience_s: float = 0.0) -> None:
        """Ask for ``make_steps`` to be run instead of everything asked before.

        Parameters
        ----------
        make_steps
            As for `Job`.
        patience_s
            How long the request that runs may take, since it began, before this one cancels it.
        """
        was_busy = self.busy
        self._waiting = make_steps
        if self._job is None:
            self._begin()
        elif not self._stale:
            left_s = self._begun + patience_s - time.monotonic()
            if left_s > 0:
                QTimer.singleShot(int(1000 * left_s) + 1, partial(self._lose_patience, weakref.ref(self._job)))
            else:
                self._drop_running()
        if not was_busy:
            self.busy_changed.emit(True)

    def cancel(self) -> None:
        """Forget all requests; none of them will be answered."""
        was_busy = self.busy
        self._waiting = None
        if self._job is not None:
            self._drop_running()
        if was_busy:
            self.busy_changed.emit(False)

    def wait(self, timeout_s: float = 5.0) -> bool:
        """Block until the running thread has ended."""
        return self._job is None or self._job.wait(timeout_s)

    def _begin(self) -> None:
        make_steps, self._waiting, self._stale = self._waiting, None, False
        assert make_steps is not None
        self._begun = time.monotonic()
        self._job = Job(make_steps, self.name)
        self._job.progressed.connect(self._pass_on)
        self._job.returned.connect(self._deliver)
        self._job.failed.connect(self._report)
        self._job.finished.connect(self._end)
        self._job.start()

    def _drop_running(self) -> None:
        assert self._job is not None
        self._stale = True
        self._job._stop.set()

    def _lose_patience(self, job: weakref.ref[Job]) -> None:
        if self._job is not None and self._job is job() and self._waiting is not None:
            self._drop_running()

    def _pass_on(self, progress: Progress) -> None:
        if not self._stale:
            self.progressed.emit(progress)

    def _deliver(self, value: Any) -> None:
        if not self._stale:
            self.returned.emit(value)

    def _report(self, error: BaseException) -> None:
        if not self._stale:
            self.failed.emit(error)

    def _end(self) -> None:
        was_stale, self._job = self._stale, None
        if self._waiting is not None:
            self._begin()
        elif not was_stale:
            self.busy_changed.emit(False)


class TimeLeft:
    """Guess how long a piece of work still takes, from the progress it has reported."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._start = now()
        self._first: tuple[float, float] | None = None
        self._last = Progress(0, 0)

    def note(self, progress: Progress) -> None:
        """Take a new report into account; work that starts over (a new phase) starts a new guess."""
        if self._first is None or progress.fraction < self._last.fraction:
            self._first = (self._now(), progress.fraction)
        self._last = progress

    @property
    def seconds_left(self) -> float:
        """Seconds still to go; ``nan`` while nothing can be said."""
        if self._first is None:
            return float("nan")
        begun, at = self._first
        gained = self._last.fraction - at
        if gained <= 0:
            begun, gained = self._start, self._last.fraction
        if gained <= 0:
            return float("nan")
        return max(0.0, (self._now() - begun) / gained * (1.0 - self._last.fraction))
