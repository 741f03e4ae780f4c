"""``segtool train --dry-run`` says what would be done and why."""

import json

import numpy as np
import pytest

import napari_segtool as segtool

SMALL = ["--set", "base_channels=4", "--set", "depth=2", "--set", "patch_px=32"]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    from tests.cli.conftest import two_levels

    folder = tmp_path_factory.mktemp("dry")
    image, truth = folder / "image.tif", folder / "truth.tif"
    segtool.write(segtool.Stack(two_levels(), "ZYX", (0.05, 0.004, 0.004), "image"), image)
    segtool.write(segtool.Segmentation(segtool.Labels(np.where(two_levels() > 100, 255, 0).astype(np.uint8), "ZYX")), truth)
    return image, truth


def test_choices_reasons_memory_and_time_are_said_and_no_run_is_made(command, files, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert command("train", "-i", files[0], "-l", files[1], "--dry-run", "--device", "cpu", "--minutes", 3, *SMALL) == 0
    assert not any(tmp_path.iterdir())
    lines = command.out.splitlines()
    assert lines[0].startswith("unet on CPU: ")
    assert "MB" in lines[0]
    assert "s a step" in lines[0]
    assert any(line.split()[:2] == ["dimensions", "2-D"] for line in lines)
    assert "minutes at" in command.out
    assert max(map(len, lines[1:])) <= 120


def test_as_json_it_holds_every_setting_and_reason(command, files):
    assert command("train", "-i", files[0], "-l", files[1], "--dry-run", "--json", "--device", "cpu", "--steps", 7, *SMALL) == 0
    record = json.loads(command.out)
    assert record["settings"]["base_channels"] == 4
    assert "auto" not in {value for name, value in record["settings"].items() if name not in ("precision", "effects", "flips")}
    assert record["steps"] == 7
    assert {"setting", "value", "why"} == set(record["reasons"][0])
    assert record["memory_mb"] > 0


def test_a_model_to_go_on_from_is_asked_too(command, files, tmp_path):
    model = tmp_path / "model"
    assert command("train", "-i", files[0], "-l", files[1], "-o", model, "--device", "cpu", "--steps", 2, *SMALL) == 0
    assert command("train", "-i", files[0], "-l", files[1], "--dry-run", "--json", "--device", "cpu", "--steps", 7, "--from", model) == 0
    record = json.loads(command.out)
    assert (record["settings"]["base_channels"], record["settings"]["depth"]) == (4, 2)
    assert any("goes on from" in reason["why"] for reason in record["reasons"])


REFUSED = [
    (["--from", "nowhere"], "nowhere"),
    (["--resume"], "resumed"),
    (["--set", "loss=dicee"], "dicee"),
    (["--set", "nonsense=1"], "nonsense"),
    (["--learner", "x"], "learner"),
]


@pytest.mark.parametrize(("words", "told"), REFUSED)
def test_what_cannot_be_proposed_is_refused(command, files, words, told):
    assert command("train", "-i", files[0], "-l", files[1], "--dry-run", *SMALL, *words) == 2
    assert told in command.err
    assert "Traceback" not in command.err
