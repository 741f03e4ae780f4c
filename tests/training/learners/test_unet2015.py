"""The U-Net of 2015 as a learner: tiles as published, and it learns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from napari_segtool.core.progress import drain
from napari_segtool.core.registry import LEARNERS, NETWORKS
from napari_segtool.core.stack import Stack
from napari_segtool.nets._normalise import Normalisation
from napari_segtool.training.data._augment import STILL, Augmentation
from napari_segtool.training.data._holdout import Field
from napari_segtool.training.data._loader import BatchMaker
from napari_segtool.training.data._patches import PatchSampler
from napari_segtool.training.engine._supervision import unpadded
from napari_segtool.training.learners.unet2015 import plan_as_published
from napari_segtool.training.runs._run import Run, create_run
from tests.training.blobs import blobs


def tiles(side: int, patch: int, rim: int, augmentation: Augmentation, weights: bool = False) -> BatchMaker:
    """Of a picture whose grey value is its class."""
    marks = np.random.default_rng(0).integers(0, 2, (1, side, side)).astype(np.uint8)
    field = Field(0, 0, marks[:, None].astype(np.float32), marks, weights=marks.astype(np.float32) + 1 if weights else None)
    sampler = PatchSampler((field,), 2, balance=1.0, seed=0)
    same = Normalisation("fixed", (0.0,), (1.0,))
    return BatchMaker((field,), sampler, same, augmentation, patch=(1, patch, patch), count=2, seed=0, flat=True, rim_px=rim)


def test_labels_and_weights_are_those_of_the_middle_of_the_tile() -> None:
    batch = tiles(200, 48, 20, STILL, weights=True).make(0)
    assert batch.images.shape == (2, 1, 88, 88)
    assert batch.classes.shape == (2, 48, 48)
    assert batch.weights is not None
    assert (batch.images[:, 0, 20:-20, 20:-20] == batch.classes).all()
    assert (batch.weights == batch.classes + 1).all()


def test_tiles_reach_the_edge_of_the_picture_and_are_mirrored_beyond_it() -> None:
    maker = tiles(100, 60, 30, STILL)
    whole = maker._fields[0].learn[0]
    mirrored = np.pad(whole, 30, mode="reflect")
    corners = set()
    for step in range(20):
        batch = maker.make(step)
        for image, classes in zip(batch.images[:, 0], batch.classes, strict=True):
            assert (classes != 255).all()
            places = [(y, x) for y in range(41) for x in range(41) if (whole[y : y + 60, x : x + 60] == classes).all()]
            assert len(places) == 1
            y, x = places[0]
            assert (image == mirrored[y : y + 120, x : x + 120]).all()
            corners.add((y == 0, x == 0))
    assert len(corners) >= 3


def test_of_a_tile_of_572_pixels_388_are_learned_from() -> None:
    plan = plan_as_published(LEARNERS.get("unet2015").params())  # type: ignore[arg-type]
    assert (plan.patch_px[1] + 2 * plan.rim_px, plan.patch_px[1]) == (572, 388)


@pytest.mark.parametrize("size", [(4, 20), (5, 12)])
def test_logits_of_the_middle_are_those_of_the_published_mapping(size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    entry = NETWORKS.get("unet2015")
    network = entry.function(entry.params(base_channels=2), 1, 2, 2).eval()
    images = torch.randn(1, 1, size[0] + 184, size[1] + 184)
    with torch.no_grad():
        logits = unpadded(network, images, size)
    assert logits.shape == (1, 2, *size)
    if (size[0] - 4) % 16 == (size[1] - 4) % 16 == 0:
        with torch.no_grad():
            assert torch.equal(logits, network.valid(images))
    images[..., 0, 0] += 1000  # the corner is seen by the first pixel of the middle, and not by its last
    with torch.no_grad():
        changed = (unpadded(network, images, size) - logits).abs().amax(dim=(0, 1))
    assert changed[-1, -1] == 0


def tiny(folder: Path, steps: int, **params: Any) -> Run:
    image, mask = blobs(5, 48)
    values = LEARNERS.get("unet2015").params.build(**{"base_channels": 2, "elastic_sigma_px": 1.0, "dropout": 0.0, "learning_rate": 0.002, **params})
    return create_run(folder, [(Stack(image, "ZYX"), mask)], "unet2015", values, labels_are="mask", steps=steps, device="cpu", threads=1)


def test_it_trains_into_a_model_that_says_what_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("napari_segtool.training.learners.unet2015._OUTPUT_PX", 36)
    bundle = drain(LEARNERS.get("unet2015").function(tiny(tmp_path / "run", 25)))
    assert bundle.card["network"] == "unet2015"
    assert bundle.card["learner"] == "unet2015"
    losses = [event["loss"] for event in tiny_events(tmp_path / "run") if event["kind"] == "validation"]
    assert losses[-1] < losses[0]


def tiny_events(folder: Path) -> list[Any]:
    from napari_segtool.training.runs._run import open_run

    return list(open_run(folder).events()[0])
