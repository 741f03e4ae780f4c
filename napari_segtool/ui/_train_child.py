"""The process that trains a run: it belongs to nobody's pipes, so it outlives the window if it is told to."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from napari_segtool.core.errors import StorageError
from napari_segtool.training.runs._lock import is_training
from napari_segtool.ui._process import child_environment
from napari_segtool.ui._train_folder import LOG_FILE, note_trainer, trainer_of

_LOG_TAIL_BYTES = 20_000
NICE = 10
REFUSED = 2
"""Exit code where the training said what is wrong."""
CHILD_MODULE = "napari_segtool.training._child"


class Child:
    """A process that trains a run, started here or found running.

    Parameters
    ----------
    folder
        The run folder.
    process
        The process, where it was started here; else it is found by the note that the window which started it left in the
        run. One that was started from the command line left none: it is known by the run's lock, and can only be asked to end.
    """

    def __init__(self, folder: Path, process: subprocess.Popen[bytes] | None = None) -> None:
        self.folder = folder
        self.started_here = process is not None
        self.pid = process.pid if process is not None else trainer_of(folder)
        self.exit_code: int | None = None
        self.log_start = 0
        if process is not None:
            threading.Thread(target=self._reap, args=(process,), name=f"segtool training {self.pid}", daemon=True).start()

    @property
    def alive(self) -> bool:
        """True while it trains."""
        if self.started_here:
            return self.exit_code is None
        return trainer_of(self.folder) == self.pid if self.pid else is_training(self.folder)

    def kill(self) -> None:
        """End it at once; the run can be resumed from its last checkpoint."""
        if self.pid and self.alive:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, getattr(signal, "SIGKILL", signal.SIGTERM))

    def wait(self, timeout_s: float) -> bool:
        """Block until it has ended; False if it has not after ``timeout_s``."""
        until = time.monotonic() + timeout_s
        while self.alive and time.monotonic() < until:
            time.sleep(0.02)
        return not self.alive

    def _reap(self, process: subprocess.Popen[bytes]) -> None:
        self.exit_code = process.wait()


def start_child(folder: Path, threads: int = 0) -> Child:
    """Start training a prepared run folder, or go on with it.

    The process has a session of its own, reads nothing, and writes to ``log.txt`` in the run folder: neither Ctrl-C in a
    terminal nor the end of the window reaches it.

    Raises
    ------
    StorageError
        If the run folder cannot be written to.
    """
    environment = {**os.environ, **child_environment(threads)}
    command = [sys.executable, "-m", CHILD_MODULE, str(folder), "--nice", str(NICE)]
    try:
        log = (folder / LOG_FILE).open("ab")
    except OSError as error:
        raise StorageError(f"The run folder {folder} cannot be written to: {error.strerror or error}.", hint="Free some space there.") from None
    with log:
        start = log.seek(0, os.SEEK_END)
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=environment,
            start_new_session=True,
            creationflags=getattr(subprocess, "BELOW_NORMAL_PRIORITY_CLASS", 0) | getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
        )
    child = Child(folder, process)
    child.log_start = start
    note_trainer(folder, child.pid)
    return child


def log_tail(child: Child) -> str:
    """Return the end of what the process wrote since it was started, for Details."""
    try:
        with (child.folder / LOG_FILE).open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(child.log_start, size - _LOG_TAIL_BYTES))
            return file.read().decode("utf-8", "replace").strip()
    except OSError:
        return ""


def death_text(exit_code: int | None, step: int) -> tuple[str, str]:
    """Say what an exit code means where the training itself could not: the message and the hint.

    Examples
    --------
    >>> print(death_text(-9, 120)[0])
    The training process was killed from outside (signal 9), most often because the computer's memory ran out.
    """
    hint = f"It can go on from its last checkpoint; it had reached step {step}." if step else "It can be started again."
    if exit_code is not None and exit_code < 0:
        number = -exit_code
        why = ", most often because the computer's memory ran out" if number == 9 else ""
        crash = {6: "gave up", 7: "crashed", 8: "crashed", 11: "crashed"}.get(number)
        if crash:
            return f"The training process {crash} (signal {number}).", hint
        return f"The training process was killed from outside (signal {number}){why}.", hint
    if exit_code:
        return f"The training process ended unexpectedly (code {exit_code}).", hint
    return "The training process ended without a word, perhaps because the computer was restarted.", hint
