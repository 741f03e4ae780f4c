"""Bad input: one clear message with a hint, exit code 2, no traceback, nothing half-written."""

import os
import subprocess
import sys

import numpy as np
import pytest
import tifffile


def listing(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


BAD_IMAGES = {
    "missing.tif": None,
    "empty.tif": b"",
    "text.tif": b"this is no image at all",
    "notes.txt": b"hello",
    "volume.mrc": b"\0" * 2048,
    "brain.nii": b"\0" * 400,
}


@pytest.mark.parametrize("name", sorted(BAD_IMAGES))
def test_an_unreadable_image_is_one_message_and_no_file(command, tmp_path, name):
    if BAD_IMAGES[name] is not None:
        (tmp_path / name).write_bytes(BAD_IMAGES[name])
    before = listing(tmp_path)
    assert command("segment", "otsu", tmp_path / name, "-o", tmp_path / "out.tif") == 2
    assert name in command.err
    assert len(command.err.strip().splitlines()) == 2, "a message and a hint"
    assert "Traceback" not in command.err
    assert listing(tmp_path) == before


@pytest.mark.parametrize(
    ("words", "mentions"),
    [
        (["segment", "otsu", "{image}", "-o", "{folder}/nowhere/out.tif"], "nowhere"),
        (["segment", "otsu", "{image}", "-o", "{folder}/out.xyz"], ".xyz"),
        (["segment", "otsu", "{image}", "-o", "{folder}"], "cannot be written"),
        (["segment", "otsu", "{image}", "-o", "{folder}/out.tif", "--axes", "YX"], "3 dimensions"),
        (["segment", "otsu", "{image}", "-o", "{folder}/out.tif", "--spacing", "1,2"], "spacing"),
        (["segment", "otsu", "{image}", "-o", "{folder}/out.tif", "--spacing", "wide"], "wide"),
        (["segment", "otsu", "{image}", "-o", "{folder}/out.tif", "--slices", "9:12"], "9:12"),
        (["segment", "otsu", "{image}", "-o", "{folder}/out.tif", "--slices", "a"], "'a'"),
        (["segment", "kmeans", "{image}", "-o", "{folder}/out.tif", "--clusters", "1"], "clusters"),
        (["segment", "region-growing", "{image}", "-o", "{folder}/out.tif"], "seed"),
        (["segment", "nothing", "{image}", "-o", "{folder}/out.tif"], "nothing"),
        (["segment", "otsu", "{image}"], "-o"),
        (["evaluate", "{image}", "{folder}/none.tif"], "none.tif"),
        (["list", "elephants"], "elephants"),
        (["train", "-o", "{folder}/run"], "image"),
        (["train", "-i", "{image}", "-l", "{image}"], "run folder"),
        (["train", "-i", "{image}", "-l", "{folder}/none.tif", "-o", "{folder}/run"], "none.tif"),
        (["train", "-i", "{image}", "-l", "{truth}", "-o", "{folder}/run", "--learner", "unnet"], "unnet"),
        (["train", "-i", "{image}", "-l", "{truth}", "-o", "{folder}/run", "--labels-are", "crayon"], "crayon"),
        (["train", "-i", "{image}", "-l", "{truth}", "-o", "{folder}/run", "--set", "batch"], "key=value"),
        (["train", "-i", "{image}", "-l", "{truth}", "-o", "{folder}/run", "--set", "bach=3"], "bach"),
        (["train", "-i", "{image}", "-l", "{truth}", "-o", "{folder}/run", "--labels-are", "paint"], "mask"),
        (["train", "-o", "{folder}/run", "--resume"], "run"),
        (["predict", "{folder}/model", "{image}", "-o", "{folder}/out.tif"], "model"),
        (["explain", "{folder}/model", "{image}", "-o", "{folder}/out.tif", "--explainer", "gradient", "--class", "1"], "model"),
        (["predict", "{folder}/model", "{image}", "-o", "{folder}/out.png"], "A PNG holds one picture"),
        (["predict", "{folder}/model", "{image}", "-o", "{folder}/out.tif", "--probabilities", "{folder}/p.png"], "A PNG holds one picture"),
        (["predict", "{folder}/model", "{image}", "-o", "{folder}/out.tif", "--uncertainty", "{folder}/out.tif"], "a file of its own"),
        (["explain", "{folder}/model", "{image}", "-o", "{folder}/out.png", "--explainer", "gradient", "--class", "1"], "A PNG holds one picture"),
        (["segment", "otsu", "{image}", "-o", "{folder}/out.png"], "A PNG holds one picture"),
        (["filter", "gaussian", "{image}", "-o", "{folder}/out.png"], "A PNG holds one picture"),
        (["gui", "{folder}/none.tif"], "none.tif"),
        (["demo", "--image", "{image}"], "--labels"),
    ],
)
def test_a_wrong_command_line_says_what_is_wrong_and_leaves_nothing(command, image, truth, tmp_path, words, mentions):
    before = listing(tmp_path)
    assert command(*(word.format(image=image, truth=truth, folder=tmp_path) for word in words)) == 2
    assert mentions in command.err
    assert "Traceback" not in command.err
    assert listing(tmp_path) == before


@pytest.mark.parametrize("instead", [[], ["--dry-run"], ["--find-rate"]], ids=["train", "dry run", "rates"])
@pytest.mark.parametrize("name", ["steps", "seed", "threads", "minutes", "device", "slices", "resume", "labels-are"])
def test_an_option_given_as_a_setting_is_refused_with_the_name_of_the_option(command, image, truth, tmp_path, name, instead):
    assert command("train", "-i", image, "-l", truth, "-o", tmp_path / "run", "--set", f"{name}=1", *instead) == 2
    assert f"Use --{name}." in command.err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("instead", [[], ["--dry-run"], ["--find-rate"]], ids=["train", "dry run", "rates"])
@pytest.mark.parametrize("name", ["model", "class_names", "pairs", "run", "timing", "lowest", "params", "source"])
def test_what_python_calls_its_arguments_is_no_setting(command, image, truth, tmp_path, name, instead):
    assert command("train", "-i", image, "-l", truth, "-o", tmp_path / "run", "--set", f"{name}=1", *instead) == 2
    assert f"There is no parameter '{name}'" in command.err
    assert "base_channels" in command.err


def test_a_setting_of_an_explanation_or_a_network_that_is_an_option_is_refused_too(command, image, tmp_path):
    words = ["explain", tmp_path / "model", image, "-o", tmp_path / "out.tif", "--explainer", "gradient", "--class", 1]
    assert command(*words, "--set", "device=cpu") == 2
    assert "Use --device." in command.err
    assert command("network", "unet", "--set", "batch=3") == 2
    assert "Use --batch." in command.err


def test_a_folder_that_cannot_be_written_is_refused_before_the_work(command, image, monkeypatch):
    def refuse(*_args, **_kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("napari_segtool.cli._options.tempfile.mkstemp", refuse)
    monkeypatch.setattr("napari_segtool.api.segment_steps", lambda *_a, **_k: pytest.fail("the work began"))
    assert command("segment", "otsu", image, "-o", image.parent / "out.tif") == 2
    assert "Permission denied" in command.err


def test_a_file_that_cannot_hold_the_result_is_refused_before_the_work(command, image, monkeypatch):
    monkeypatch.setattr("napari_segtool.api.segment_steps", lambda *_a, **_k: pytest.fail("the work began"))
    assert command("segment", "otsu", image, "-o", image.parent / "out.png") == 2


@pytest.mark.parametrize(
    ("labels", "labels_are"),
    [
        (np.zeros((3, 48, 48), np.uint8), "paint"),
        (np.ones((3, 48, 48), np.uint8), "mask"),
        (np.ones((3, 40, 48), np.uint8), "mask"),
        (np.full((3, 48, 48), 0.5, np.float32), "mask"),
    ],
    ids=["empty paint", "one class", "another shape", "fractions"],
)
def test_labels_that_cannot_be_learned_from_are_refused_and_no_run_is_left(command, image, tmp_path, labels, labels_are):
    tifffile.imwrite(tmp_path / "labels.tif", labels, photometric="minisblack")
    before = listing(tmp_path)
    assert command("train", "-i", image, "-l", tmp_path / "labels.tif", "-o", tmp_path / "run", "--labels-are", labels_are, "--steps", 1) == 2
    assert len(command.err.strip().splitlines()) == 2
    assert listing(tmp_path) == before


def test_bad_input_on_the_real_command_prints_no_traceback(tmp_path):
    outcome = subprocess.run(
        [sys.executable, "-m", "napari_segtool", "segment", "otsu", str(tmp_path / "none.tif"), "-o", str(tmp_path / "o.tif")],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONWARNINGS": "error"},
    )
    assert outcome.returncode == 2
    assert "none.tif" in outcome.stderr
    assert "Traceback" not in outcome.stderr
