"""Losses against plain numpy in double precision, and what unlabelled pixels do to them: nothing."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from napari_segtool.training._losses import class_weights, cross_entropy, soft_dice

K = 3


def case(seed: int, unlabelled: float = 0.3) -> tuple[torch.Tensor, torch.Tensor, NDArray[np.float64]]:
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2, (2, K, 5, 7))
    target = rng.integers(0, K, (2, 5, 7))
    target[rng.random(target.shape) < unlabelled] = 255
    weights = rng.uniform(0.2, 3, K)
    return torch.from_numpy(logits), torch.from_numpy(target), weights


def chances(logits: torch.Tensor) -> NDArray[np.float64]:
    raised = np.exp(logits.numpy() - logits.numpy().max(axis=1, keepdims=True))
    return raised / raised.sum(axis=1, keepdims=True)


def test_cross_entropy_is_the_weighted_mean_over_labelled_pixels() -> None:
    logits, target, weights = case(0)
    total, mass = 0.0, 0.0
    p = chances(logits)
    for n, y, x in np.ndindex(*target.shape):
        k = int(target[n, y, x])
        if k != 255:
            total -= weights[k] * np.log(p[n, k, y, x])
            mass += weights[k]
    assert float(cross_entropy(logits, target, torch.from_numpy(weights))) == pytest.approx(total / mass, rel=1e-12)


def test_soft_dice_is_that_of_the_batch_over_labelled_pixels() -> None:
    logits, target, _ = case(1)
    p, truth = chances(logits), target.numpy()
    known = truth != 255
    parts = []
    for k in range(K):
        inside = truth == k
        shared = p[:, k][inside].sum()
        parts.append(1 - (2 * shared + 1) / (p[:, k][known].sum() + inside.sum() + 1))
    assert float(soft_dice(logits, target)) == pytest.approx(float(np.mean(parts)), rel=1e-12)


def test_classes_that_do_not_occur_have_no_part_in_the_dice() -> None:
    logits, target, _ = case(2)
    target[target == 2] = 0
    only_two = soft_dice(logits, target)
    p, truth = chances(logits), target.numpy()
    known = truth != 255
    parts = [1 - (2 * p[:, k][truth == k].sum() + 1) / (p[:, k][known].sum() + (truth == k).sum() + 1) for k in (0, 1)]
    assert float(only_two) == pytest.approx(float(np.mean(parts)), rel=1e-12)


@pytest.mark.parametrize("name", ["cross entropy", "dice"])
def test_unlabelled_pixels_have_no_gradient_and_no_say(name: str) -> None:
    logits, target, weights = case(3)
    w = torch.from_numpy(weights)

    def loss(values: torch.Tensor) -> torch.Tensor:
        return cross_entropy(values, target, w) if name == "cross entropy" else soft_dice(values, target)

    logits.requires_grad_(True)
    loss(logits).backward()
    unlabelled = (target == 255).unsqueeze(1).expand_as(logits)
    assert logits.grad is not None
    assert not logits.grad[unlabelled].any()
    assert logits.grad[~unlabelled].any()
    changed = logits.detach().clone()
    changed[unlabelled] += 100 * torch.randn(int(unlabelled.sum()), dtype=torch.float64)
    assert float(loss(changed)) == pytest.approx(float(loss(logits.detach())), rel=1e-12)


def test_nothing_labelled_is_a_loss_of_zero_that_can_be_differentiated() -> None:
    logits, target, weights = case(4, unlabelled=1.1)
    logits.requires_grad_(True)
    loss = cross_entropy(logits, target, torch.from_numpy(weights)) + soft_dice(logits, target)
    loss.backward()
    assert float(loss.detach()) == 0
    assert logits.grad is not None
    assert not logits.grad.any()


def test_certain_and_right_is_zero_and_certain_and_wrong_is_one() -> None:
    target = torch.arange(2).reshape(1, 1, 2).repeat(1, 50, 50)
    right = torch.stack([(target == 0), (target == 1)], 1).double() * 100
    assert float(soft_dice(right, target)) == pytest.approx(0, abs=1e-9)
    assert float(soft_dice(-right, target)) == pytest.approx(1, abs=1e-3)


def test_weights_follow_rarity_and_weigh_the_pixels_one_on_average() -> None:
    pixels = torch.tensor([900, 90, 10])
    assert class_weights(pixels, 0).tolist() == [1, 1, 1]
    full = class_weights(pixels, 1.0)
    assert np.allclose(full.numpy() * pixels.numpy(), 1000 / 3)
    half = class_weights(pixels, 0.5)
    assert float(half[2] / half[0]) == pytest.approx(np.sqrt(90))
    assert float((half * pixels).sum() / 1000) == pytest.approx(1)
