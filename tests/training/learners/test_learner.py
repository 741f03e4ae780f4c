"""The U-Net learner: what its settings mean to the engine, and which do not go together."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import napari_segtool as segtool
from napari_segtool.core.errors import ParameterError
from napari_segtool.core.labels import Labels
from napari_segtool.core.params import describe
from napari_segtool.core.progress import drain
from napari_segtool.core.registry import LEARNERS, SAMPLES
from napari_segtool.core.stack import Stack
from napari_segtool.training._plan import Plan
from napari_segtool.training.data._augment import STILL
from napari_segtool.training.learners.unet import UNetLearnerParams, plan_unet
from tests.training.blobs import blobs, messages, tiny_run


def terms(plan: Plan) -> dict[str, float]:
    return {term.name: term.weight for term in plan.loss}


def volume_run(folder: Path, spacing: tuple[float, ...], planes: int = 32, **params: Any) -> Any:
    image, mask = blobs(planes, 40)
    return tiny_run(folder, pairs=[(Stack(image, "ZYX", spacing), mask)], dimensions="3-D", depth=3, patch_planes=16, **params)


def test_few_settings_are_shown_at_first_and_each_is_explained() -> None:
    fields = describe(UNetLearnerParams)
    assert 3 <= sum(not field.advanced for field in fields) <= 5
    assert all(field.help.endswith(".") for field in fields)
    assert LEARNERS.get("unet").params is UNetLearnerParams


def test_patches_are_rounded_up_to_what_the_network_halves_evenly(tmp_path: Path) -> None:
    plan = plan_unet(tiny_run(tmp_path / "run", patch_px=50, depth=3))
    assert plan.patch_px == (1, 56, 56)


def test_a_patch_too_small_for_the_network_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match="too small") as caught:
        plan_unet(tiny_run(tmp_path / "run", patch_px=32, depth=5))
    assert "64" in caught.value.hint


def test_a_volume_network_on_a_single_picture_is_refused(tmp_path: Path) -> None:
    image, mask = blobs(1)
    run = tiny_run(tmp_path / "run", pairs=[(Stack(image[0], "YX"), mask[0])], dimensions="3-D")
    with pytest.raises(ParameterError, match="single picture"):
        plan_unet(run)


@pytest.mark.parametrize(
    ("spacing", "factors"),
    [((0.01, 0.01, 0.01), "2,2,2"), ((0.02, 0.01, 0.01), "1,2,2"), ((0.05, 0.01, 0.01), "1,1,2"), ((1.0, 0.01, 0.01), "1,1,1"), ((), "2,2,2")],
)
def test_thick_sections_are_pooled_along_z_only_once_pixels_are_as_large(tmp_path: Path, spacing: tuple[float, ...], factors: str) -> None:
    assert plan_unet(volume_run(tmp_path / "run", spacing)).network_params["z_factors"] == factors


def test_a_thin_volume_is_not_pooled_away(tmp_path: Path) -> None:
    plan = plan_unet(volume_run(tmp_path / "run", (0.01, 0.01, 0.01), planes=5))
    assert plan.network_params["z_factors"] == "2,1,1"


def test_augmentation_grows_with_its_strength_and_can_be_switched_off(tmp_path: Path) -> None:
    plans = {strength: plan_unet(tiny_run(tmp_path / strength, augmentation=strength)).augmentation for strength in ("none", "light", "normal", "strong")}
    assert plans["none"] == STILL
    assert plans["light"].elastic_px < plans["normal"].elastic_px < plans["strong"].elastic_px


def test_upright_images_are_never_turned_upside_down(tmp_path: Path) -> None:
    augmentation = plan_unet(tiny_run(tmp_path / "run", turn="upright", augmentation="strong")).augmentation
    assert not augmentation.flip_y
    assert augmentation.flip_x
    assert augmentation.rotation_deg <= 15


def test_the_module_loads_without_torch() -> None:
    import subprocess
    import sys

    modules = "napari_segtool.training.learners.unet, napari_segtool.nets.unet, napari_segtool.training.runs._run, napari_segtool.nets._bundle"
    code = f"import sys, {modules}; print('torch' in sys.modules, 'cv2' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


def test_paint_is_varied_strongly_and_learned_without_the_dice_loss_unless_said_otherwise(tmp_path: Path) -> None:
    image, mask = blobs()
    paint = (mask > 0).astype(np.uint8) + 1
    paint[:, ::2] = 0
    pairs = [(Stack(image, "ZYX", (0.05, 0.01, 0.01), "blobs"), paint)]
    strong, normal = (plan_unet(tiny_run(tmp_path / name, augmentation=name)).augmentation for name in ("strong", "normal"))
    painted = plan_unet(tiny_run(tmp_path / "paint", pairs=pairs, labels_are="paint", augmentation="auto"))
    assert (painted.augmentation, terms(painted)) == (strong, {"cross-entropy": 1})
    masked = plan_unet(tiny_run(tmp_path / "mask", augmentation="auto"))
    assert (masked.augmentation, terms(masked)) == (normal, {"cross-entropy": 1, "dice": 0.5})
    assert [plan.network_params["dropout"] for plan in (painted, masked)] == [0.3, 0]
    asked = plan_unet(tiny_run(tmp_path / "asked", pairs=pairs, labels_are="paint", augmentation="light", loss="cross-entropy + 0.3*dice", dropout=0))
    assert (asked.augmentation.intensity, terms(asked)["dice"]) == (0.5, 0.3)
    assert asked.network_params["dropout"] == 0
    assert terms(plan_unet(tiny_run(tmp_path / "plain", loss="cross-entropy"))) == {"cross-entropy": 1}


def test_a_pretrained_encoder_learns_from_masks_and_its_model_needs_no_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = tiny_run(tmp_path / "run", network="unet-efficientnet", depth=0, patch_px=64, steps=12, learning_rate=0.003, average_steps=0)
    drain(LEARNERS.get("unet").function(run))
    plan = plan_unet(run)
    assert (plan.network, plan.initialisation, plan.optimiser) == ("unet-efficientnet", "imagenet", "adamw")
    losses = [event["loss"] for event in run.events()[0] if event["kind"] == "validation"]
    assert losses[-1] < losses[0]
    monkeypatch.setattr("napari_segtool.nets._imagenet.find_spec", lambda _: None)
    image, _ = blobs(1)
    result = segtool.predict(run.folder, Stack(image, "ZYX"))
    assert np.asarray(result.labels.data).shape == image.shape


def test_imagenet_weights_are_for_the_network_that_has_them(tmp_path: Path) -> None:
    run = tiny_run(tmp_path / "run", network="unet", initialisation="imagenet")
    with pytest.raises(ParameterError, match="unet-efficientnet"):
        drain(LEARNERS.get("unet").function(run))


def em_paint() -> dict[str, Any]:
    sample = SAMPLES.get("em")
    stack, truth = sample.function(sample.params.build(seed=3, size_px=256, slices=2))
    strokes = np.zeros(stack.shape, np.uint8)
    strokes[0, ::16] = np.where(truth.data[0, ::16] == 0, 1, 2)
    return {"pairs": [(stack, Labels(strokes, "ZYX"))], "labels_are": "paint", "base_channels": 32, "depth": 0, "patch_px": 0}


def test_paint_on_electron_microscopy_starts_from_what_is_known_of_it_and_so_does_what_goes_on_from_there(tmp_path: Path) -> None:
    pairs = em_paint()
    first = tiny_run(tmp_path / "first", steps=2, **pairs)
    plan = plan_unet(first)
    assert (plan.initialisation, plan.retain, plan.optimiser) == ("em", 1.0, "adamw")
    drain(LEARNERS.get("unet").function(first))
    assert "made by code" in messages(first)
    second = tiny_run(tmp_path / "second", steps=2, start_from=first.folder, **pairs)
    plan = plan_unet(second)
    assert (plan.initialisation, plan.retain) == ("em", 1.0)
    drain(LEARNERS.get("unet").function(second))
    assert "goes on from" in messages(second)
    assert "starts from" not in messages(second)
    asked = tiny_run(tmp_path / "asked", steps=2, start_from=first.folder, **pairs, initialisation="orthogonal", retain=2.0)
    plan = plan_unet(asked)
    assert (plan.initialisation, plan.retain) == ("orthogonal", 0.0)


def test_what_goes_on_from_a_model_of_other_origin_is_not_held_to_the_weights_for_electron_microscopy(tmp_path: Path) -> None:
    pairs = em_paint()
    first = tiny_run(tmp_path / "first", steps=2, **pairs, initialisation="kaiming")
    drain(LEARNERS.get("unet").function(first))
    plan = plan_unet(tiny_run(tmp_path / "second", steps=2, start_from=first.folder, **pairs))
    assert (plan.initialisation, plan.retain) == ("gaussian", 0.0)
