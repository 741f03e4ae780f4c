"""Follow one training from beside the GUI thread: its events, its previews, and what is asked of it."""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from napari_segtool.core.errors import StorageError
from napari_segtool.core.planes import PlaneIndex
from napari_segtool.core.progress import Progress, Steps
from napari_segtool.ui._train_child import REFUSED, Child, death_text, log_tail, start_child
from napari_segtool.ui._train_folder import delete_run
from napari_segtool.ui._train_history import ENDS, EventTail

POLL_S = 0.1
_LOOK_S = 1.0
CANCEL_GRACE_S = 3.0

Word = Literal["stop", "cancel"]


@dataclass(frozen=True, eq=False)
class Preview:
    """What the network says of one plane while it learns.

    Parameters
    ----------
    image
        Number of the image in the run.
    plane
        Its plane, as `core.planes.PlaneIndex`.
    labels
        ``(Y, X)`` label values.
    """

    image: int
    plane: PlaneIndex
    labels: np.ndarray
    step: int


@dataclass(frozen=True)
class Ending:
    """How a training ended, where it could not say so itself.

    Parameters
    ----------
    text, hint
        What happened and what to do; empty if the events say it.
    details
        What the process wrote, to read and copy.
    refused
        Its settings were refused before it began, and its new run is gone: there is nothing to resume.
    """

    text: str = ""
    hint: str = ""
    details: str = ""
    refused: bool = False


class Watch:
    """Hands what a training says to the GUI thread, and what the user asks to the training.

    Parameters
    ----------
    folder
        The run folder.
    child
        The process, where one is running; else one is started.
    threads
        Cores for a process that is started; 0 means all but one.
    fresh
        The run was made for this training: it is deleted again where it is refused before it began.

    Attributes
    ----------
    news : deque
        Tuples of events, and `Preview`; filled beside the GUI thread, emptied on it.
    classes : dict
        Names of the run's classes by label value, once the run is open.
    """

    def __init__(self, folder: Path, child: Child | None = None, threads: int = 0, fresh: bool = False) -> None:
        self.folder, self.child = folder, child
        self.news: deque[tuple[Mapping[str, Any], ...] | Preview] = deque()
        self.classes: dict[int, str] = {}
        self.asked: Word | None = None
        self._threads, self._fresh = threads, fresh
        self._begun = child is not None
        self._told = False
        self._step = 0
        self._deadline = float("inf")
        self._look_at: tuple[int, PlaneIndex] | None = None
        self._looked_at: tuple[int, PlaneIndex] | None = None
        self._last_seen, self._seen_alive = 0.0, True

    def ask(self, word: Word) -> None:
        """Ask the training to end; it is told within a tenth of a second."""
        self.asked = word

    def look_at(self, image: int, plane: PlaneIndex) -> None:
        """Ask for previews of this plane from now on."""
        self._look_at = (image, tuple(plane))

    @property
    def alive(self) -> bool:
        """True until the process has ended; also before it was started."""
        return self.child is None or self.child.alive

    def ask_now(self, word: Word) -> None:
        """Ask in place, for a window that is closing: a training that has not begun is ended, since there is nothing to keep."""
        from napari_segtool.training.runs._run import open_run

        self.asked = word
        if self._told:
            return
        self._told = True
        if not self._begun:
            if self.child is not None:
                self.child.kill()
            return
        open_run(self.folder).request(word)

    def steps(self) -> Steps[Ending]:
        """Follow the training to its end. Leaving it early leaves the process running."""
        from napari_segtool.training.runs._run import open_run

        run, tail = open_run(self.folder), EventTail(self.folder / "events.jsonl")
        self.classes = {int(entry["value"]): str(entry["name"]) for entry in run.classes}
        if self.child is None:
            while events := tail.read():
                self.news.append(events)
            self.news.append(({"kind": "again"},))
            if self.asked is not None:
                return Ending()
            self.child = start_child(self.folder, self._threads)
        ended = False
        while True:
            alive = self._is_alive()  # looked at before reading, so that the last words of a process that ended are read
            events = tail.read()
            if events:
                self.news.append(events)
                for event in events:
                    ended = event["kind"] in ENDS or (ended and event["kind"] != "start")
                    self._begun = self._begun or event["kind"] == "start"
                    self._step = int(event.get("step") or self._step)
                self._load_preview(events)
            elif not alive:
                ending = Ending() if ended or self.asked else self._death()
                return replace(ending, refused=self._take_back())
            if self.asked is not None and not self._told:
                self._tell(run, self.asked)
            if time.monotonic() > self._deadline:
                self.child.kill()
            self._request_preview(run)
            yield Progress(0, 0)
            time.sleep(POLL_S)

    def _tell(self, run: Any, word: Word) -> None:
        assert self.child is not None
        self._told = True
        if not self._begun:  # it is still loading and has nothing to keep; a request now could be taken for an old one
            self.child.kill()
            return
        try:
            run.request(word)
        except StorageError:  # the disk is full: what was kept before is all there can be
            self.child.kill()
        if word == "cancel":
            self._deadline = time.monotonic() + CANCEL_GRACE_S

    def _is_alive(self) -> bool:
        assert self.child is not None
        now = time.monotonic()
        if self.child.started_here or now - self._last_seen > _LOOK_S:
            self._last_seen, self._seen_alive = now, self.child.alive
        return self._seen_alive

    def _request_preview(self, run: Any) -> None:
        if self._look_at is not None and self._look_at != self._looked_at:
            self._looked_at = self._look_at
            with contextlib.suppress(StorageError):  # a full disk: the training itself says so
                run.request_preview(*self._look_at)

    def _load_preview(self, events: tuple[Mapping[str, Any], ...]) -> None:
        newest = next((event for event in reversed(events) if event["kind"] == "preview"), None)
        if newest is None:
            return
        try:
            labels = np.load(self.folder / str(newest["path"]), allow_pickle=False)
            preview = Preview(int(newest["image"]), tuple(int(n) for n in newest["plane"]), labels, int(newest["step"]))
        except (OSError, ValueError, KeyError, TypeError):  # replaced by a newer one meanwhile, which is announced next
            return
        self.news.append(preview)

    def _take_back(self) -> bool:
        """Delete a run that was made for this training where its settings were refused; return whether it was."""
        from napari_segtool.training.runs._refused import never_began

        assert self.child is not None
        if not self._fresh or self.child.exit_code != REFUSED or not never_began(self.folder):
            return False
        with contextlib.suppress(StorageError):
            delete_run(self.folder)
        return not self.folder.exists()

    def _death(self) -> Ending:
        assert self.child is not None
        said = log_tail(self.child)
        code = self.child.exit_code
        if code == REFUSED and said:
            text, _, hint = "\n".join(said.splitlines()[-2:]).partition("\n")
            return Ending(text, hint, said)
        text, hint = death_text(code, self._step)
        return Ending(text, hint, said)
