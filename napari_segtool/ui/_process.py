"""Child processes: networks run there, so that they can be ended and the window cannot be taken down."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from typing import IO

from qtpy.QtCore import QObject, Qt, Signal

STDERR_LINES = 200


class ProcessJob(QObject):
    """Run ``python -m module arguments…`` beside the window, quieter than the window.

    The child gets ``OMP_WAIT_POLICY=PASSIVE``, a bounded number of threads and a lower priority. Its output is read by
    threads, so that a full pipe never blocks it; lines arrive as signals on the GUI thread.

    Parameters
    ----------
    module
        Dotted name of the module to run.
    arguments
        Its command line.
    threads
        Cores it may use; 0 means all but one.
    environment
        Variables to set on top of this process's.
    """

    line = Signal(str)
    """One line the child wrote to standard output."""
    exited = Signal(int)
    """Return code, after all lines have been delivered; negative is the number of the signal that ended it."""

    _line_read = Signal(str)
    _ended = Signal(int)

    def __init__(
        self, module: str, arguments: Sequence[str] = (), *, threads: int = 0, environment: Mapping[str, str] | None = None, parent: QObject | None = None
    ) -> None:
        super().__init__(parent)
        self._command = [sys.executable, "-m", module, *arguments]
        self._environment = {**os.environ, **child_environment(threads), **(environment or {})}
        self._process: subprocess.Popen[str] | None = None
        self._errors: deque[str] = deque(maxlen=STDERR_LINES)
        self._write_lock = threading.Lock()
        self._line_read.connect(self.line, Qt.ConnectionType.QueuedConnection)
        self._ended.connect(self.exited, Qt.ConnectionType.QueuedConnection)

    @property
    def running(self) -> bool:
        """True while the child lives."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """Process id; 0 before `start`."""
        return self._process.pid if self._process else 0

    @property
    def errors(self) -> str:
        """The last lines the child wrote to standard error, for Details."""
        return "\n".join(self._errors)

    def start(self) -> ProcessJob:
        """Start the child."""
        self._process = subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            errors="replace",
            bufsize=1,
            env=self._environment,
            creationflags=getattr(subprocess, "BELOW_NORMAL_PRIORITY_CLASS", 0),
        )
        _lower_priority(self._process.pid)
        complaints = threading.Thread(target=self._read_errors, args=(self._process,), name=f"segtool errors {self.pid}", daemon=True)
        complaints.start()
        threading.Thread(target=self._read_output, args=(self._process, complaints), name=f"segtool output {self.pid}", daemon=True).start()
        return self

    def write(self, line: str) -> bool:
        """Send one line to the child; False if it is gone."""
        if not self.running or self._process is None or self._process.stdin is None:
            return False
        try:
            with self._write_lock:
                self._process.stdin.write(line + "\n")
                self._process.stdin.flush()
        except (OSError, ValueError):  # it died between the question and the write
            return False
        return True

    def stop(self, grace_s: float = 2.0) -> None:
        """End the child: close its input, ask it to terminate, and kill it after ``grace_s``. Does not block."""
        process = self._process
        if process is None or process.poll() is not None:
            return
        threading.Thread(target=_end, args=(process, grace_s), name=f"segtool end {process.pid}", daemon=True).start()

    def stop_and_wait(self, grace_s: float = 1.0) -> None:
        """End the child and return when it is gone; at most about ``grace_s`` and a moment."""
        if self._process is not None:
            _end(self._process, grace_s)

    def wait(self, timeout_s: float = 10.0) -> int | None:
        """Block until the child ends; its return code, or ``None`` if it still runs. For tests and closing time."""
        if self._process is None:
            return None
        try:
            return self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return None

    def _read_output(self, process: subprocess.Popen[str], complaints: threading.Thread) -> None:
        assert process.stdout is not None
        for text in _lines(process.stdout):
            self._tell(self._line_read, text)
        code = process.wait()
        complaints.join(1.0)  # so that `errors` is whole when `exited` is heard; a grandchild may hold the pipe open for longer
        _close_input(process)
        self._tell(self._ended, code)

    def _read_errors(self, process: subprocess.Popen[str]) -> None:
        assert process.stderr is not None
        self._errors.extend(_lines(process.stderr))

    def _tell(self, signal, value) -> None:
        try:
            signal.emit(value)
        except RuntimeError as error:  # Qt has deleted us because the window is gone
            if "deleted" not in str(error):
                raise


def child_environment(threads: int = 0) -> dict[str, str]:
    """Return the variables every child of ours runs with.

    Examples
    --------
    >>> child_environment(3)["OMP_NUM_THREADS"]
    '3'
    """
    count = str(threads or max(1, (os.cpu_count() or 2) - 1))
    return {"OMP_WAIT_POLICY": "PASSIVE", "OMP_NUM_THREADS": count, "MKL_NUM_THREADS": count, "PYTHONUNBUFFERED": "1", "PYTHONIOENCODING": "utf-8"}


def _lower_priority(pid: int) -> None:
    # From outside rather than with preexec_fn, which is unsafe in a process that has threads.
    if hasattr(os, "setpriority"):
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, pid, 10)


def _lines(stream: IO[str]):
    with contextlib.suppress(ValueError), stream:  # ValueError: closed under our hands at exit
        for text in stream:
            yield text.rstrip("\r\n")


def _close_input(process: subprocess.Popen[str]) -> None:
    if process.stdin is not None:
        with contextlib.suppress(OSError, ValueError):  # the pipe may be broken already
            process.stdin.close()


def _end(process: subprocess.Popen[str], grace_s: float) -> None:
    _close_input(process)
    for ask in (process.terminate, process.kill):
        try:
            process.wait(grace_s / 2)
            return
        except subprocess.TimeoutExpired:
            ask()
    process.wait()
