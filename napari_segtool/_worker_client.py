"""The window's side of the warm child process: ask for a prediction or an explanation as if it ran here.

Pure Python, no Qt and no torch. Each request is a generator like all long work, so whatever runs generators runs these.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import queue
import threading
from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from napari_segtool import _worker_records as records
from napari_segtool._worker_child import Child
from napari_segtool._worker_pack import pack, unpack
from napari_segtool.core.errors import DeviceError
from napari_segtool.core.inside import ReceptiveField
from napari_segtool.core.labels import Labels, Paint
from napari_segtool.core.planes import PlaneIndex, plane_axes
from napari_segtool.core.progress import Progress, Steps
from napari_segtool.core.result import ModelBundle, Prediction, Segmentation, Step, data_sha
from napari_segtool.core.stack import Stack
from napari_segtool.core.target import Region, Target
from napari_segtool.core.wanted import Wanted, check_plane, locate, place_region

if TYPE_CHECKING:
    from napari_segtool.training.configure._proposal import Proposal

Record = dict[str, Any]
_OF_A_PLANE = ("activations", "receptive_field", "trust")
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
        self._child: Child | None = None
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

    def inside_steps(
        self, verb: str, model: ModelBundle | str | Path, *images: Stack | str | Path, device: str = "auto", precision: str = "auto", **arguments: Any
    ) -> Steps[Any]:
        """Look inside a network in the child.

        Parameters
        ----------
        verb
            "layers", "filters", "activations", "patches", "receptive_field", "trust" or "similar_places": arguments and result are
            those of ``api.<verb>_steps``, by name, without ``loaded``.
        images
            None, one, or for "patches" several; files are read in the child.
        """
        plane: PlaneIndex = ()
        handed, given = images, arguments
        if verb in _OF_A_PLANE and isinstance(images[0], Stack) and not _looks_beyond(model):
            plane, given = _of_a_plane(images[0], arguments)
            handed = (Wanted(images[0], [plane]).cut() if plane else images[0],)
        request = {"model": _path(model), "what": verb, "options": self._options({"device": device, "precision": precision})}
        result, folder = yield from self._ask("inside", request, None, (handed, given))
        answer = unpack(result["value"], lambda name: records.take_array(folder / name))
        return _in_its_stack(answer, plane, arguments) if plane else answer

    def propose_steps(self, pairs: Iterable[Sequence[Any]], learner: str = "unet", *, threads: int = 0, **arguments: Any) -> Steps[Proposal]:
        """Say in the child how a learner would train, and why; arguments and result as `api.propose_steps`. Files are read there."""
        from napari_segtool.training.configure._proposal import Proposal

        given_pairs = list(pairs)
        images, labels = [pair[0] for pair in given_pairs], [_travelling(pair[1]) for pair in given_pairs]
        given = {"learner": learner, "threads": threads or self._threads, "labels": labels, **arguments}
        result, _ = yield from self._ask("propose", {"options": {}}, None, (images, given))
        return Proposal.from_record(result)

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

    def _ask(
        self, verb: str, request: Record, stack: Stack | None, inside: tuple[Sequence[Stack | str | Path], Record] | None = None
    ) -> Generator[Progress, None, tuple[Record, Path]]:
        child = self._living()
        number, answers = child.open()
        path = child.folder / f"in-{number}.npy"
        asked = over = False
        try:
            yield Progress(0, 0, "starting")
            if stack is not None:
                request["stack"] = yield from records.send_stack(stack, path)
            if inside is not None:
                yield from _hand_over(request, *inside, path)
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
                records.remove_inputs(child.folder, number)
            child.forget(number)

    def _living(self) -> Child:
        with self._lock:
            if self._child is None or not self._child.alive:
                if self._child is not None:
                    self._child.end()
                self._child = Child(self._threads, self._environment)
            return self._child


def _travelling(labels: Any) -> Any:
    """Labels as a stack, an array, or the absolute name of their file."""
    if isinstance(labels, str | Path):
        return str(Path(labels).absolute())
    marks = labels.labels if isinstance(labels, Segmentation) else labels
    return Stack(marks.data, marks.axes) if isinstance(marks, Labels | Paint) else marks


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


def _hand_over(request: Record, images: Sequence[Stack | str | Path], arguments: Record, path: Path) -> Steps[None]:
    """Put images and arguments into a request, their arrays into files named after ``path``."""
    request["images"] = []
    for number, image in enumerate(images):
        if isinstance(image, Stack):
            request["images"].append((yield from records.send_stack(image, path.with_stem(f"{path.stem}-{number}"))))
        else:
            request["images"].append({"path": str(Path(image).absolute())})
    numbers = itertools.count()

    def save(array: NDArray[Any]) -> str:
        own = path.with_stem(f"{path.stem}-a{next(numbers)}")
        records.put_array(own, array)
        return own.name

    request["arguments"] = pack(arguments, save)


def _of_a_plane(stack: Stack, arguments: Record) -> tuple[PlaneIndex, Record]:
    """The plane that is asked about, and the same arguments for a stack of that plane alone."""
    if "target" not in arguments:
        plane = check_plane(stack, arguments.get("plane") or [0] * len(plane_axes(stack)))
        return plane, {**arguments, "plane": (0,) * len(plane)}
    target = arguments["target"]
    asked = target if isinstance(target, Target) else Target(int(target)) if isinstance(target, int) else Target(0, tuple(target))
    plane, pixel = locate(stack, asked)
    inside = _in_its_plane(stack, asked, plane, pixel)
    return plane, {**arguments, "target": inside if isinstance(target, Target | int) else inside.point}


def _in_its_stack(answer: Any, plane: PlaneIndex, arguments: Record) -> Any:
    """The child saw the plane alone: say which it was."""
    if isinstance(answer, ReceptiveField):
        return replace(answer, map=_in_its_stack(answer.map, plane, arguments))
    if not isinstance(answer, Stack):
        return answer
    target = arguments.get("target")
    point = {} if target is None or isinstance(target, int) else {"point": list(target.point if isinstance(target, Target) else target)}
    return replace(answer, memo={**answer.memo, "plane": plane, "history": _corrected(answer.memo["history"], plane=list(plane), **point)})


def _corrected(history: tuple[Step, ...], **facts: Any) -> tuple[Step, ...]:
    """The child saw the asked-for planes alone: say in the recipe which they were."""
    return (*history[:-1], replace(history[-1], params={**history[-1].params, **facts}))
