"""Looking inside a network, and checking an explanation, through the command line."""

import json
from pathlib import Path

import numpy as np
import pytest

import napari_segtool as segtool
from napari_segtool import api
from tests.hand_models import saved_unet


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return saved_unet(tmp_path_factory.mktemp("models") / "flat", depth=1).path


def test_the_layers_are_listed(command, model):
    assert command("inside", model, "--what", "layers") == 0
    assert [line.split()[0] for line in command.out.splitlines()] == ["down.0", "bottom", "unpool.0", "up.0"]
    assert command("inside", model, "--what", "layers", "--json-progress") == 0
    assert command.records()[-1]["layers"][1]["features"] == 8


@pytest.mark.parametrize(
    ("words", "axes", "shape"),
    [
        (["--what", "filters"], "QCYX", (4, 1, 3, 3)),
        (["--what", "activations", "--layer", "bottom", "--plane", "2", "--feature", "3"], "CZYX", (1, 1, 24, 24)),
        (["--what", "receptive-field", "--at", "1,20,20"], "ZYX", (1, 48, 48)),
        (["--what", "patches", "--layer", "bottom", "--feature", "1", "--count", "2"], "QYX", (2, 16, 16)),
    ],
)
def test_what_is_inside_is_written_as_a_tiff(command, model, image, tmp_path, words, axes, shape):
    assert command("inside", model, image, *words, "-o", tmp_path / "inside.tif") == 0
    seen = segtool.read(tmp_path / "inside.tif")
    assert (seen.axes, seen.shape[:2]) == (axes, shape[:2])
    assert seen.shape == shape or "patches" in words
    assert np.isfinite(seen.data).all()


def test_places_like_an_object_are_listed_and_written(command, model, image, tmp_path):
    labels = np.zeros((3, 48, 48), np.uint8)
    labels[0, 4:9, 4:9] = 7
    segtool.write(segtool.Segmentation(segtool.Labels(labels, "ZYX")), tmp_path / "objects.tif")
    words = ["--what", "similar", "--region", f"{tmp_path / 'objects.tif'}:7", "--count", 3]
    assert command("inside", model, image, *words, "-o", tmp_path / "places.json") == 0
    assert len(command.out.splitlines()) == len(json.loads((tmp_path / "places.json").read_text())) == 3


@pytest.mark.parametrize(
    "words",
    [
        ["--what", "dance", "-o", "{}/a.tif"],
        ["--what", "activations"],
        ["--what", "activations", "--layer", "attic", "-o", "{}/a.tif"],
        ["--what", "patches", "--feature", "99", "-o", "{}/a.tif"],
        ["--what", "receptive-field", "-o", "{}/a.tif"],
        ["--what", "similar"],
        ["--what", "filters", "-o", "{}/a.json"],
    ],
)
def test_what_makes_no_sense_is_refused_and_nothing_is_written(command, model, image, tmp_path, words):
    assert command("inside", model, image, *[word.format(tmp_path) for word in words]) == 2
    assert not list(tmp_path.glob("a.*"))
    assert "Traceback" not in command.err


def test_an_image_is_asked_for_where_it_is_needed(command, model, tmp_path):
    assert command("inside", model, "--what", "activations", "-o", tmp_path / "a.tif") == 2
    assert "needs an image" in command.err


def test_an_explanation_can_be_checked_on_the_way(command, model, image, tmp_path):
    words = ["explain", model, image, "--explainer", "gradient", "--class", 1, "--at", "1,20,20", "-o", tmp_path / "why.tif"]
    assert command(*words, "--trust") == 0
    assert "randomised" in command.out
    assert command(*words, "--trust-json", tmp_path / "trust.json") == 0
    report = json.loads((tmp_path / "trust.json").read_text())
    assert {verdict["check"] for verdict in report["verdicts"]} == {"randomisation", "deletion", "insertion", "repeatability"}
    assert command(*words, "--trust-json", tmp_path / "trust.txt") == 2


def test_a_model_that_is_no_network_is_refused():
    forest = segtool.ModelBundle(Path("forest"), {"learner": "forest", "classes": []})
    for ask in (api.layers, api.filters):
        with pytest.raises(segtool.SegtoolError, match="no network") as refused:
            ask(forest)
        assert refused.value.hint
