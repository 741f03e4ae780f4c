"""What a method is given beside the image, and where it may work: chosen, drawn, painted, missed."""

from __future__ import annotations

import numpy as np
import pytest

from napari_segtool import api
from napari_segtool.core.registry import METHODS
from napari_segtool.core.stack import Stack
from napari_segtool.ui._bridge import META
from napari_segtool.ui.workspace import panel_of
from tests.ui.pipeline_entries import ENTRIES, with_entries


@pytest.fixture(autouse=True)
def entries(monkeypatch):
    monkeypatch.setattr(METHODS, "_entries", with_entries(METHODS, *ENTRIES))


def pick(combo, text):
    """Choose a layer in a box as a user does."""
    combo.setCurrentIndex(combo.findText(text))
    combo.activated.emit(combo.currentIndex())


def test_a_method_that_starts_from_paint_says_what_is_missing_and_follows_every_stroke(workspace, qtbot, steps_image, settled, applied, stroke):
    viewer, data = workspace.viewer, steps_image[0]
    viewer.add_image(data, name="em")
    viewer.dims.set_current_step(0, 1)
    panel = workspace("segment")
    panel.choose("nearest")
    row = panel.settings.inputs.rows["paint"]
    assert row.isVisible()
    assert row.hint.isVisible()
    assert "stroke for each class" in row.hint.text()
    panel.button.click()
    assert panel.message.kind == "warning"
    assert panel.message.offers == ("Go to Annotate",)
    panel.message.act("Go to Annotate")
    qtbot.waitUntil(lambda: panel_of(viewer, "annotate").in_view)
    annotate = panel_of(viewer, "annotate")
    annotate.start()
    workspace("segment")
    assert row.layer is annotate.labels
    assert not row.hint.isVisible()
    qtbot.waitUntil(lambda: not panel.session.paint.busy)
    panel.button.click()
    assert "Nothing is painted" in panel.message.plain

    paint = annotate.labels
    paint.mode, paint.brush_size, paint.selected_label = "paint", 3, 1
    stroke(viewer, paint, (1, 10, 10), (1, 10, 16))
    paint.selected_label = 2
    stroke(viewer, paint, (1, 30, 30), (1, 30, 40))
    layer = settled(panel)
    expected = api.segment(Stack(data, "ZYX"), "nearest", paint=paint.data)
    assert set(np.unique(expected.data)) == {1, 2}
    np.testing.assert_array_equal(layer.data[0], expected.data[1])
    paint.undo()  # tells nobody that it painted
    qtbot.wait(50)
    assert (settled(panel).data == 1).all()
    paint.redo()
    qtbot.wait(50)
    np.testing.assert_array_equal(settled(panel).data[0], expected.data[1])
    applied(panel)
    result = viewer.layers["em · Nearest paint"]
    np.testing.assert_array_equal(result.data, expected.data)
    assert "paint" in result.metadata[META]["history"][0]["inputs"]


def test_work_stays_within_a_drawn_shape_and_follows_it(workspace, qtbot, steps_image, settled, applied):
    viewer, data = workspace.viewer, steps_image[0]
    viewer.add_image(data, name="em", scale=(2, 0.5, 0.5), units="um", axis_labels=("z", "y", "x"))
    viewer.dims.set_current_step(0, 1)
    panel = workspace("segment")
    panel.choose("otsu", {"classes": 2})
    within = panel.settings.within
    assert within.combo.currentText() == "the whole picture"
    whole = settled(panel).data.copy()
    within.draw_button.click()
    region = viewer.layers["em · region"]
    assert (region.mode, viewer.layers.selection.active, within.layer) == ("add_polygon", region, region)
    assert settled(panel) is None  # nothing drawn yet, nothing to show
    assert panel.message.plain == ""
    panel.button.click()
    assert "still empty" in panel.message.plain
    region.add(np.array([[1, 4, 6], [1, 4, 30], [1, 24, 30], [1, 24, 6]], float), shape_type="polygon")
    mask = np.zeros(data.shape, np.uint8)
    mask[1, 4:25, 6:31] = 1
    expected = api.segment(Stack(data, "ZYX"), "otsu", mask=mask).data
    np.testing.assert_array_equal(settled(panel).data[0], expected[1])
    applied(panel)
    np.testing.assert_array_equal(viewer.layers["em · Otsu"].data, expected)
    region.data = []
    assert settled(panel) is None
    pick(within.combo, "the whole picture")
    np.testing.assert_array_equal(settled(panel).data, whole)


def test_work_stays_within_what_is_painted_or_labelled(workspace, qtbot, steps_image, settled):
    viewer, data = workspace.viewer, steps_image[0]
    viewer.add_image(data, name="em")
    labels = viewer.add_labels(np.zeros(data.shape, np.uint8), name="where")
    labels.data[:, 10:, :] = 3
    viewer.add_labels(np.zeros((5, 5), np.uint8), name="elsewhere")
    viewer.dims.set_current_step(0, 1)
    panel = workspace("segment")
    panel.choose("otsu", {"classes": 2})
    within = panel.settings.within.combo
    assert [within.itemText(i) for i in range(within.count())] == ["the whole picture", "where"]
    pick(within, "where")
    np.testing.assert_array_equal(settled(panel).data[0], api.segment(Stack(data, "ZYX"), "otsu", mask=labels.data).data[1])
    labels.data_setitem((np.array([1]), np.array([0]), np.array([0])), 1)
    np.testing.assert_array_equal(settled(panel).data[0], api.segment(Stack(data, "ZYX"), "otsu", mask=labels.data).data[1])
    viewer.layers.remove(labels)
    assert within.currentText() == "the whole picture"
    np.testing.assert_array_equal(settled(panel).data[0], api.segment(Stack(data, "ZYX"), "otsu").data[1])


def test_labels_are_refined_from_a_layer_or_from_what_is_drawn(workspace, qtbot, steps_image, settled, applied):
    viewer, data = workspace.viewer, steps_image[0]
    viewer.add_image(data, name="em")
    viewer.dims.set_current_step(0, 1)
    panel = workspace("segment")
    panel.choose("shift", {"by": 5})
    row = panel.settings.inputs.rows["labels"]
    assert row.caption.text() == "Labels"
    panel.button.click()
    assert panel.message.kind == "warning"
    assert "choose its labels" in panel.message.plain
    net = viewer.add_labels((data > 100).astype(np.uint8), name="em · U-Net", metadata={META: {"role": "result"}})
    assert row.layer is net
    np.testing.assert_array_equal(settled(panel).data[0], np.where(data[1] > 100, 6, 0))
    applied(panel)
    np.testing.assert_array_equal(viewer.layers["em · Shift"].data, np.where(data > 100, 6, 0))
    row.draw_button.click()
    region = viewer.layers["em · region"]
    for corner in (4.0, 20.0):
        region.add(np.array([[1, corner, corner], [1, corner, corner + 6], [1, corner + 6, corner + 6], [1, corner + 6, corner]]), shape_type="rectangle")
    expected = np.zeros(data.shape[1:], int)
    expected[4:11, 4:11], expected[20:27, 20:27] = 6, 7
    np.testing.assert_array_equal(settled(panel).data[0], expected)


@pytest.mark.parametrize("kind", ["image with a class axis", "maps of the Predict panel"])
def test_probabilities_are_taken_as_predict_writes_them(workspace, qtbot, steps_image, settled, applied, kind):
    viewer, data = workspace.viewer, steps_image[0]
    viewer.add_image(data, name="em")
    viewer.dims.set_current_step(0, 1)
    chances = np.random.default_rng(3).random((3, *data.shape), np.float32)
    panel = workspace("segment")
    panel.choose("likeliest")
    row = panel.settings.inputs.rows["probabilities"]
    assert "Go to Predict" in row.hint.text()
    if kind == "image with a class axis":
        viewer.add_image(chances, name="chances", axis_labels=("c", "z", "y", "x"))
        expected_title = "chances"
    else:
        for index in (2, 0, 1):  # the order of layers says nothing
            notes = {"role": "overlay", "source": "em", "probability_of": "em · U-Net", "class_index": index}
            viewer.add_image(chances[index], name=f"em · U-Net · P({index})", metadata={META: notes})
        expected_title = "em · U-Net"
    assert [row.combo.itemText(i) for i in range(row.combo.count())] == [expected_title]
    assert panel.image is viewer.layers["em"]
    np.testing.assert_array_equal(settled(panel).data[0], chances.argmax(axis=0)[1])
    applied(panel)
    np.testing.assert_array_equal(viewer.layers["em · Likeliest"].data, chances.argmax(axis=0))


def test_what_refines_labels_or_probabilities_asks_for_one_of_them(workspace, qtbot, steps_image, settled):
    viewer, data = workspace.viewer, steps_image[0]
    viewer.add_image(data, name="em")
    panel = workspace("segment")
    panel.choose("potts")
    panel.button.click()
    assert "labels above, or probabilities" in panel.message.plain
    assert panel.message.offers == ("Go to Predict",)
    viewer.add_labels((data > 100).astype(np.uint8), name="rough")
    pick(panel.settings.inputs.rows["labels"].combo, "rough")
    assert settled(panel) is not None


def test_the_chooser_lists_the_families_in_the_order_of_a_textbook(workspace, qtbot):
    panel = workspace("segment")
    box = panel.chooser.box
    headings = [box.itemText(i) for i in range(box.count()) if box.itemData(i) is None]
    order = ["Threshold", "Clustering", "Edges", "Regions", "Watershed", "Contours", "Objects", "Refine"]
    assert headings == [name for name in order if name in headings]
    assert {box.itemData(i) for i in range(box.count())} - {None} == set(METHODS.names())
    for entry in METHODS:
        panel.chooser.choose(entry.name)
        assert panel.chooser.summary.text() == entry.summary


def test_every_method_can_be_chosen_without_a_traceback(workspace, qtbot, steps_image, settled):
    workspace.viewer.add_image(steps_image[0], name="em")
    panel = workspace("segment")
    for entry in METHODS:
        panel.choose(entry.name)
        settled(panel)
        assert panel.state == "ready", entry.name
        assert "Details" not in panel.message.offers, entry.name
