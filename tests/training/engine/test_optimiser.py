"""Optimisers against their own formulas, worked out by hand for two steps."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from napari_segtool.core.errors import ParameterError
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
