"""The Explain panel beyond its map: the verdict on it, the network from within, places to fix, several explainers side by side."""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import pytest
from qtpy.QtCore import QPointF, QRectF, Qt

from napari_segtool.core.errors import ModelError
from napari_segtool.core.inside import Layer
from napari_segtool.core.progress import Progress, drain
from napari_segtool.core.trust import Curve
from napari_segtool.nets._drawing import DrawnBlock, NetworkDrawing
from napari_segtool.nets._drawing import ReceptiveField as DrawnField
from napari_segtool.ui._bridge import notes_of
from napari_segtool.ui._explain_compare import ExplainerWindow
from napari_segtool.ui._explain_curves import polyline
from napari_segtool.ui._explain_drawing import described_steps, drawing_of
from napari_segtool.ui._explain_gallery import filter_pictures
from napari_segtool.ui._explain_look import painted
from napari_segtool.ui._explain_trust import headline, verdict_html
from tests.ui.explain_fakes import LAYERS, FakeClient, opened_panel, report


def test_the_verdict_says_in_plain_words_not_to_read_a_map_that_ignores_the_weights():
    assert headline(report(False))[0] == "Don't read this map."
    assert "does not change when the network's weights are randomised: don't read it." in verdict_html(report(False))
    assert headline(report(True))[0] == "This map passes all checks."


def test_a_curve_runs_from_left_to_right_and_a_higher_score_lies_higher():
    line = polyline(Curve((0.0, 0.5, 1.0), (1.0, 0.0, 0.5), 0.4), QRectF(10, 20, 100, 40), 0.0, 1.0)
    assert [(line[i].x(), line[i].y()) for i in range(3)] == [(10, 20), (60, 60), (110, 40)]


def test_filters_are_red_where_they_add_and_blue_where_they_take_away():
    add, take, nothing = filter_pictures(FakeClient()._filters((), {}))
    middle = add.pixels.shape[0] // 2
    red, blue, white = (picture.pixels[middle, middle].astype(int) for picture in (add, take, nothing))
    assert red[0] > red[2] + 50
    assert blue[2] > blue[0] + 50
    assert white.min() > 230


def test_a_small_map_covers_only_where_it_is_strong():
    values = np.zeros((20, 30), np.float32)
    values[4, 6] = 1
    grey = np.full((20, 30, 3), 100, np.uint8)
    shown = painted(grey, values, 0.1, 1.0)
    assert {tuple(at) for at in np.argwhere((shown != 100).any(-1))} == {(4, 6)}


@pytest.fixture
def panel(workspace, steps_image, tmp_path, monkeypatch, qtbot):
    """An Explain panel that has explained a pixel, over an image with a model whose network is never asked."""
    shown = opened_panel(workspace, steps_image[0], tmp_path, monkeypatch)
    shown.viewer.dims.set_point(0, 0)
    shown._picked((0, 7, 9))
    qtbot.waitUntil(lambda: shown.state == "done", timeout=3000)
    return shown


def finished(panel, qtbot, action):
    action()
    qtbot.waitUntil(lambda: panel.state == "done", timeout=3000)


def test_the_map_shown_is_checked_as_it_was_asked_for_and_another_map_is_not_vouched_for(panel, qtbot):
    client, trust = panel.process.client, panel.trust
    client.trusted = False
    trust.button.click()
    qtbot.waitUntil(lambda: trust.report is not None, timeout=3000)
    verb, _, arguments = client.inside[-1]
    assert verb == "trust"
    assert arguments["explainer"] == client.asked[-1][0]
    assert arguments["target"].point == (0, 7, 9)
    assert {name: arguments[name] for name in client.asked[-1][2]} == client.asked[-1][2]
    assert trust.verdict.isVisible()
    assert "don't read it" in trust.verdict.text()
    assert notes_of(panel.overlay.layer)["trust"]["trusted"] is False
    assert not trust.numbers.isVisible()
    trust.fold.unfold()
    assert "0.97" in trust.numbers.text()
    finished(panel, qtbot, lambda: panel._picked((0, 8, 9)))
    assert not trust.verdict.isVisible()
    assert "trust" not in notes_of(panel.overlay.layer)


def test_before_there_is_a_map_there_is_nothing_to_trust(panel):
    panel.viewer.layers.remove(panel.overlay.layer)
    panel.trust.button.click()
    assert "Explain something first" in panel.message.plain


@pytest.mark.parametrize(("row", "step"), [(0, 1), (1, 2)])
def test_feature_maps_lie_over_the_image_one_behind_the_other(panel, qtbot, row, step):
    viewer, image, inside = panel.viewer, panel.image, panel.inside
    inside.unfold()
    qtbot.waitUntil(lambda: inside.list.count() == 3, timeout=3000)
    inside.list.setCurrentRow(row)
    viewer.dims.set_point(0, 50)
    inside.list.itemClicked.emit(inside.list.item(row))
    qtbot.waitUntil(lambda: panel.state == "done" and "feature maps" in panel.message.plain, timeout=3000)
    name = panel.names.layers[row].name
    layer = viewer.layers[f"steps · {name}"]
    assert layer.data.shape == (panel.names.layers[row].features, 1, 40 // step, 48 // step)
    pixel = (1, step * 1 + (step - 1) / 2, step * 2 + (step - 1) / 2)
    np.testing.assert_allclose(layer.data_to_world((3, 0, 1, 2))[1:], image.data_to_world(pixel))
    assert layer.axis_labels[0] == "feature"
    viewer.dims.set_point(0, 2)
    assert inside.feature.value() == 2


def test_a_click_on_a_patch_goes_there(panel, qtbot):
    viewer, inside = panel.viewer, panel.inside
    inside.unfold()
    inside.feature.setValue(3)
    finished(panel, qtbot, inside.patches_button.click)
    qtbot.waitUntil(lambda: "strongest" in panel.message.plain, timeout=3000)
    assert (panel.process.client.inside[-1][2]["layer"], panel.process.client.inside[-1][2]["feature"]) == ("down.0", 3)
    inside.gallery.itemClicked.emit(inside.gallery.item(0))
    assert panel.plane == (2,)
    box = viewer.layers["steps · patch"]
    assert np.concatenate(box.data)[:, 1:].min(0).tolist() == [15.5, 25.5]
    np.testing.assert_allclose(viewer.scene.camera.center[-2:], panel.image.data_to_world((2, 20, 30))[-2:])


def test_how_far_a_pixel_sees_is_drawn_around_it(panel, qtbot):
    panel.inside.unfold()
    finished(panel, qtbot, panel.inside.field_button.click)
    qtbot.waitUntil(lambda: "depends on" in panel.message.plain, timeout=3000)
    seen, could = panel.viewer.layers["steps · how far it sees"].data
    assert seen[:, 1:].mean(0).round().tolist() == pytest.approx([7, 9], abs=1)
    assert could[:, 1:].min(0).tolist() == [-3.5, -1.5]
    assert "6 px" in panel.message.plain


def test_places_like_a_wrong_one_are_listed_shown_and_painted_at(panel, qtbot):
    viewer, places = panel.viewer, panel.places
    places.unfold()
    finished(panel, qtbot, places.find_button.click)
    qtbot.waitUntil(lambda: len(places.places) == 2, timeout=3000)
    qtbot.waitUntil(lambda: panel.plane == (2,), timeout=3000)
    verb, _, arguments = panel.process.client.inside[-1]
    assert (verb, arguments["plane"]) == ("similar_places", (0,))
    assert arguments["region"].mask.all()
    places.list.setCurrentItem(places.list.topLevelItem(1))
    qtbot.waitUntil(lambda: panel.plane == (1,), timeout=3000)
    assert places.list.topLevelItem(1).text(0) == "slice 1 · y 8, x 9"
    places.paint_button.click()
    annotate = viewer.window.dock_widgets["Annotate (SegTool)"]
    qtbot.waitUntil(lambda: annotate.in_view, timeout=3000)
    assert annotate.labels.mode == "paint"
    assert viewer.layers.selection.active is annotate.labels
    assert panel.plane == (1,)


def test_a_whole_class_has_no_places_like_it(panel):
    panel.whole.click()
    panel.places.start()
    assert "Choose an object, a region or a pixel" in panel.message.plain


def test_several_explainers_answer_side_by_side_and_the_chosen_one_becomes_the_overlay(panel, qtbot):
    panel.settings.compare_button.click()
    dialog = panel.session.shared(ExplainerWindow)
    comparison = dialog.comparison
    comparison.stop()
    qtbot.waitUntil(lambda: comparison.state != "working", timeout=3000)
    comparison.tree.choose(("gradient", "cam", "occlusion"))
    comparison.start()
    qtbot.waitUntil(lambda: comparison.state == "done", timeout=5000)
    texts = comparison.grid.texts()
    assert set(texts) == {"gradient", "cam", "occlusion"}
    assert texts["cam"].endswith("failed")
    assert "2 of 3 explainers answered" in comparison.message.plain
    comparison.grid.choose("gradient")
    comparison.use_button.click()
    assert panel.explainer.entry().name == "gradient"
    assert panel.overlay.layer.name == "steps · Gradient saliency"
    assert panel.overlay.layer.data[0, 7, 9] == 1
    assert not panel.viewer.layers["steps · Seg-Grad-CAM"].visible
    dialog.close()


def drawn(card):
    """Answer at once with a network whose layers have the names of those of the fake client, and two that it does not list."""
    blocks = (
        DrawnBlock("down.0", "conv 3×3", (1, 32, 32), (4, 32, 32), 40, 0),
        DrawnBlock("pool.0", "max pool 2×2", (4, 32, 32), (4, 16, 16), 0, 1),
        DrawnBlock("bottom", "conv 3×3", (4, 16, 16), (8, 16, 16), 300, 1),
        DrawnBlock("unpool.0", "up-conv 2×2", (8, 16, 16), (4, 32, 32), 60, 0),
        DrawnBlock("up.0", "conv 3×3", (8, 32, 32), (4, 32, 32), 90, 0),
        DrawnBlock("head", "conv 1×1", (4, 32, 32), (2, 32, 32), 10, 0),
    )
    yield Progress(0, 0, "drawing")
    field = DrawnField((20, 20), (20, 20))
    return NetworkDrawing("unet", "U-Net", {}, 1, 2, 2, (32, 32), 1, blocks, (), (), field, (2, 2), 500, 2**20, 2**20)


def place_of(view, name):
    """Where a block's box or arrow lies in the view; a box is clicked near its corner, where no text is."""
    rect = next((box.rect for box in view.boxes if box.block is not None and box.block.name == name), None)
    start, end = (rect.topLeft() + QPointF(3, 3),) * 2 if rect is not None else view._arrows[name]
    return view.mapFromScene((start + end) / 2)


@pytest.fixture
def picture(panel, qtbot, monkeypatch):
    """The drawing of the panel's network, open."""
    monkeypatch.setattr("napari_segtool.ui._explain_drawing.described_steps", drawn)
    inside = panel.inside
    inside.unfold()
    qtbot.waitUntil(lambda: inside.list.count() == 3, timeout=3000)
    inside.drawing_button.click()
    shown = inside._window.picture
    qtbot.waitUntil(lambda: shown.state == "done" and shown.isVisible(), timeout=3000)
    return shown


def test_a_click_in_the_drawing_chooses_the_layer_and_asks_for_its_feature_maps(panel, picture, qtbot):
    inside, view = panel.inside, picture.view
    assert [box.lines[0] for box in view.boxes] == ["image", "down.0", "bottom", "up.0", "head"]
    assert view.marked == "down.0"
    qtbot.mouseClick(view.viewport(), Qt.MouseButton.LeftButton, pos=place_of(view, "bottom"))
    assert inside.list.currentRow() == 1
    assert view.marked == "bottom"
    qtbot.waitUntil(lambda: "feature maps of bottom" in panel.message.plain, timeout=3000)
    verb, _, arguments = panel.process.client.inside[-1]
    assert (verb, arguments["layer"]) == ("activations", "bottom")
    assert "steps · bottom" in panel.viewer.layers
    assert "bottom · 8 features" in picture.message.plain
    inside.list.setCurrentRow(2)
    assert view.marked == "up.0"
    assert view._mark.rect().contains(next(box.rect for box in view.boxes if box.lines[0] == "up.0"))


@pytest.mark.parametrize("name", ["head", "pool.0", "unpool.0"])
def test_what_is_not_in_the_list_of_layers_asks_nothing_and_says_so(panel, picture, qtbot, name):
    view, asked = picture.view, len(panel.process.client.inside)
    qtbot.mouseClick(view.viewport(), Qt.MouseButton.LeftButton, pos=place_of(view, name))
    assert f"“{name}” is not among the layers" in picture.message.plain
    assert len(panel.process.client.inside) == asked
    assert panel.inside.list.currentRow() == 0
    hands = {view.name_at(place_of(view, each)): view.itemAt(place_of(view, each)).hasCursor() for each in ("down.0", name)}
    assert hands == {"down.0": True, name: False}


def test_an_arrow_that_is_a_layer_is_chosen_and_marked_too(panel, picture, qtbot, monkeypatch):
    monkeypatch.setattr("tests.ui.explain_fakes.LAYERS", (*LAYERS, Layer("unpool.0", 4, (1, 1), 60)))
    panel.names.layers = (*LAYERS, Layer("unpool.0", 4, (1, 1), 60))
    panel.names.changed.emit()
    view = picture.view
    qtbot.mouseClick(view.viewport(), Qt.MouseButton.LeftButton, pos=place_of(view, "unpool.0"))
    assert panel.inside.list.currentRow() == 3
    assert view._mark.line().p1() == view._arrows["unpool.0"][0]


def test_another_model_is_drawn_anew_and_the_window_goes_with_the_panel(panel, picture, qtbot):
    window, first = panel.inside._window, picture.drawing
    desk = panel.models.desk
    desk.bundle = replace(desk.bundle)
    desk.opened.emit()
    qtbot.waitUntil(lambda: picture._drawn is desk.bundle and picture.state == "done", timeout=3000)
    assert picture.drawing is not first
    panel.release()
    assert not window.isVisible()
    assert panel.inside._window is None


def test_the_network_of_a_card_is_described_with_its_neighbours_where_the_window_loads_no_torch():
    before = "torch" in sys.modules
    classes = [{"value": value} for value in range(3)]
    card = {"network": "unet", "network_params": {"depth": 1}, "channels": 2, "neighbours": 1, "spatial": 2, "classes": classes}
    drawing = drain(described_steps(card))
    assert [block.name for block in drawing.blocks] == ["down.0", "pool.0", "bottom", "unpool.0", "up.0", "head"]
    assert (drawing.channels, drawing.classes) == (2 * 3, 3)
    assert ("torch" in sys.modules) == before


def test_a_card_that_does_not_say_what_the_network_is_is_refused(panel):
    with pytest.raises(ModelError, match="does not say"):
        drawing_of({"network": "unet", "classes": [], "spatial": 2})
