"""The Segment panel: previews that are never stale, threshold lines, seeds, and results that lie on the image."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest

from napari_segtool import api
from napari_segtool.core.params import Params, param
from napari_segtool.core.progress import Progress
from napari_segtool.core.registry import METHODS, Entry
from napari_segtool.core.stack import Stack
from napari_segtool.ui._bridge import segmentation_of
from tests.ui.pipeline_entries import ENTRIES, with_entries


class SlowParams(Params):
    """Settings of the slow method."""

    value: int = param(1, "Label to write.", ge=1, le=200)


class Slow:
    """A method whose previews take as long as the test says, and which knows what it was asked."""

    def __init__(self):
        self.pause_s = 0.0
        self.gate = threading.Event()
        self.gate.set()

    def __call__(self, stack, params):
        for step in range(3):
            yield Progress(step, 3, "step")
            time.sleep(self.pause_s)
        self.gate.wait(10)

        def rule(plane):
            return np.full(plane.shape[-2:], params.value, np.uint8)

        return rule


@pytest.fixture
def slow(monkeypatch):
    method = Slow()
    entries = {**{entry.name: entry for entry in METHODS}, "slow": Entry("slow", "Slow", "Takes its time.", method, SlowParams, "threshold")}
    monkeypatch.setattr(METHODS, "_entries", entries)
    return method


def choose(panel, name, **values):
    panel.choose(name, values)


def test_the_preview_is_what_the_method_makes_of_the_visible_slice(workspace, qtbot, steps_image, settled):
    viewer, data = workspace.viewer, steps_image[0]
    image = viewer.add_image(data, name="em", scale=(0.05, 0.004, 0.004), translate=(1, 2, 3), units="um", axis_labels=("z", "y", "x"))
    viewer.dims.set_current_step(0, 1)
    panel = workspace("segment")
    active = viewer.layers.selection.active
    choose(panel, "otsu", classes=2)
    layer = settled(panel)
    whole = api.segment(Stack(data, "ZYX"), "otsu").data
    np.testing.assert_array_equal(layer.data[0], whole[1])
    assert np.allclose(layer.data_to_world((0, 5, 6)), image.data_to_world((1, 5, 6)))
    assert viewer.layers.selection.active is active
    assert panel.labels is None  # a preview is nobody's labels
    assert panel._bars.counts.sum() == 40 * 48

    viewer.dims.set_current_step(0, 2)
    np.testing.assert_array_equal(settled(panel).data[0], whole[2])
    image.data = 255 - data
    np.testing.assert_array_equal(settled(panel).data[0], api.segment(Stack(255 - data, "ZYX"), "otsu").data[2])

    workspace("annotate")
    qtbot.waitUntil(lambda: panel.preview.labels.layer is None)
    assert [layer.name for layer in viewer.layers] == ["em"]
    workspace("segment")
    assert settled(panel) is not None
    panel.preview_switch.click()
    assert [layer.name for layer in viewer.layers] == ["em"]


def test_apply_makes_labels_that_lie_on_the_image_and_carry_their_recipe(workspace, qtbot, steps_image, settled):
    viewer, (data, truth) = workspace.viewer, steps_image
    image = viewer.add_image(data, name="em", scale=(0.05, 0.004, 0.004), units="um", axis_labels=("z", "y", "x"))
    panel = workspace("segment")
    choose(panel, "otsu", classes=2)
    settled(panel)
    with qtbot.waitSignal(panel.state_changed, check_params_cb=lambda state: state == "done", timeout=5000):
        panel.button.click()
    result = viewer.layers["em · Otsu"]
    np.testing.assert_array_equal(result.data, truth)  # squares of 190 on 40, noise of 20: no method may miss them
    assert np.allclose(result.extent.world, image.extent.world)
    segmentation = segmentation_of(result)
    assert segmentation.spacing_um == pytest.approx((0.05, 0.004, 0.004))
    assert segmentation.history[0].name == "segment:otsu"
    assert panel.preview.labels.layer is None  # the result lies there now
    assert "em · Otsu" in panel.message.plain
    assert "Export" in panel.message.offers

    panel.form.fields["classes"].slider.setValue(1)
    assert panel.message.plain == ""
    assert settled(panel) is not None
    panel.start()
    qtbot.waitUntil(lambda: panel.state == "done", timeout=5000)
    assert [layer.name for layer in viewer.layers] == ["em", "em · Otsu"]
    assert viewer.layers["em · Otsu"].data.max() == 2


def test_previews_follow_a_slider_in_order_and_end_at_its_last_value(workspace, qtbot, slow, steps_image, settled):
    viewer = workspace.viewer
    viewer.add_image(steps_image[0], name="em")
    panel = workspace("segment")
    panel.chooser.entries = {entry.name: entry for entry in METHODS}
    panel.chooser.box.addItem("Slow", "slow")
    choose(panel, "slow", value=1)
    settled(panel)
    shown = []
    show = panel.preview.labels.show

    def noting_show(preview, like, axes):
        shown.append(int(preview.plane[0, 0]))
        show(preview, like, axes)

    panel.preview.labels.show = noting_show
    slow.pause_s = 0.01
    for value in range(2, 80):
        panel.form.fields["value"].box.setValue(value)
        qtbot.wait(16)
    layer = settled(panel)
    assert len(shown) > 5  # it follows while the slider moves
    assert shown == sorted(shown)  # an older answer never comes after a newer one
    assert shown[-1] == 79
    assert (layer.data == 79).all()


def test_a_slow_answer_that_is_out_of_date_is_never_shown(workspace, qtbot, slow, steps_image, settled):
    viewer = workspace.viewer
    viewer.add_image(steps_image[0], name="em")
    panel = workspace("segment")
    panel.chooser.entries = {entry.name: entry for entry in METHODS}
    panel.chooser.box.addItem("Slow", "slow")
    choose(panel, "slow", value=1)
    settled(panel)
    answers = []
    panel.preview.ready.connect(lambda preview: answers.append((int(preview.plane[0, 0]), preview.index)))

    slow.gate.clear()
    panel.form.fields["value"].box.setValue(80)
    qtbot.wait(50)
    panel.form.fields["value"].box.setValue(81)
    qtbot.wait(600)  # longer than anyone waits for an old answer
    slow.gate.set()
    layer = settled(panel)
    assert answers == [(81, (1,))]

    slow.gate.clear()
    panel.form.fields["value"].box.setValue(90)
    qtbot.wait(50)
    viewer.dims.set_current_step(0, 2)  # an answer for another slice is out of date at once
    slow.gate.set()
    layer = settled(panel)
    assert answers[1:] == [(90, (2,))]
    assert layer.translate[0] == 2


def test_stop_answers_within_a_second_and_leaves_no_half_result(workspace, qtbot, slow, steps_image):
    viewer = workspace.viewer
    viewer.add_image(steps_image[0], name="em")
    panel = workspace("segment")
    panel.preview_switch.click()
    panel.chooser.entries = {entry.name: entry for entry in METHODS}
    panel.chooser.box.addItem("Slow", "slow")
    choose(panel, "slow")
    slow.gate.clear()
    panel.button.click()
    assert (panel.state, panel.button.text()) == ("working", "Stop")
    qtbot.wait(100)
    assert panel.bar.isVisible()
    begun = time.monotonic()
    panel.button.click()
    qtbot.waitUntil(lambda: panel.state == "ready", timeout=2000)
    assert time.monotonic() - begun < 1.0
    slow.gate.set()
    qtbot.wait(100)
    assert [layer.name for layer in viewer.layers] == ["em"]
    assert "Stopped" in panel.message.plain
    assert panel.button.text() == "Apply to stack"


def test_the_lines_in_the_histogram_are_the_thresholds_and_can_be_dragged(workspace, qtbot, steps_image, settled):
    data = steps_image[0]
    workspace.viewer.add_image(data, name="em")
    panel = workspace("segment")
    choose(panel, "threshold", lower=50.0, upper=100.0)
    settled(panel)
    qtbot.waitUntil(lambda: len(panel.settings.histogram._lines) == 2, timeout=3000)
    low, high = float(data.min()), float(data.max())
    assert panel.settings.histogram.ends == pytest.approx(((low + high) / 2, high))
    line = min(panel.settings.histogram._lines, key=lambda one: one.value())
    line.setValue(low + 0.25 * (high - low))
    line.sigDragged.emit(line)
    assert panel.form.values()["lower"] == pytest.approx(25.0, abs=0.1)
    qtbot.waitUntil(lambda: panel.session.memory.recall("segment.threshold").get("lower") == pytest.approx(25.0, abs=0.1), timeout=3000)
    kept = settled(panel).data[0] == 1
    plane = data[workspace.viewer.dims.current_step[0]]
    np.testing.assert_array_equal(kept, plane >= low + panel.form.values()["lower"] / 100 * (high - low))


def test_regions_grow_from_clicked_seeds_with_the_label_of_each(workspace, qtbot, settled):
    data = np.zeros((2, 30, 40), np.uint8)
    data[:, 5:15, 5:15] = 100
    data[:, 5:15, 25:35] = 200
    viewer = workspace.viewer
    viewer.add_image(data, name="em", scale=(3, 2, 2), units="um", axis_labels=("z", "y", "x"))
    viewer.dims.set_current_step(0, 1)
    panel = workspace("segment")
    choose(panel, "region-growing", smoothing_px=0.0, tolerance=5.0)
    panel.button.click()
    assert panel.message.kind == "warning"
    assert "seed" in panel.message.plain

    panel.settings.seed_controls.place.click()
    points = viewer.layers["em · seeds"]
    assert (points.mode, viewer.layers.selection.active) == ("add", points)
    points.add((1, 10, 10))
    panel.settings.seed_controls.label.setValue(2)
    points.add((1, 10, 30))
    assert panel.settings.seeds.text(panel.session.stack(panel.image)) == "1,10,10:1; 1,10,30:2"
    assert panel.settings.seed_controls.said.text() == "2 seeds."
    expected = np.zeros((30, 40))
    expected[5:15, 5:15] = 1
    expected[5:15, 25:35] = 2
    np.testing.assert_array_equal(settled(panel).data[0], expected)
    assert not np.allclose(points.face_color[0], points.face_color[1])

    panel.start()
    qtbot.waitUntil(lambda: panel.state == "done", timeout=5000)
    np.testing.assert_array_equal(viewer.layers["em · Region growing"].data[1], expected)
    assert viewer.layers["em · Region growing"].data[0].max() == 0
    panel.settings.seed_controls.clear_button.click()
    assert panel.settings.seeds.count() == 0


def test_a_method_that_cannot_work_says_so_in_the_panel_and_not_in_a_console(workspace, qtbot, settled):
    workspace.viewer.add_image(np.full((2, 8, 8), 7, np.uint8), name="flat")
    panel = workspace("segment")
    choose(panel, "otsu")
    settled(panel)
    assert panel.message.kind == "warning"
    assert "grey value" in panel.message.plain
    panel.button.click()
    qtbot.waitUntil(lambda: panel.state == "failed", timeout=5000)
    assert "grey value" in panel.message.plain
    assert len(workspace.viewer.layers) == 1


def test_hysteresis_has_two_lines_of_its_own_and_found_thresholds_stand_as_thin_lines(workspace, qtbot, steps_image, settled):
    data = steps_image[0]
    workspace.viewer.add_image(data, name="em")
    panel = workspace("segment")
    histogram = panel.settings.histogram
    low, high = float(data.min()), float(data.max())
    choose(panel, "hysteresis", low=25.0, high=75.0)
    settled(panel)
    qtbot.waitUntil(lambda: len(histogram._lines) == 2, timeout=5000)
    assert histogram.ends == pytest.approx((low + 0.25 * (high - low), low + 0.75 * (high - low)))
    line = max(histogram._lines, key=lambda one: one.value())
    line.setValue(low + 0.5 * (high - low))
    line.sigDragged.emit(line)
    assert panel.form.values()["high"] == pytest.approx(50.0, abs=0.1)
    assert panel.form.values()["low"] == pytest.approx(25.0, abs=0.1)
    choose(panel, "hysteresis", grey_values="60:90")
    settled(panel)
    qtbot.waitUntil(lambda: histogram.ends == (60.0, 90.0), timeout=5000)
    line = min(histogram._lines, key=lambda one: one.value())
    line.setValue(70.0)
    line.sigDragged.emit(line)
    assert panel.form.values()["grey_values"] == "70:90"

    choose(panel, "otsu", classes=2)
    layer = settled(panel)
    plane = data[workspace.viewer.dims.current_step[0]]
    qtbot.waitUntil(lambda: histogram.marks == (float(plane[layer.data[0] == 1].min()),), timeout=5000)
    assert histogram._lines == []
    choose(panel, "niblack")
    settled(panel)
    qtbot.waitUntil(lambda: histogram.marks == (), timeout=5000)
    choose(panel, "canny")
    assert not histogram.isVisible()


def test_a_preview_that_is_not_of_the_present_settings_says_so_and_turns_pale(workspace, qtbot, slow, steps_image, settled):
    viewer = workspace.viewer
    viewer.add_image(steps_image[0], name="em")
    panel = workspace("segment")
    panel.chooser.entries = {entry.name: entry for entry in METHODS}
    panel.chooser.box.addItem("Slow", "slow")
    choose(panel, "slow", value=1)
    layer = settled(panel)
    qtbot.waitUntil(lambda: panel.following.text() == "", timeout=2000)
    full = layer.opacity
    slow.gate.clear()
    panel.form.fields["value"].box.setValue(2)
    assert panel.preview.behind
    assert panel.following.text()
    qtbot.waitUntil(lambda: layer.opacity < 0.6 * full, timeout=3000)
    panel.form.fields["value"].box.setValue(3)
    assert (layer.data == 1).all()
    slow.gate.set()
    seen = []
    panel.preview.ready.connect(lambda preview: seen.append((int(preview.plane[0, 0]), panel.preview.behind)))
    layer = settled(panel)
    assert seen[-1] == (3, False)
    assert all(behind for value, behind in seen[:-1])  # an older answer on the way is marked as such
    assert layer.opacity == full
    qtbot.waitUntil(lambda: panel.following.text() == "", timeout=2000)


def test_what_evolves_is_seen_evolving_in_the_preview_and_while_it_is_applied(workspace, qtbot, steps_image, settled, monkeypatch):
    monkeypatch.setattr(METHODS, "_entries", with_entries(METHODS, *ENTRIES))
    viewer = workspace.viewer
    viewer.add_image(steps_image[0], name="em")
    panel = workspace("segment")
    seen = []
    show = panel.preview.labels.show

    def noting_show(preview, like, axes):
        seen.append((int(preview.plane[0, 0]), preview.index))
        show(preview, like, axes)

    monkeypatch.setattr(panel.preview.labels, "show", noting_show)
    panel.chooser.entries = {entry.name: entry for entry in METHODS}
    panel.chooser.box.addItem("Evolving", "evolving")
    choose(panel, "evolving", until=4)
    settled(panel)
    assert [value for value, _ in seen] == [1, 2, 3, 4, 100]
    seen.clear()
    panel.button.click()
    qtbot.waitUntil(lambda: panel.state != "working", timeout=30000)
    assert panel.state == "done"
    assert {value for value, _ in seen} >= {1, 2, 3, 4}
    assert {index for _, index in seen} == {(viewer.dims.current_step[0],)}
    assert (viewer.layers["em · Evolving"].data == 100).all()
    assert panel.preview.labels.layer is None
