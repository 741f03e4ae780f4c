"""The whole loop through the command line: train, stop, resume, predict, explain, evaluate, demo."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

import napari_segtool as segtool
from napari_segtool.io.recipe import read_history

SMALL = ["--set", "base_channels=4", "--set", "depth=2", "--set", "patch_px=32", "--set", "batch=2"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("learning")


@pytest.fixture(scope="module")
def files(folder):
    from tests.cli.conftest import two_levels

    image, truth = folder / "image.tif", folder / "truth.tif"
    segtool.write(segtool.Stack(two_levels(), "ZYX", (0.05, 0.004, 0.004), "image"), image)
    segtool.write(segtool.Segmentation(segtool.Labels(np.where(two_levels() > 100, 255, 0).astype(np.uint8), "ZYX")), truth)
    return image, truth


@pytest.fixture(scope="module")
def trained(files, folder):
    from napari_segtool.cli._app import run

    image, truth = files
    words = ["train", "-i", str(image), "-l", str(truth), "-o", str(folder / "run"), "--labels-are", "mask", "--steps", "150", "--seed", "1", *SMALL]
    assert run(words) == 0
    return folder / "run"


def test_a_model_predicts_in_the_numbering_of_its_mask_and_scores_well(command, trained, files, tmp_path):
    image, truth = files
    out, probabilities, uncertainty = tmp_path / "p.tif", tmp_path / "prob.tif", tmp_path / "u.tif"
    assert command("predict", trained, image, "-o", out, "--probabilities", probabilities, "--uncertainty", uncertainty) == 0
    labels = segtool.read(out)
    assert set(np.unique(labels.data)) <= {0, 1}
    assert (labels.axes, labels.spacing_um) == ("ZYX", (0.05, 0.004, 0.004))
    probability = segtool.read(probabilities)
    assert probability.spacing_um == segtool.read(uncertainty).spacing_um == (0.05, 0.004, 0.004)
    assert [read_history(path)[-1].name for path in (probabilities, uncertainty)] == ["predict:unet"] * 2
    assert (probability.axes, probability.shape, probability.data.dtype) == ("CZYX", (2, 3, 48, 48), np.float32)
    assert np.allclose(probability.data.sum(axis=0), 1, atol=1e-3)
    assert np.array_equal(probability.data.argmax(axis=0), labels.data)
    assert 0 <= segtool.read(uncertainty).data.min() <= segtool.read(uncertainty).data.max() <= 1
    assert read_history(out)[-1].name == "predict:unet"
    assert command("evaluate", out, truth, "--probabilities", probabilities, "--json", tmp_path / "s.json") == 0
    assert json.loads((tmp_path / "s.json").read_text())["accuracy"] > 0.9


def test_python_predicts_what_the_command_line_does(command, trained, files, tmp_path):
    image, _ = files
    assert command("predict", trained, image, "-o", tmp_path / "p.tif", "--slices", "1:2") == 0
    assert np.array_equal(segtool.read(tmp_path / "p.tif").data, segtool.predict(trained, image, slices="1:2").labels.data)


@pytest.mark.parametrize("explainer", ["gradient", "gradcam"])
@pytest.mark.parametrize("place", [["--at", "1,20,20"], ["--slice", "2", "--against", "0"], []])
def test_an_explanation_is_written_for_a_pixel_or_a_slice(command, trained, files, tmp_path, explainer, place):
    image, _ = files
    assert command("explain", trained, image, "--explainer", explainer, "--class", 1, *place, "-o", tmp_path / "why.tif") == 0
    overlay = segtool.read(tmp_path / "why.tif")
    assert overlay.data.dtype == np.float32
    assert overlay.shape[-2:] == (48, 48)
    assert np.isfinite(overlay.data).all()


def test_an_object_of_a_label_image_is_explained(command, trained, files, tmp_path):
    image, truth = files
    place = f"{truth}:255"
    assert command("explain", trained, image, "--explainer", "guided-backprop", "--class", 1, "--region", place, "--slice", 2, "-o", tmp_path / "why.tif") == 0
    assert segtool.read(tmp_path / "why.tif").data.any()


@pytest.mark.parametrize(
    "words",
    [
        ["--class", "9"],
        ["--class", "1", "--against", "9"],
        ["--class", "1", "--region", "objects.tif"],
        ["--class", "1", "--region", "nowhere.tif:1"],
        ["--class", "1", "--at", "1,99,20"],
        ["--class", "1", "--slice", "7"],
        ["--class", "1", "--at", "x"],
        ["--class", "1", "--set", "sharp=1"],
    ],
)
def test_a_question_that_makes_no_sense_is_refused(command, trained, files, tmp_path, words):
    assert command("explain", trained, files[0], "--explainer", "gradient", *words, "-o", tmp_path / "why.tif") == 2
    assert not (tmp_path / "why.tif").exists()
    assert "Traceback" not in command.err


def test_training_into_a_used_folder_is_refused_and_changes_nothing(command, trained, files):
    before = {path: path.stat().st_mtime_ns for path in trained.rglob("*") if path.is_file()}
    assert command("train", "-i", files[0], "-l", files[1], "-o", trained, "--steps", 1) == 2
    assert "--resume" in command.err
    assert {path: path.stat().st_mtime_ns for path in trained.rglob("*") if path.is_file()} == before


def test_ctrl_c_ends_training_with_130_and_resume_finishes_it(files, tmp_path):
    run = tmp_path / "run"
    base = [sys.executable, "-m", "napari_segtool", "train"]
    words = ["-i", str(files[0]), "-l", str(files[1]), "-o", str(run), "--steps", "100000", "--json-progress", *SMALL]
    with subprocess.Popen([*base, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ) as child:
        for line in child.stdout:
            if json.loads(line)["label"] == "step 3":
                break
        child.send_signal(signal.SIGINT)
        asked = time.monotonic()
        _, errors = child.communicate(timeout=30)
    assert child.returncode == 130
    assert "Traceback" not in errors
    assert time.monotonic() - asked < 10
    config = json.loads((run / "config.json").read_text())
    assert config["steps"] == 100000
    with subprocess.Popen(
        [*base, "-o", str(run), "--resume", "--json-progress"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ
    ) as child:
        first = json.loads(child.stdout.readline())
        (run / "control").write_text("stop")
        _, errors = child.communicate(timeout=60)
    assert child.returncode == 0, errors
    assert int(first["label"].split()[1]) > 1, "it went on where it was"
    assert (run / "model" / "model.json").is_file()


def test_a_finished_run_is_trained_on_and_repeated(command, trained, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(trained, run)
    assert command("train", "-o", run, "--resume", "-i", "elsewhere.tif", "--steps", 160) == 0
    assert "not read" in command.err
    assert json.loads((run / "config.json").read_text())["steps"] == 160
    assert command("train", "-o", run, "--resume", "--steps", 10) == 2
    assert "160 steps" in command.err
    assert command("train", "-o", run, "--resume", "--set", "depth=5") == 2
    assert "depth" in command.err
    assert command("train", "--again", run, "--seed", 3, "-o", tmp_path / "again") == 2
    assert command("train", "--again", run) == 2
    assert command("train", "--again", run, "-o", tmp_path / "again") == 0
    assert (tmp_path / "again" / "model" / "model.json").is_file()


@pytest.mark.slow
def test_the_demo_runs_the_whole_loop_and_writes_pictures(command, tmp_path):
    assert command("demo", "--out", tmp_path / "demo", "--minutes", 0.1) == 0
    names = {path.name for path in (tmp_path / "demo").iterdir()}
    assert {"image.tif", "paint.tif", "otsu.tif", "kmeans.tif", "labels.tif", "probabilities.tif", "gradient.tif", "gradcam.tif"} <= names
    assert {"scores.json", "overview.png", "curves.png", "run"} <= names
    assert command("demo", "--out", tmp_path / "demo", "--minutes", 0.1) == 2, "a finished demo is not overwritten"
