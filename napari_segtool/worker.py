"""``python -m napari_segtool.worker``: one warm child process per viewer, in which networks predict and explain.

Requests come as JSON lines on standard input, answers go as JSON lines to standard output, arrays through ``.npy`` files in
a private folder. The window's own process never loads torch; to free GPU memory for certain is to end this process.

A request is ``{"id", "verb", …}``: ``predict`` and ``explain`` with ``model``, ``stack`` and ``options``; ``inside`` with ``what``
(a verb of `_worker_pack.INSIDE`), ``images`` and ``arguments``; ``propose`` with ``images`` and ``arguments``; ``warm`` loads torch,
and ``model`` where given; ``free`` forgets all models; ``cancel`` ends the request of that id; ``ping``; ``quit``. Answers are
``{"id", "kind", …}``: ``ready`` once at the start, then ``progress``, and one of ``result``, ``error``, ``cancelled``.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import json
import os
import queue
import shutil
import signal
import sys
import threading
import time
import traceback
from collections import OrderedDict
from collections.abc import Callable, Generator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_segtool import _worker_records as records
from napari_segtool._worker_pack import INSIDE, pack, unpack
from napari_segtool.core.errors import DeviceError, ParameterError
from napari_segtool.core.progress import Progress
from napari_segtool.core.result import ModelBundle
from napari_segtool.core.stack import Stack

if TYPE_CHECKING:
    from napari_segtool.nets._loaded import LoadedModel

Record = dict[str, Any]
_REPORT_S = 0.05
"""Shortest time between two reports of progress."""
_PATIENCE_S = 3.0
"""How long a computation may go on when the window is gone."""
_MODELS_KEPT = 2


class ModelKeeper:
    """The models asked for last, in memory; one whose files have changed since is loaded again."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[Any, ...], tuple[tuple[Any, ...], LoadedModel]] = OrderedDict()

    def get(self, path: str, options: Record) -> LoadedModel:
        """Return a model, ready on its device."""
        from napari_segtool.nets._bundle import open_bundle
        from napari_segtool.nets._loaded import load_model

        settings = {name: options.get(name, default) for name, default in (("device", "auto"), ("precision", "auto"), ("threads", 0))}
        key = (path, *sorted(settings.items()))
        if key in self._kept:
            signature, loaded = self._kept[key]
            if signature == _signature(loaded.bundle):
                self._kept.move_to_end(key)
                return loaded
            del self._kept[key]
        bundle = open_bundle(path)
        signature = _signature(bundle)
        while len(self._kept) >= _MODELS_KEPT:
            self._kept.popitem(last=False)
        loaded = load_model(bundle, **settings)
        self._kept[key] = (signature, loaded)
        return loaded

    def forget(self) -> None:
        """Let go of all models, and of the memory torch holds in reserve."""
        self._kept.clear()
        gc.collect()
        if "torch" in sys.modules:
            import torch

            if torch.cuda.is_available():
                torch.cuda.empty_cache()


def _signature(bundle: ModelBundle) -> tuple[Any, ...]:
    """What changes when a bundle is written anew."""
    from napari_segtool.nets._bundle import CARD, WEIGHTS

    try:
        return tuple((status.st_mtime_ns, status.st_size, status.st_ino) for status in ((bundle.path / name).stat() for name in (CARD, WEIGHTS)))
    except FileNotFoundError:
        return ()


class Worker:
    """Answers requests one after the other; listens meanwhile.

    Parameters
    ----------
    folder
        The private folder, removed at the end.
    requests, answers
        Lines come from here and go there.
    """

    def __init__(self, folder: Path, requests: IO[str], answers: IO[str]) -> None:
        self._folder, self._requests, self._answers = folder, requests, answers
        self._queue: queue.Queue[Record | None] = queue.Queue()
        self._cancelled: set[int] = set()
        self._closing = threading.Event()
        self._answer_lock = threading.Lock()
        self._models = ModelKeeper()
        self._verbs: dict[str, Callable[[Record], Generator[Progress, None, Record]]] = {
            "predict": self._predict,
            "explain": self._explain,
            "inside": self._inside,
            "propose": self._propose,
            "warm": self._warm,
            "free": self._free,
        }

    def run(self) -> None:
        """Answer until the other side says quit or is gone."""
        threading.Thread(target=self._listen, name="segtool requests", daemon=True).start()
        self._say({"id": 0, "kind": "ready", "pid": os.getpid()})
        try:
            while (request := self._queue.get()) is not None:
                self._answer(request)
        finally:
            self.clean_up()

    def clean_up(self) -> None:
        """Remove the private folder."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _listen(self) -> None:
        for line in self._requests:
            try:
                request = json.loads(line)
                verb, number = request["verb"], int(request["id"])
            except (ValueError, KeyError, TypeError) as error:
                self._say({"id": 0, "kind": "error", **records.error_record(ParameterError(f"{line.strip()[:200]!r} is no request: {error}."), "")})
                continue
            if verb == "cancel":
                self._cancelled.add(number)
            elif verb == "ping":
                self._say({"id": number, "kind": "result", "result": {"pid": os.getpid()}})
            elif verb == "quit":
                break
            else:
                self._queue.put(request)
        self._closing.set()
        self._queue.put(None)
        time.sleep(_PATIENCE_S)  # daemon thread: it dies with the main one, if that ends in time
        self.clean_up()
        os._exit(1)

    def _answer(self, request: Record) -> None:
        number = int(request["id"])
        try:
            verb = self._verbs.get(request["verb"])
            if verb is None:
                raise ParameterError(f"There is no verb {request['verb']!r}.", hint=f"Use one of {', '.join(self._verbs)}, cancel, ping, quit.")
            result = self._follow(number, verb(request))
            answer: Record = {"kind": "cancelled"} if result is None else {"kind": "result", "result": result}
        except Exception as error:  # whatever it is, the window is told and the next request is answered
            answer = {"kind": "error", **_describe(error)}
        self._cancelled.discard(number)
        gc.collect(0)  # a mapped input is closed before its file goes
        records.remove_inputs(self._folder, number)
        self._say({"id": number, **answer})

    def _follow(self, number: int, steps: Generator[Progress, None, Record]) -> Record | None:
        """Run a request and report its progress; None if it was cancelled."""
        reported_s = 0.0
        try:
            while number not in self._cancelled and not self._closing.is_set():
                progress = next(steps)
                now_s = time.monotonic()
                if now_s - reported_s >= _REPORT_S:
                    reported_s = now_s
                    self._say(
                        {
                            "id": number,
                            "kind": "progress",
                            "done": progress.done,
                            "total": progress.total,
                            "label": progress.label,
                            "metrics": dict(progress.metrics),
                        }
                    )
        except StopIteration as stop:
            result: Record = stop.value
            return result
        finally:
            steps.close()
        return None

    def _predict(self, request: Record) -> Generator[Progress, None, Record]:
        from napari_segtool import api

        files: dict[int, Path] = {}
        kept: list[Any] = []

        def allocate(shape: tuple[int, ...], dtype: Any) -> Any:
            path = self._folder / f"out-{request['id']}-{len(files)}.npy"
            array = records.new_array(path, shape, dtype)
            files[id(array)] = path
            kept.append(array)  # so that no later array gets its id
            return array

        finished = False
        try:
            yield Progress(0, 0, "loading the model")
            loaded = self._models.get(request["model"], request["options"])
            prediction = yield from api.predict_steps(loaded.bundle, self._stack(request), loaded=loaded, allocate=allocate, **request["options"])
            result = records.prediction_record(prediction, files)
            finished = True
            return result
        finally:
            kept.clear()
            if not finished:
                for path in files.values():
                    path.unlink(missing_ok=True)

    def _explain(self, request: Record) -> Generator[Progress, None, Record]:
        from napari_segtool import api

        yield Progress(0, 0, "loading the model")
        loaded = self._models.get(request["model"], request["options"])
        target = records.read_target(request["target"])
        settings = {**request["options"], **request["params"]}
        overlay = yield from api.explain_steps(loaded.bundle, self._stack(request), request["explainer"], target, loaded=loaded, **settings)
        path = self._folder / f"out-{request['id']}-0.npy"
        records.new_array(path, overlay.shape, overlay.data.dtype)[...] = overlay.data
        return records.overlay_record(overlay, path)

    def _inside(self, request: Record) -> Generator[Progress, None, Record]:
        from napari_segtool import api

        if request["what"] not in INSIDE:
            raise ParameterError(f"There is no verb {request['what']!r}.", hint=f"Use one of {', '.join(INSIDE)}.")
        yield Progress(0, 0, "loading the model")
        loaded = self._models.get(request["model"], request["options"])
        arguments = unpack(request["arguments"], lambda name: np.load(self._folder / name))
        images = [self._image(record) for record in request["images"]]
        shown: list[Any] = [images] if request["what"] == "patches" else images
        answer = yield from getattr(api, f"{request['what']}_steps")(loaded.bundle, *shown, loaded=loaded, **arguments)
        files: list[Path] = []

        def save(array: NDArray[Any]) -> str:
            files.append(self._folder / f"out-{request['id']}-{len(files)}.npy")
            records.put_array(files[-1], array)
            return files[-1].name

        try:
            return {"value": pack(answer, save)}
        except BaseException:
            for path in files:
                path.unlink(missing_ok=True)
            raise

    def _propose(self, request: Record) -> Generator[Progress, None, Record]:
        from napari_segtool import api

        arguments = unpack(request["arguments"], lambda name: np.load(self._folder / name, mmap_mode="r"))
        pairs = list(zip((self._image(record) for record in request["images"]), arguments.pop("labels"), strict=True))
        proposal = yield from api.propose_steps(pairs, **arguments)
        return proposal.record()

    def _image(self, record: Record) -> Any:
        return record["path"] if "path" in record else records.read_stack_record(record, np.load(self._folder / record["file"], mmap_mode="r"))

    def _warm(self, request: Record) -> Generator[Progress, None, Record]:
        yield Progress(0, 0, "loading torch")
        from napari_segtool.nets._forward import resolve_device

        if request.get("model"):
            forward = self._models.get(request["model"], request["options"]).forward
            return {"device": str(forward.device), "precision": forward.precision}
        return {"device": str(resolve_device(request["options"].get("device", "auto"))), "precision": ""}

    def _free(self, request: Record) -> Generator[Progress, None, Record]:
        yield Progress(0, 0, "freeing memory")
        self._models.forget()
        return {}

    def _stack(self, request: Record) -> Stack:
        stack: Stack = self._image(request["stack"])
        return stack

    def _say(self, record: Record) -> None:
        line = json.dumps(record)
        with self._answer_lock, contextlib.suppress(OSError):  # where nobody listens any more, standard input ends too
            self._answers.write(line + "\n")
            self._answers.flush()


def _describe(error: Exception) -> Record:
    details = "".join(traceback.format_exception(error))
    if "torch" in sys.modules and not isinstance(error, DeviceError):
        from napari_segtool.nets._forward import out_of_memory

        if out_of_memory(error):
            plain = DeviceError("Memory ran out.", hint="Close other programs, or work on fewer slices at once.")
            return records.error_record(plain, details)
    return records.error_record(error, details)


def main(arguments: list[str] | None = None) -> None:
    """Run a worker on this process's standard input and output."""
    parser = argparse.ArgumentParser(prog="python -m napari_segtool.worker")
    parser.add_argument("folder", type=Path, help="Private folder for arrays; removed at the end.")
    options = parser.parse_args(arguments)
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch loads: waiting threads must not take the viewer's cores
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the window's; it ends us by closing our input
    if hasattr(os, "nice"):
        os.nice(5)
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever libraries print must not mix with the answers
    sys.stdout = sys.stderr
    Worker(options.folder, os.fdopen(os.dup(0), "r", encoding="utf-8"), answers).run()


if __name__ == "__main__":
    main()
