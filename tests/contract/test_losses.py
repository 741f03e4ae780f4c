"""What every loss promises: gradients that are right, unlabelled pixels that have no say, weights that count like repeated pixels."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from napari_segtool.core.params import describe
from napari_segtool.core.registry import LOSSES, Entry
from napari_segtool.training.losses._context import Loss, LossContext

K = 3
SHAPES = {"2-D": (2, 4, 5), "3-D": (2, 2, 3, 4)}
every_loss = pytest.mark.parametrize("entry", list(LOSSES), ids=lambda entry: entry.name)
every_shape = pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)


def made(entry: Entry, sigmoid: bool | None = None, **params: Any) -> Loss:
    heads = "sigmoid" in entry.traits if sigmoid is None else sigmoid
    context = LossContext(torch.tensor([500, 60, 7]), torch.tensor([0.3, 1.0, 2.0]), torch.device("cpu"), sigmoid=heads)
    loss: Loss = entry.function(entry.params.build(**params), context)
    return loss


def case(shape: tuple[int, ...], unlabelled: float = 0.3, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    source = torch.Generator().manual_seed(seed)
    logits = torch.randn((shape[0], K, *shape[1:]), generator=source, dtype=torch.float64) * 2
    target = torch.randint(0, K, shape, generator=source)
    target[torch.rand(shape, generator=source) < unlabelled] = 255
    return logits, target, torch.rand(shape, generator=source, dtype=torch.float64) * 2 + 0.1


def gradient(loss: Loss, logits: Tensor, target: Tensor, weights: Tensor | None) -> tuple[float, Tensor]:
    logits = logits.clone().requires_grad_(True)
    value = loss(logits, target, weights)
    value.backward()
    assert logits.grad is not None
    return float(value.detach()), logits.grad


def test_all_losses_of_the_design_are_there() -> None:
    wanted = {"cross-entropy", "weighted-cross-entropy", "class-balanced", "binary-cross-entropy", "dice", "generalised-dice", "tversky", "focal", "boundary"}
    assert wanted <= set(LOSSES.names())


@every_loss
def test_it_says_what_it_is_and_where_it_comes_from(entry: Entry) -> None:
    assert entry.reference
    assert entry.family in ("pixels", "overlap", "boundaries")
    assert entry.summary.endswith(".")
    assert not {"sigmoid", "softmax"} <= entry.traits


@pytest.mark.parametrize(
    ("entry", "sigmoid"),
    [
        pytest.param(entry, heads == "sigmoid", id=f"{entry.name} {heads}")
        for entry in LOSSES
        for heads in (entry.traits & {"softmax", "sigmoid"} or ("softmax", "sigmoid"))
    ],
)
@every_shape
@pytest.mark.parametrize("weighted", [False, True])
def test_its_gradient_is_right(entry: Entry, shape: tuple[int, ...], sigmoid: bool, weighted: bool) -> None:
    logits, target, weights = case(shape)
    loss = made(entry, sigmoid)
    assert torch.autograd.gradcheck(lambda x: loss(x, target, weights if weighted else None), (logits.requires_grad_(True),))


@every_loss
@every_shape
def test_unlabelled_pixels_have_no_gradient_and_no_say(entry: Entry, shape: tuple[int, ...]) -> None:
    logits, target, weights = case(shape)
    loss = made(entry)
    value, slope = gradient(loss, logits, target, weights)
    unlabelled = (target == 255).unsqueeze(1).expand_as(logits)
    assert not slope[unlabelled].any()
    assert slope[~unlabelled].any()
    changed = torch.where(unlabelled, 50 * torch.ones_like(logits), logits)
    other = torch.where(target == 255, torch.full_like(weights, torch.nan), weights)
    again, same = gradient(loss, changed, target, other)
    assert again == pytest.approx(value, rel=1e-12)
    assert torch.allclose(same[~unlabelled], slope[~unlabelled], rtol=1e-10)


@every_loss
@every_shape
@pytest.mark.parametrize("weighted", [False, True])
def test_nothing_labelled_is_a_loss_of_zero_without_a_gradient(entry: Entry, shape: tuple[int, ...], weighted: bool) -> None:
    logits, target, weights = case(shape, unlabelled=1.1)
    value, slope = gradient(made(entry), logits, target, weights if weighted else None)
    assert value == 0
    assert not slope.any()


@every_loss
@every_shape
def test_a_weight_of_zero_is_as_if_not_labelled(entry: Entry, shape: tuple[int, ...]) -> None:
    logits, target, weights = case(shape)
    out = torch.rand(shape, generator=torch.Generator().manual_seed(9)) < 0.3
    value, slope = gradient(made(entry), logits, target, torch.where(out, torch.zeros_like(weights), weights))
    wanted, wanted_slope = gradient(made(entry), logits, torch.where(out, 255, target), weights)
    assert value == pytest.approx(wanted, rel=1e-12)
    assert torch.allclose(slope, wanted_slope, rtol=1e-10)


@every_loss
@every_shape
def test_a_weight_of_two_counts_like_the_pixel_twice(entry: Entry, shape: tuple[int, ...]) -> None:
    logits, target, _ = case(shape)
    weights = torch.ones(shape, dtype=torch.float64)
    assert float(made(entry)(logits, target, weights)) == pytest.approx(float(made(entry)(logits, target, None)), rel=1e-12)
    weights[0] = 2
    value = made(entry)(logits, target, weights)
    twice = made(entry)(torch.cat([logits[:1], logits]), torch.cat([target[:1], target]), None)
    assert float(value) == pytest.approx(float(twice), rel=1e-12)


@every_loss
def test_all_weights_zero_is_a_loss_of_zero(entry: Entry) -> None:
    logits, target, weights = case(SHAPES["2-D"])
    value, slope = gradient(made(entry), logits, target, torch.zeros_like(weights))
    assert value == 0
    assert not slope.any()


@every_loss
def test_the_truth_costs_less_than_a_guess_and_a_guess_less_than_the_opposite(entry: Entry) -> None:
    _, target, _ = case((2, 12, 12))
    truth = torch.stack([target == k for k in range(K)], 1).double() * 2 - 1
    right, none, wrong = (float(made(entry)(sign * 20 * truth, target, None)) for sign in (1, 0, -1))
    assert right < none < wrong


@every_loss
def test_going_down_its_slope_finds_the_truth(entry: Entry) -> None:
    _, target, _ = case((2, 8, 8))
    logits = torch.zeros((2, K, 8, 8), requires_grad=True)
    optimiser = torch.optim.Adam([logits], lr=0.3)
    loss = made(entry)
    for _ in range(80):
        optimiser.zero_grad()
        loss(logits, target, None).backward()
        optimiser.step()
    known = target != 255
    assert float((logits.detach().argmax(1) == target)[known].double().mean()) == 1


@every_loss
def test_a_single_precision_network_gets_a_single_precision_number_however_sure_it_is(entry: Entry) -> None:
    logits, target, weights = case(SHAPES["2-D"])
    for scale in (1.0, 1e4):
        values = (logits * scale).float().requires_grad_(True)
        loss = made(entry)(values, target, weights.float())
        loss.backward()
        assert loss.dtype == torch.float32
        assert loss.shape == ()
        assert torch.isfinite(loss)
        assert values.grad is not None
        assert torch.isfinite(values.grad).all()


@every_loss
def test_what_it_is_given_is_left_alone(entry: Entry) -> None:
    logits, target, weights = case(SHAPES["2-D"])
    before = [logits.clone(), target.clone(), weights.clone()]
    made(entry)(logits, target, weights)
    assert all(torch.equal(*pair) for pair in zip((logits, target, weights), before, strict=True))


@every_loss
def test_the_ends_of_every_parameter_give_a_number_and_a_gradient(entry: Entry) -> None:
    logits, target, weights = case(SHAPES["2-D"])
    for field in describe(entry.params):
        for end in (field.minimum, field.maximum, *field.choices, *((True, False) if field.kind == "bool" else ())):
            if end is None:
                continue
            value, slope = gradient(made(entry, **{field.name: end}), logits, target, weights)
            assert torch.isfinite(torch.tensor(value)), (field.name, end)
            assert torch.isfinite(slope).all(), (field.name, end)
