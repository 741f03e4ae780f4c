"""One sitting of a training, from opening the run folder to closing it. Imports torch; imported only by the engine."""

from __future__ import annotations

import math
import time
from collections.abc import Generator, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_segtool.core.errors import DeviceError, ModelError, StorageError
from napari_segtool.core.result import ModelBundle
from napari_segtool.core.spread import spread_evenly
from napari_segtool.nets._bundle import load_network, open_bundle, save_bundle
from napari_segtool.nets._forward import out_of_memory, resolve_device
from napari_segtool.nets._pixel_size import SAME, pixel_text
from napari_segtool.nets._reach import receptive_halo
from napari_segtool.nets._tiling import Tile
from napari_segtool.training._plan import Plan
from napari_segtool.training.data._border import weigh_fields
from napari_segtool.training.data._holdout import Field, Picture, open_pictures, split_fields
from napari_segtool.training.data._normalisation import normalisation_of
from napari_segtool.training.data._spacing import common_spacing
from napari_segtool.training.engine._preview import Previews
from napari_segtool.training.engine._schedule import Budget
from napari_segtool.training.engine._trainer import Trainer, network_params
from napari_segtool.training.engine._watch import Watch
from napari_segtool.training.losses._combined import head_of
from napari_segtool.training.runs._checkpoint import read_checkpoint, write_checkpoint
from napari_segtool.training.runs._events import EventLog, plain
from napari_segtool.training.runs._run import Run
from napari_segtool.training.validate._calibrate import Cost, calibrate, plan_cost, windows_around
from napari_segtool.training.validate._scoring import MOST_WINDOWS, NOTHING, Validation, plan_windows, predict_plane, validate
from napari_segtool.training.validate._standing import Standing
from napari_segtool.training.validate._threshold import Decision

_WINDOW_PX = 512
_SMALLEST_WINDOW_PX = 64
_LEARNED_WINDOWS = 4
"""Windows of what is learned from that are scored beside the held-out ones: enough to see overfitting, cheap enough to do each time."""


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
        self.spacing_um = common_spacing([picture.spacing_um for picture in self.pictures])
        classes = len(run.classes)
        self.fields: tuple[Field, ...] = split_fields(self.pictures, classes, sparse=self.sparse, seed=run.seed)
        self.normalisation = normalisation_of(plan.normalisation, self.fields)
        self.watch = Watch(run)
        self.trainer = Trainer(
            plan,
            self.fields,
            channels=run.channels,
            classes=classes,
            normalisation=self.normalisation,
            device=_device_of(run, log),
            seed=run.seed,
            watch=self.watch,
        )
        self.standing = Standing(plan.metric, plan.keep_within, plan.patience_steps, by_planes=not self.sparse)
        self.validated_step = 0
        self.latest, self.latest_learned = NOTHING, NOTHING
        self.decision = Decision((), "none")
        self.head = head_of(plan.loss)
        self.halo = receptive_halo(self.trainer.average, plan.spatial)
        self.previews = Previews(run, self.pictures, log)
        self._window_px = _WINDOW_PX
        self._window_s = 0.0
        self._calibration_windows: dict[tuple[int, int, int], tuple[tuple[Field, Tile], ...]] = {}
        self._windows: dict[tuple[bool, tuple[int, int, int]], tuple[tuple[Field, Tile], ...]] = {}
        self.resumed = self._restore()
        if not self.resumed:
            self._start_from()
            self.trainer.choose_precision()

    @property
    def sparse(self) -> bool:
        """Whether the labels are paint."""
        return bool(self.run.config["labels_are"] == "paint")

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

    def prepare(self) -> Iterator[float]:
        """Make the weight maps of touching objects where the plan wants them; yields the finished part, 0 to 1."""
        plan = self.plan
        if not self.resumed and any(picture.zoom != SAME for picture in self.pictures):
            self.log.write("message", text=self._resampling_text())
        if not plan.border_weight:
            return
        self.fields = yield from weigh_fields(
            self.fields,
            self.run.folder / "weights",
            w0=0.0 if self.sparse else plan.border_weight,
            sigma_px=plan.border_sigma_px,
            class_weights=self.trainer.map_weights.tolist(),
            flat=plan.spatial == 2,
        )
        self.trainer.fields = self.fields
        if self.sparse:
            self.log.write("message", text="Paint does not say where objects end: pixels between objects are not weighed more.")

    def _resampling_text(self) -> str:
        pairs = zip(self.run.stored, self.pictures, strict=True)
        names = [f"{record.name} ({pixel_text(picture.spacing_um[-2:])})" for record, picture in pairs if picture.zoom != SAME]
        listed = f"{', '.join(names[:3])}{f' and {len(names) - 3} more' if len(names) > 3 else ''}"
        return f"Images differ in pixel size: planes of {listed} are resampled to {pixel_text(self.spacing_um[-2:])}."

    def windows(self, held: bool = True) -> tuple[tuple[Field, Tile], ...]:
        """Windows of held-out pixels, or of some that are learned from."""
        key = held, self.core_px
        if key not in self._windows:
            fields = self.fields if held else spread_evenly([field for field in self.fields if field.learn.size], 2 * _LEARNED_WINDOWS)
            most = MOST_WINDOWS if held else _LEARNED_WINDOWS
            self._windows[key] = plan_windows(fields, self.plan.spatial, self.core_px, self.trainer.multiple, held=held, most=most)
        return self._windows[key]

    def validate(self) -> Iterator[None]:
        """Score the average weights and keep them if they are the best; yields between windows."""
        held = yield from self._score(held=True)
        learned = yield from self._score(held=False)
        self.latest, self.latest_learned, self.validated_step = held, learned, self.trainer.step
        kept = self.standing.take(self.trainer.step, held)
        names = [str(entry["name"]) for entry in self.run.classes]
        self.log.write(
            "validation",
            step=self.trainer.step,
            loss=held.loss,
            dice=held.dice,
            iou=held.iou,
            classes=dict(zip(names, held.classes, strict=False)),
            train_loss=learned.loss,
            train_dice=learned.dice,
            train_iou=learned.iou,
            kept=kept,
            best_step=self.standing.best_step,
            unimproved_steps=self.standing.unimproved,
            seconds=self.seconds,
        )
        remark = self.standing.remark()
        if remark:
            self.log.write("message", text=remark)
        if kept:
            self.save_bundle()

    def _score(self, held: bool) -> Generator[None, None, Validation]:
        trainer, plan, result = self.trainer, self.plan, NOTHING
        while True:
            begun = time.monotonic()
            try:
                scores = validate(
                    self.windows(held), trainer.ask, self.normalisation, trainer.weights, plan.spatial, neighbours=plan.neighbours, head=self.head, held=held
                )
                for scored in scores:
                    result = scored
                    yield
                if held and self.windows(held):
                    self._window_s = (time.monotonic() - begun) / len(self.windows(held))
                return result
            except (RuntimeError, MemoryError) as error:
                self._smaller_windows(error, "validation")

    def calibrate(self) -> Iterator[None]:
        """Find the bias of the classes for the weights that are kept, and write it on their card; yields between windows."""
        if not self.windows():
            return
        if self.standing.kept_step != self.trainer.step:
            self.trainer.average.load_state_dict(load_network(self.bundle()).state_dict())
        cost = self.calibration_cost()
        while True:
            try:
                self.decision = yield from calibrate(
                    self._windows_to_calibrate(),
                    self.trainer.ask,
                    self.normalisation,
                    len(self.run.classes),
                    self.plan.spatial,
                    neighbours=self.plan.neighbours,
                    head=self.head,
                    mirror=cost.mirror,
                    sparse=self.sparse,
                    most=cost.windows,
                    known=self.trainer.ask_beginning if self.trainer.retained else None,
                )
                break
            except (RuntimeError, MemoryError) as error:
                self._smaller_windows(error, "calibration")
        if self.decision.bias or self.decision.separator >= 0:
            card = {key: value for key, value in self.bundle().card.items() if key not in ("format", "weights_sha256")}
            self._write_bundle({**card, **self._decision_card()})
            self.log.write("message", text=self._decision_text())

    def calibration_cost(self) -> Cost:
        """What the calibration may look at, and how long it will take."""
        if math.isnan(self.latest.loss):  # nothing is held out, or nothing has been scored yet
            return Cost(1, False, 0.0)
        held = self._windows_to_calibrate()
        window_px = max(math.prod(tile.core_shape) for _, tile in held)
        return plan_cost(len(held), self._window_s, window_px, self.plan.mirror, self.budget.seconds)

    def _windows_to_calibrate(self) -> tuple[tuple[Field, Tile], ...]:
        if self.core_px not in self._calibration_windows:
            trainer, plan = self.trainer, self.plan
            self._calibration_windows[self.core_px] = windows_around(self.fields, plan.spatial, self.core_px, trainer.multiple, sparse=self.sparse)
        return self._calibration_windows[self.core_px]

    def _smaller_windows(self, error: Exception, where: str) -> None:
        """Go on with smaller windows if memory ran out; raise any other error."""
        if not out_of_memory(error) or self._window_px <= _SMALLEST_WINDOW_PX:
            raise error
        self._window_px //= 2
        self.log.write("message", text=f"Memory ran out in {where}: going on with windows of {self._window_px} pixels.")

    def save_bundle(self) -> None:
        """Write the average weights as the run's model; a full disk is reported and leaves the model before."""
        self._write_bundle(self.card())

    def _write_bundle(self, card: dict[str, Any]) -> None:
        try:
            save_bundle(self.run.model_folder, self.trainer.average, card)
        except StorageError as error:
            self.log.write("message", text=f"{error.message} The model saved before is kept.")
            if not self.run.model_folder.exists():
                raise

    def card(self) -> dict[str, Any]:
        """What ``model.json`` says."""
        stored = self.run.stored
        scores = {"dice": self.latest.dice, "iou": self.latest.iou, "loss": self.latest.loss, "classes": list(self.latest.classes)}
        return {
            "learner": self.run.learner,
            "network": self.plan.network,
            "network_params": network_params(self.plan),
            "channels": self.run.channels,
            "spatial": self.plan.spatial,
            **({"neighbours": self.plan.neighbours} if self.plan.neighbours else {}),
            **({"head": self.head} if self.head != "softmax" else {}),
            "classes": [{"value": entry["value"], "name": entry["name"]} for entry in self.run.classes],
            "labels_are": self.run.config["labels_are"],
            "normalisation": self.normalisation.record(),
            "spacing_um": list(stored[0].spacing_um),
            "axes": stored[0].axes,
            "pixel_um": list(self.spacing_um[-2:]),
            "halo": list(self.halo),
            "mirror": self.plan.mirror,
            "scores": plain(scores),
            "recipe": [self.run.recipe.as_dict()],
            "trained": {
                "seed": self.run.seed,
                "steps": self.trainer.step,
                "seconds": round(self.seconds, 1),
                "images": [record.name for record in stored],
                "begun_from": self.plan.initialisation,
            },
            "versions": self.run.config.get("versions", {}),
        }

    def save_checkpoint(self) -> bool:
        """Write the whole state; a full disk is reported and the training goes on. Return whether it was written."""
        facts = {"seconds": self.seconds, "validated_step": self.validated_step, "standing": self.standing.record()}
        try:
            write_checkpoint(self.run.folder / "checkpoints", self.trainer.checkpoint(facts))
        except OSError as error:
            self.log.write("message", text=f"The checkpoint could not be written: {error.strerror or error}. Training goes on; the last good one is kept.")
            return False
        return True

    def preview(self) -> Iterator[None]:
        """Predict the plane that is asked for and put it where the viewer looks; yields between tiles."""
        trainer, plan = self.trainer, self.plan

        def predict(field: Field, place: int) -> Iterator[NDArray[np.uint8]]:
            settings = (trainer.ask, self.normalisation, plan.spatial, self.core_px, trainer.multiple)
            return predict_plane(field, place, *settings, neighbours=plan.neighbours, head=self.head)

        try:
            yield from self.previews.make(trainer.step, predict)
        except (RuntimeError, MemoryError) as error:
            self._smaller_windows(error, "a preview")

    def bundle(self) -> ModelBundle:
        """Open the model that was kept."""
        return open_bundle(self.run.model_folder)

    def _decision_card(self) -> dict[str, Any]:
        found = self.decision
        closing = {"separator": found.separator} if found.separator >= 0 else {}
        return {"class_bias": list(found.bias), **closing, "decision": plain({"criterion": found.criterion, "before": found.before, "after": found.after})}

    def _decision_text(self) -> str:
        found, names = self.decision, [str(entry["name"]) for entry in self.run.classes]
        judge = {"objects": "objects agree", "strokes": "strokes stay in one piece", "dice": "Dice"}.get(found.criterion, "")
        if found.criterion == "web":
            return f"{names[found.separator]} is a thin web that parts {names[1 - found.separator]}: where it is faint, its gaps are closed."
        gain = f"{judge}: {found.after:.3f} instead of {found.before:.3f}" if found.after - found.before >= 0.0005 else f"{judge} as well, and more surely"
        closed = f"Gaps in {names[found.separator]} are closed. " if found.separator >= 0 else ""
        if not found.bias:
            return f"{closed}That is better on held-out pixels ({gain})."
        if len(names) == 2:
            return f"{closed}A pixel is given to {names[1]} from a probability of {found.threshold:.2f} on, which is better on held-out pixels ({gain})."
        moved = ", ".join(f"{name} {bias:+.2f}" for name, bias in zip(names, found.bias, strict=True))
        return f"{closed}Log-probabilities of the classes are shifted ({moved}), which is better on held-out pixels ({gain})."

    def _restore(self) -> bool:
        checkpoint = read_checkpoint(self.run.folder / "checkpoints", lambda text: self.log.write("message", text=text))
        if checkpoint is None:
            return False
        self.trainer.restore(checkpoint)
        self._seconds_before = float(checkpoint.facts["seconds"])
        self.standing.restore(checkpoint.facts.get("standing", {}))
        self.validated_step = int(checkpoint.facts["validated_step"])
        return True

    def _start_from(self) -> None:
        folder = self.run.start_folder
        if folder is None:
            return
        weights = load_network(open_bundle(folder)).state_dict()
        count, total = self.trainer.start_from(weights)
        if not count:
            raise ModelError(
                "No layer of the model to go on from fits this network.", hint="Leave the network's settings as they came: they are then the model's."
            )
        self.log.write("message", text=f"{count} of {total} layers' weights were taken from the model to start from.")


def _device_of(run: Run, log: EventLog) -> str:
    """The device a run asks for; what there is where it was begun on another machine and this one lacks it."""
    asked = str(run.config["device"])
    try:
        resolve_device(asked)
    except DeviceError as error:
        if not any(event["kind"] == "start" for event in run.events()[0]):
            raise
        found = str(resolve_device("auto"))
        log.write("message", text=f"{error.message} It goes on on this machine's {found}.")
        return found
    return asked
