"""One sitting of a training, from opening the run folder to closing it. Imports torch; imported only by the engine."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from napari_segtool.core.errors import StorageError
from napari_segtool.core.labels import smallest_dtype
from napari_segtool.core.result import ModelBundle
from napari_segtool.nets._bundle import load_network, open_bundle, save_bundle
from napari_segtool.nets._forward import out_of_memory
from napari_segtool.nets._normalise import Normalisation
from napari_segtool.nets._reach import receptive_halo
from napari_segtool.training._checkpoint import read_checkpoint, write_checkpoint
from napari_segtool.training._events import EventLog, plain, write_atomically
from napari_segtool.training._holdout import Field, Picture, open_pictures, split_fields
from napari_segtool.training._plan import Plan
from napari_segtool.training._run import Run
from napari_segtool.training._schedule import Budget
from napari_segtool.training._scoring import Validation, plan_windows, predict_plane, validate
from napari_segtool.training._trainer import Trainer, fixed_normalisation
from napari_segtool.training._watch import Watch

_WINDOW_PX = 512
_SMALLEST_WINDOW_PX = 64


class Sitting:
    """Everything a training holds while it runs.

    Parameters
    ----------
    run
        The run.
    plan
        How to train.
    log
        Where events go.
    """

    def __init__(self, run: Run, plan: Plan, log: EventLog) -> None:
        self.run, self.plan, self.log = run, plan, log
        self._begun = time.monotonic()
        self._seconds_before = 0.0
        self.budget = Budget(run.minutes * 60, run.steps)
        self.pictures: tuple[Picture, ...] = open_pictures(run, plan.spatial)
        classes = len(run.classes)
        self.fields: tuple[Field, ...] = split_fields(self.pictures, classes, sparse=run.config["labels_are"] == "paint", seed=run.seed)
        self.normalisation = fixed_normalisation(self.fields) if plan.normalisation == "fixed" else Normalisation()
        self.watch = Watch(run)
        self.trainer = Trainer(
            plan,
            self.fields,
            channels=run.channels,
            classes=classes,
            normalisation=self.normalisation,
            device=str(run.config["device"]),
            seed=run.seed,
            watch=self.watch,
        )
        self.best = -1.0
        self.validated_step = 0
        self.latest = Validation(float("nan"), float("nan"), ())
        self.halo = receptive_halo(self.trainer.average, plan.spatial)
        self._window_px = _WINDOW_PX
        self._preview_due = 0.0
        self._preview_request: Mapping[str, Any] = {}
        self.resumed = self._restore()
        if not self.resumed:
            self._start_from()
            self.trainer.choose_precision()

    @property
    def seconds(self) -> float:
        """Time this training has used, over all sittings."""
        return self._seconds_before + time.monotonic() - self._begun

    @property
    def core_px(self) -> tuple[int, int, int]:
        """Size of the windows that held-out pixels and previews are computed in."""
        if self.plan.spatial == 2:
            return (1, self._window_px, self._window_px)
        depth, height, width = self.trainer.patch_px
        return (depth, min(height, self._window_px), min(width, self._window_px))

    def validate(self) -> Iterator[None]:
        """Score the average weights and keep them if they are the best; yields between windows."""
        result = self.latest
        while True:
            windows = plan_windows(self.fields, self.plan.spatial, self.core_px, self.trainer.multiple)
            try:
                for scored in validate(windows, self.trainer.ask, self.normalisation, self.trainer.weights, self.plan.spatial):
                    result = scored
                    yield
                break
            except (RuntimeError, MemoryError) as error:
                if not out_of_memory(error) or self._window_px <= _SMALLEST_WINDOW_PX:
                    raise
                self._window_px //= 2
                self.log.write("message", text=f"Memory ran out in validation: going on with windows of {self._window_px} pixels.")
        self.latest, self.validated_step = result, self.trainer.step
        score = result.dice if result.dice == result.dice else 0.0
        kept = score >= self.best - self.plan.keep_within
        self.best = max(self.best, score)
        names = [str(entry["name"]) for entry in self.run.classes]
        self.log.write(
            "validation",
            step=self.trainer.step,
            loss=result.loss,
            dice=result.dice,
            classes=dict(zip(names, result.classes, strict=False)),
            kept=kept,
            seconds=self.seconds,
        )
        if kept:
            self.save_bundle()

    def save_bundle(self) -> None:
        """Write the average weights as the run's model; a full disk is reported and leaves the model before."""
        try:
            save_bundle(self.run.model_folder, self.trainer.average, self.card())
        except StorageError as error:
            self.log.write("message", text=f"{error.message} The model saved before is kept.")
            if not self.run.model_folder.exists():
                raise

    def card(self) -> dict[str, Any]:
        """What ``model.json`` says."""
        stored = self.run.stored
        scores = {"dice": self.latest.dice, "loss": self.latest.loss, "classes": list(self.latest.classes)}
        return {
            "learner": self.run.learner,
            "network": self.plan.network,
            "network_params": dict(self.plan.network_params),
            "channels": self.run.channels,
            "spatial": self.plan.spatial,
            "classes": [{"value": entry["value"], "name": entry["name"]} for entry in self.run.classes],
            "labels_are": self.run.config["labels_are"],
            "normalisation": self.normalisation.record(),
            "spacing_um": list(stored[0].spacing_um),
            "axes": stored[0].axes,
            "halo": list(self.halo),
            "mirror": self.plan.mirror,
            "scores": plain(scores),
            "recipe": [self.run.recipe.as_dict()],
            "trained": {"seed": self.run.seed, "steps": self.trainer.step, "seconds": round(self.seconds, 1), "images": [record.name for record in stored]},
            "versions": self.run.config.get("versions", {}),
        }

    def save_checkpoint(self) -> bool:
        """Write the whole state; a full disk is reported and the training goes on. Return whether it was written."""
        facts = {
            "seconds": self.seconds,
            "best": self.best,
            "validated_step": self.validated_step,
            "latest": plain({"loss": self.latest.loss, "dice": self.latest.dice}),
        }
        try:
            write_checkpoint(self.run.folder / "checkpoints", self.trainer.checkpoint(facts))
        except OSError as error:
            self.log.write("message", text=f"The checkpoint could not be written: {error.strerror or error}. Training goes on; the last good one is kept.")
            return False
        return True

    def preview_wanted(self) -> bool:
        """Tell whether a preview is asked for and it is time for one."""
        path = self.run.folder / "preview" / "request.json"
        try:
            request = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        except (OSError, ValueError):
            return False
        if request != self._preview_request:
            self._preview_request = request
            return bool(request)
        return bool(request) and time.monotonic() >= self._preview_due

    def preview(self) -> Iterator[None]:
        """Predict the plane that is asked for and put it where the viewer looks; yields between tiles."""
        begun = time.monotonic()
        found = self._place_of(self._preview_request)
        if found is None:
            self.log.write("message", text=f"The preview asked for, {dict(self._preview_request)}, is not in this run.")
            self._preview_due = float("inf")
            return
        field, place = found
        values = np.array([int(entry["value"]) for entry in self.run.classes])
        classes = np.zeros((0, 0), np.uint8)
        asking = predict_plane(field, place, self.trainer.ask, self.normalisation, self.plan.spatial, self.core_px, self.trainer.multiple)
        try:
            for canvas in asking:
                classes = canvas
                yield
        except (RuntimeError, MemoryError) as error:
            if not out_of_memory(error) or self._window_px <= _SMALLEST_WINDOW_PX:
                raise
            self._window_px //= 2
            return
        folder = self.run.folder / "preview"
        name = f"preview-{self.trainer.step:08d}.npy"
        try:
            write_atomically(folder / name, _npy(values[classes].astype(smallest_dtype(int(values.max())))))
        except OSError:
            return
        self.log.write("preview", path=f"preview/{name}", step=self.trainer.step, **self._preview_request)
        for old in sorted(folder.glob("preview-*.npy"))[:-2]:
            old.unlink(missing_ok=True)
        self._preview_due = time.monotonic() + max(4.0, 20 * (time.monotonic() - begun))

    def bundle(self) -> ModelBundle:
        """Open the model that was kept."""
        return open_bundle(self.run.model_folder)

    def _place_of(self, request: Mapping[str, Any]) -> tuple[Field, int] | None:
        """The field and the plane in it that a preview request names."""
        try:
            number, plane = int(request["image"]), [int(n) for n in request["plane"]]
            record, picture = self.run.stored[number], self.pictures[number]
            stored_letters = [letter for letter in record.axes if letter in record.order]
            index = tuple(plane[stored_letters.index(letter)] for letter in record.order)
            flat = int(np.ravel_multi_index(index, record.counts)) if record.counts else 0
        except (KeyError, IndexError, TypeError, ValueError):
            return None
        first = flat // picture.depth * picture.depth
        part = slice(first, first + picture.depth)
        return Field(number, first, picture.image[part], picture.marks[part]), flat - first

    def _restore(self) -> bool:
        checkpoint = read_checkpoint(self.run.folder / "checkpoints", lambda text: self.log.write("message", text=text))
        if checkpoint is None:
            return False
        self.trainer.restore(checkpoint)
        self._seconds_before, self.best = float(checkpoint.facts["seconds"]), float(checkpoint.facts["best"])
        self.validated_step = int(checkpoint.facts["validated_step"])
        return True

    def _start_from(self) -> None:
        folder = self.run.folder / "start"
        if not folder.exists():
            return
        weights = load_network(open_bundle(folder)).state_dict()
        count = self.trainer.start_from(weights)
        self.log.write("message", text=f"{count} of {len(weights)} layers' weights were taken from the model to start from.")


def _npy(array: np.ndarray[Any, Any]) -> bytes:
    import io

    file = io.BytesIO()
    np.save(file, array, allow_pickle=False)
    return file.getvalue()
