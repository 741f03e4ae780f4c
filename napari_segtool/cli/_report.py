"""Show the progress of long work: a bar on a terminal, lines elsewhere, JSON where asked for."""

from __future__ import annotations

import json
import signal
import sys
import threading
import time
from types import FrameType
from typing import Any, TypeVar

from napari_segtool.core.progress import Progress, Steps

T = TypeVar("T")
LINE_EVERY_S = 15.0


def follow(steps: Steps[T], *, as_json: bool, title: str) -> T:
    """Run long work and report it.

    Ctrl-C ends it at its next step, so that training leaves a checkpoint of a whole step; a second Ctrl-C ends it at once.
    Either way the generator is closed, so that it cleans up, and `KeyboardInterrupt` goes on.
    """
    reporter = _Json() if as_json else _Bar(title) if sys.stderr.isatty() else _Lines(title)
    try:
        with _GentleInterrupt() as interrupt:
            while True:
                reporter.show(next(steps))
                if interrupt.asked:
                    raise KeyboardInterrupt
    except StopIteration as stop:
        result: T = stop.value
        return result
    finally:
        steps.close()
        reporter.close()


class _GentleInterrupt:
    """Note the first Ctrl-C instead of raising it wherever the program happens to be."""

    def __init__(self) -> None:
        self.asked = False
        self._before: Any = None

    def __enter__(self) -> _GentleInterrupt:
        if threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGINT, self._note)
        return self

    def __exit__(self, *_error: object) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True


def say(text: str, *, as_json: bool = False, **facts: Any) -> None:
    """Write the outcome to standard output, as a sentence or as JSON."""
    sys.stdout.write((json.dumps({"kind": "done", **facts}, ensure_ascii=False) if as_json else text) + "\n")
    sys.stdout.flush()


def time_left(started_s: float, fraction: float) -> float:
    """Seconds that remain if work goes on at its mean pace so far; ``nan`` before anything is done."""
    return (time.monotonic() - started_s) * (1 - fraction) / fraction if fraction > 0 else float("nan")


class _Json:
    def show(self, progress: Progress) -> None:
        record = {"kind": "progress", "done": progress.done, "total": progress.total, "label": progress.label, **dict(progress.metrics)}
        sys.stdout.write(json.dumps({key: None if value != value else value for key, value in record.items()}, ensure_ascii=False) + "\n")
        sys.stdout.flush()

    def close(self) -> None:
        """Nothing is left open."""


class _Lines:
    """One line now and then, for logs; short work says nothing."""

    def __init__(self, title: str) -> None:
        self._title, self._started_s, self._said_s = title, time.monotonic(), time.monotonic()

    def show(self, progress: Progress) -> None:
        if time.monotonic() - self._said_s >= LINE_EVERY_S:
            self._said_s = time.monotonic()
            sys.stderr.write(f"{self._title}: {_sentence(progress, self._started_s)}\n")
            sys.stderr.flush()

    def close(self) -> None:
        """Nothing is left open."""


class _Bar:
    """One line of a terminal, written over."""

    def __init__(self, title: str) -> None:
        self._title, self._started_s, self._drawn_s, self._width = title, time.monotonic(), 0.0, 0

    def show(self, progress: Progress) -> None:
        if time.monotonic() - self._drawn_s < 0.1 and progress.fraction < 1:
            return
        self._drawn_s = time.monotonic()
        filled = round(20 * progress.fraction)
        text = f"{self._title} {'█' * filled}{'░' * (20 - filled)} {_sentence(progress, self._started_s)}"[:118]
        sys.stderr.write("\r" + text.ljust(self._width))
        sys.stderr.flush()
        self._width = len(text)

    def close(self) -> None:
        if self._width:
            sys.stderr.write("\r" + " " * self._width + "\r")
            sys.stderr.flush()


def _sentence(progress: Progress, started_s: float) -> str:
    words = [f"{100 * progress.fraction:.0f} %"]
    if progress.label:
        words.append(progress.label)
    words += [f"{name.replace('_', ' ')} {value:.3g}" for name, value in progress.metrics.items() if value == value]
    left = time_left(started_s, progress.fraction)
    if left == left:
        words.append(f"{int(left // 60)}:{int(left % 60):02d} left")
    return " · ".join(words)
