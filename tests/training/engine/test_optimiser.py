"""Optimisers against their own formulas, worked out by hand for two steps."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from napari_segtool.core.errors import ParameterError
from napari_segtool.training.engine._muon import Muon, orthogonal
from napari_segtool.training.engine._optimiser import make_optimiser

START, GRADIENTS = 2.0, (0.5, -0.25)


def walked(kind: Any, **more: Any) -> float:
    weight = torch.nn.Parameter(torch.tensor([START], dtype=torch.float64))
    optimiser = make_optimiser(kind, [weight], **{"rate": 0.1, **more})
    for gradient in GRADIENTS:
        weight.grad = torch.tensor([gradient], dtype=torch.float64)
        optimiser.step()
    return float(weight.detach())


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("nesterov", [False, True])
def test_sgd_repeats_a_share_of_the_last_step(nesterov: bool, fused: bool) -> None:
    weight, speed, momentum, decay = START, 0.0, 0.9, 0.01
    for gradient in GRADIENTS:
        slope = gradient + decay * weight
        speed = momentum * speed + slope
        weight -= 0.1 * (slope + momentum * speed if nesterov else speed)
    assert walked("sgd", momentum=momentum, nesterov=nesterov, weight_decay=decay, fused=fused) == pytest.approx(weight, rel=1e-12)


@pytest.mark.parametrize("kind", ["adam", "adamw"])
def test_adam_divides_by_the_gradients_size_and_adamw_decays_beside_it(kind: str) -> None:
    weight, mean, square, decay = START, 0.0, 0.0, 0.01
    for step, gradient in enumerate(GRADIENTS, start=1):
        slope = gradient + (decay * weight if kind == "adam" else 0)
        if kind == "adamw":
            weight *= 1 - 0.1 * decay
        mean, square = 0.9 * mean + 0.1 * slope, 0.999 * square + 0.001 * slope**2
        weight -= 0.1 * (mean / (1 - 0.9**step)) / (np.sqrt(square / (1 - 0.999**step)) + 1e-8)
    assert walked(kind, weight_decay=decay) == pytest.approx(weight, rel=1e-9)


def test_nesterov_without_momentum_is_plain_descent() -> None:
    assert walked("sgd", momentum=0.0, nesterov=True) == pytest.approx(START - 0.1 * sum(GRADIENTS))


@pytest.mark.parametrize("wrong", [{"kind": "lamb"}, {"rate": 0.0}, {"rate": float("nan")}, {"weight_decay": -1.0}, {"momentum": 1.0}])
def test_what_cannot_be_an_optimiser_is_refused_with_a_hint(wrong: dict[str, Any]) -> None:
    with pytest.raises(ParameterError) as caught:
        walked(**{"kind": "sgd", **wrong})
    assert caught.value.hint


def test_muon_steps_as_torch_s_own_does_where_that_can() -> None:
    ours, theirs = (torch.nn.Parameter(torch.randn(32, 48, generator=torch.Generator().manual_seed(0))) for _ in range(2))
    mine = make_optimiser("muon", [ours], rate=0.01, weight_decay=0.1)
    assert isinstance(mine, Muon)
    mine.number_format = torch.bfloat16
    reference = torch.optim.Muon([theirs], lr=0.01, weight_decay=0.1, momentum=0.95, nesterov=True, adjust_lr_fn="match_rms_adamw")
    for step in range(4):
        ours.grad = torch.randn(32, 48, generator=torch.Generator().manual_seed(step))
        theirs.grad = ours.grad.clone()
        mine.step()
        reference.step()
    assert torch.allclose(ours, theirs, atol=2e-3)  # steps of about 0.01, in bfloat16


@pytest.mark.parametrize("shape", [(32, 16, 3, 3), (16, 32, 2, 2), (24, 16, 3, 3, 3), (32, 48)])
def test_muon_steps_kernels_as_matrices_in_any_memory_layout_and_together(shape: tuple[int, ...]) -> None:
    layout = {4: torch.channels_last, 5: torch.channels_last_3d}.get(len(shape), torch.contiguous_format)
    flat = torch.nn.Parameter(torch.ones(shape).flatten(1))
    plain, packed = (torch.nn.Parameter(torch.ones(shape).contiguous(memory_format=each)) for each in (torch.contiguous_format, layout))
    for number in range(2):
        gradient = torch.randn(shape, generator=torch.Generator().manual_seed(number))
        for weight in (plain, packed):
            weight.grad = gradient.clone(memory_format=torch.preserve_format)
        flat.grad = gradient.flatten(1)
    alone, together = (make_optimiser("muon", weights, rate=0.01, weight_decay=0.1) for weights in ([flat], [plain, packed]))
    for _ in range(2):
        alone.step()
        together.step()
    assert not torch.allclose(plain, torch.ones(shape), atol=1e-3)
    for weight in (plain, packed):
        assert torch.allclose(weight.flatten(1), flat, atol=1e-5)


def test_muon_makes_a_kernel_orthogonal_and_leaves_vectors_and_thin_layers_to_adamw() -> None:
    matrix = torch.randn(24, 60, generator=torch.Generator().manual_seed(1)) * torch.logspace(0, -2, 24)[:, None]
    values = torch.linalg.svdvals(orthogonal(matrix))
    assert 0.6 < float(values.min()) <= float(values.max()) < 1.3
    assert torch.allclose(orthogonal(matrix.T), orthogonal(matrix).T, atol=1e-5)
    shapes = ((32,), (32, 1, 3, 3), (2, 32, 1, 1), (32, 16, 3, 3))
    ours, theirs = ([torch.nn.Parameter(torch.ones(shape)) for shape in shapes] for _ in range(2))
    pair = make_optimiser("muon", ours, rate=0.01, weight_decay=0.1), make_optimiser("adamw", theirs, rate=0.01, weight_decay=0.1)
    for step in range(3):
        for weights, optimiser in zip((ours, theirs), pair, strict=True):
            for weight in weights:
                weight.grad = torch.randn(weight.shape, generator=torch.Generator().manual_seed(step))
            optimiser.step()
    assert [bool(torch.allclose(one, other)) for one, other in zip(ours, theirs, strict=True)] == [True, True, True, False]


@pytest.mark.parametrize("shape", [(32, 16, 3, 3), (32,)])
def test_muon_leaves_everything_where_the_engine_found_a_gradient_that_is_not_finite(shape: tuple[int, ...]) -> None:
    weight = torch.nn.Parameter(torch.ones(shape))
    optimiser = Muon([weight], lr=0.1, weight_decay=0.1)
    weight.grad = torch.ones(shape)
    optimiser.step()
    before, state = weight.detach().clone(), {name: value.clone() for name, value in optimiser.state[weight].items()}
    weight.grad = torch.full(shape, float("nan"))
    optimiser.found_inf = torch.ones(())
    optimiser.step()
    assert torch.equal(weight, before)
    assert all(torch.equal(value, optimiser.state[weight][name]) for name, value in state.items())
