"""The window's side of the warm child process: ask for a prediction or an explanation as if it ran here.

Pure Python, no Qt and no torch. Each request is a generator like all long work, so whatever runs generators runs these.
"""

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
from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

from napari_segtool import _worker_records as records
from napari_segtool.core.errors import DeviceError
from napari_segtool.core.planes import PlaneIndex
from napari_segtool.core.progress import Progress, Steps
from napari_segtool.core.result import ModelBundle, Prediction, Step, data_sha
from napari_segtool.core.stack import Stack
from napari_segtool.core.target import Region, Target
from napari_segtool.core.wanted import Wanted, locate, place_region

Record = dict[str, Any]
_BEAT_S = 0.1
"""A waiting request yields this often, so that it can be cancelled."""


class WorkerClient:
    """A warm child process, started at the first request and again after it died.

    Requests may come from several threads; the child answers them one after the other. Closing a request's generator
    cancels it. Every request may raise `DeviceError` when the child dies under it; the next starts a new one.

    Parameters
    ----------
    threads
        Processor cores the child may use; 0 means all but one.
    environment
        Variables to set for the child on top of this process's.
    """

    def __init__(self, *, threads: int = 0, environment: Mapping[str, str] | None = None) -> None:
        self._threads = threads or max(1, (os.cpu_count() or 2) - 1)
        self._environment = dict(environment or {})
        self._child: _Child | None = None
        self._lock = threading.Lock()
        self._closed = False

    def __enter__(self) -> WorkerClient:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    @property
    def pid(self) -> int:
        """Process id of the child; 0 while there is none."""
        child = self._child
        return child.process.pid if child is not None and child.alive else 0

    def predict_steps(
        self, model: ModelBundle | str | Path, stack: Stack, *, planes: Iterable[Sequence[int]] | None = None, **options: Any
    ) -> Steps[Prediction]:
        """Predict in the child; arguments and result as `inference.predict_steps`, without ``allocate`` and ``loaded``."""
        wanted = Wanted(stack, None if planes is None else list(planes))
        asked = [list(plane) for plane in wanted.indices()]
        whole = wanted.everything or _looks_beyond(model)
        settings = {"probabilities": False, "uncertainty": False, **options, **({} if wanted.everything or not whole else {"planes": asked})}
        result, folder = yield from self._ask("predict", {"model": _path(model), "options": self._options(settings)}, stack if whole else wanted.cut())
        prediction = records.read_prediction(result, folder)
        if whole:
            return prediction
        return replace(prediction, history=_corrected(prediction.history, planes=asked))

    def explain_steps(
        self,
        model: ModelBundle | str | Path,
        stack: Stack,
        explainer: str,
        target: Target,
        *,
        device: str = "auto",
        precision: str = "auto",
        **params: Any,
    ) -> Steps[Stack]:
        """Explain in the child; arguments and result as `explain.explain_steps`."""
        plane, pixel = locate(stack, target)
        handed, asked = stack, target
        if plane and not _looks_beyond(model):
            handed, asked = Wanted(stack, [plane]).cut(), _in_its_plane(stack, target, plane, pixel)
        request = {
            "model": _path(model),
            "explainer": explainer,
            "target": records.target_record(asked),
            "params": params,
            "options": self._options({"device": device, "precision": precision}),
        }
        result, folder = yield from self._ask("explain", request, handed)
        overlay = records.read_overlay(result, folder)
        if handed is stack:
            return overlay
        facts = {"plane": list(plane), "point": list(target.point)}
        history = _corrected(overlay.memo["history"], **facts)
        if target.region is not None:
            step = _corrected(history, region=target.region.facts)[-1]
            history = (*history[:-1], replace(step, inputs={"region": data_sha(target.region.mask)}))
        return replace(overlay, memo={**overlay.memo, "plane": plane, "history": history})

    def warm_steps(self, model: ModelBundle | str | Path = "", *, device: str = "auto", precision: str = "auto") -> Steps[Record]:
        """Load torch, and a model, ahead of the first question; returns ``device`` and ``precision`` as chosen."""
        options = self._options({"device": device, "precision": precision})
        result, _ = yield from self._ask("warm", {"model": _path(model) if model else "", "options": options}, None)
        return result

    def free_steps(self) -> Steps[None]:
        """Make the child forget its models; to free all GPU memory for certain, `close` it."""
        if self.pid:
            yield from self._ask("free", {"options": {}}, None)

    def close(self) -> None:
        """End the child and remove its folder; later requests start a new one."""
        with self._lock:
            child, self._child = self._child, None
        if child is not None:
            child.end()

    def _options(self, options: Record) -> Record:
        return {"threads": self._threads, **options}

    def _ask(self, verb: str, request: Record, stack: Stack | None) -> Generator[Progress, None, tuple[Record, Path]]:
        child = self._living()
        number, answers = child.open()
        path = child.folder / f"in-{number}.npy"
        asked = over = False
        try:
            yield Progress(0, 0, "starting")
            if stack is not None:
                request["stack"] = yield from records.send_stack(stack, path)
            child.send({"id": number, "verb": verb, **request})
            asked = True
            last = Progress(0, 0, "waiting")
            while True:
                try:
                    answer = answers.get(timeout=_BEAT_S)
                except queue.Empty:
                    yield last
                    continue
                if answer["kind"] == "progress":
                    last = Progress(answer["done"], answer["total"], answer["label"], answer["metrics"])
                    yield last
                    continue
                over = True
                if answer["kind"] == "result":
                    return answer["result"], child.folder
                raise records.read_error(answer) if answer["kind"] == "error" else child.death()
        finally:
            if asked and not over:
                with contextlib.suppress(DeviceError):
                    child.send({"id": number, "verb": "cancel"})
            elif not asked:
                path.unlink(missing_ok=True)
            child.forget(number)

    def _living(self) -> _Child:
        with self._lock:
            if self._child is None or not self._child.alive:
                if self._child is not None:
                    self._child.end()
                self._child = _Child(self._threads, self._environment)
            return self._child


class _Child:
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

    def _drop(self, result: Record) -> None:
        """Delete the arrays of an answer that came when nobody wanted it any more."""
        for part in (result, result.get("labels"), result.get("probabilities"), result.get("uncertainty")):
            if part and "file" in part:
                (self.folder / part["file"]).unlink(missing_ok=True)


def _lines(pipe: IO[str]) -> Iterable[str]:
    with contextlib.suppress(ValueError):  # closed under the reader
        yield from pipe


def _path(model: ModelBundle | str | Path) -> str:
    return str((model.path if isinstance(model, ModelBundle) else Path(model)).absolute())


def _looks_beyond(model: ModelBundle | str | Path) -> bool:
    """Whether a model looks at more than the plane it decides."""
    from napari_segtool.nets._bundle import open_bundle

    card = (model if isinstance(model, ModelBundle) else open_bundle(model)).card
    return int(card["spatial"]) == 3 or bool(card.get("neighbours"))


def _in_its_plane(stack: Stack, target: Target, plane: PlaneIndex, pixel: tuple[int, int] | None) -> Target:
    """The same question about a stack of this plane alone."""
    axes, alone = stack.label_axes, (0,) * len(plane)
    if target.region is not None:
        start, mask = place_region(stack, target.region, plane, "".join(axis for axis in axes if axis in "YX"))
        return replace(target, plane=alone, region=Region(mask, start))
    inside = {"Y": pixel[0], "X": pixel[1]} if pixel else {}
    return replace(target, point=tuple(inside.get(axis, 0) for axis in axes) if pixel else (), plane=alone)


def _corrected(history: tuple[Step, ...], **facts: Any) -> tuple[Step, ...]:
    """The child saw the asked-for planes alone: say in the recipe which they were."""
    return (*history[:-1], replace(history[-1], params={**history[-1].params, **facts}))
