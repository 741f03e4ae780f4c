"""On real membranes: maps of a network that learned them depend on what it learned."""

import numpy as np
import pytest
import torch
from torch import nn

from napari_segtool import read
from napari_segtool.core.progress import drain
from napari_segtool.core.stack import Stack
from napari_segtool.core.target import Target
from napari_segtool.core.trust import TrustParams
from napari_segtool.explain._trust import trust_steps
from tests.hand_models import loaded_by_hand, small_unet


def learned(pictures, masks, *, steps, width=4, seed=0):
    """A small U-Net trained on random windows of pictures ``(n, y, x)`` with masks of the same shape; the picture's own contrast."""
    network, _ = small_unet(depth=2, base_channels=width, normalisation="none", seed=seed)
    network.train()
    optimiser = torch.optim.Adam(network.parameters(), 5e-3)
    rng = np.random.default_rng(seed)
    side = min(64, pictures.shape[1])
    for _ in range(steps):
        corners = [(rng.integers(len(pictures)), *rng.integers(0, pictures.shape[1] - side + 1, 2)) for _ in range(4)]
        batch = torch.from_numpy(np.stack([pictures[n, y : y + side, x : x + side] for n, y, x in corners])[:, None])
        wanted = torch.from_numpy(np.stack([masks[n, y : y + side, x : x + side] for n, y, x in corners]).astype(np.int64))
        loss = nn.functional.cross_entropy(network(batch), wanted)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert float(loss.detach()) < 0.6
    return loaded_by_hand(network.eval())


@pytest.mark.data
@pytest.mark.parametrize("target", [Target(1), Target(1, point=(0, 40, 60))])
def test_maps_of_a_membrane_network_pass_the_randomisation_check(data_folder, membranes, target):
    model, planes, masks = membranes
    if target.point:
        inside = np.argwhere(masks[0, 30:60, 30:60])[7] + 30
        target = Target(1, point=(0, int(inside[0]), int(inside[1])))
    stack, thoroughness = Stack(planes[:1, :96, :96], "ZYX"), TrustParams(layers=2, steps=8, draws=1)
    report = drain(trust_steps(model.bundle, stack, "gradient", target, trust=thoroughness, loaded=model))
    assert report.verdict("randomisation").passed
    assert report.cascading[-1].rank < 0.5


@pytest.fixture(scope="module")
def membranes(data_folder):
    planes = np.asarray(read(data_folder / "isbi2012_em" / "image.tif").data[:4], np.float32)
    planes = (planes - planes.mean((1, 2), keepdims=True)) / planes.std((1, 2), keepdims=True)
    masks = np.asarray(read(data_folder / "isbi2012_em" / "labels.tif").data[:4]) == 0
    model = learned(planes, masks, steps=100)
    return model, planes, masks
