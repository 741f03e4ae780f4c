"""What a training would do, before it is begun."""

from __future__ import annotations

import numpy as np
import pytest

import napari_segtool as segtool
from napari_segtool.core.errors import DataError, PaintError, ParameterError

SMALL = {"base_channels": 4, "depth": 2, "patch_px": 32}


@pytest.fixture(scope="module")
def pair() -> tuple[segtool.Stack, np.ndarray]:
    y, x = np.mgrid[:64, :64]
    mask = np.stack([np.hypot(y - 32, x - 20 - 3 * z) < 12 for z in range(6)]).astype(np.uint8)
    noise = np.random.default_rng(0).normal(100, 10, mask.shape)
    return segtool.Stack((noise + 80 * mask).clip(0, 255).astype(np.uint8), "ZYX", (0.05, 0.01, 0.01)), mask


def test_every_choice_comes_with_its_reason_and_nothing_is_trained(pair, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    proposal = segtool.propose([pair], device="cpu", steps=50, threads=1, **SMALL)
    assert not any(tmp_path.iterdir())
    assert proposal.reasons[0].setting == "dimensions"
    assert proposal.reasons[-1].setting == "steps"
    assert proposal.steps == 50
    assert proposal.seconds_per_step > 0
    assert 0 < proposal.memory_mb < proposal.free_mb
    assert not set(SMALL) & {reason.setting for reason in proposal.reasons}


def test_steps_are_those_that_fit_into_the_minutes(pair):
    proposal = segtool.propose([pair], device="cpu", minutes=2, threads=1, **SMALL)
    assert proposal.steps == pytest.approx(120 / proposal.seconds_per_step, abs=1)
    both = segtool.propose([pair], device="cpu", minutes=2, steps=3, threads=1, **SMALL)
    assert both.steps == 3
    unsaid = segtool.propose([pair], device="cpu", threads=1, **SMALL)
    assert unsaid.steps == pytest.approx(600 / unsaid.seconds_per_step, abs=1)


def test_the_time_of_a_step_is_right_within_a_factor_of_four(pair):
    """Against steps of the network itself, forward and backward, on this busy machine."""
    import time

    import torch

    from napari_segtool.core.registry import NETWORKS

    proposal = segtool.propose([pair], device="cpu", threads=1, base_channels=8, depth=3, patch_px=256, batch=2, precision="float32")
    image, mask = (np.tile(np.asarray(each), (1, 4, 4)) for each in (pair[0].data, pair[1]))
    large = segtool.propose(
        [(segtool.Stack(image, "ZYX"), mask)], device="cpu", threads=1, base_channels=8, depth=3, patch_px=256, batch=2, precision="float32"
    )
    assert large.seconds_per_step > proposal.seconds_per_step  # the small picture needs a patch of 64 only
    entry = NETWORKS.get("unet")
    network = entry.function(entry.params(base_channels=8, depth=3), 1, 2, 2).train()
    before, threads = [], torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for _ in range(3):
            begun = time.perf_counter()
            network(torch.randn(2, 1, 256, 256)).square().mean().backward()
            before.append(time.perf_counter() - begun)
    finally:
        torch.set_num_threads(threads)
    assert 0.25 < large.seconds_per_step / min(before) < 4


def test_the_proposed_settings_train_as_they_are(pair, tmp_path):
    proposal = segtool.propose([pair], device="cpu", timing=False, **SMALL)
    assert proposal.steps == 0
    bundle = segtool.train([pair], "unet", run=tmp_path / "run", labels_are="mask", steps=2, device="cpu", **proposal.settings)
    assert bundle.card["network_params"]["base_channels"] == 4


def test_nothing_to_look_at_is_refused(pair):
    with pytest.raises(DataError, match="no image"):
        segtool.propose([])
    with pytest.raises(PaintError, match="one class"):
        segtool.propose([(pair[0], np.zeros_like(pair[1]))])
    with pytest.raises(ParameterError, match="labels_are"):
        segtool.propose([pair], labels_are="masks")
    with pytest.raises(ParameterError, match="no learner"):
        segtool.propose([pair], "unett")
    with pytest.raises(ParameterError, match="no loss 'dicee'") as caught:
        segtool.propose([pair], loss="dicee", timing=False, **SMALL)
    assert "cross-entropy" in caught.value.hint


def test_it_can_be_left_between_its_steps(pair):
    work = segtool.propose_steps([pair], device="cpu", **SMALL)
    assert next(work).fraction == 0
    work.close()
