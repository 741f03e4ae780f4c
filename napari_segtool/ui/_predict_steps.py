"""Predictions as long work: the visible slice first, then the rest; or file by file. No Qt, no napari."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_segtool.core.errors import SegtoolError
from napari_segtool.core.planes import PlaneIndex
from napari_segtool.core.progress import Progress, Steps
from napari_segtool.core.result import ModelBundle, Prediction
from napari_segtool.core.stack import Stack

if TYPE_CHECKING:
    from napari_segtool._worker_client import WorkerClient


@dataclass(frozen=True)
class Outputs:
    """What is wanted beside the labels, and where it is worked out."""

    probabilities: bool = False
    uncertainty: bool = False
    device: str = "auto"
    resample: bool = True
    close_gaps: bool = True

    def options(self) -> dict[str, Any]:
        """Return the keywords of `predict_steps`."""
        return {"probabilities": self.probabilities, "uncertainty": self.uncertainty, **self.how()}

    def how(self) -> dict[str, Any]:
        """Return those that change the labels, and the device."""
        return {"device": self.device, "resample": "auto" if self.resample else "off", "close_gaps": self.close_gaps}


@dataclass(frozen=True, slots=True)
class SliceReady(Progress):
    """The visible slice is there: its labels ``(Y, X)``."""

    plane: PlaneIndex = ()
    labels: Any = None
    title: str = ""


@dataclass(frozen=True, eq=False)
class StackDone:
    """A finished prediction; ``plane`` where it is of one slice only."""

    prediction: Prediction
    seconds: float
    plane: PlaneIndex | None = None


@dataclass(frozen=True)
class FilesDone:
    """Files that were written, and those that could not be predicted with the reason."""

    written: tuple[Path, ...] = ()
    failed: tuple[tuple[str, str], ...] = field(default=())


def slice_steps(client: WorkerClient, bundle: ModelBundle, stack: Stack, plane: PlaneIndex, outputs: Outputs) -> Steps[StackDone]:
    """Predict one plane."""
    begun = time.monotonic()
    prediction = yield from client.predict_steps(bundle, stack, planes=[plane], **outputs.options())
    return StackDone(prediction, time.monotonic() - begun, plane)


def stack_steps(client: WorkerClient, bundle: ModelBundle, stack: Stack, plane: PlaneIndex, outputs: Outputs) -> Steps[StackDone]:
    """Predict all planes; the visible one is reported first, as `SliceReady`, where that costs little."""
    begun = time.monotonic()
    if plane and int(bundle.card["spatial"]) == 2:
        first = yield from client.predict_steps(bundle, stack, planes=[plane], **outputs.how())
        # Done and total are equal, so that it is never left out as one report too many.
        yield SliceReady(1, 1, "visible slice", plane=plane, labels=plane_of(first.labels.data, first.labels.axes), title=first.name)
    prediction = yield from client.predict_steps(bundle, stack, **outputs.options())
    return StackDone(prediction, time.monotonic() - begun)


def plane_of(data: Any, axes: str) -> np.ndarray:
    """Return the ``(Y, X)`` plane of an array that has one plane only."""
    plane = np.asarray(data)[tuple(slice(None) if axis in "YX" else 0 for axis in axes)]
    return plane.T if axes.index("Y") > axes.index("X") else plane


def files_steps(client: WorkerClient, model: Path, paths: Sequence[str], folder: str, outputs: Outputs) -> Steps[FilesDone]:
    """Predict files one after another; one that fails does not keep the others from being done."""
    from napari_segtool import api

    written: list[Path] = []
    failed: list[tuple[str, str]] = []
    for number, path in enumerate(paths):
        name = Path(path).name
        try:
            yield Progress(number, len(paths), f"reading {name}, file")
            stack = api.read(path)
            steps = client.predict_steps(model, stack, **outputs.options())
            prediction = yield from _within(steps, number, len(paths), name)
            target = Path(folder or Path(path).parent) / f"{_stem(name)}-labels.tif"
            api.write(prediction.segmentation, target)
            written.append(target)
            if prediction.probabilities is not None:
                api.write(prediction.probabilities, target.with_name(f"{_stem(name)}-probabilities.tif"))
            if prediction.uncertainty is not None:
                api.write(prediction.uncertainty, target.with_name(f"{_stem(name)}-uncertainty.tif"))
        except SegtoolError as error:
            failed.append((path, str(error)))
    return FilesDone(tuple(written), tuple(failed))


def _within(steps: Steps[Prediction], number: int, count: int, name: str) -> Steps[Prediction]:
    """Pass on the progress of one file as a part of all files."""
    try:
        while True:
            progress = next(steps)
            yield Progress(number + progress.fraction, count, f"{name}, file")
    except StopIteration as end:
        prediction: Prediction = end.value
        return prediction
    finally:
        steps.close()


def _stem(name: str) -> str:
    for suffix in (".ome.tiff", ".ome.tif"):
        if name.lower().endswith(suffix):
            return name[: -len(suffix)]
    return Path(name).stem
