"""What holds a network to its pretrained weights: the loss against float64, what it moves, and what it is for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from napari_segtool.core.registry import NETWORKS, SAMPLES
from napari_segtool.nets._em_weights import EM_NETWORK, em_weights
from napari_segtool.nets._initialise import initialise
from napari_segtool.training.data._loader import Batch
from napari_segtool.training.engine._retained import Retained
from tests.training.engine.test_trainer import make_trainer

EM = {"network_params": dict(EM_NETWORK), "initialisation": "em", "patch_px": (1, 32, 32), "learning_rate": 1e-4}


def begun() -> nn.Module:
    entry = NETWORKS.get("unet")
    network: nn.Module = entry.function(entry.params.build(**EM_NETWORK), 1, 2, 2)
    torch.manual_seed(0)
    initialise(network, "em")
    return network


def pictures() -> torch.Tensor:
    return torch.randn(2, 1, 32, 32, generator=torch.Generator().manual_seed(1))


def test_a_network_as_it_began_has_lost_nothing() -> None:
    network = begun().eval()
    retained = Retained(network, 1.0)
    network(pictures())
    assert float(retained.loss(pictures()).detach()) == pytest.approx(0, abs=1e-6)


def test_the_loss_is_the_divergence_of_what_the_old_head_says_of_the_old_and_the_new_features() -> None:
    network, before = begun().eval(), begun().eval()
    retained = Retained(network, 2.5)
    with torch.no_grad():
        for weight in network.up.parameters():  # type: ignore[union-attr]
            weight.add_(0.02 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(2)))
    network(pictures())
    found = float(retained.loss(pictures()).detach())
    weights = em_weights()
    chances = []
    for each in (before, network):
        each.head = nn.Identity()  # the features
        features = each(pictures()).detach().numpy().astype(np.float64)
        logits = np.einsum("nfyx,kf->nkyx", features, weights["head.weight"][:, :, 0, 0].numpy()) + weights["head.bias"].numpy()[:, None, None]
        risen = np.exp(logits - logits.max(1, keepdims=True))
        chances.append(risen / risen.sum(1, keepdims=True))
    expected = 2.5 * (chances[0] * np.log(chances[0] / chances[1])).sum(1).mean()
    assert expected > 0.001
    assert found == pytest.approx(expected, rel=1e-3)


def test_it_moves_the_body_leaves_the_new_head_free_and_keeps_nothing_of_a_step() -> None:
    network = begun().train()
    retained = Retained(network, 1.0)
    network(pictures())
    retained.loss(pictures()).backward()
    assert all(weight.grad is not None and bool(weight.grad.abs().sum() > 0) for weight in network.down.parameters())  # type: ignore[union-attr]
    assert all(weight.grad is None for weight in network.head.parameters())  # type: ignore[union-attr]
    assert all(weight.grad is None for weight in retained.before.parameters())
    assert not retained._features


def sections() -> np.ndarray:
    """Patches of tissue as the weights know it, ``(32, 1, 64, 64)``, normalised."""
    sample = SAMPLES.get("em")
    image = np.asarray(sample.function(sample.params.build(seed=3, size_px=256, slices=2))[0].data, np.float32)
    tiles = image.reshape(2, 4, 64, 4, 64).transpose(0, 1, 3, 2, 4).reshape(32, 1, 64, 64)
    return (tiles - tiles.mean()) / tiles.std()


def test_a_network_that_is_held_forgets_less_of_what_it_knew(tmp_path: Path) -> None:
    lost, seen = {}, sections()
    for strength in (0.0, 5.0):
        trainer = make_trainer(tmp_path / str(strength), **{**EM, "optimiser": "adamw", "learning_rate": 1e-3}, retain=strength)
        rng = np.random.default_rng(0)
        for _ in range(6):  # classes drawn by lot teach nothing but forgetting
            some = rng.choice(16, 4, replace=False)
            trainer.learn(Batch(seen[some], rng.integers(0, 2, (4, 64, 64)).astype(np.uint8)), 1e-3)
        trainer.network.eval()
        judge = Retained(begun(), 1.0)
        images = torch.from_numpy(seen[16:24])
        judge.before(images)
        trainer.network.head.register_forward_pre_hook(judge._taker(False))
        trainer.network(images)
        with torch.no_grad():
            lost[strength] = float(judge.loss(images))
    assert lost[5.0] < 0.2 * lost[0.0]


def test_the_average_and_the_saved_weights_know_nothing_of_it(tmp_path: Path) -> None:
    held, free = (make_trainer(tmp_path / str(strength), **EM, retain=strength) for strength in (1.0, 0.0))
    assert len(held.average.head._forward_pre_hooks) == len(free.average.head._forward_pre_hooks)
    assert held.checkpoint({}).tensors.keys() == free.checkpoint({}).tensors.keys()
