"""A run: one training with its folder of configuration, data, events, checkpoints, previews and the model.

The folder is all there is: a training that is killed is resumed from it, here or on another machine.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from napari_segtool.core.errors import DataError, ModelError, ParameterError
from napari_segtool.core.labels import Labels, Paint
from napari_segtool.core.params import Params
from napari_segtool.core.registry import LEARNERS
from napari_segtool.core.result import ModelBundle, Step
from napari_segtool.core.stack import Stack
from napari_segtool.training.runs._asked import check_asked
from napari_segtool.training.runs._events import ENDS, EventLog, read_events, write_atomically
from napari_segtool.training.runs._folder import START, as_json, cannot_write, found_versions, new_folder, read_json
from napari_segtool.training.runs._lock import is_training
from napari_segtool.training.runs._pairs import (
    LabelsAre,
    Stored,
    check_pair,
    count_learnable,
    count_values,
    find_classes,
    named,
    paint_in_disguise,
    same_channels,
    store_pair,
)
from napari_segtool.training.runs._pixel_weights import store_weights, weigh_pairs

FORMAT = 1
DEFAULT_MINUTES = 10.0
_STALE_S = 3.0

Request = Literal["stop", "cancel"]
State = Literal["new", "training", "done", "stopped", "cancelled", "failed", "interrupted"]


@dataclass(frozen=True)
class Run:
    """A run folder that is ready to train, training, or trained.

    Parameters
    ----------
    folder
        Where it lies.
    config
        What ``config.json`` says; only its budget, device and threads change after the run was made (`training.runs._resume`).
    """

    folder: Path
    config: Mapping[str, Any]

    @property
    def learner(self) -> str:
        """Name of the learner."""
        return str(self.config["learner"])

    @property
    def params(self) -> Params:
        """The learner's parameters."""
        return LEARNERS.get(self.learner).params.build(**self.config["params"])

    @property
    def minutes(self) -> float:
        """Budget of time in minutes; 0 for none."""
        return float(self.config["minutes"])

    @property
    def steps(self) -> int:
        """Budget of training steps; 0 for none."""
        return int(self.config["steps"])

    @property
    def seed(self) -> int:
        """Seed of all random numbers."""
        return int(self.config["seed"])

    @property
    def classes(self) -> tuple[Mapping[str, Any], ...]:
        """``{"value", "name", "pixels"}`` of each class, in the order of the network's outputs."""
        return tuple(self.config["classes"])

    @property
    def channels(self) -> int:
        """Channels of every image."""
        return int(self.config["channels"])

    @property
    def stored(self) -> tuple[Stored, ...]:
        """The pairs as they lie in ``data/``."""
        records = read_json(self.folder / "data" / "index.json", "the index of its data")
        try:
            return tuple(_stored(record) for record in records["pairs"])
        except (KeyError, TypeError) as error:
            raise ModelError(f"The index of the data of {self.folder} is damaged: {error}.", hint="Start a new run.") from None

    @property
    def recipe(self) -> Step:
        """The step that made the model."""
        return Step.from_dict(self.config["recipe"])

    @property
    def model_folder(self) -> Path:
        """Folder of the bundle."""
        return self.folder / "model"

    @property
    def start_folder(self) -> Path | None:
        """Copy of the model that the training goes on from; None where there is none."""
        folder = self.folder / START
        return folder if folder.exists() else None

    @property
    def event_path(self) -> Path:
        """The event log."""
        return self.folder / "events.jsonl"

    def request(self, what: Request) -> None:
        """Ask the process that trains to end.

        Parameters
        ----------
        what
            ``"stop"`` keeps the best weights and finishes; ``"cancel"`` ends at once and leaves a run that can be resumed.
        """
        if what not in ("stop", "cancel"):
            raise ParameterError(f"{what!r} cannot be asked of a run.", hint='Ask for "stop" or "cancel".')
        self._put("control", what.encode())

    def take_request(self) -> str:
        """Return what was asked for and forget it; empty if nothing was. For the process that trains."""
        path = self.folder / "control"
        if not path.exists():
            return ""
        try:
            word = path.read_text(encoding="utf-8").strip()
            path.unlink(missing_ok=True)
        except OSError:
            return ""
        return word if word in ("stop", "cancel") else ""

    def forget_old_request(self) -> None:
        """Drop a request that a process which has ended did not live to answer."""
        path = self.folder / "control"
        try:
            if time.time() - path.stat().st_mtime > _STALE_S:
                path.unlink()
        except FileNotFoundError:
            return

    def request_preview(self, image: int, plane: Sequence[int] = ()) -> None:
        """Ask for previews of one plane from now on.

        Parameters
        ----------
        image
            Number of the pair, from 0.
        plane
            Index along every axis of the image's labels but Y and X, as `core.planes.PlaneIndex`.
        """
        (self.folder / "preview").mkdir(exist_ok=True)
        self._put("preview/request.json", json.dumps({"image": int(image), "plane": [int(n) for n in plane]}).encode())

    def events(self, offset: int = 0) -> tuple[tuple[Mapping[str, Any], ...], int]:
        """Return the events from byte ``offset`` of the log on, and the offset for the next call."""
        return read_events(self.event_path, offset)

    @property
    def state(self) -> State:
        """What became of it, told by its lock and its last event.

        ``"new"``, ``"training"``, one of the ends ``"done"``, ``"stopped"``, ``"cancelled"``, ``"failed"``, or ``"interrupted"``: its process was killed.
        """
        if is_training(self.folder):
            return "training"
        events, _ = self.events()
        last: State | Literal["start"] = next((event["kind"] for event in reversed(events) if event["kind"] in ENDS or event["kind"] == "start"), "new")
        return "interrupted" if last == "start" else last

    def _put(self, name: str, data: bytes) -> None:
        try:
            write_atomically(self.folder / name, data)
        except OSError as error:
            raise cannot_write(self.folder, error) from None


def create_run(
    folder: str | Path,
    pairs: Sequence[tuple[Stack, Labels | Paint | Any] | tuple[Stack, Labels | Paint | Any, Any]],
    learner: str,
    params: Params,
    *,
    labels_are: LabelsAre,
    minutes: float = 0,
    steps: int = 0,
    seed: int = 0,
    device: str = "auto",
    names: Sequence[str] = (),
    class_names: Sequence[str] = (),
    threads: int = 0,
    start_from: str | Path = "",
) -> Run:
    """Prepare a run folder; nothing is left behind where the input is refused.

    Parameters
    ----------
    folder
        New or empty.
    pairs
        Images with their labels. Axes, shapes and bit depths may differ from pair to pair, the number of channels may not. A third element weighs the pixels,
        by where their labels come from or how sure they are: real numbers of the labels' shape; 2 counts twice, 0 not at all, None (or none) is 1 everywhere.
    learner, params
        Entry of `LEARNERS` and its parameters.
    labels_are
        ``"mask"``: distinct values over all pairs, in increasing order, become classes 0…K-1. ``"paint"``: 0 is not labelled, other values are classes
        and keep their numbers.
    minutes, steps
        Budget; whichever ends first. With both 0 it is ten minutes.
    seed
        Of all random numbers.
    device
        ``auto``, ``cpu``, ``cuda``, ``cuda:1`` or ``mps``.
    names
        Names of the images for messages; empty takes those of the stacks.
    class_names
        One for each class; empty numbers them.
    threads
        Processor cores to train with; 0 takes all.
    start_from
        Model to go on from; empty starts from random weights. It is copied into the run.

    Raises
    ------
    PaintError, ShapeError, DataError
        If there is nothing that can be learned.
    ParameterError
        If budget, seed or threads are numbers that no training can have, or class names are too few or too many.
    StorageError
        If the folder is in use, cannot be written, or its disk is full.
    """
    if not pairs:
        raise DataError("There is no image to train on.", hint="Give at least one image with its labels.")
    if labels_are not in ("mask", "paint"):
        raise ParameterError(f"labels_are = {labels_are!r} is not known.", hint='Say "mask" (every pixel is labelled) or "paint" (0 is not labelled).')
    check_asked(minutes=minutes, steps=steps, seed=seed, threads=threads)
    checked = weigh_pairs(pairs, [check_pair(stack, labels, name) for stack, labels, name in named(pairs, names)])
    channels = same_channels(checked)
    census = count_values(checked)
    values = find_classes(census, labels_are)
    pixels = count_learnable(checked, census, values)
    if class_names and len(class_names) != len(values):
        raise ParameterError(f"There are {len(values)} classes {values}, but {len(class_names)} class names.", hint="Give one name for each class.")
    if labels_are == "paint":
        numbers = values
        titles = tuple(class_names) or _names_of(pairs, values) or tuple(f"class {value}" for value in values)
    else:
        numbers = tuple(range(len(values)))
        titles = tuple(class_names) or _names_of(pairs, numbers) or tuple(f"class {number}" for number in numbers)
    start = model_to_begin(start_from, channels).path if start_from else None
    remarks = [paint_in_disguise(census, labels_are)]
    folder = Path(folder)
    with new_folder(folder):
        (folder / "data").mkdir()
        stored = []
        for number, pair in enumerate(checked):
            record, remark = store_pair(pair, values, labels_are, folder / "data", number)
            stored.append(store_weights(pair, record, folder / "data", number))
            remarks.append(remark)
        write_atomically(folder / "data" / "index.json", as_json({"pairs": [asdict(record) for record in stored]}))
        if start is not None:
            shutil.copytree(start, folder / START)
        config = {
            "format": FORMAT,
            "learner": learner,
            "params": params.model_dump(mode="json"),
            "labels_are": labels_are,
            "label_values": list(values),
            "classes": [{"value": n, "name": title, "pixels": count} for n, title, count in zip(numbers, titles, pixels, strict=True)],
            "channels": channels,
            "minutes": float(minutes) if minutes or steps else DEFAULT_MINUTES,
            "steps": int(steps),
            "seed": int(seed),
            "device": device,
            "threads": int(threads),
            "versions": found_versions(),
            "created": time.time(),
        }
        config["recipe"] = _recipe(config, stored).as_dict()
        return furnished(folder, config, remarks)


def furnished(folder: Path, config: dict[str, Any], remarks: Sequence[str]) -> Run:
    """Return the run of a folder that has its data: with places for what comes, remarks as its first events, and last its configuration."""
    for name in ("checkpoints", "preview"):
        (folder / name).mkdir()
    log = EventLog(folder / "events.jsonl")
    for remark in filter(None, remarks):
        log.write("message", text=remark)
    write_atomically(folder / "config.json", as_json(config))
    return Run(folder, config)


def open_run(folder: str | Path) -> Run:
    """Open a run folder that `create_run` made.

    Raises
    ------
    ModelError
        If there is no run, or its configuration is damaged.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ModelError(f"There is no run at {folder}.", hint="Give the folder of a run, or start a new one.")
    if not (folder / "config.json").is_file():
        raise ModelError(f"The folder {folder} is not a run: it has no config.json.", hint="Give the folder of a run, or start a new one.")
    config = read_json(folder / "config.json", "its configuration")
    missing = [key for key in ("learner", "params", "classes", "channels", "minutes", "steps", "seed", "recipe") if key not in config]
    if config.get("format") != FORMAT or missing:
        raise ModelError(f"The configuration of {folder} is damaged, or from another version of napari-segtool.", hint="Start a new run.")
    return Run(folder, config)


def model_to_begin(model: str | Path, channels: int) -> ModelBundle:
    """Open a model to go on from.

    Raises
    ------
    ModelError
        If there is none, it is damaged, or the images have other channels.
    """
    from napari_segtool.nets._bundle import open_bundle

    bundle = open_bundle(model)
    if int(bundle.card["channels"]) != channels:
        raise ModelError(
            f"The model {bundle.path} was trained on {bundle.card['channels']} channel(s), but these images have {channels}.",
            hint="Give images with as many channels, or start anew, without a model.",
        )
    return bundle


def with_threads(run: Run, threads: int) -> Run:
    """Return the run with another number of threads, -1 for its own; the folder is not changed."""
    return run if threads < 0 else replace(run, config={**run.config, "threads": threads})


def _names_of(pairs: Sequence[tuple[Any, ...]], numbers: Sequence[int]) -> tuple[str, ...]:
    """Class names that the labels themselves carry, if they name every class; those of `Paint` start at class 1."""
    for _, marks, *_ in pairs:
        if isinstance(marks, Labels | Paint) and marks.class_names:
            first = 1 if isinstance(marks, Paint) else 0
            known = dict(enumerate(marks.class_names, start=first))
            if all(known.get(number) for number in numbers):
                return tuple(known[number] for number in numbers)
    return ()


def _stored(record: Mapping[str, Any]) -> Stored:
    facts: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in record.items()}
    return Stored(**facts)


def _recipe(config: Mapping[str, Any], stored: Sequence[Stored]) -> Step:
    import hashlib

    facts = {key: config[key] for key in ("labels_are", "minutes", "steps")}
    inputs = hashlib.sha256("|".join(f"{record.sha} {record.labels_sha} {record.weights_sha}".rstrip() for record in stored).encode()).hexdigest()[:16]
    return Step(f"train:{config['learner']}", {**config["params"], **facts}, str(config["versions"]["napari-segtool"]), inputs, int(config["seed"]))
