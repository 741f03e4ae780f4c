"""Going on from a model: the network becomes the model's, what does not fit is refused before anything is learned."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_segtool.core.errors import ModelError
from napari_segtool.core.progress import drain
from napari_segtool.core.registry import LEARNERS
from napari_segtool.core.stack import Stack
from napari_segtool.training.configure._planning import propose, settle
from napari_segtool.training.learners.unet import UNetLearnerParams
from napari_segtool.training.learners.unet2015 import UNet2015LearnerParams
from napari_segtool.training.runs._run import Run, create_run
from napari_segtool.training.survey._evidence import evidence_of_pairs, evidence_of_run
from tests.training.blobs import blobs, messages, tiny_run, train

OTHER = {"base_channels": 6, "resolution": "half", "normalisation": "instance", "activation": "gelu", "residual": True, "grey_values": "fixed"}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose network differs from the usual one in everything that shapes its weights, and more."""
    run = tiny_run(tmp_path_factory.mktemp("model") / "run", steps=3, dimensions="2.5-D", neighbours=2, **OTHER)
    drain(train(run))
    return run.folder


def fresh_run(folder: Path, start_from: Path, learner: str = "unet", **params: Any) -> Run:
    image, mask = blobs()
    values = LEARNERS.get(learner).params.build(**params)
    return create_run(
        folder, [(Stack(image, "ZYX"), mask)], learner, values, labels_are="mask", steps=2, seed=1, device="cpu", threads=1, start_from=start_from
    )


def test_what_makes_the_network_is_taken_from_the_model_and_all_its_weights_with_it(model: Path, tmp_path: Path) -> None:
    run = fresh_run(tmp_path / "run", model, batch=2)
    proposal, plan = settle(run)
    settled = proposal.settings
    assert {name: settled[name] for name in OTHER} == OTHER
    assert (settled["dimensions"], settled["neighbours"], settled["depth"], settled["network"]) == ("2.5-D", 2, 2, "unet")
    assert plan.optimiser == "adamw"
    reasons = {reason.setting: reason.why for reason in proposal.reasons}
    assert all("model that this goes on from" in reasons[name] for name in (*OTHER, "dimensions", "depth"))
    drain(train(run))
    taken = next(line for line in messages(run).splitlines() if "taken from the model" in line)
    count, _, total = taken.split()[:3]
    assert count == total != "0"


def test_a_dry_run_proposes_what_a_training_that_goes_on_does(model: Path, tmp_path: Path) -> None:
    image, mask = blobs()
    proposal, plan = propose(UNetLearnerParams(), evidence_of_pairs([(Stack(image, "ZYX"), mask)], "mask"), "unet", "cpu", model)
    settled, same = settle(fresh_run(tmp_path / "run", model))
    assert (settled.settings, settled.reasons, same) == (proposal.settings, proposal.reasons, plan)


def test_what_the_user_set_stays(model: Path, tmp_path: Path) -> None:
    proposal, plan = settle(fresh_run(tmp_path / "run", model, depth=3, dropout=0.4, optimiser="muon"))
    assert (proposal.settings["depth"], proposal.settings["base_channels"], proposal.settings["dropout"]) == (3, 6, 0.4)
    assert plan.optimiser == "muon"
    assert "depth" not in {reason.setting for reason in proposal.reasons}


def test_other_classes_take_all_but_the_last_layer(model: Path, tmp_path: Path) -> None:
    image, mask = blobs()
    three = np.where((mask > 0) & (image > 155), 2, mask > 0).astype(np.uint8)
    values = UNetLearnerParams(batch=2)
    run = create_run(tmp_path / "run", [(Stack(image, "ZYX"), three)], "unet", values, labels_are="mask", steps=2, device="cpu", threads=1, start_from=model)
    drain(train(run))
    count, _, total = next(line for line in messages(run).splitlines() if "taken from the model" in line).split()[:3]
    assert int(count) == int(total) - 1


def test_a_network_of_another_kind_is_refused_with_what_to_do(model: Path, tmp_path: Path) -> None:
    evidence = evidence_of_run(fresh_run(tmp_path / "run", model))
    with pytest.raises(ModelError, match="none of its weights would fit") as error:
        propose(UNet2015LearnerParams(), evidence, "unet2015", "cpu", model)
    assert "U-Net" in error.value.hint
    with pytest.raises(ModelError, match="none of its weights would fit"):
        propose(UNetLearnerParams(network="unet2015"), evidence, "unet", "cpu", model)


def test_weights_of_which_nothing_fits_end_the_training_before_its_first_step(model: Path, tmp_path: Path) -> None:
    run = fresh_run(tmp_path / "run", model, base_channels=4)
    with pytest.raises(ModelError, match="No layer of the model"):
        drain(train(run))
    assert not run.model_folder.exists()


def test_other_channels_are_refused_in_a_dry_run_too(model: Path) -> None:
    image, mask = blobs()
    pair = (Stack(np.stack([image, image], 1), "ZCYX"), mask)
    with pytest.raises(ModelError, match=r"1 channel\(s\), but these images have 2"):
        propose(UNetLearnerParams(), evidence_of_pairs([pair], "mask"), "unet", "cpu", model)
