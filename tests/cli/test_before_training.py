"""``segtool train --weight-map`` and ``--examples`` show what would be trained, and train nothing."""

import json

import cv2
import numpy as np
import pytest

import napari_segtool as segtool
from napari_segtool import api

SETTINGS = {"base_channels": 2, "depth": 2, "patch_px": 32, "border_weight": 7.0}
SMALL = [word for name, value in SETTINGS.items() for word in ("--set", f"{name}={value}")] + ["--device", "cpu"]


def test_the_weight_map_is_a_calibrated_image_of_what_training_uses(command, image, truth, tmp_path):
    assert command("train", "-i", image, "-l", truth, "--weight-map", tmp_path / "map.tif", *SMALL) == 0
    found = segtool.read(tmp_path / "map.tif")
    (wanted,) = api.weight_map([(image, truth)], labels_are="mask", device="cpu", **SETTINGS)
    assert np.array_equal(found.data, wanted.weights.data)
    assert np.asarray(found.data).dtype == np.float32
    assert (found.axes, found.spacing_um) == ("ZYX", (0.05, 0.004, 0.004))
    assert "border weight of 7 for gaps of about 5 px" in command.out
    assert {path.name for path in tmp_path.iterdir()} == {"image.tif", "truth.tif", "map.tif"}


def test_several_images_have_a_map_each_with_their_weights(command, image, truth, tmp_path):
    amounts = np.random.default_rng(0).uniform(0.5, 2, (3, 48, 48)).astype(np.float32)
    segtool.write(segtool.Stack(amounts, "ZYX"), tmp_path / "sure.tif")
    twice = ["-i", image, "-l", truth, "-w", tmp_path / "sure.tif"] * 2
    assert command("train", *twice, "--weight-map", tmp_path / "map.tif", "--slices", "0:2", "--json-progress", *SMALL) == 0
    maps = [np.asarray(segtool.read(tmp_path / f"map-{number}.tif").data) for number in (1, 2)]
    assert not (tmp_path / "map.tif").exists()
    assert np.array_equal(*maps)
    marks = np.asarray(segtool.read(truth).data)[:2]
    inside = (maps[0] / amounts[:2])[marks == 1]
    assert np.ptp(inside) < 1e-5, "within objects the class and the given weight are all that counts"
    assert json.loads(command.out.splitlines()[-1])["output"] == [str(tmp_path / f"map-{number}.tif") for number in (1, 2)]


def test_of_paint_it_is_said_that_borders_are_not_weighed(command, image, truth, tmp_path):
    words = ["train", "-i", image, "-l", truth, "--labels-are", "paint", "--weight-map", tmp_path / "map.tif", *SMALL]
    paint = np.zeros((3, 48, 48), np.uint8)
    paint[1, 15:20, 15:20], paint[1, 2:6, 2:40] = 1, 2
    segtool.write(segtool.Paint(paint, "ZYX"), truth)
    assert command(*words) == 0
    assert "needs masks" in command.out
    assert np.array_equal(np.asarray(segtool.read(tmp_path / "map.tif").data) > 0, paint > 0)


@pytest.mark.parametrize("labels_are", ["mask", "paint"])
def test_the_sheet_shows_patches_with_labels_in_colour(command, image, truth, tmp_path, labels_are):
    if labels_are == "paint":
        segtool.write(segtool.Paint(np.asarray(segtool.read(truth).data) + 1, "ZYX"), truth)
    twice = ["-i", image, "-l", truth] * 2
    assert command("train", *twice, "--labels-are", labels_are, "--examples", tmp_path / "sheet.png", *SMALL) == 0
    assert "8 patches. Only the first of 2 images is shown." in command.out
    sheet = cv2.imread(str(tmp_path / "sheet.png")).astype(int)
    coloured = np.ptp(sheet, axis=-1) > 20
    height = len(sheet)
    assert coloured[: height // 2].mean() < 0.001, "image and varied image are grey"
    assert coloured[2 * height // 3 :].mean() > 0.05
    assert {path.name for path in tmp_path.iterdir()} == {"image.tif", "truth.tif", "sheet.png"}


REFUSED = [
    (["--weight-map", "map.png"], "End it in .tif or .tiff"),
    (["--examples", "sheet.tif"], "End it in .png"),
    (["--weight-map", "there.tif"], "exists already"),
    (["--examples", "there.png"], "exists already"),
    (["--examples", "nowhere/sheet.png"], "does not exist"),
    (["--weight-map", "map.tif", "--examples", "sheet.png"], "cannot go together"),
    (["--weight-map", "map.tif", "--dry-run"], "--dry-run and --weight-map cannot go together"),
    (["--find-rate", "--examples", "sheet.png"], "cannot go together"),
    (["--weight-map", "map.tif", "--resume"], "resumed"),
    (["--examples", "sheet.png", "--set", "patch_px=32", "--set", "depth=6"], "too small"),
]


@pytest.mark.parametrize(("words", "told"), REFUSED)
def test_what_cannot_be_shown_is_refused_and_nothing_is_written(command, image, truth, tmp_path, monkeypatch, words, told):
    monkeypatch.chdir(tmp_path)
    for name in ("there.tif", "there.png"):
        (tmp_path / name).write_bytes(b"mine")
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    assert command("train", "-i", image, "-l", truth, *words) == 2
    assert told in command.err
    assert "Traceback" not in command.err
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before
