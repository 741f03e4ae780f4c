"""The Export panel and napari's own ways in and out: what is written is read back the same, by other libraries too."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from napari.components import ViewerModel
from napari.layers import Image, Points
from napari.layers import Labels as LabelsLayer

from napari_segtool import api
from napari_segtool.core.labels import Labels
from napari_segtool.core.progress import drain
from napari_segtool.core.result import Segmentation, Step
from napari_segtool.core.stack import Stack
from napari_segtool.io.recipe import read_history
from napari_segtool.ui import _io
from napari_segtool.ui._bridge import add_labels, notes_of, spacing_of
from napari_segtool.ui._export_plan import default_file_name, exportable, frozen_result, history_of, plan_export, write_steps

STEP = Step("segment:otsu", {"classes": 2}, "0.1.0", "0" * 16)


@pytest.fixture
def result_layer():
    viewer = ViewerModel()
    image = viewer.add_image(np.zeros((3, 8, 9), np.uint8), name="em", scale=(50, 4, 4), units="nm", axis_labels=("z", "y", "x"))
    labels = Labels(np.arange(216).reshape(3, 8, 9) % 5, "ZYX", ("a", "b", "c", "d", "e"))
    return add_labels(viewer, Segmentation(labels, (0.05, 0.004, 0.004), (STEP,)), image, "em · Otsu")


def test_a_result_is_written_with_axes_spacing_and_recipe_and_read_back_equal(result_layer, tmp_path):
    path = tmp_path / "labels.tif"
    result, spacing, history = frozen_result(result_layer, recipe=True)
    drain(write_steps(result, spacing, history, path))
    with tifffile.TiffFile(path) as tiff:
        assert tiff.series[0].axes == "ZYX"
        np.testing.assert_array_equal(tiff.asarray(), result_layer.data)
        assert tiff.asarray().dtype == np.uint8
    back = api.read(path)
    assert back.spacing_um == pytest.approx((0.05, 0.004, 0.004))
    assert read_history(path) == (STEP,)


def test_the_recipe_can_be_left_out(result_layer, tmp_path):
    path = tmp_path / "labels.tif"
    drain(write_steps(*frozen_result(result_layer, recipe=False), path))
    assert read_history(path) == ()


def test_the_plan_says_what_the_file_then_holds(result_layer, tmp_path):
    plan = plan_export(result_layer, "labels.tif")
    assert plan.facts == "uint8 · ZYX · 3×8×9 · 4×4×50 nm"
    assert plan.steps == 1
    assert plan.kind == "Label TIFF"
    many = LabelsLayer(np.array([[0, 70000]], np.uint32))
    assert plan_export(many).facts.startswith("uint32 · YX · 1×2 · spacing unknown")
    for layer in (result_layer, many):
        drain(write_steps(*frozen_result(layer, recipe=True), tmp_path / "out.tif"))
        assert tifffile.imread(tmp_path / "out.tif").dtype.name == plan_export(layer).facts.split(" ")[0]


def test_every_program_promised_to_open_it_does_so_far_as_it_can_be_run_here(result_layer, tmp_path):
    sitk = pytest.importorskip("SimpleITK")  # the library inside ITK-SNAP
    path = tmp_path / "labels.tif"
    drain(write_steps(*frozen_result(result_layer, recipe=True), path))
    assert "ITK-SNAP ✓" in plan_export(result_layer, str(path)).opens
    np.testing.assert_array_equal(sitk.GetArrayFromImage(sitk.ReadImage(str(path))), result_layer.data)


def test_paint_is_written_as_paint_with_the_names_of_its_classes(tmp_path):
    layer = LabelsLayer(np.array([[0, 1], [2, 0]], np.uint8), name="em · paint")
    notes_of(layer).update({"role": "paint", "classes": {1: "membrane", 2: "cell"}})
    assert plan_export(layer).kind == "Paint TIFF"
    assert history_of(layer) == ()
    result, *_ = frozen_result(layer, recipe=True)
    assert type(result).__name__ == "Paint"
    assert result.class_names == ("membrane", "cell")


def test_file_names_hold_nothing_that_a_file_system_refuses():
    assert default_file_name(LabelsLayer(np.zeros((2, 2), int), name='a/b: "c" · Otsu')) == "a_b___c__Otsu.tif"
    assert default_file_name(LabelsLayer(np.zeros((2, 2), int), name=" ")) == "labels.tif"


def test_points_and_previews_are_nothing_to_export():
    preview = LabelsLayer(np.zeros((2, 2), int))
    notes_of(preview)["role"] = "preview"
    assert not exportable(preview)
    assert not exportable(Points(np.zeros((1, 2))))
    assert exportable(Image(np.zeros((2, 2))))


def test_the_panel_offers_the_newest_result_writes_it_and_says_where(workspace, qtbot, steps_image, tmp_path):
    viewer, (data, truth) = workspace.viewer, steps_image
    panel = workspace("export")
    panel.button.click()
    assert panel.message.kind == "warning"
    assert "Segment" in panel.message.offers

    image = viewer.add_image(data, name="em", scale=(50, 4, 4), units="nm", axis_labels=("z", "y", "x"))
    layer = add_labels(viewer, Segmentation(Labels(truth, "ZYX"), (0.05, 0.004, 0.004), (STEP,)), image, "em · Otsu")
    assert panel.layer_combo.layer() is layer
    assert panel.holds.text() == "uint8 · ZYX · 3×40×48 · 4×4×50 nm"
    assert "Fiji ✓" in panel.opens.text()
    assert Path(panel.path.text()).name == "em_Otsu.tif"

    path = tmp_path / "out.tif"
    panel.path.setText(str(path))
    panel.path.textEdited.emit(str(path))
    panel.button.click()
    qtbot.waitUntil(lambda: panel.state == "done", timeout=5000)
    assert str(path) in panel.message.plain
    np.testing.assert_array_equal(tifffile.imread(path), truth)
    panel.message.act("Copy path")

    path.write_bytes(b"precious")
    panel.button.click()
    assert "exists already" in panel.message.plain
    assert path.read_bytes() == b"precious"
    panel.message.act("Replace it")
    qtbot.waitUntil(lambda: panel.state == "done" and path.read_bytes() != b"precious", timeout=5000)

    panel.path.setText(str(tmp_path / "no folder" / "out.tif"))
    panel.button.click()
    qtbot.waitUntil(lambda: panel.state == "failed", timeout=5000)
    assert "no folder" in panel.message.plain
    assert list(tmp_path.glob("*.tif")) == [path]


def test_napari_opens_our_tiff_with_axes_units_and_scale_and_saves_labels_with_them(make_napari_viewer, tmp_path):
    viewer = make_napari_viewer()
    path = tmp_path / "em.tif"
    api.write(Stack(np.arange(216, dtype=np.uint8).reshape(3, 8, 9), "ZYX", (0.05, 0.004, 0.004), "em"), path)
    (layer,) = viewer.open(str(path), plugin="napari-segtool")
    assert spacing_of(layer) == pytest.approx((0.05, 0.004, 0.004))
    assert tuple(layer.axis_labels) == ("z", "y", "x")
    labels = add_labels(viewer, Segmentation(Labels(np.ones((3, 8, 9), np.uint8), "ZYX"), (0.05, 0.004, 0.004), (STEP,)), layer, "r")
    out = tmp_path / "saved.tif"
    assert labels.save(str(out), plugin="napari-segtool") == [str(out)]
    assert tifffile.imread(out).dtype == np.uint8  # napari's own writer makes uint32 of them, without spacing
    assert read_history(out) == (STEP,)
    assert api.read(out).spacing_um == pytest.approx((0.05, 0.004, 0.004))

    viewer.open_sample("napari-segtool", "em")
    sample, truth = viewer.layers[-2:]
    assert sample.data.shape == truth.data.shape
    assert spacing_of(sample) == spacing_of(truth) != ()


def test_the_reader_takes_what_it_can_read_and_leaves_the_rest(tmp_path):
    assert _io.get_reader("a.TIF") is _io.read_paths
    assert _io.get_reader(["a.tif", "b.tiff"]) is _io.read_paths
    assert _io.get_reader("a.nii") is None
    assert _io.get_reader(["a.tif", "b.nii"]) is None
    assert _io.get_reader(str(tmp_path)) is None


@pytest.mark.data
def test_the_real_stack_opens_with_its_spacing(data_folder):
    ((data, meta, kind),) = _io.read_paths(str(data_folder / "isbi2012_em" / "image.tif"))
    layer = Image(data, **meta)
    assert kind == "image"
    assert layer.data.shape == (20, 512, 512)
    assert spacing_of(layer) == pytest.approx((0.05, 0.004, 0.004))
