"""One step of the engine against what it must do by hand: several outputs, several batches, weights of pixels, gradients as they are."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from napari_segtool.core.terms import Term
from napari_segtool.nets._normalise import Normalisation
from napari_segtool.training._plan import Plan
from napari_segtool.training.data._holdout import Field
from napari_segtool.training.data._loader import Batch
from napari_segtool.training.data._normalisation import fixed_normalisation
from napari_segtool.training.engine._number_format import choose_format
from napari_segtool.training.engine._supervision import supervised
from napari_segtool.training.engine._trainer import Trainer
from napari_segtool.training.engine._watch import Watch
from napari_segtool.training.losses._class_weights import beside_map
from tests.training.blobs import tiny_run

PLAN = Plan(
    "unet",
    {"base_channels": 2, "depth": 1, "normalisation": "none", "dropout": 0.0},
    patch_px=(1, 16, 16),
    batch=2,
    learning_rate=0.1,
    weight_decay=0.0,
    optimiser="sgd",
    momentum=0.0,
    gradient_limit=0.0,
    average_steps=0,
    loss=(Term("cross-entropy"),),
    class_balance=0.0,
    precision="float32",
)


def make_trainer(tmp_path: Path, **changes: Any) -> Trainer:
    rng = np.random.default_rng(1)
    marks = rng.integers(0, 2, (1, 32, 32)).astype(np.uint8)
    field = Field(0, 0, rng.normal(size=(1, 1, 32, 32)).astype(np.float32), marks)
    watch = Watch(tiny_run(tmp_path / "run", steps=1))
    return Trainer(replace(PLAN, **changes), (field,), channels=1, classes=2, normalisation=Normalisation(), device="cpu", seed=3, watch=watch)


def make_batch(count: int, seed: int = 0) -> Batch:
    rng = np.random.default_rng(seed)
    return Batch(rng.normal(size=(count, 1, 16, 16)).astype(np.float32), rng.integers(0, 2, (count, 16, 16)).astype(np.uint8))


def weights_of(trainer: Trainer) -> torch.Tensor:
    return torch.cat([weight.detach().flatten().clone() for weight in trainer.network.parameters()])


def halves(batch: Batch) -> list[Batch]:
    middle = len(batch.images) // 2
    return [Batch(batch.images[part], batch.classes[part]) for part in (slice(middle), slice(middle, None))]


def test_two_batches_of_two_make_the_step_of_one_batch_of_four(tmp_path: Path) -> None:
    whole, parts = make_trainer(tmp_path / "whole"), make_trainer(tmp_path / "parts", accumulate=2)
    assert torch.equal(weights_of(whole), weights_of(parts))
    batch = make_batch(4)
    before = weights_of(whole)
    first, second = halves(batch)
    losses = whole.learn(batch, 0.1), parts.learn(first, 0.1, iter([second]))
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)
    assert (weights_of(whole) - before).abs().max() > 1e-4
    assert torch.allclose(weights_of(whole), weights_of(parts), atol=1e-7)
    assert (whole.step, parts.step) == (1, 1)


def test_a_gradient_is_shortened_to_the_limit_or_left_as_it_is(tmp_path: Path) -> None:
    free, limited = make_trainer(tmp_path / "free"), make_trainer(tmp_path / "limited", gradient_limit=0.001)
    before = weights_of(free)
    loss = torch.nn.functional.cross_entropy(free.network(torch.from_numpy(make_batch(2).images)), torch.from_numpy(make_batch(2).classes).long())
    expected = torch.cat([gradient.flatten() for gradient in torch.autograd.grad(loss, list(free.network.parameters()))])
    for trainer in (free, limited):
        trainer.learn(make_batch(2), 0.1)
    assert torch.allclose(before - weights_of(free), 0.1 * expected, atol=1e-6)
    assert float((before - weights_of(limited)).norm()) == pytest.approx(0.1 * 0.001, rel=1e-2)


def test_a_pixel_of_weight_zero_counts_as_one_without_a_label(tmp_path: Path) -> None:
    weighed, unlabelled = make_trainer(tmp_path / "weighed"), make_trainer(tmp_path / "unlabelled")
    batch = make_batch(2)
    left = np.zeros_like(batch.classes, bool)
    left[:, :, :8] = True
    weighed.learn(replace(batch, weights=np.where(left, 3.0, 0.0).astype(np.float32)), 0.1)
    unlabelled.learn(replace(batch, classes=np.where(left, batch.classes, np.uint8(255))), 0.1)
    assert torch.allclose(weights_of(weighed), weights_of(unlabelled), atol=1e-7)


def test_with_a_weight_map_the_loss_does_not_weigh_the_classes_once_more(tmp_path: Path) -> None:
    # The map holds the class weights: w_c(x) of each pixel. Both ways of weighing are the same step.
    by_class, by_map = make_trainer(tmp_path / "class", class_balance=1.0), make_trainer(tmp_path / "map", class_balance=1.0, border_weight=10.0)
    batch = make_batch(2)
    batch.classes[:, :12] = 0
    assert by_class.weights.tolist() == by_map.weights.tolist()
    by_class.learn(batch, 0.1)
    by_map.learn(replace(batch, weights=by_map.weights.numpy()[batch.classes]), 0.1)
    assert torch.allclose(weights_of(by_class), weights_of(by_map), atol=1e-7)


def test_coarser_outputs_count_half_as_much_each_and_see_every_second_pixel() -> None:
    target = torch.randint(0, 3, (2, 8, 8), generator=torch.Generator().manual_seed(0))
    target[0, ::2, ::2] = 255
    pixel_weights = torch.rand(2, 8, 8, generator=torch.Generator().manual_seed(1))
    outputs = [torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(size)) for size in (8, 4, 2)]
    seen = []

    def loss(logits: torch.Tensor, marks: torch.Tensor, weights: torch.Tensor | None) -> torch.Tensor:
        assert weights is not None
        seen.append((marks, weights))
        return logits.pow(2).mean()

    total = supervised(loss, tuple(outputs), target, pixel_weights)
    parts = [float(output.pow(2).mean()) for output in outputs]
    assert float(total) == pytest.approx((4 * parts[0] + 2 * parts[1] + parts[2]) / 7, rel=1e-6)
    for (marks, weights), stride in zip(seen, (1, 2, 4), strict=True):
        assert torch.equal(marks, target[:, ::stride, ::stride])
        assert torch.equal(weights, pixel_weights[:, ::stride, ::stride])
        assert marks.dtype == torch.int64


def test_a_network_with_deep_supervision_is_trained_on_all_its_outputs(tmp_path: Path) -> None:
    params = {"base_channels": 2, "depth": 3, "normalisation": "none", "dropout": 0.0}
    trainer = make_trainer(tmp_path, network_params=params, deep_supervision=True)
    trainer.network.train()
    outputs = trainer.network(torch.zeros(1, 1, 16, 16))
    assert [output.shape[-1] for output in outputs][:2] == [16, 8]
    before = {name: weight.detach().clone() for name, weight in trainer.network.named_parameters()}
    trainer.learn(make_batch(2), 0.1)
    unmoved = [name for name, weight in trainer.network.named_parameters() if torch.equal(weight, before[name])]
    assert not unmoved
    assert trainer.ask(torch.zeros(1, 1, 16, 16)).shape == (1, 2, 16, 16)


@pytest.mark.parametrize(
    "changes",
    [{"optimiser": "sgd", "momentum": 0.9}, {"optimiser": "sgd", "momentum": 0.0}, *({"optimiser": kind} for kind in ("adam", "adamw", "muon"))],
)
def test_a_step_from_a_checkpoint_is_the_same_to_the_last_bit(tmp_path: Path, changes: dict[str, Any]) -> None:
    first, second = make_trainer(tmp_path / "first", **changes), make_trainer(tmp_path / "second", **changes)
    for number in range(3):
        first.learn(make_batch(2, number), 0.01)
    second.restore(first.checkpoint({}))
    for trainer in (first, second):
        trainer.learn(make_batch(2, 9), 0.01)
    assert torch.equal(weights_of(first), weights_of(second))
    if changes.get("momentum") != 0.0:
        fresh = make_trainer(tmp_path / "fresh", **changes)
        fresh.restore(replace(first.checkpoint({}), tensors={k: v for k, v in first.checkpoint({}).tensors.items() if not k.startswith("optimizer.")}))
        for trainer in (first, fresh):
            trainer.learn(make_batch(2, 10), 0.01)
        assert not torch.equal(weights_of(first), weights_of(fresh))  # the moments matter


def test_the_initialisation_is_the_plans_and_repeats_with_the_seed(tmp_path: Path) -> None:
    kinds = {kind: weights_of(make_trainer(tmp_path / kind, initialisation=kind)) for kind in ("kaiming", "gaussian", "orthogonal")}
    again = weights_of(make_trainer(tmp_path / "again", initialisation="gaussian"))
    assert torch.equal(kinds["gaussian"], again)
    assert not torch.equal(kinds["gaussian"], kinds["kaiming"])
    assert not torch.equal(kinds["orthogonal"], kinds["kaiming"])


def test_number_formats_that_a_cpu_lacks_become_float32() -> None:
    cpu = torch.device("cpu")
    assert [choose_format(wanted, cpu) for wanted in ("float32", "float16", "bfloat16")] == ["float32", "float32", "bfloat16"]


@pytest.mark.parametrize("optimiser", ["sgd", "adam", "adamw", "muon"])
def test_where_nothing_may_wait_the_optimiser_itself_leaves_out_steps_that_are_not_finite(tmp_path: Path, optimiser: Any) -> None:
    trainer = make_trainer(tmp_path, optimiser=optimiser)
    before = weights_of(trainer)
    trainer._loss(make_batch(2)).backward()
    trainer.device = torch.device("cuda")  # as it is told there; the fused optimisers of the CPU follow the same sign
    trainer._update(torch.tensor(False))
    assert torch.equal(weights_of(trainer), before)
    trainer._update(torch.tensor(True))
    assert not torch.equal(weights_of(trainer), before)


def test_a_scaled_loss_makes_the_same_step_and_one_too_large_makes_none(tmp_path: Path) -> None:
    plain, scaled, wild = (make_trainer(tmp_path / name, gradient_limit=1.0) for name in ("plain", "scaled", "wild"))
    scaled.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**12)
    wild.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**127)
    before = weights_of(wild)
    losses = [trainer.learn(make_batch(2), 0.1) for trainer in (plain, scaled)]
    wild.learn(replace(make_batch(2), images=1000 * make_batch(2).images), 0.1)
    assert losses[0] == pytest.approx(losses[1])
    assert torch.allclose(weights_of(plain), weights_of(scaled), atol=1e-6)
    assert torch.equal(weights_of(wild), before)
    assert wild.scaler.get_scale() == 2.0**126


def test_a_step_that_is_not_finite_leaves_the_statistics_of_the_batch_normalisation(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path, network_params={"base_channels": 2, "depth": 1, "normalisation": "batch", "dropout": 0.0})
    trainer.learn(make_batch(2), 0.1)
    before = [buffer.clone() for buffer in trainer.network.buffers()]
    wild = make_batch(2)
    wild.images[0, 0, 3, 3] = np.inf
    trainer.learn(wild, 0.1)
    assert before
    assert all(torch.equal(buffer, old) for buffer, old in zip(trainer.network.buffers(), before, strict=True))
    trainer.learn(make_batch(2, seed=1), 0.1)
    assert all(torch.isfinite(buffer).all() for buffer in trainer.average.buffers())
    assert any(not torch.equal(buffer, old) for buffer, old in zip(trainer.network.buffers(), before, strict=True))


@pytest.mark.parametrize("shape", [(1, 1), (3, 10), (32, 1)])
def test_pictures_too_small_for_instance_normalisation_are_asked_with_their_border_repeated(tmp_path: Path, shape: tuple[int, int]) -> None:
    trainer = make_trainer(tmp_path, network_params={"base_channels": 2, "depth": 4, "normalisation": "instance", "dropout": 0.0}, patch_px=(1, 32, 32))
    logits = trainer.ask(torch.zeros(1, 1, *shape))
    assert logits.shape == (1, 2, *shape)
    assert torch.isfinite(logits).all()


def test_a_checkpoint_from_a_graphics_card_goes_on_in_a_format_that_the_cpu_has(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path)
    checkpoint = trainer.checkpoint({})
    trainer.restore(replace(checkpoint, facts={**checkpoint.facts, "precision": "float16", "scaler": {}}))
    assert trainer.precision == "float32"
    assert not trainer.scaler.is_enabled()


@pytest.mark.parametrize(
    ("loss", "in_map", "in_loss"),
    [
        ((Term("cross-entropy"),), "balanced", "ones"),
        ((Term("weighted-cross-entropy", 1.0, {"weights": "1,1"}),), "ones", "balanced"),
        ((Term("dice"), Term("class-balanced")), "ones", "balanced"),
    ],
)
def test_class_weights_stand_in_the_map_or_in_the_loss_never_in_both(tmp_path: Path, loss: Any, in_map: str, in_loss: str) -> None:
    trainer = make_trainer(tmp_path, class_balance=1.0, border_weight=10.0, loss=loss)
    wanted = {"balanced": trainer.weights, "ones": torch.ones(2)}
    assert not torch.allclose(trainer.weights, torch.ones(2), atol=1e-4)
    assert torch.equal(trainer.map_weights, wanted[in_map])
    assert torch.allclose(beside_map(trainer.weights, loss), wanted[in_loss])


def test_fixed_grey_values_do_not_count_nan() -> None:
    image = np.random.default_rng(0).normal(5, 3, (3, 2, 16, 16)).astype(np.float32)
    whole = fixed_normalisation((Field(0, 0, image, np.zeros((3, 16, 16), np.uint8)),))
    assert np.allclose(whole.mean, image.mean(axis=(0, 2, 3)), atol=1e-5)
    image[:, 0, :8] = np.nan
    part = fixed_normalisation((Field(0, 0, image, np.zeros((3, 16, 16), np.uint8)),))
    assert np.allclose(part.deviation, [image[:, 0, 8:].std(), image[:, 1].std()], atol=1e-5)
    assert (part.mean[1], part.deviation[1]) == (whole.mean[1], whole.deviation[1])
