"""What a validation counts, against counts by hand; what is kept, and when training ends early."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from napari_segtool import api
from napari_segtool.core.progress import drain
from napari_segtool.core.stack import Stack
from napari_segtool.nets._bundle import open_bundle
from napari_segtool.nets._normalise import Normalisation
from napari_segtool.training.data._border import weigh_fields
from napari_segtool.training.data._holdout import Field
from napari_segtool.training.data._weights import border_weights
from napari_segtool.training.validate._scoring import Validation, plan_windows, read_box, validate
from napari_segtool.training.validate._standing import Standing
from tests.training.blobs import blobs, kinds, messages, tiny_run, train

RAW = Normalisation("fixed", (0.0,), (1.0,))


def sum_up(steps: Any) -> Any:
    """Run a generator to its end and return its result."""
    try:
        while True:
            next(steps)
    except StopIteration as stop:
        return stop.value


def test_loss_dice_and_iou_are_those_counted_by_hand() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 3, (1, 20, 24)).astype(np.uint8)
    check = np.where(rng.random(truth.shape) < 0.6, truth, np.uint8(255))
    image = rng.normal(size=(1, 3, 20, 24)).astype(np.float32)  # the image itself is what the "network" answers
    field = Field(0, 0, image, np.where(check == 255, truth, np.uint8(255)), check)
    weights = torch.tensor([1.0, 2.0, 0.5])
    chances = np.exp(image[0] - image[0].max(0)) / np.exp(image[0] - image[0].max(0)).sum(0)
    guess = image[0].argmax(0)
    for held, marks in ((True, check), (False, field.learn)):
        windows = plan_windows((field,), 2, (1, 8, 8), (1, 1), held=held)
        *_, result = validate(windows, lambda images: images, Normalisation("fixed", (0.0,) * 3, (1.0,) * 3), weights, 2, held=held)
        y, x = np.nonzero(marks[0] != 255)
        classes = marks[0, y, x]
        mass = weights.numpy()[classes]
        assert result.loss == pytest.approx(float((-np.log(chances[classes, y, x]) * mass).sum() / mass.sum()), rel=1e-5)
        shared = [np.sum((classes == k) & (guess[y, x] == k)) for k in range(3)]
        either = [np.sum((classes == k) | (guess[y, x] == k)) for k in range(3)]
        assert result.iou == pytest.approx(np.mean([a / b for a, b in zip(shared, either, strict=True)]))
        assert result.dice == pytest.approx(np.mean([2 * a / (b + a) for a, b in zip(shared, either, strict=True)]))


def test_chances_of_sigmoid_heads_are_made_to_add_up_to_one_before_they_are_scored() -> None:
    logits = np.array([2.0, -1.0, 0.5], np.float32).reshape(1, 3, 1, 1)
    field = Field(0, 0, logits, np.full((1, 1, 1), 255, np.uint8), np.zeros((1, 1, 1), np.uint8))
    windows = plan_windows((field,), 2, (1, 8, 8), (1, 1))
    *_, result = validate(windows, lambda images: images, Normalisation("fixed", (0.0,) * 3, (1.0,) * 3), torch.ones(3), 2, head="sigmoid")
    each = 1 / (1 + np.exp(-logits.ravel()))
    assert result.loss == pytest.approx(-math.log(each[0] / each.sum()), rel=1e-5)


def test_neighbouring_planes_are_channels_mirrored_at_the_ends_of_the_stack() -> None:
    stack = np.arange(4, dtype=np.float32)[:, None, None, None] * np.ones((4, 1, 5, 5), np.float32)
    marks = np.zeros((1, 5, 5), np.uint8)
    for section, seen in ((0, [1, 0, 1]), (2, [1, 2, 3]), (3, [2, 3, 2])):
        field = Field(0, section, stack[section : section + 1], marks, around=stack, section=section)
        box = read_box(field, (slice(0, 1), slice(1, 4), slice(0, 5)), RAW, True, 1)
        assert box.shape == (1, 3, 3, 5)
        assert box[0, :, 0, 0].tolist() == seen


def test_a_network_that_sees_neighbouring_planes_is_trained_validated_and_used(tmp_path: Path) -> None:
    import napari_segtool as segtool

    image, mask = blobs(6, 48)
    run = tiny_run(tmp_path / "run", pairs=[(Stack(image, "ZYX", (0.05, 0.01, 0.01)), mask)], steps=3, dimensions="2.5-D", neighbours=1)
    run.request_preview(0, (1,))
    bundle = drain(train(run))
    assert (bundle.card["channels"], bundle.card["neighbours"], bundle.card["spatial"]) == (1, 1, 2)
    assert "preview" in kinds(run)
    assert segtool.predict(bundle, Stack(image, "ZYX"), device="cpu").labels.data.shape == image.shape


def test_the_head_that_the_loss_wants_stands_on_the_card(tmp_path: Path) -> None:
    bundle = drain(train(tiny_run(tmp_path / "run", steps=2, loss="binary-cross-entropy + dice")))
    assert bundle.card["head"] == "sigmoid"
    assert "head" not in drain(train(tiny_run(tmp_path / "other", steps=2))).card


def test_events_of_a_validation_tell_learned_and_held_out_pixels_apart(tmp_path: Path) -> None:
    run = tiny_run(tmp_path / "run", steps=4)
    seen: list[Any] = []
    drain(train(run), seen.append)
    checks = [event for event in run.events()[0] if event["kind"] == "validation"]
    for event in checks:
        for name in ("loss", "dice", "iou", "train_loss", "train_dice", "train_iou"):
            assert isinstance(event[name], float)
        assert event["iou"] < event["dice"] < 1
    assert checks[-1]["loss"] != checks[-1]["train_loss"]
    assert (seen[-1].iou, seen[-1].train_dice) == (checks[-1]["iou"], checks[-1]["train_dice"])
    assert seen[-1].best_step == checks[-1]["best_step"]


def scored(metric: str, value: float) -> Validation:
    return Validation(**{"loss": 0.5, "dice": 0.5, "classes": (), "iou": 0.5, metric: value})


@pytest.mark.parametrize(("metric", "values", "kept"), [("iou", [0.5, 0.6, 0.595, 0.58], [1, 1, 1, 0]), ("loss", [0.5, 0.4, 0.403, 0.41], [1, 1, 1, 0])])
def test_what_is_kept_follows_the_chosen_metric(metric: Any, values: list[float], kept: list[int]) -> None:
    standing = Standing(metric, keep_within=0.01)
    assert [standing.take(10 * n, scored(metric, value)) for n, value in enumerate(values, 1)] == [bool(k) for k in kept]
    assert (standing.best_step, standing.kept_step) == (20, 30)


@pytest.mark.parametrize("metric", ["dice", "iou", "loss"])
def test_weights_whose_score_is_not_a_number_do_not_replace_good_ones(metric: Any) -> None:
    standing = Standing(metric, keep_within=0.01)
    assert [standing.take(10 * n, scored(metric, value)) for n, value in enumerate([0.5, math.nan, 0.5], 1)] == [True, False, True]


def test_where_nothing_is_held_out_the_latest_weights_are_kept_and_patience_never_ends() -> None:
    standing = Standing("dice", 0.01, patience_steps=5)
    assert all(standing.take(step, scored("dice", math.nan)) for step in (10, 20, 30))
    assert not standing.out_of_patience
    assert standing.kept_step == 30


def test_it_is_said_when_validation_has_not_improved_for_300_steps_and_again_after_600() -> None:
    standing = Standing("dice", 0.01)
    standing.take(50, scored("dice", 0.9))
    said = {}
    for step in range(100, 1000, 50):
        standing.take(step, scored("dice", 0.8))
        if text := standing.remark():
            said[step] = text
    assert said[350] == "Validation has not improved for 300 steps; it was best at step 50 (Dice 0.900)."
    assert list(said) == [350, 650]


def test_standing_goes_on_from_a_checkpoint() -> None:
    first, second = Standing("loss", 0.01, 40), Standing("loss", 0.01, 40)
    first.take(10, scored("loss", 0.3))
    second.restore(first.record())
    assert not second.take(50, scored("loss", 0.5))
    assert second.out_of_patience
    assert (second.best, second.best_step) == (-0.3, 10)


def test_training_ends_when_patience_does_and_keeps_the_best_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dices = iter([0.5, 0.8, *[0.6] * 90])

    def score(*_arguments: Any, held: bool, **_settings: Any) -> Any:
        return iter([Validation(0.1, next(dices) if held else 0.9, (), 0.4)])

    monkeypatch.setattr("napari_segtool.training.engine._session.validate", score)
    run = tiny_run(tmp_path / "run", steps=40, patience_steps=6)
    drain(train(run))
    assert kinds(run)[-1] == "done"
    assert "ended early: validation has not improved for 6 steps; it was best at step 4 (Dice 0.800)" in messages(run)
    done = run.events()[0][-1]
    assert (done["step"], done["best_step"], done["kept_step"], done["dice"]) == (10, 4, 4, 0.8)
    assert open_bundle(run.folder).card["trained"]["steps"] == 4


@pytest.mark.parametrize(("metric", "told"), [("iou", "IoU 0.700"), ("loss", "loss 0.200")])
def test_a_run_goes_by_its_metric_where_dice_says_otherwise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, metric: str, told: str) -> None:
    """Dice rises to the end; IoU and loss are best at the second validation, step 4."""
    checks = iter([Validation(*scores) for scores in ((0.4, 0.5, (), 0.4), (0.2, 0.6, (), 0.7), *((0.3, 0.7 + n / 100, (), 0.5) for n in range(20)))])

    def score(*_arguments: Any, held: bool, **_settings: Any) -> Any:
        return iter([next(checks) if held else Validation(0.1, 0.9, (), 0.9)])

    monkeypatch.setattr("napari_segtool.training.engine._session.validate", score)
    run = tiny_run(tmp_path / "run", steps=40, patience_steps=6, metric=metric)
    drain(train(run))
    assert f"it was best at step 4 ({told})" in messages(run)
    events = run.events()[0]
    assert [event["metric"] for event in events if event["kind"] == "start"] == [metric]
    assert (events[-1]["best_step"], events[-1]["kept_step"], events[-1]["dice"]) == (4, 4, 0.6)
    (found,) = api.runs_history([run.folder]).runs
    assert (found.metric, found.best_step, found.best) == (metric, 4, {"iou": 0.7, "loss": 0.2}[metric])


def test_weight_maps_are_made_once_for_each_field_and_multiplied_with_its_own_weights(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    marks = (rng.random((2, 24, 24)) < 0.3).astype(np.uint8)
    own = rng.random((1, 24, 24)).astype(np.float32)
    image = np.zeros((1, 1, 24, 24), np.uint8)
    nothing = np.zeros((0, 24, 24), np.uint8)
    fields = [Field(0, 0, image, marks[:1]), Field(0, 1, image, marks[1:], weights=own), Field(0, 2, image, nothing, marks[:1])]
    settings: dict[str, Any] = {"w0": 7.0, "sigma_px": 3.0, "class_weights": (0.5, 2.0), "flat": True}
    memory = sum_up(weigh_fields(fields, tmp_path, **settings))
    disk = sum_up(weigh_fields(fields, tmp_path / "maps", **settings, in_memory_px=10))
    expected = [border_weights(plane, w0=7.0, sigma_px=3.0, class_weights=(0.5, 2.0)) for plane in marks]
    for weighed in (memory, disk):
        assert np.array_equal(weighed[0].weights[0], expected[0])
        assert np.array_equal(weighed[1].weights, expected[1][None] * own)
        assert weighed[2].weights is None
    assert isinstance(disk[0].weights, np.memmap)
    assert not (tmp_path / "border.f32").exists()


def test_a_run_with_border_weights_learns_and_one_from_paint_says_that_it_has_none(tmp_path: Path) -> None:
    run = tiny_run(tmp_path / "mask", steps=2, border_weight=10.0)
    seen = [progress.label for progress in train(run)]
    assert seen[0] == "weight map"
    image, mask = blobs()
    paint = np.zeros(mask.shape, np.uint8)
    paint[2, 5:60:9] = np.where(mask[2, 5:60:9] > 0, 2, 1)
    run = tiny_run(tmp_path / "paint", pairs=[(Stack(image, "ZYX"), paint)], labels_are="paint", steps=2, border_weight=10.0)
    drain(train(run))
    assert "Paint does not say where objects end" in messages(run)
