"""Work that cannot be left, in a Python process of its own: that can be ended at any time, and it does not hold up the viewer.

Some libraries work for many seconds in one call, and hold Python's lock meanwhile: no other thread of the program gets on, the window's neither.
"""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import weakref
from collections.abc import Callable, Generator
from contextlib import suppress
from importlib import import_module
from typing import IO, Any, Self, TypeVar

from napari_segtool.core.errors import SegtoolError

R = TypeVar("R")

_LOOK_S = 0.1  # how often a step is yielded while the process works
_START_S = 60.0  # a process that has not answered by then is no Python process of ours
_HELLO = b"napari-segtool: ready\n"
_PROGRAM = "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from napari_segtool.core.apart import serve; serve()"


class Apart:
    """A Python process that does one piece of work after another; it starts with the first and ends when this is closed.

    It knows nothing of the program that started it: not its main module, which is not run again, and nothing it has in memory. Where no such
    process can be had (the program is frozen into one file, or is no Python), the work is done in place, and cannot be left meanwhile.

    Examples
    --------
    >>> import math
    >>> with Apart() as apart:
    ...     steps = apart.steps(math.comb, 5, 2)
    ...     try:
    ...         while True:
    ...             _ = next(steps)
    ...     except StopIteration as stop:
    ...         stop.value
    10
    """

    def __init__(self) -> None:
        self._process: _Process | None = None
        self._in_place = bool(getattr(sys, "frozen", False)) or not sys.executable

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the process at once, whatever it is doing; does nothing where there is none."""
        process, self._process = self._process, None
        if process is not None:
            process.end()

    def steps(self, work: Callable[..., R], *arguments: Any) -> Generator[float, None, R]:
        """Do one piece of work in the process.

        Parameters
        ----------
        work
            A function that stands at the top of a module.
        *arguments
            What it is called with: arrays, numbers, anything that can be pickled, as its result and its errors must be.

        Yields
        ------
        float
            0.0, ten times a second. Where it is closed there, the process is ended at once; the next piece of work starts another.

        Raises
        ------
        Exception
            What the work raised, with the place where it did as a note.
        SegtoolError
            If the process ended before the work did: mostly for want of memory.
        """
        if not self._in_place:
            finished = False
            try:
                if self._process is None:
                    self._process = _started()
                process = self._process
                if process is not None:
                    outcome = yield from process.asked_steps(work, arguments)
                    finished = outcome is not None
                    if outcome is not None:
                        result: R = _unpacked(*outcome)
                        return result
            finally:
                if not finished:
                    self.close()
            self._in_place = True
        return work(*arguments)


class _Process:
    """A running process, and the thread that speaks with it.

    Parameters
    ----------
    popen
        The process.
    complaints
        What it writes where errors are written to.
    """

    def __init__(self, popen: subprocess.Popen[bytes], complaints: IO[bytes]) -> None:
        self._popen, self._complaints = popen, complaints
        self._ready = False
        self._threads: list[threading.Thread] = []  # one at most
        self.end = weakref.finalize(self, _end, popen, complaints, self._threads)  # called when the program ends, too

    def asked_steps(self, work: Callable[..., Any], arguments: tuple[Any, ...]) -> Generator[float, None, tuple[str, Any, str] | None]:
        """Return how the work went, what it returned or raised, and where; None where this is no process of ours."""
        answers: list[tuple[str, Any, str]] = []
        request = (work.__module__, work.__qualname__, arguments)
        thread = threading.Thread(target=self._ask, args=(request, answers), name="segtool-apart", daemon=True)
        self._threads[:] = [thread]
        thread.start()
        begun = time.monotonic()
        while True:
            thread.join(_LOOK_S)
            if not thread.is_alive():
                break
            yield 0.0
            if not self._ready and time.monotonic() - begun > _START_S:
                return None
        if not self._ready:
            return None
        if not answers:
            raise self._ended()
        return answers[0]

    def _ask(self, request: tuple[str, str, tuple[Any, ...]], answers: list[tuple[str, Any, str]]) -> None:
        assert self._popen.stdin is not None
        assert self._popen.stdout is not None
        try:
            self._ready = self._ready or self._popen.stdout.read(len(_HELLO)) == _HELLO
            if self._ready:
                pickle.dump(request, self._popen.stdin, protocol=pickle.HIGHEST_PROTOCOL)
                self._popen.stdin.flush()
                answers.append(pickle.load(self._popen.stdout))
        except (OSError, EOFError, ValueError, pickle.UnpicklingError):
            self._popen.kill()  # it has ended, or does not speak our language: who waits for the answer finds none
        except Exception as error:  # what cannot be pickled is the caller's to hear of
            answers.append(("raised", error, ""))

    def _ended(self) -> SegtoolError:
        code = self._popen.wait()
        self._complaints.seek(0)
        last = self._complaints.read().decode(errors="replace").strip().splitlines()[-1:]
        return SegtoolError(
            f"The process that did a part of the work ended before it was done (code {code}){': ' + last[0] if last else '.'}",
            hint="Mostly there was not enough memory: close other programs, or work on a smaller region.",
        )


def _end(popen: subprocess.Popen[bytes], complaints: IO[bytes], threads: list[threading.Thread]) -> None:
    """End a process, and give back all that belongs to it."""
    popen.kill()
    popen.wait()
    for thread in threads:
        thread.join()
    for pipe in (popen.stdin, popen.stdout, complaints):
        with suppress(OSError):  # what was still to be written has nobody to read it
            if pipe is not None:
                pipe.close()


def _started() -> _Process | None:
    """Start a process; None where the system does not let us."""
    complaints = tempfile.TemporaryFile()  # noqa: SIM115 (closed with the process)
    quiet = getattr(subprocess, "CREATE_NO_WINDOW", 0)  # or Windows opens a console
    try:
        popen = subprocess.Popen(
            [sys.executable, "-P", "-c", _PROGRAM, json.dumps(sys.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=complaints,
            env={**os.environ, "OMP_WAIT_POLICY": "PASSIVE"},
            creationflags=quiet,
        )
    except OSError:
        complaints.close()
        return None
    return _Process(popen, complaints)


def _unpacked(how: str, value: Any, place: str) -> Any:
    if how == "returned":
        return value
    if place:
        value.add_note(f"In a process of its own:\n{place}")
    raise value


def serve() -> None:
    """Do what is asked for on standard input until it ends: the process's own side."""
    questions, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints must not come between the answers
    answers.write(_HELLO)
    answers.flush()
    while True:
        try:
            module, name, arguments = pickle.load(questions)
        except EOFError:
            return
        answers.write(_answer(module, name, arguments))
        answers.flush()


def _answer(module: str, name: str, arguments: tuple[Any, ...]) -> bytes:
    try:
        work: Any = import_module(module)
        for part in name.split("."):
            work = getattr(work, part)
        return pickle.dumps(("returned", work(*arguments), ""), protocol=pickle.HIGHEST_PROTOCOL)
    except Exception as error:  # all of them belong to whoever asked
        place = "".join(traceback.format_exception(error))
        try:
            return pickle.dumps(("raised", error, place))
        except Exception:  # an error that cannot be pickled is told in words
            return pickle.dumps(("raised", RuntimeError(f"{type(error).__name__}: {error}"), place))
