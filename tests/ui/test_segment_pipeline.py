"""The Segment panel from filters to post-processing: what is seen, what comes out, and the recipe of it."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtCore import Qt

from napari_segtool import api
from napari_segtool.core.registry import METHODS
from napari_segtool.core.stack import Stack
from napari_segtool.ui._bridge import segmentation_of
from tests.ui.pipeline_entries import ENTRIES, with_entries


@pytest.fixture(autouse=True)
def entries(monkeypatch):
    monkeypatch.setattr(METHODS, "_entries", with_entries(METHODS, *ENTRIES))


def add(chain, name, **values):
    """Add a link as a user does, and set it."""
    chain.box.activated.emit(chain.box.findData(name))
    row = chain.rows[-1]
    for key, value in values.items():
        row.form.fields[key].box.setValue(value)
    return row


def test_filters_and_post_processing_are_previewed_applied_and_written_into_the_recipe(workspace, qtbot, steps_image, settled, applied):
    viewer, data = workspace.viewer, steps_image[0]
    image = viewer.add_image(data, name="em", scale=(0.05, 0.004, 0.004), translate=(1, 2, 3), units="um", axis_labels=("z", "y", "x"))
    viewer.dims.set_current_step(0, 1)
    panel = workspace("segment")
    settings = panel.settings
    panel.choose("otsu", {"classes": 3})
    assert not settings.prepare.fold.unfolded  # a beginner sees the method first
    settings.prepare.fold.unfold()
    add(settings.prepare, "median", radius_px=2)
    blur = add(settings.prepare, "gaussian", sigma_px=2.0)
    add(settings.then, "shift", by=4)
    add(settings.then, "rank")
    chain = {"filters": ["median:radius_px=2", "gaussian:sigma_px=2"], "then": ["shift:by=4", "rank"]}
    expected = api.segment(Stack(data, "ZYX", (0.05, 0.004, 0.004)), "otsu", classes=3, **chain)
    layer = settled(panel)
    np.testing.assert_array_equal(layer.data[0], expected.data[1])

    filtered = panel.preview.filtered.layer
    by_hand = api.apply_filter(api.apply_filter(Stack(data, "ZYX"), "median", radius_px=2), "gaussian", sigma_px=2)
    np.testing.assert_array_equal(filtered.data[0], by_hand.data[1])
    assert np.allclose(filtered.data_to_world((0, 5, 6)), image.data_to_world((1, 5, 6)))
    assert viewer.layers.index(filtered) == viewer.layers.index(image) + 1
    assert panel.image is image  # what is shown on the way is nothing to work on
    settings.show_filtered.click()
    assert not panel.preview.filtered.shown
    qtbot.waitUntil(lambda: filtered not in viewer.layers, timeout=5000)
    assert settled(panel) is not None
    assert not panel.preview.filtered.shown
    settings.show_filtered.click()
    settled(panel)
    assert panel.preview.filtered.shown

    applied(panel)
    result = viewer.layers["em · Otsu"]
    np.testing.assert_array_equal(result.data, expected.data)
    made = segmentation_of(result).history
    assert [step.name for step in made] == ["filter:median", "filter:gaussian", "segment:otsu", "segment:shift", "segment:rank"]
    assert [(step.params, step.input_sha) for step in made] == [(dict(step.params), step.input_sha) for step in expected.history]
    qtbot.waitUntil(lambda: [layer.name for layer in viewer.layers] == ["em", "em · Otsu"], timeout=5000)  # previews are gone: the result lies there

    blur.switch.click()
    without = api.segment(Stack(data, "ZYX"), "otsu", classes=3, filters=["median:radius_px=2"], then=chain["then"])
    np.testing.assert_array_equal(settled(panel).data[0], without.data[1])


def test_what_a_chain_was_is_remembered(workspace, qtbot, steps_image, settled):
    viewer = workspace.viewer
    viewer.add_image(steps_image[0], name="em")
    panel = workspace("segment")
    add(panel.settings.prepare, "gaussian", sigma_px=3.0)
    workspace("annotate")
    qtbot.waitUntil(lambda: not panel.in_view)
    kept = panel.session.memory.recall("segment")
    assert kept["prepare"] == [{"name": "gaussian", "on": True, "params": panel.settings.prepare.links()[0].params}]
    from napari_segtool.ui._segment_settings import SegmentSettings

    again = SegmentSettings(panel.session, kept)
    qtbot.addWidget(again)
    assert again.prepare.links() == panel.settings.prepare.links()
    again.release()


def test_a_filter_is_seen_even_where_the_method_still_lacks_something(workspace, qtbot, steps_image, settled):
    viewer = workspace.viewer
    viewer.add_image(steps_image[0], name="em")
    panel = workspace("segment")
    panel.choose("region-growing")  # no seed yet
    add(panel.settings.prepare, "median")
    assert settled(panel) is None
    assert panel.preview.filtered.shown
    assert panel.message.plain == ""
    panel.preview_switch.click()
    settled(panel)
    assert panel.preview.filtered.shown  # to look at a filter needs no preview of labels


def test_this_slice_is_worked_on_as_if_it_were_all_there_is(workspace, qtbot, steps_image, settled, applied):
    viewer, data = workspace.viewer, steps_image[0].copy()
    data[2] //= 2  # darker: its own threshold is another
    viewer.add_image(data, name="em", scale=(2, 1, 1), units="um", axis_labels=("z", "y", "x"))
    viewer.dims.set_current_step(0, 2)
    panel = workspace("segment")
    panel.choose("otsu", {"classes": 2})
    assert panel.button.text() == "Apply to stack"
    panel.settings.output.slice.click()
    assert panel.button.text() == "Apply to this slice"
    alone = api.segment(Stack(data, "ZYX"), "otsu", slices="2:3").data[0]
    np.testing.assert_array_equal(settled(panel).data[0], alone)
    assert not np.array_equal(alone, api.segment(Stack(data, "ZYX"), "otsu").data[2])
    applied(panel)
    result = viewer.layers["em · Otsu · slice"]
    np.testing.assert_array_equal(result.data[0], alone)
    assert np.allclose(result.data_to_world((0, 0, 0)), (4, 0, 0))
    assert segmentation_of(result).history[0].name == "segment:otsu"


def test_a_single_picture_has_no_slices_to_choose_from(workspace, qtbot, steps_image, settled):
    workspace.viewer.add_image(steps_image[0][0], name="em")
    panel = workspace("segment")
    settled(panel)
    assert not panel.settings.output.scope.isVisible()
    assert panel.button.text() == "Apply"


def test_the_result_goes_into_a_layer_that_is_there_and_undo_takes_it_back(workspace, qtbot, steps_image, settled, applied):
    viewer, data = workspace.viewer, steps_image[0]
    viewer.add_image(data, name="em")
    old = np.zeros(data.shape, np.uint8)
    old[:, :8] = 7
    layer = viewer.add_labels(old.copy(), name="mine")
    panel = workspace("segment")
    output = panel.settings.output
    panel.choose("otsu", {"classes": 2})
    assert not output.where_box.isVisible()
    output.target_box.setCurrentIndex(output.target_box.findText("mine"))
    output.target_box.activated.emit(output.target_box.currentIndex())
    assert output.where_box.isVisible()
    made = api.segment(Stack(data, "ZYX"), "otsu").data
    for where, expected in (("all", made), ("found", np.where(made, made, old)), ("empty", np.where(old, old, made))):
        output.where_box.setCurrentIndex(output.where_box.findData(where))
        applied(panel)
        np.testing.assert_array_equal(layer.data, expected)
        assert [one.name for one in viewer.layers] == ["em", "mine"]
        assert "mine" in panel.message.plain
        assert viewer.layers.selection.active is layer
        qtbot.keyClick(viewer.window._qt_window, "z", modifier=Qt.KeyboardModifier.ControlModifier)
        np.testing.assert_array_equal(layer.data, old)
    applied(panel)
    panel.message.act("Undo")
    np.testing.assert_array_equal(layer.data, old)
    qtbot.wait(50)
    assert "back" in panel.message.plain

    panel.settings.output.slice.click()
    applied(panel)
    here = viewer.dims.current_step[0]
    alone = api.segment(Stack(data, "ZYX"), "otsu", slices=f"{here}:{here + 1}").data[0]
    np.testing.assert_array_equal(layer.data[here], np.where(old[here], old[here], alone))
    others = [z for z in range(len(data)) if z != here]
    np.testing.assert_array_equal(layer.data[others], old[others])


def test_a_result_that_its_layer_cannot_hold_is_not_lost(workspace, qtbot, steps_image, applied):
    viewer, data = workspace.viewer, steps_image[0]
    viewer.add_image(data, name="em")
    start = (np.arange(data.size) % 250).reshape(data.shape).astype(np.uint16)
    viewer.add_labels(start, name="many")
    small = viewer.add_labels(np.zeros(data.shape, np.uint8), name="small")
    panel = workspace("segment")
    panel.choose("shift", {"by": 30})
    panel.settings.inputs.rows["labels"].set_layer(viewer.layers["many"])
    panel.settings.output.set_target(small)
    applied(panel)
    assert small.data.max() == 0
    result = viewer.layers["em · Shift"]
    np.testing.assert_array_equal(result.data, np.where(start, start + 30, 0))
    assert "small" in panel.message.plain
    assert result.name in panel.message.plain


def test_labels_can_be_refined_in_their_own_layer_and_the_message_stays(workspace, qtbot, steps_image, applied):
    viewer, data = workspace.viewer, steps_image[0]
    viewer.add_image(data, name="em")
    mine = viewer.add_labels((data > 100).astype(np.uint8), name="mine")
    panel = workspace("segment")
    panel.choose("shift", {"by": 4})
    panel.settings.inputs.rows["labels"].set_layer(mine)
    panel.settings.output.set_target(mine)
    for most in (5, 9):
        applied(panel)
        assert mine.data.max() == most
        qtbot.wait(100)
        assert panel.state == "done"
        assert "changed in layer “mine”" in panel.message.plain
        assert panel.preview.labels.layer is None
    mine.undo()
    assert mine.data.max() == 5


def test_the_panel_is_no_wider_than_its_tab_whatever_is_chosen_and_unfolded(workspace, qtbot, steps_image):
    viewer = workspace.viewer
    viewer.add_image(steps_image[0], name="an image with a rather long name, as files from a microscope have")
    target = viewer.add_labels(np.zeros(steps_image[0].shape, np.uint8), name="labels with a rather long name, as files from a microscope have")
    panel = workspace("segment")
    for chain in (panel.settings.prepare, panel.settings.then):
        chain.fold.unfold()
        for name in chain.entries:
            chain.add(name).fold.unfold()
    panel.settings.output.set_target(target)
    for entry in METHODS:
        panel.choose(entry.name)
        panel.form.fold.unfold()
        assert panel.minimumSizeHint().width() <= 360, entry.name
