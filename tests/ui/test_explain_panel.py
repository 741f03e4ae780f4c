"""The Explain panel: pixels picked by a click, overlays that lie on their slice, colours that mean something."""

from __future__ import annotations

import numpy as np
import pytest

from napari_segtool.ui._explain_look import limits_of, overlay_colormap
from napari_segtool.ui._explain_pick import pixel_at
from napari_segtool.ui.workspace import show_panel
from tests.ui.explain_fakes import click, opened_panel


def test_a_map_with_a_sign_is_white_in_the_middle_blue_below_and_red_above():
    low, middle, high = overlay_colormap(True, 0.0).map(np.array([0.0, 0.5, 1.0]))
    assert low[2] > low[0]
    assert high[0] > high[2]
    assert min(middle[:3]) > 0.9
    assert middle[3] < 0.1 < low[3] == high[3] == 1


@pytest.mark.parametrize("signed", [False, True])
def test_what_is_weaker_than_the_threshold_is_not_drawn(signed):
    colours = overlay_colormap(signed, 0.5).map(np.linspace(0, 1, 101))
    strength = np.abs(np.linspace(-1, 1, 101)) if signed else np.linspace(0, 1, 101)
    assert (colours[strength < 0.48, 3] == 0).all()
    assert (colours[strength > 0.52, 3] > 0.9).all()


def test_contrast_limits_are_symmetric_for_a_signed_map_and_defined_for_empty_ones():
    assert limits_of(np.array([[-2.0, 1.0]])) == (True, (pytest.approx(-2, rel=0.01), pytest.approx(2, rel=0.01)))
    assert limits_of(np.zeros((2, 2))) == (False, (0.0, 1.0))
    assert limits_of(np.full((2, 2), np.nan)) == (False, (0.0, 1.0))


@pytest.mark.parametrize("labels", [("z", "y", "x"), ("c", "y", "x"), ("t", "z", "y", "x")])
def test_a_place_of_the_world_is_the_pixel_under_it(make_napari_viewer, labels):
    viewer = make_napari_viewer()
    sizes = {"t": 2, "z": 5, "c": 3, "y": 6, "x": 7}
    scales = {"t": 1, "z": 50, "c": 1, "y": 4, "x": 4}
    image = viewer.add_image(
        np.zeros([sizes[label] for label in labels]), scale=[scales[label] for label in labels], translate=[7] * len(labels), axis_labels=labels
    )
    index = [sizes[label] - 1 for label in labels]
    want = tuple(at for at, label in zip(index, labels, strict=True) if label != "c")
    assert pixel_at(image, image.data_to_world(np.array(index) + 0.3)) == want
    assert pixel_at(image, image.data_to_world(np.array(index) + 0.7)) is None


@pytest.fixture
def panel(workspace, steps_image, tmp_path, monkeypatch):
    """An Explain panel over an image, with a model whose network is never asked."""
    return opened_panel(workspace, steps_image[0], tmp_path, monkeypatch)


def test_each_click_asks_anew_and_the_overlay_lies_on_the_slice(panel, qtbot):
    viewer, image, client = panel.viewer, panel.image, panel.process.client
    panel.at_pixel.click()
    panel.class_box.setCurrentIndex(1)
    viewer.dims.set_point(0, 100)
    for pixel in ((2, 5, 6), (2, 20, 30)):
        click(viewer, image, pixel)
        qtbot.waitUntil(lambda: panel.state == "done", timeout=3000)
    assert [(target.class_value, target.point) for _, target, _ in client.asked] == [(2, (2, 5, 6)), (2, (2, 20, 30))]
    overlay = viewer.layers["steps · Seg-Grad-CAM"]
    np.testing.assert_allclose(overlay.data_to_world((0, 20, 30)), image.data_to_world((2, 20, 30)))
    assert overlay.data[0, 20, 30] == 1
    assert overlay.data.sum() == 1
    mark = viewer.layers["steps · explained pixel"]
    np.testing.assert_allclose(mark.data_to_world(mark.data[0]), image.data_to_world((2, 20, 30)))
    assert "Why “inside”: pixel z 2, y 20, x 30" in panel.message.plain
    assert sum("Grad-CAM" in layer.name for layer in viewer.layers) == 1


def test_a_click_with_the_brush_belongs_to_the_brush(panel, qtbot):
    viewer = panel.viewer
    paint = viewer.add_labels(np.zeros((3, 40, 48), np.uint8))
    paint.mode = "paint"
    viewer.layers.selection.active = paint
    click(viewer, panel.image, (1, 5, 6))
    qtbot.wait(100)
    assert panel.process.client.asked == []


def test_the_whole_class_is_asked_about_on_the_visible_slice_and_sliders_act_at_once(panel, qtbot):
    panel.whole.click()
    assert not panel.picker.on
    panel.viewer.dims.set_point(0, 50)
    panel.button.click()
    qtbot.waitUntil(lambda: panel.state == "done", timeout=3000)
    ((_, target, _),) = panel.process.client.asked
    assert (target.class_value, target.point, target.plane) == (1, (), (1,))
    overlay = panel.viewer.layers["steps · Seg-Grad-CAM"]
    panel.opacity.setValue(25)
    panel.threshold.setValue(60)
    assert overlay.opacity == 0.25
    assert overlay.colormap.map(np.array([0.5]))[0, 3] == 0


def test_without_a_pixel_or_a_model_the_panel_says_what_to_do(panel):
    panel.at_pixel.click()
    panel.button.click()
    assert "Click a pixel in the picture first" in panel.message.plain
    panel.models.desk.chosen = None
    panel.button.click()
    assert "no model to explain yet" in panel.message.plain
    assert "Train" in panel.message.offers


def test_the_difference_of_two_classes_is_asked_about_and_a_class_is_never_set_against_itself(panel, qtbot):
    target = panel.target
    target.class_box.setCurrentIndex(0)
    target.class_box.activated.emit(0)
    offered = {target.against_box.itemText(row): target.against_box.model().item(row).isEnabled() for row in range(target.against_box.count())}
    assert offered == {"— (any other)": True, "membrane": False, "inside": True}
    target.against_box.setCurrentIndex(2)
    panel.whole.click()
    panel.button.click()
    qtbot.waitUntil(lambda: panel.state == "done", timeout=3000)
    ((_, asked, _),) = panel.process.client.asked
    assert (asked.class_value, asked.against) == (1, 2)
    assert "Why “membrane” rather than “inside”" in panel.message.plain


def test_layers_are_chosen_by_their_real_names(panel, qtbot):
    box = panel.settings.layer_box
    qtbot.waitUntil(lambda: box.count() == 4, timeout=3000)
    assert [box.itemData(row) for row in range(4)] == ["auto", "down.0", "bottom", "up.0"]
    assert box.itemText(2) == "bottom · 8 features · each 2 px"
    box.setCurrentIndex(3)
    panel.whole.click()
    panel.button.click()
    qtbot.waitUntil(lambda: panel.state == "done", timeout=3000)
    assert panel.process.client.asked[-1][2]["layer"] == "up.0"
    panel.explainer.choose("gradient")
    panel.explainer.chosen.emit("gradient")
    assert not box.isVisible()


def test_export_offers_the_map_with_its_recipe(panel, qtbot):
    panel.whole.click()
    panel.button.click()
    qtbot.waitUntil(lambda: panel.state == "done", timeout=3000)
    panel.message.act("Export")
    export = panel.viewer.window.dock_widgets["Export (SegTool)"]
    assert export.layer_combo.layer().name == "steps · Seg-Grad-CAM"
    assert "1 step" in export.recipe_note.text()


def test_leaving_the_panel_stops_listening_and_takes_the_mark_away(panel, qtbot):
    panel.at_pixel.click()
    assert panel.picker.on
    panel._picked((0, 1, 1))
    qtbot.waitUntil(lambda: panel.state == "done", timeout=3000)
    show_panel(panel.viewer, "train")
    qtbot.waitUntil(lambda: not panel.picker.on, timeout=3000)
    assert "steps · explained pixel" not in panel.viewer.layers


def test_every_control_says_what_it_does(panel):
    from qtpy.QtWidgets import QAbstractButton, QAbstractSlider, QComboBox, QScrollBar

    controls = [widget for kind in (QAbstractButton, QComboBox, QAbstractSlider) for widget in panel.findChildren(kind) if not isinstance(widget, QScrollBar)]
    assert [getattr(widget, "text", str)() for widget in controls if not widget.toolTip()] == []
    assert panel.minimumSizeHint().width() <= 360
