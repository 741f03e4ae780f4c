"""One warm child process as the window sees it: its pipes, its folder, and the requests that wait for it."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import queue
import shutil
import subprocess
import sys
import tempfile
import threading
from collections import deque
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import IO, Any

from napari_segtool.core.errors import DeviceError

Record = dict[str, Any]


class Child:
    """One child process, its folder, and the requests that wait for it."""

    def __init__(self, threads: int, environment: Mapping[str, str]) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="segtool-worker-"))
        count = str(threads)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "napari_segtool.worker", str(self.folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
            env={**os.environ, "OMP_WAIT_POLICY": "PASSIVE", "OMP_NUM_THREADS": count, "MKL_NUM_THREADS": count, **environment},
            creationflags=getattr(subprocess, "BELOW_NORMAL_PRIORITY_CLASS", 0),
        )
        self._numbers = itertools.count(1)
        self._waiting: dict[int, queue.Queue[Record]] = {}
        self._lock = threading.Lock()
        self._send_lock = threading.Lock()
        self._said: deque[str] = deque(maxlen=200)
        self._dead = self._ending = False
        self._readers = [
            threading.Thread(target=self._read_errors, name="segtool worker errors", daemon=True),
            threading.Thread(target=self._read_answers, name="segtool worker answers", daemon=True),
        ]
        for reader in self._readers:
            reader.start()

    @property
    def alive(self) -> bool:
        """Whether requests can be sent to it."""
        return not self._dead and self.process.poll() is None

    def open(self) -> tuple[int, queue.Queue[Record]]:
        """Return a new request's number, and where its answers come."""
        with self._lock:
            number = next(self._numbers)
            self._waiting[number] = queue.Queue()
            if self._dead:
                self._waiting[number].put({"kind": "died"})
            return number, self._waiting[number]

    def forget(self, number: int) -> None:
        """Stop listening to a request's answers."""
        with self._lock:
            self._waiting.pop(number, None)

    def send(self, record: Record) -> None:
        """Send one request, or raise the `DeviceError` that says it died."""
        line = json.dumps(record) + "\n"
        try:
            assert self.process.stdin is not None
            with self._send_lock:
                self.process.stdin.write(line)
                self.process.stdin.flush()
        except (OSError, ValueError):
            self._readers[1].join(2)
            raise self.death() from None

    def death(self) -> DeviceError:
        """Return the error that says how it ended, with its last words as a note."""
        if self._ending:
            return DeviceError("The process that runs networks was closed before it had answered.", hint="Ask again; it is started anew.")
        code = self.process.poll()
        how = "did not say why" if code is None else f"was ended by signal {-code}" if code < 0 else f"ended with code {code}"
        error = DeviceError(
            f"The process that runs networks {how}; memory may have run out.", hint="Try again: it is started anew. If it happens again, close other programs."
        )
        if self._said:
            error.add_note("\n".join(self._said))
        return error

    def end(self, patience_s: float = 1.0) -> None:
        """End it: it stops when its input ends; killed if it has not within ``patience_s``."""
        self._ending = True
        with contextlib.suppress(OSError), self._send_lock:
            assert self.process.stdin is not None
            self.process.stdin.close()
        try:
            self.process.wait(patience_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        for reader in self._readers:
            reader.join(2)
        for pipe in (self.process.stdout, self.process.stderr):
            if pipe is not None:
                pipe.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _read_answers(self) -> None:
        assert self.process.stdout is not None
        for line in _lines(self.process.stdout):
            try:
                answer = json.loads(line)
            except ValueError:  # half a line: it died while it wrote
                continue
            with self._lock:
                waiting = self._waiting.get(answer["id"])
            if waiting is not None:
                waiting.put(answer)
            elif answer["kind"] == "result":
                self._drop(answer["result"])
        self.process.wait()
        with self._lock:
            self._dead = True
            for waiting in self._waiting.values():
                waiting.put({"kind": "died"})

    def _read_errors(self) -> None:
        assert self.process.stderr is not None
        for line in _lines(self.process.stderr):
            self._said.append(line.rstrip())

    def _drop(self, result: Any) -> None:
        """Delete the arrays of an answer that came when nobody wanted it any more."""
        if isinstance(result, dict) and isinstance(result.get("file"), str):
            (self.folder / result["file"]).unlink(missing_ok=True)
        for part in result.values() if isinstance(result, dict) else result if isinstance(result, list) else ():
            self._drop(part)


def _lines(pipe: IO[str]) -> Iterable[str]:
    with contextlib.suppress(ValueError):  # closed under the reader
        yield from pipe
