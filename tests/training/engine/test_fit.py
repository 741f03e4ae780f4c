"""The engine: it learns, repeats itself, answers requests, and loses nothing when it is interrupted."""

from __future__ import annotations

import itertools
import json
import os
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from napari_segtool.core.errors import DataError, ModelError
from napari_segtool.core.progress import drain
from napari_segtool.core.stack import Stack
from napari_segtool.nets._bundle import load_network, open_bundle
from napari_segtool.training.engine._fit import TrainingCancelledError
from napari_segtool.training.engine._trainer import Trainer
from napari_segtool.training.runs._events import TrainingProgress
from napari_segtool.training.runs._run import open_run
from napari_segtool.training.validate._scoring import Validation
from tests.training.blobs import blobs, kinds, messages, tiny_run, train, weights_of


def equal(first: dict[str, np.ndarray], second: dict[str, np.ndarray]) -> bool:
    return first.keys() == second.keys() and all(np.array_equal(first[name], second[name]) for name in first)


def cancel_after(run: Any, steps: int) -> None:
    """Train until ``steps`` are done, then cancel as another process would."""

    def answer(progress: Any) -> None:
        if progress.step == steps:
            run.request("cancel")

    with pytest.raises(TrainingCancelledError):
        drain(train(run), answer)


def test_it_learns_blobs_and_says_how_it_goes(tmp_path: Path) -> None:
    run = tiny_run(tmp_path / "run", steps=120, learning_rate=0.01)
    seen: list[TrainingProgress] = []
    bundle = drain(train(run), seen.append)  # type: ignore[arg-type]
    assert bundle.card["scores"]["dice"] > 0.9
    assert [entry["value"] for entry in bundle.card["classes"]] == [0, 1]
    assert bundle.card["trained"]["images"] == ["blobs"]
    assert bundle.card["spacing_um"] == [0.05, 0.01, 0.01]
    assert bundle.card["recipe"][0]["name"] == "train:unet"
    assert len(bundle.card["halo"]) == 2
    assert all(isinstance(progress, TrainingProgress) for progress in seen)
    assert [progress.step for progress in seen] == sorted(progress.step for progress in seen)
    assert seen[-1].fraction == 1
    assert seen[-1].metrics["dice"] > 0.9
    assert seen[5].seconds_left > seen[-1].seconds_left == 0
    found = kinds(run)
    assert found.index("start") < found.index("step")
    assert found[-1] == "done"
    assert found.count("validation") >= 20
    load_network(open_bundle(run.folder))


def test_the_same_seed_makes_the_same_model_and_another_seed_another(tmp_path: Path) -> None:
    runs = [tiny_run(tmp_path / str(n), steps=8, seed=seed, dropout=0.3) for n, seed in enumerate((4, 4, 5))]
    for run in runs:
        drain(train(run))
    first, again, other = (weights_of(run) for run in runs)
    assert equal(first, again)
    assert not equal(first, other)


def test_a_cancelled_run_goes_on_to_the_same_model_as_one_that_was_not(tmp_path: Path) -> None:
    whole, parted = tiny_run(tmp_path / "whole", steps=24, dropout=0.2), tiny_run(tmp_path / "parted", steps=24, dropout=0.2)
    drain(train(whole))
    cancel_after(parted, 5)
    assert kinds(parted)[-1] == "cancelled"
    cancel_after(open_run(parted.folder), 13)
    drain(train(open_run(parted.folder)))
    assert equal(weights_of(whole), weights_of(parted))
    scores = [{event["step"]: event["dice"] for event in run.events()[0] if event["kind"] == "validation"} for run in (whole, parted)]
    assert scores[0] == scores[1]
    starts = [event for event in parted.events()[0] if event["kind"] == "start"]
    assert [event["resumed"] for event in starts] == [False, True, True]
    assert 0 < starts[1]["step"] < starts[2]["step"] < 24


SETUPS = {
    "sgd, two batches a step": {"optimiser": "sgd", "momentum": 0.9, "learning_rate": 0.01, "accumulate": 2},
    "adam, deep supervision": {"optimiser": "adam", "deep_supervision": True, "depth": 3},
    "adamw, weight map, one cycle": {"border_weight": 10.0, "schedule": "one-cycle", "initialisation": "orthogonal", "gradient_limit": 0},
    "held to the weights for electron microscopy": {
        "initialisation": "em",
        "base_channels": 32,
        "depth": 4,
        "patch_px": 32,
        "retain": 1.0,
        "optimiser": "adamw",
    },
    "sigmoid heads": {"loss": "binary-cross-entropy + dice", "metric": "loss", "average_steps": 5},
}


@pytest.mark.parametrize("setup", SETUPS)
def test_every_way_of_training_repeats_itself_and_goes_on_to_the_same_model(tmp_path: Path, setup: str) -> None:
    whole, parted = (tiny_run(tmp_path / name, steps=10, dropout=0.2, **SETUPS[setup]) for name in ("whole", "parted"))
    drain(train(whole))
    cancel_after(parted, 4)
    bundle = drain(train(open_run(parted.folder)))
    assert equal(weights_of(whole), weights_of(parted))
    assert bundle.card.get("class_bias") == open_bundle(whole.folder).card.get("class_bias")
    assert bundle.card["scores"] == open_bundle(whole.folder).card["scores"]


def test_a_generator_that_is_closed_leaves_a_run_to_go_on_with(tmp_path: Path) -> None:
    run = tiny_run(tmp_path / "run", steps=20)
    steps = train(run)
    for _ in itertools.islice(steps, 7):
        pass
    steps.close()
    assert kinds(run)[-1] == "cancelled"
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("batches")]
    drain(train(open_run(run.folder)))
    assert kinds(run)[-1] == "done"


def test_stop_keeps_the_best_weights_and_finishes(tmp_path: Path) -> None:
    run = tiny_run(tmp_path / "run", steps=100000)
    bundle = None
    steps = train(run)
    try:
        while True:
            if next(steps).step == 6:
                run.request("stop")
    except StopIteration as end:
        bundle = end.value
    assert 6 <= bundle.card["trained"]["steps"] < 1000
    assert kinds(run)[-1] == "stopped"
    assert open_bundle(run.folder).card == bundle.card


def test_a_request_is_answered_in_the_middle_of_a_long_step(tmp_path: Path) -> None:
    image, mask = blobs(6, 256)
    run = tiny_run(tmp_path / "run", pairs=[(Stack(image, "ZYX"), mask)], steps=50, base_channels=24, depth=4, patch_px=256, batch=6)
    steps = train(run)
    next(steps)
    begun = time.monotonic()
    next(steps)
    one_step = time.monotonic() - begun
    timer = threading.Timer(0.3 * one_step, run.request, ["cancel"])
    timer.start()
    begun = time.monotonic()
    with pytest.raises(TrainingCancelledError):
        drain(steps)
    timer.join()
    answered = time.monotonic() - begun - 0.3 * one_step
    assert answered < max(1.0, 0.5 * one_step)
    drain(itertools_first(train(open_run(run.folder)), 1))


def itertools_first(steps: Any, count: int) -> Any:
    """The first steps of a training, then its end."""
    try:
        yield from itertools.islice(steps, count)
    finally:
        steps.close()


@pytest.mark.parametrize(("labels_are", "kept"), [("paint", [True, True, True, False]), ("mask", [True, True, False, False])])
def test_later_weights_are_kept_unless_they_are_clearly_worse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, labels_are: str, kept: list[bool]) -> None:
    image, mask = blobs()
    run = tiny_run(tmp_path / "run", pairs=[(Stack(image, "ZYX"), (mask > 0) + np.uint8(labels_are == "paint"))], labels_are=labels_are, steps=4)
    dices = iter([0.9, 0.895, 0.87, 0.8])

    def score(*_arguments: Any, held: bool, **_settings: Any) -> Any:
        return iter([Validation(0.1, next(dices) if held else 0.9, ())])

    monkeypatch.setattr("napari_segtool.training.engine._session.validate", score)
    drain(train(run))
    assert [event["kept"] for event in run.events()[0] if event["kind"] == "validation"] == kept


def test_a_finished_run_is_returned_as_it_is(tmp_path: Path) -> None:
    run = tiny_run(tmp_path / "run", steps=4)
    first = drain(train(run))
    before = weights_of(run)
    again = drain(train(open_run(run.folder)))
    assert again.card == first.card
    assert equal(before, weights_of(run))
    assert "finished" in messages(run)


def test_two_processes_cannot_train_one_run(tmp_path: Path) -> None:
    run = tiny_run(tmp_path / "run", steps=10)
    steps = train(run)
    next(steps)
    with pytest.raises(ModelError, match="another process"):
        next(train(open_run(run.folder)))
    steps.close()
    drain(train(open_run(run.folder)))


def test_a_budget_of_time_is_kept_and_the_rate_falls_within_it(tmp_path: Path) -> None:
    run = tiny_run(tmp_path / "run", steps=0, minutes=0.1)
    begun = time.monotonic()
    drain(train(run))
    assert time.monotonic() - begun < 6 * 1.35
    rates = [event["learning_rate"] for event in run.events()[0] if event["kind"] == "step"]
    assert rates[-1] < 0.25 * max(rates)
    assert kinds(run)[-1] == "done"


def test_paint_is_learned_and_keeps_its_numbers(tmp_path: Path) -> None:
    image, mask = blobs()
    paint = np.zeros(mask.shape, np.uint8)
    paint[2, 5:60:9] = np.where(mask[2, 5:60:9] > 0, 7, 3)
    run = tiny_run(tmp_path / "run", pairs=[(Stack(image, "ZYX"), paint)], labels_are="paint", steps=100, learning_rate=0.01)
    bundle = drain(train(run))
    assert [entry["value"] for entry in bundle.card["classes"]] == [3, 7]
    assert bundle.card["scores"]["dice"] > 0.85


def test_a_volume_is_learned_in_3d(tmp_path: Path) -> None:
    image, mask = blobs(12, 48)
    run = tiny_run(tmp_path / "run", pairs=[(Stack(image, "ZYX", (0.04, 0.01, 0.01)), mask)], steps=6, dimensions="3-D", patch_planes=4)
    bundle = drain(train(run))
    assert bundle.card["spatial"] == 3
    assert bundle.card["network_params"]["z_factors"] == "1,1"
    assert len(bundle.card["halo"]) == 3
    assert load_network(bundle)(torch.zeros(1, 1, 5, 20, 20)).shape == (1, 2, 5, 20, 20)


def test_colour_images_of_two_shapes_are_learned_together(tmp_path: Path) -> None:
    image, mask = blobs(1, 64)
    colour = np.repeat(image[0][..., None], 3, axis=2)
    pairs = [(Stack(colour, "YXS"), mask[0]), (Stack(colour[:40].astype(np.float32).transpose(2, 0, 1), "CYX"), mask[0, :40])]
    bundle = drain(train(tiny_run(tmp_path / "run", pairs=pairs, steps=3, grey_values="fixed")))
    assert bundle.card["channels"] == 3
    assert len(bundle.card["normalisation"]["mean"]) == 3


def test_a_preview_of_the_plane_asked_for_appears(tmp_path: Path) -> None:
    run = tiny_run(tmp_path / "run", steps=40, learning_rate=0.01)
    run.request_preview(0, (4,))
    drain(train(run))
    shown = [event for event in run.events()[0] if event["kind"] == "preview"]
    assert shown[0]["plane"] == [4]
    labels = np.load(run.folder / shown[-1]["path"])
    assert (labels.dtype, labels.shape) == (np.uint8, (64, 64))
    assert set(np.unique(labels)) <= {0, 1}
    assert len(list((run.folder / "preview").glob("preview-*.npy"))) <= 2


def test_a_preview_of_a_plane_that_is_not_there_is_answered_by_a_message(tmp_path: Path) -> None:
    run = tiny_run(tmp_path / "run", steps=4)
    run.request_preview(0, (400,))
    drain(train(run))
    assert "not in this run" in messages(run)
    assert kinds(run)[-1] == "done"


def test_a_corrupt_checkpoint_costs_some_steps_and_not_the_run(tmp_path: Path) -> None:
    whole, run = tiny_run(tmp_path / "whole", steps=20), tiny_run(tmp_path / "run", steps=20)
    drain(train(whole))
    cancel_after(run, 9)
    latest = sorted((run.folder / "checkpoints").glob("*.safetensors"))[-1]
    latest.write_bytes(latest.read_bytes()[:-7] + b"garbage")
    drain(train(open_run(run.folder)))
    assert "damaged" in messages(run)
    assert equal(weights_of(whole), weights_of(run))


def test_with_every_checkpoint_corrupt_it_starts_again(tmp_path: Path) -> None:
    whole, run = tiny_run(tmp_path / "whole", steps=12), tiny_run(tmp_path / "run", steps=12)
    drain(train(whole))
    cancel_after(run, 6)
    for path in (run.folder / "checkpoints").iterdir():
        path.write_bytes(b"\x00")
    drain(train(open_run(run.folder)))
    assert equal(weights_of(whole), weights_of(run))


def test_weights_of_another_model_are_taken_over_where_they_fit(tmp_path: Path) -> None:
    first = tiny_run(tmp_path / "first", steps=6)
    drain(train(first))
    second = tiny_run(tmp_path / "second", steps=1, start_from=first.folder, learning_rate=0.000001, average_steps=0)
    drain(train(second))
    old, new = weights_of(first), weights_of(second)
    assert np.allclose(old["down.0.0.weight"], new["down.0.0.weight"], atol=1e-4)
    assert "taken from the model" in messages(second)


def test_memory_that_runs_out_halves_the_batch_and_then_the_patch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    honest = Trainer._loss

    def tight(self: Trainer, batch: Any) -> Any:
        if batch.images.size > 16 * 16:
            raise RuntimeError("[enforce fail at alloc_cpu.cpp:117] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes.")
        return honest(self, batch)

    monkeypatch.setattr(Trainer, "_loss", tight)
    run = tiny_run(tmp_path / "run", steps=6)
    drain(train(run))
    assert kinds(run)[-1] == "done"
    assert "1 patch at a time" in messages(run)
    assert "16 × 16" in messages(run)
    facts = json.loads(sorted((run.folder / "checkpoints").glob("*.json"))[-1].read_text())["facts"]
    assert (facts["batch"], facts["patch_px"]) == (1, [1, 16, 16])


def test_memory_that_is_never_enough_ends_with_advice_and_a_run_to_go_on_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(self: Trainer, batch: Any) -> Any:
        raise MemoryError

    monkeypatch.setattr(Trainer, "_loss", none)
    run = tiny_run(tmp_path / "run", steps=6)
    with pytest.raises(Exception, match="Memory ran out") as caught:
        drain(train(run))
    assert type(caught.value).__name__ == "DeviceError"
    assert kinds(run)[-1] == "failed"
    monkeypatch.undo()
    drain(train(open_run(run.folder)))
    assert kinds(run)[-1] == "done"


def test_memory_that_runs_out_in_validation_and_preview_makes_smaller_windows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    honest = Trainer.ask

    def tight(self: Trainer, images: torch.Tensor) -> torch.Tensor:
        if images.shape[-1] > 170:
            raise RuntimeError("CUDA out of memory")
        return honest(self, images)

    monkeypatch.setattr(Trainer, "ask", tight)
    image, mask = blobs(5, 300)
    run = tiny_run(tmp_path / "run", pairs=[(Stack(image, "ZYX"), mask)], steps=2)
    run.request_preview(0, (1,))
    drain(train(run))
    assert kinds(run)[-1] == "done"
    assert "windows of 128 pixels" in messages(run)
    assert "preview" in kinds(run)


def test_a_plane_of_a_volume_can_be_previewed(tmp_path: Path) -> None:
    image, mask = blobs(9, 40)
    pairs = [(Stack(image.reshape(3, 3, 40, 40), "TZYX", (1.0, 1.0, 1.0)), mask.reshape(3, 3, 40, 40))]
    run = tiny_run(tmp_path / "run", pairs=pairs, steps=2, dimensions="3-D", patch_planes=2)
    run.request_preview(0, (2, 0))
    drain(train(run))
    shown = next(event for event in run.events()[0] if event["kind"] == "preview")
    assert shown["plane"] == [2, 0]
    assert np.load(run.folder / shown["path"]).shape == (40, 40)


def test_a_bug_is_reported_as_an_event_and_the_run_can_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    honest = Trainer.learn

    def broken(self: Trainer, batch: Any, rate: float, more: Any = ()) -> float:
        if self.step == 5:
            raise ZeroDivisionError("oh")
        return honest(self, batch, rate, more)

    monkeypatch.setattr(Trainer, "learn", broken)
    run = tiny_run(tmp_path / "run", steps=8)
    with pytest.raises(ZeroDivisionError):
        drain(train(run))
    assert kinds(run)[-1] == "failed"
    assert "ZeroDivisionError" in messages(run)
    monkeypatch.undo()
    drain(train(open_run(run.folder)))
    assert kinds(run)[-1] == "done"


def test_a_loss_that_is_no_number_changes_no_weight_and_ends_with_advice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    honest = Trainer._loss
    monkeypatch.setattr(Trainer, "_loss", lambda self, batch: honest(self, batch) * float("nan"))
    run = tiny_run(tmp_path / "run", steps=100)
    with pytest.raises(DataError, match="diverged") as caught:
        drain(train(run))
    assert "learning rate" in caught.value.hint


def test_a_full_disk_costs_checkpoints_and_not_the_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from napari_segtool.training.runs import _checkpoint

    honest = _checkpoint.write_atomically
    full = False

    def sometimes(path: Path, data: bytes) -> None:
        if full:
            raise OSError(28, "No space left on device")
        honest(path, data)

    monkeypatch.setattr(_checkpoint, "write_atomically", sometimes)
    run = tiny_run(tmp_path / "run", steps=20)
    for progress in train(run):
        full = progress.step >= 4
    assert kinds(run)[-1] == "done"
    assert "No space left" in messages(run)
    assert [path.stem for path in (run.folder / "checkpoints").glob("*.json")] == ["step-00000003"]


@pytest.fixture
def small_disk(tmp_path: Path) -> Any:
    """A file system of one megabyte."""
    import subprocess

    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)], capture_output=True, check=False) if os.name == "posix" else None
    if mounted is None or mounted.returncode:
        pytest.skip("this user may not mount a small disk")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_disk_that_is_really_full_leaves_a_run_to_go_on_with(small_disk: Path) -> None:
    run = tiny_run(small_disk / "run", steps=30)
    filler = small_disk / "filler"
    for progress in train(run):
        if progress.step == 8 and not filler.exists():
            fill(filler)
    assert "No space left" in messages(run) or run.events()[0][-1]["kind"] != "done"
    assert open_bundle(run.folder).card["trained"]["steps"] <= 8
    filler.unlink()
    again = drain(train(open_run(run.folder)))
    assert again.card["trained"]["steps"] > 8 or kinds(run)[-1] == "done"


def test_a_disk_that_is_full_from_the_start_is_said_and_resumed_from(small_disk: Path) -> None:
    run = tiny_run(small_disk / "run", steps=10)
    fill(small_disk / "filler")
    with pytest.raises(Exception, match="written"):
        drain(train(run))
    (small_disk / "filler").unlink()
    drain(train(open_run(run.folder)))
    assert kinds(run)[-1] == "done"


def fill(path: Path) -> None:
    with path.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"x" * 4096)
        except OSError:
            return
