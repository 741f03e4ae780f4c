"""Asks a process of its own what is to be known before a training: torch is never loaded into the window's."""

from __future__ import annotations

import contextlib
import itertools
import shutil
import tempfile
import threading
import weakref
from pathlib import Path
from typing import Any

from napari_segtool._worker_records import send_stack
from napari_segtool.core.apart import Apart
from napari_segtool.core.progress import Progress, Steps
from napari_segtool.core.settings import worker_threads
from napari_segtool.core.stack import Stack
from napari_segtool.ui._session import Session
from napari_segtool.ui._train_answers import Handed, Question, answer
from napari_segtool.ui._train_history import EventTail
from napari_segtool.ui._train_order import Order
from napari_segtool.ui._window_settings import window_settings

_PATIENCE_S = 0.1


class Adviser:
    """The one process of a viewer that answers before a training; get it with ``session.shared(Adviser)``.

    It starts with the first question and stays, so that the next answer comes soon. Images are handed over once, as long as they stay the same.
    """

    def __init__(self, session: Session) -> None:
        self._settings = session.shared(window_settings)
        self._apart = Apart()
        self._lock = threading.Lock()
        self._folder: Path | None = None
        self._handed: weakref.WeakKeyDictionary[Stack, Handed] = weakref.WeakKeyDictionary()
        self._numbers = itertools.count(1)
        session.closing.connect(self.close)

    def ask_steps(self, what: str, order: Order, **extra: Any) -> Steps[Any]:
        """Ask one question; see `_train_answers.answer`. Several wait for each other; closing the generator ends the process.

        Yields
        ------
        Progress
            As the work reports it, nothing left out.
        """
        last = Progress(0, 0, "waiting")
        while not self._lock.acquire(timeout=_PATIENCE_S):
            yield last
        told: Path | None = None
        try:
            question = yield from self._question(order, extra)
            told = Path(question.told)
            tail, work = EventTail(told), self._apart.steps(answer, what, question)
            try:
                last = Progress(0, 0, "loading the network library")
                while True:
                    next(work)
                    for event in tail.read():
                        last = Progress(event["done"], event["total"], event["label"], event["metrics"])
                        yield last
                    yield last
            except StopIteration as stop:
                return stop.value
            finally:
                work.close()
        finally:
            self._clear(told)
            self._lock.release()

    def rest_steps(self) -> Steps[None]:
        """End the process where nobody waits for it, and give its memory back; the next question starts another."""
        yield Progress(0, 0, "freeing memory")
        if self._lock.acquire(blocking=False):
            try:
                self._apart.close()
            finally:
                self._lock.release()

    def close(self) -> None:
        """End the process at once and remove what was handed over, for a viewer that closes."""
        self._apart.close()
        folder, self._folder = self._folder, None
        self._handed.clear()
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)

    def _question(self, order: Order, extra: dict[str, Any]) -> Steps[Question]:
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="segtool-before-"))
        number = next(self._numbers)
        told = self._folder / f"told-{number}"
        pairs = []
        for place, (stack, marks, mass) in enumerate(order.pairs):
            image = self._handed.get(stack)
            if image is None:
                image = yield from self._hand(stack, self._folder / f"image-{number}-{place}.npy")
                self._handed[stack] = image
                weakref.finalize(stack, _remove, image.file)
            labels = yield from self._hand(Stack(marks.data, marks.axes), self._folder / f"{told.name}-{place}.npy")
            weights = None if mass is None else (yield from self._hand(mass, self._folder / f"{told.name}-{place}-weights.npy"))
            pairs.append((image, labels, weights))
        return Question(
            tuple(pairs),
            order.labels_are,
            order.learner,
            order.params.model_dump(mode="json"),
            order.minutes,
            order.steps,
            order.seed,
            order.device,
            worker_threads(self._settings),
            str(told),
            str(order.model or ""),
            extra,
        )

    def _hand(self, stack: Stack, path: Path) -> Steps[Handed]:
        yield from send_stack(stack, path)
        return Handed(str(path), stack.axes, stack.spacing_um, stack.name)

    def _clear(self, told: Path | None) -> None:
        if told is None:
            return
        for path in (told, *told.parent.glob(f"{told.name}-*.npy")):
            _remove(str(path))
        for path in told.parent.glob("segtool-*"):
            shutil.rmtree(path, ignore_errors=True)


def _remove(file: str) -> None:
    with contextlib.suppress(OSError):
        Path(file).unlink()
