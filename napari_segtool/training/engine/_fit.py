"""The training loop: steps, validations, checkpoints, previews, and how it ends. Imports torch; imported only by learners' functions."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterator

import torch

from napari_segtool.core.errors import ModelError, SegtoolError, StorageError
from napari_segtool.core.progress import Steps
from napari_segtool.core.result import ModelBundle
from napari_segtool.nets._bundle import open_bundle
from napari_segtool.nets._forward import flushed_denormals, out_of_memory
from napari_segtool.training._plan import Plan
from napari_segtool.training.data._loader import Prefetcher
from napari_segtool.training.engine._heap import kept_heap
from napari_segtool.training.engine._schedule import rate_factor
from napari_segtool.training.engine._session import Sitting
from napari_segtool.training.engine._threads import ThreadTuner
from napari_segtool.training.engine._watch import StopRequestedError
from napari_segtool.training.runs._checkpoint import drop_checkpoints
from napari_segtool.training.runs._curves import CurveFiles
from napari_segtool.training.runs._events import ENDS, EventLog, TrainingProgress
from napari_segtool.training.runs._lock import sole_trainer
from napari_segtool.training.runs._run import Run

VALIDATIONS = 20
"""Validations over a training, at least; long trainings validate every two minutes."""
_FIRST_VALIDATION = 0.02
_LONGEST_BETWEEN_S = 120.0
_MOST_STEPS_BETWEEN = 250
_CHECKPOINT_EVERY_S = 30.0
_SAY_EVERY_S = 0.5
_MOST_WORDS = 4000
"""Step events over a whole training: the log of a long one stays small."""


class TrainingCancelledError(SegtoolError):
    """The training was cancelled; its run can be resumed."""


def fit_steps(run: Run, plan: Plan) -> Steps[ModelBundle]:
    """Train a run, or go on with it, and return the model that was kept.

    Parameters
    ----------
    run
        From `create_run` or `open_run`.
    plan
        How to train.

    Yields
    ------
    TrainingProgress
        After every step and between the parts of a validation.

    Raises
    ------
    TrainingCancelledError
        If someone asked to cancel; the run can be resumed.
    DeviceError
        If memory runs out even for the smallest patch.
    StorageError
        If the disk is full and no model could be kept.
    """
    log = EventLog(run.event_path)
    with sole_trainer(run.folder):
        run.forget_old_request()
        finished = _finished(run)
        if finished is not None:
            log.write("message", text="This run is finished; its model is returned as it is. With a larger budget it goes on.")
            return finished
        log.also(CurveFiles(run.folder, tuple(str(entry["name"]) for entry in run.classes), lambda text: log.write("message", text=text)).take)
        threads = int(run.config.get("threads", 0)) or all_cores()
        before = torch.get_num_threads()
        torch.set_num_threads(threads)
        try:
            with flushed_denormals(), kept_heap():
                return (yield from _Fit(run, plan, log).steps())
        except TrainingCancelledError:
            log.write("cancelled")
            raise
        except SegtoolError as error:
            log.write("failed", text=error.message, hint=error.hint)
            raise
        except (GeneratorExit, KeyboardInterrupt):
            log.write("cancelled")
            raise
        except Exception as error:
            log.write("failed", text=f"{type(error).__name__}: {error}", hint="This is a bug; the run can be resumed.")
            raise
        finally:
            torch.set_num_threads(before)


class _Fit:
    """The loop and its clocks."""

    def __init__(self, run: Run, plan: Plan, log: EventLog) -> None:
        self.sitting = Sitting(run, plan, log)
        self.run, self.plan, self.log = run, plan, log
        self.trainer = self.sitting.trainer
        self._loss = math.nan
        self._step_s = 0.0
        self._validation_s = 0.0
        self._next_validation = self._validation_after()
        self._next_checkpoint = time.monotonic() + _CHECKPOINT_EVERY_S
        self._next_word = 0.0
        self._whole = True
        timed = run.minutes > 0 and self.trainer.device.type == "cpu"
        self._tuner = ThreadTuner(torch.get_num_threads()) if timed else None

    def steps(self) -> Steps[ModelBundle]:
        """Train until the budget is used or someone asks to end."""
        sitting, trainer = self.sitting, self.trainer
        self.log.write(
            "start",
            step=trainer.step,
            resumed=sitting.resumed,
            device=str(trainer.device),
            precision=trainer.precision,
            threads=torch.get_num_threads(),
            batch=trainer.batch,
            patch_px=list(trainer.patch_px),
            optimiser=self.plan.optimiser,
            schedule=self.plan.schedule,
            metric=self.plan.metric,
            accumulate=self.plan.accumulate,
            learn_fields=sum(bool(field.learn.size) for field in sitting.fields),
            check_fields=sum(field.check is not None for field in sitting.fields),
        )
        if sitting.resumed:
            self.log.write("message", text=f"Going on from step {trainer.step}.")
        prefetcher: Prefetcher | None = None
        try:
            for part in sitting.prepare():
                sitting.watch.look()
                yield TrainingProgress(part, 1.0, "weight map")
            prefetcher = Prefetcher(trainer.batches())
            if sitting.resumed:  # a validation may have been broken off
                yield from self._between_steps()
            while self._fraction() < 1 and not self._out_of_patience():
                try:
                    sitting.watch.look()
                    self._whole = False
                    self._one_step(prefetcher)
                    self._whole = True
                except (RuntimeError, MemoryError) as error:
                    self._whole = True
                    if not out_of_memory(error):
                        raise
                    self.log.write("message", text=trainer.shrink())
                    prefetcher.close()
                    prefetcher = Prefetcher(trainer.batches())
                    continue
                yield self._progress()
                yield from self._between_steps()
            outcome = "done"
        except StopRequestedError as stop:
            self._whole = True
            if stop.word == "cancel":
                raise TrainingCancelledError(
                    f"Training was cancelled after {trainer.step} steps.", hint=f"Go on with it: segtool train --resume -o {self.run.folder}"
                ) from None
            outcome = "stopped"
        finally:
            if prefetcher is not None:
                prefetcher.close()
            if self._whole and self._fraction() < 1:
                sitting.save_checkpoint()
        yield from self._finish(outcome)
        return sitting.bundle()

    def _one_step(self, prefetcher: Prefetcher) -> None:
        begun = time.monotonic()
        trainer = self.trainer
        rate = self.plan.learning_rate * rate_factor(self._fraction(), self.plan.schedule, self.plan.warm_up)
        first, each = trainer.step * self.plan.accumulate, range(1, self.plan.accumulate)
        loss = trainer.learn(prefetcher.take(first), rate, (prefetcher.take(first + number) for number in each))
        spent = time.monotonic() - begun
        self._step_s = spent if not self._step_s else 0.9 * self._step_s + 0.1 * spent
        if self._tuner is not None:
            self._tuner.after_step(spent, begun + spent)
        if not math.isnan(loss):
            self._loss = loss if math.isnan(self._loss) else 0.95 * self._loss + 0.05 * loss
        if time.monotonic() >= self._next_word:
            self._next_word = time.monotonic() + max(_SAY_EVERY_S, self.sitting.budget.seconds / _MOST_WORDS)
            self.log.write(
                "step",
                step=trainer.step,
                loss=self._loss,
                learning_rate=rate,
                seconds=self.sitting.seconds,
                fraction=self._fraction(),
                seconds_left=self._seconds_left(),
                steps_per_second=1 / max(self._step_s, 1e-9),
                threads=torch.get_num_threads(),
            )

    def _between_steps(self) -> Iterator[TrainingProgress]:
        if self._validation_due() and self.sitting.validated_step != self.trainer.step:
            yield from self._validate()
            self._next_validation = self._validation_after()
            self._save()
        elif time.monotonic() >= self._next_checkpoint:
            self._save()
        if self.sitting.previews.wanted():
            for _ in self.sitting.preview():
                self.sitting.watch.look()
                yield self._progress()

    def _save(self) -> None:
        begun = time.monotonic()
        self.sitting.save_checkpoint()
        now = time.monotonic()
        self._next_checkpoint = now + max(_CHECKPOINT_EVERY_S, 30 * (now - begun))

    def _validate(self) -> Iterator[TrainingProgress]:
        begun = time.monotonic()
        for _ in self.sitting.validate():
            self.sitting.watch.look()
            yield self._progress()
        self._validation_s = time.monotonic() - begun

    def _finish(self, outcome: str) -> Iterator[TrainingProgress]:
        try:
            for _ in self.sitting.validate():
                yield self._progress()
            self.sitting.save_checkpoint()  # with a larger budget it goes on from here
            for _ in self.sitting.calibrate():
                self.sitting.watch.look()
                yield self._progress()
        except StopRequestedError:  # asked for while the last scores are worked out: what was kept before is the result
            if not self.run.model_folder.exists():
                self.sitting.save_bundle()
        if not self.run.model_folder.exists():
            raise StorageError(f"No model could be written to {self.run.folder}.", hint="Free some space there and resume the run.")
        standing = self.sitting.standing
        self.log.write(
            "done" if outcome == "done" else "stopped",
            step=self.trainer.step,
            seconds=self.sitting.seconds,
            dice=standing.kept_dice,
            best_step=standing.best_step,
            kept_step=standing.kept_step,
            model="model",
        )
        drop_checkpoints(self.run.folder / "checkpoints", keep=1)
        yield self._progress()

    def _out_of_patience(self) -> bool:
        standing = self.sitting.standing
        if not standing.out_of_patience:
            return False
        text = (
            f"Training ended early: validation has not improved for {standing.unimproved} steps; it was best at step {standing.best_step} ({standing.told()})."
        )
        self.log.write("message", text=text)
        return True

    def _fraction(self) -> float:
        """Used part of the budget, with the time that the last validation and the calibration will take."""
        reserved = 1.2 * (self._validation_s + self.sitting.calibration_cost().seconds) + self._step_s
        return self.sitting.budget.fraction(self.trainer.step, self.sitting.seconds + reserved)

    def _validation_due(self) -> bool:
        budget, trainer = self.sitting.budget, self.trainer
        if budget.steps and not budget.seconds:
            between = max(1, min(budget.steps // VALIDATIONS, _MOST_STEPS_BETWEEN))
            return trainer.step % between == 0 and trainer.step < budget.steps
        return self._fraction() >= self._next_validation

    def _validation_after(self) -> float:
        """The fraction at which to validate next, where time counts."""
        if not self.sitting.validated_step:
            return _FIRST_VALIDATION
        gap = 1 / VALIDATIONS
        if self.sitting.budget.seconds:
            gap = min(gap, _LONGEST_BETWEEN_S / self.sitting.budget.seconds)
            gap = max(gap, 10 * self._validation_s / self.sitting.budget.seconds)
        return self._fraction() + gap

    def _seconds_left(self) -> float:
        return self.sitting.budget.seconds_left(self.trainer.step, self.sitting.seconds, self._step_s)

    def _progress(self) -> TrainingProgress:
        latest, learned, step = self.sitting.latest, self.sitting.latest_learned, self.trainer.step
        metrics = {"loss": self._loss, "validation_loss": latest.loss, "dice": latest.dice, "iou": latest.iou, "train_dice": learned.dice}
        return TrainingProgress(
            self._fraction(),
            1.0,
            f"step {step}",
            {name: value for name, value in metrics.items() if not math.isnan(value)},
            step=step,
            loss=self._loss,
            validation_loss=latest.loss,
            dice=latest.dice,
            iou=latest.iou,
            train_loss=learned.loss,
            train_dice=learned.dice,
            train_iou=learned.iou,
            best_step=self.sitting.standing.best_step,
            seconds_left=self._seconds_left(),
        )


def _finished(run: Run) -> ModelBundle | None:
    """The model of a run that has used its budget; None where there is still something to do, as with a larger budget."""
    events, _ = run.events()
    turns = [event["kind"] for event in events if event["kind"] in ENDS or event["kind"] == "start" or event.get("extended")]
    if not turns or turns[-1] != "done":
        return None
    try:
        return open_bundle(run.folder)
    except ModelError:
        return None


def all_cores() -> int:
    """Cores this process may use: as its environment says, else all that it is allowed to run on."""
    asked = os.environ.get("OMP_NUM_THREADS", "")
    if asked.isdigit() and int(asked):
        return int(asked)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)
