"""Commands that need no network: list, segment, filter, evaluate, doctor."""

import json

import numpy as np
import pytest
import tifffile

import napari_segtool as segtool
from napari_segtool.cli.list_ import KINDS
from napari_segtool.io.recipe import read_history


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_kind_is_listed_as_json_with_its_parameters(command, kind):
    assert command("list", kind, "--json") == 0
    records = json.loads(command.out)
    assert [record["name"] for record in records] == list(KINDS[kind].names())
    assert all(record["summary"] and field["help"] for record in records for field in record["params"])


def test_segmenting_writes_the_labels_that_python_gives_with_axes_spacing_and_recipe(command, image, tmp_path):
    out = tmp_path / "labels.tif"
    assert command("segment", "kmeans", image, "-o", out, "--clusters", 2) == 0
    written = segtool.read(out)
    expected = segtool.segment(image, "kmeans", clusters=2)
    assert np.array_equal(written.data, expected.labels.data)
    assert (written.axes, written.spacing_um, written.data.dtype) == ("ZYX", (0.05, 0.004, 0.004), np.uint8)
    assert [(step.name, step.params["clusters"]) for step in read_history(out)] == [("segment:kmeans", 2)]
    assert np.array_equal(tifffile.imread(out), expected.labels.data)


def test_slices_axes_and_spacing_of_the_command_line_reach_the_result(command, image, tmp_path):
    out = tmp_path / "labels.tif"
    assert command("segment", "otsu", image, "-o", out, "--slices", "1:3", "--axes", "TYX", "--spacing", "0.5,0.25") == 0
    written = segtool.read(out)
    assert (written.axes, written.spacing_um, written.shape) == ("TYX", (0.5, 0.25), (2, 48, 48))


def test_progress_as_json_is_one_object_a_line_and_ends_with_the_output(command, image, tmp_path):
    assert command("segment", "otsu", image, "-o", tmp_path / "o.tif", "--json-progress") == 0
    records = command.records()
    assert {record["kind"] for record in records[:-1]} == {"progress"}
    assert records[-1] == {"kind": "done", "output": str(tmp_path / "o.tif")}


def test_a_filter_keeps_shape_axes_and_spacing(command, image, tmp_path):
    out = tmp_path / "smooth.tif"
    assert command("filter", "gaussian", image, "-o", out) == 0
    written = segtool.read(out)
    assert (written.axes, written.shape, written.spacing_um) == ("ZYX", (3, 48, 48), (0.05, 0.004, 0.004))


def test_evaluating_the_truth_against_itself_is_perfect_and_written_as_json(command, truth, tmp_path):
    out = tmp_path / "scores.json"
    assert command("evaluate", truth, truth, "--json", out) == 0
    scores = json.loads(out.read_text())
    assert scores["pixel_error"] == 0
    assert scores["v_rand"] == pytest.approx(1)
    assert scores["v_info"] == pytest.approx(1)
    assert {"accuracy", "pixel_error", "mean_iou", "v_rand", "v_info", "classes"} <= set(scores)
    assert all({"dice", "iou", "precision", "recall"} <= set(values) for values in scores["classes"].values())


def test_evaluating_counts_wrong_pixels(command, truth, tmp_path):
    wrong = segtool.read(truth).data.copy()
    wrong[0, :6, :8] = 1
    guess = tmp_path / "guess.tif"
    segtool.write(segtool.Segmentation(segtool.Labels(wrong, "ZYX")), guess)
    out = tmp_path / "scores.json"
    assert command("evaluate", guess, truth, "--json", out) == 0
    assert json.loads(out.read_text())["pixel_error"] == pytest.approx(48 / wrong.size)
    assert command("evaluate", guess, truth, "--slices", "1:3", "--json", out) == 0
    assert json.loads(out.read_text())["pixel_error"] == 0


def test_the_doctor_reports_a_file_and_exits_with_2_on_a_broken_one(command, image, tmp_path):
    assert command("doctor", image) == 0
    assert "ZYX" in command.out
    broken = tmp_path / "broken.tif"
    broken.write_bytes(image.read_bytes()[:300])
    assert command("doctor", broken) == 2


def test_help_says_what_each_parameter_does(command):
    assert command("segment", "kmeans", "--help") == 0
    assert "--clusters" in command.out
    assert command("--version") == 0
    assert segtool.__version__ in command.out


def test_filters_and_a_mask_on_the_command_line_do_what_python_does(command, image, tmp_path):
    stack = segtool.read(image)
    mask = np.zeros(stack.label_shape, np.uint8)
    mask[:, 10:40] = 1
    segtool.write(segtool.Segmentation(segtool.Labels(mask, "ZYX"), stack.spacing_um), tmp_path / "mask.tif")
    out = tmp_path / "labels.tif"
    arguments = ("segment", "otsu", image, "-o", out, "--filter", "median:radius-px=2", "--filter", "gaussian", "--mask", tmp_path / "mask.tif")
    assert command(*arguments) == 0
    expected = segtool.segment(image, "otsu", filters=["median:radius_px=2", "gaussian"], mask=mask)
    assert np.array_equal(segtool.read(out).data, expected.labels.data)
    recipe = read_history(out)
    assert [step.name for step in recipe] == ["filter:median", "filter:gaussian", "segment:otsu"]
    assert set(recipe[-1].inputs) == {"mask"}
    assert recipe == expected.history
    assert command(*arguments, "--slices", "1:2") == 0
    assert np.array_equal(
        segtool.read(out).data, segtool.segment(image, "otsu", slices="1:2", filters=["median:radius_px=2", "gaussian"], mask=mask).labels.data
    )


def test_inputs_that_a_method_does_not_use_are_no_options_of_it(command, image, tmp_path):
    assert command("segment", "otsu", image, "-o", tmp_path / "o.tif", "--paint", image) == 2
    assert command("segment", "otsu", image, "-o", tmp_path / "o.tif", "--filter", "nothing") == 2
    assert not (tmp_path / "o.tif").exists()
