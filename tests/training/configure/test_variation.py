"""What the levers of augmentation come to: by default as strong as ``augmentation`` says, set ones as they are."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_segtool.core.errors import ParameterError
from napari_segtool.core.progress import drain
from napari_segtool.core.registry import LEARNERS
from napari_segtool.core.stack import Stack
from napari_segtool.core.terms import Term
from napari_segtool.training._plan import Plan
from napari_segtool.training.augment._presets import GENERAL, PRESETS
from napari_segtool.training.configure._planning import settle
from napari_segtool.training.configure._proposal import Proposal
from napari_segtool.training.configure._variation import variation_of
from napari_segtool.training.data._augment import STILL, Augmentation
from napari_segtool.training.learners.unet import UNetLearnerParams
from napari_segtool.training.learners.unet2015 import UNet2015LearnerParams, plan_as_published
from tests.training.blobs import blobs, tiny_run

EVERY_WAY, TO_THE_SIDES, NO_WAY = (True, True, True), (True, False, True), (False, False, False)


def variation(reduction: int = 1, **levers: Any) -> Augmentation:
    return variation_of(UNetLearnerParams(**{"augmentation": "normal", "modality": "general", "turn": "any", **levers}), reduction)


def settled(folder: Path, **levers: Any) -> tuple[Proposal, Plan]:
    return settle(tiny_run(folder, **{"turn": "any", **levers}))


def flips(found: Augmentation) -> tuple[bool, bool, bool]:
    return found.flip_x, found.flip_y, found.flip_z


@pytest.mark.parametrize(
    ("strength", "turn", "wanted"),
    [
        ("none", "any", {"rotation_deg": 0.0, "scale": 0.0, "elastic_px": 0.0, "intensity": 0.0}),
        ("light", "any", {"rotation_deg": 180.0, "scale": 0.1, "elastic_px": 2.0, "intensity": 0.5}),
        ("normal", "any", {"rotation_deg": 180.0, "scale": 0.2, "elastic_px": 4.0, "intensity": 1.0}),
        ("strong", "any", {"rotation_deg": 180.0, "scale": 0.2 * 1.6, "elastic_px": 6.4, "intensity": 1.6}),
        ("none", "upright", {"rotation_deg": 0.0, "scale": 0.0, "elastic_px": 0.0, "intensity": 0.0}),
        ("light", "upright", {"rotation_deg": 7.5, "scale": 0.1, "elastic_px": 2.0, "intensity": 0.5}),
        ("normal", "upright", {"rotation_deg": 15.0, "scale": 0.2, "elastic_px": 4.0, "intensity": 1.0}),
        ("strong", "upright", {"rotation_deg": 15.0, "scale": 0.2 * 1.6, "elastic_px": 6.4, "intensity": 1.6}),
    ],
)
def test_levers_on_their_defaults_are_as_strong_as_augmentation_says(strength: str, turn: str, wanted: dict[str, float]) -> None:
    found = variation(augmentation=strength, turn=turn)
    ways = NO_WAY if strength == "none" else TO_THE_SIDES if turn == "upright" else EVERY_WAY
    rest = {"shift": 0.0, "shear_deg": 0.0, "tilt_deg": 0.0, "elastic_sigma_px": 0.0, "elastic_grid": 3}
    assert found == Augmentation(*ways, **wanted, **rest, effects=GENERAL)


@pytest.mark.parametrize("strength", ["none", "light", "normal", "strong"])
@pytest.mark.parametrize(
    "levers",
    [
        {"scale": 0.3},
        {"elastic_px": 3.0},
        {"elastic_sigma_px": 10.0},
        {"shear_deg": 5.0},
        {"shift": 0.1},
        {"tilt_deg": 8.0},
        {"rotation_deg": 20.0},
        {"intensity": 0.7},
    ],
    ids=str,
)
def test_a_lever_that_is_set_is_as_it_is_whatever_augmentation_says(strength: str, levers: dict[str, float]) -> None:
    found, usual = asdict(variation(augmentation=strength, **levers)), asdict(variation(augmentation=strength))
    assert found == {**usual, **levers}


def test_pixels_are_those_of_the_resolution_at_which_the_network_works() -> None:
    found = variation(reduction=2, augmentation="strong", elastic_sigma_px=10.0)
    assert (found.elastic_px, found.elastic_sigma_px) == (12.8, 20.0)
    assert variation(reduction=4, augmentation="none", elastic_px=5.0).elastic_px == 20.0


def test_a_lever_at_zero_is_off_and_without_anything_to_vary_all_stays_still() -> None:
    assert variation(augmentation="strong", scale=0.0).scale == 0
    assert variation(augmentation="strong", intensity=0.0).intensity == 0
    for levers in ({"elastic_grid": 5}, {"effects": "none"}, {"intensity": 0.0}, {"turn": "upright"}, {"flips": "none"}):
        assert variation(augmentation="none", **levers) is STILL


@pytest.mark.parametrize("strength", ["light", "normal", "strong"])
def test_images_with_an_up_and_down_are_turned_by_fifteen_degrees_at_most(strength: str) -> None:
    assert variation(augmentation=strength, turn="upright").rotation_deg <= 15
    assert variation(augmentation=strength, turn="upright", rotation_deg=90).rotation_deg == 15
    assert variation(augmentation=strength, turn="upright", rotation_deg=5).rotation_deg == 5


def test_flips_can_be_chosen_apart_from_the_rest() -> None:
    ways = {"all": EVERY_WAY, "sides": TO_THE_SIDES, "none": NO_WAY}
    for name, way in ways.items():
        for turn in ("any", "upright"):
            assert flips(variation(flips=name, turn=turn)) == way
        assert flips(variation(flips=name, augmentation="none")) == way
    assert variation(flips="sides", augmentation="none") == Augmentation(*TO_THE_SIDES, 0.0, 0.0, 0.0, 0.0)


def test_effects_follow_the_text_as_strong_as_written() -> None:
    wanted = (Term("contrast"), Term("noise", 0.5), Term("missing-section", 1.0, {"probability": 0.1}))
    for strength in ("none", "light", "strong"):
        found = variation(augmentation=strength, modality="em", effects="contrast + 0.5*noise + missing-section(probability=0.1)")
        assert (found.effects, found.intensity) == (wanted, 1.0)
    assert variation(effects="noise", intensity=0.5).intensity == 0.5
    assert variation(modality="em").effects == PRESETS["em"]
    assert variation(modality="em", effects="none").effects == ()


def test_effects_that_cannot_be_read_are_refused_before_training(tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match="no augmentation 'magic'"):
        settled(tmp_path / "run", effects="contrast + magic")
    with pytest.raises(ParameterError, match="no augmentation 'magic'"):
        plan_as_published(UNet2015LearnerParams(effects="magic"))


def test_the_network_of_2015_has_the_general_effects_or_those_that_are_written() -> None:
    assert plan_as_published(UNet2015LearnerParams()).augmentation.effects == GENERAL
    assert plan_as_published(UNet2015LearnerParams(effects="2*blur")).augmentation.effects == (Term("blur", 2.0),)


def test_without_augmentation_a_modality_that_was_asked_for_varies_grey_values_and_nothing_else(tmp_path: Path) -> None:
    proposal, plan = settled(tmp_path / "em", augmentation="none", modality="em")
    assert plan.augmentation == Augmentation(*NO_WAY, 0.0, 0.0, 0.0, 1.0, effects=PRESETS["em"])
    assert "modality=em" in {reason.setting: reason.why for reason in proposal.reasons}["effects"]
    proposal, plan = settled(tmp_path / "none", augmentation="none")
    assert plan.augmentation is STILL
    assert not {"effects", "modality"} & {reason.setting for reason in proposal.reasons}
    proposal, plan = settled(tmp_path / "intensity", augmentation="none", intensity=0.5)
    assert (plan.augmentation.effects, plan.augmentation.intensity) == (PRESETS[proposal.settings["modality"]], 0.5)


@pytest.mark.parametrize(
    "levers", [{"augmentation": "none"}, {"modality": "em"}, {"intensity": 0.5}, {"effects": "2*blur(probability=1)", "flips": "sides"}], ids=str
)
@pytest.mark.parametrize("strength", ["none", "strong"])
def test_given_what_was_chosen_patches_are_varied_the_same_way(tmp_path: Path, strength: str, levers: dict[str, Any]) -> None:
    proposal, plan = settled(tmp_path / "first", **{"augmentation": strength, **levers})
    again, same = settle(tiny_run(tmp_path / "second", **proposal.settings))
    assert same.augmentation == plan.augmentation
    assert again.settings == proposal.settings


def test_strong_variation_for_paint_names_the_levers_that_were_set(tmp_path: Path) -> None:
    image, mask = blobs()
    paint = np.where(mask > 0, 2, 1).astype(np.uint8)
    paint[:, ::2] = 0
    proposal, plan = settled(tmp_path / "run", pairs=[(Stack(image, "ZYX"), paint)], labels_are="paint", augmentation="auto", scale=0.3)
    assert plan.augmentation.scale == 0.3
    assert "as set: scale" in {reason.setting: reason.why for reason in proposal.reasons}["augmentation"]


def test_a_network_learns_with_written_effects(tmp_path: Path) -> None:
    run = tiny_run(tmp_path / "run", steps=2, effects="0.5*noise(probability=1)", flips="none")
    drain(LEARNERS.get("unet").function(run))
    assert settle(run)[1].augmentation.effects == (Term("noise", 0.5, {"probability": 1.0}),)
