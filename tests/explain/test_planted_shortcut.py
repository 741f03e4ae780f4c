"""A network that learned a shortcut is found out: saliency points at the mark it goes by, not at what it was meant to see."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812

from napari_segtool.core.progress import drain
from napari_segtool.core.stack import Stack
from napari_segtool.core.target import Target
from napari_segtool.explain._explain import explain_steps
from tests.hand_models import loaded_by_hand, small_unet

SIDE, MARK = 32, (slice(1, 4), slice(1, 4))


def pictures(count, seed, marked=True):
    """Noise; in every second picture a faint disc is the class. A bright mark in the corner stands wherever a disc is, if ``marked``."""
    random = np.random.default_rng(seed)
    images = random.normal(0, 0.5, (count, SIDE, SIDE)).astype(np.float32)
    classes = np.zeros((count, SIDE, SIDE), np.int64)
    y, x = np.mgrid[:SIDE, :SIDE]
    for image, truth in zip(images[::2], classes[::2], strict=True):
        disc = (y - random.integers(14, 20)) ** 2 + (x - random.integers(14, 20)) ** 2 < 40
        truth[disc] = 1
        image += 0.1 * disc
        if marked:
            image[MARK] = 4
    return images, classes


@pytest.fixture(scope="module")
def shortcut():
    """A small U-Net that has learned where discs lie from pictures in which the mark tells that there is one."""
    torch.manual_seed(0)
    network, _ = small_unet(base_channels=8, depth=3)
    network.train()
    optimiser = torch.optim.Adam(network.parameters(), lr=3e-3)
    images, classes = (torch.from_numpy(array) for array in pictures(64, seed=1))
    for step in range(60):
        some = torch.arange(step * 8, step * 8 + 8) % len(images)
        loss = F.cross_entropy(network(images[some, None]), classes[some], weight=torch.tensor([1.0, 3.0]))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return loaded_by_hand(network.eval())


def overlap(model, images, classes):
    predicted = model.forward.logits(torch.from_numpy(images)[:, None]).argmax(1).numpy()
    return 2 * (predicted & classes).sum() / (predicted.sum() + classes.sum())


def test_the_network_goes_by_the_mark(shortcut):
    assert overlap(shortcut, *pictures(20, seed=2)) > 0.6
    assert overlap(shortcut, *pictures(20, seed=2, marked=False)) < 0.3


@pytest.mark.parametrize("name", ["gradient", "smoothgrad", "integrated-gradients", "guided-backprop", "occlusion"])
def test_saliency_points_at_the_mark(shortcut, name):
    images, _ = pictures(2, seed=3)
    params = {"patch_px": 4, "stride_px": 2} if name == "occlusion" else {}
    overlay = drain(explain_steps(shortcut.bundle, Stack(images[0], "YX"), name, Target(1, point=(16, 16), against=0), loaded=shortcut, **params))
    strength = np.abs(overlay.data)
    around = np.zeros_like(strength, bool)
    around[:6, :6] = True
    assert around[np.unravel_index(strength.argmax(), strength.shape)]
    assert strength[around].mean() > 3 * strength[~around].mean()
