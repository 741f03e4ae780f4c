"""Painting whole superpixels: by click, by drag, with the eraser, undone by napari's undo, and an ordinary brush afterwards."""

from __future__ import annotations

import numpy as np
import pytest

from napari_segtool.annotate.superpixels import superpixel_steps
from napari_segtool.core.progress import drain
from napari_segtool.core.stack import Stack
from napari_segtool.ui._bridge import META
from napari_segtool.ui._panel import Panel
from napari_segtool.ui._session import session_of
from napari_segtool.ui._superpixels import SuperpixelBrush
from napari_segtool.ui.annotate import AnnotatePanel


@pytest.fixture
def annotate(make_napari_viewer, qtbot, monkeypatch, tmp_path):
    """Open the Annotate panel alone over an image, with a paint layer."""
    monkeypatch.setenv("SEGTOOL_CONFIG", str(tmp_path / "settings.json"))
    viewer = make_napari_viewer(show=True)

    def open_on(data, **more) -> Panel:
        viewer.add_image(data, name="em", **more)
        panel = AnnotatePanel(viewer)
        viewer.window.add_dock_widget(panel, name="Annotate")
        qtbot.waitUntil(lambda: panel.in_view, timeout=3000)
        panel.start()
        return panel

    return open_on


def switched_on(panel, qtbot) -> SuperpixelBrush:
    brush = panel.superpixels
    brush.switch.click()
    ready(brush, qtbot)
    return brush


def ready(brush, qtbot):
    qtbot.waitUntil(lambda: brush.superpixels is not None, timeout=20000)
    return brush.superpixels


PLACED = {"scale": (0.05, 0.004, 0.004), "translate": (1, 2, 3), "units": "um", "axis_labels": ("z", "y", "x")}


def test_a_drag_paints_the_superpixels_it_crosses_and_undo_takes_all_of_them_back(annotate, qtbot, stroke, steps_image):
    data = steps_image[0]
    panel = annotate(data, **PLACED)
    viewer, layer = panel.viewer, panel.labels
    viewer.dims.set_current_step(0, 2)
    brush = switched_on(panel, qtbot)
    expected = drain(superpixel_steps(Stack(data, "ZYX"), (2,), brush.size.value()))
    assert np.array_equal(brush.superpixels.labels, expected.labels)
    panel.table.selectRow(1)
    stroke(viewer, layer, (2, 8, 12), (2, 20, 25))
    touched = expected.under((8, 12), (20, 25))
    assert np.array_equal(layer.data[2] == 2, touched)
    assert not layer.data[:2].any()
    assert len(layer._undo_history) == 1
    panel.tools.undo.click()
    assert not layer.data.any()
    layer.redo()
    assert np.array_equal(layer.data[2] == 2, touched)
    qtbot.waitUntil(lambda: panel.session.paint.counts.totals() == {2: int(touched.sum())}, timeout=3000)


def test_a_click_paints_one_superpixel_and_the_eraser_takes_it_away(annotate, qtbot, stroke, steps_image):
    panel = annotate(steps_image[0])
    layer, viewer = panel.labels, panel.viewer
    viewer.dims.set_current_step(0, 1)
    brush = switched_on(panel, qtbot)
    stroke(viewer, layer, (1, 20, 20), (1, 20, 20))
    one = brush.superpixels.labels == brush.superpixels.labels[20, 20]
    assert np.array_equal(layer.data[1] == 1, one)
    panel.tools.buttons["erase"].click()
    stroke(viewer, layer, (1, 20, 20), (1, 20, 20))
    assert not layer.data.any()
    assert len(layer._undo_history) == 2


def test_paint_that_is_to_be_kept_is_kept(annotate, qtbot, stroke, steps_image):
    panel = annotate(steps_image[0])
    layer, viewer = panel.labels, panel.viewer
    viewer.dims.set_current_step(0, 0)
    layer.data[0, :, :20] = 2
    layer.preserve_labels = True
    switched_on(panel, qtbot)
    stroke(viewer, layer, (0, 10, 5), (0, 10, 40))
    assert (layer.data[0, :, :20] == 2).all()
    assert (layer.data[0] == 1).any()


def test_other_tools_and_the_brush_after_it_are_napari_s_own(annotate, qtbot, stroke, steps_image):
    panel = annotate(steps_image[0])
    layer, viewer = panel.labels, panel.viewer
    viewer.dims.set_current_step(0, 1)
    usual = list(layer.mouse_drag_callbacks)
    brush = switched_on(panel, qtbot)
    panel.tools.buttons["fill"].click()
    stroke(viewer, layer, (1, 0, 0), (1, 0, 0))
    assert (layer.data[1] == 1).all()
    layer.undo()
    for mode in ("pan_zoom", "paint", "erase", "pan_zoom", "paint"):
        layer.mode = mode
    assert brush.on
    brush.switch.click()
    assert layer.mouse_drag_callbacks == usual
    assert layer.cursor == "circle"
    layer.brush_size = 1
    stroke(viewer, layer, (1, 20, 20), (1, 20, 20))
    assert 1 <= np.count_nonzero(layer.data) <= 5
    assert [other.name for other in viewer.layers] == ["em", "em · paint"]


def test_outlines_lie_faintly_over_the_slice_and_nobody_can_paint_on_them(annotate, qtbot, steps_image):
    data = steps_image[0]
    panel = annotate(data, **PLACED)
    viewer, layer = panel.viewer, panel.labels
    viewer.dims.set_current_step(0, 2)
    brush = switched_on(panel, qtbot)
    lines = viewer.layers["em · superpixels"]
    assert np.array_equal(lines.data[0] > 0, brush.superpixels.outlines())
    assert np.allclose(lines.data_to_world((0, 3, 4)), layer.data_to_world((2, 3, 4)))
    assert lines.opacity < 0.5
    assert not lines.editable
    assert lines.metadata[META]["role"] == "preview"
    assert viewer.layers.selection.active is layer
    assert panel.labels is layer
    assert session_of(viewer).labels is layer


def test_superpixels_follow_the_slice_and_the_size(annotate, qtbot, stroke, steps_image):
    data = steps_image[0]
    panel = annotate(data)
    viewer, layer = panel.viewer, panel.labels
    viewer.dims.set_current_step(0, 0)
    brush = switched_on(panel, qtbot)
    few = brush.superpixels.count
    brush.size.setValue(5)
    assert brush.size_box.value() == 5
    assert brush.superpixels is None  # those of another size are not painted with
    stroke(viewer, layer, (0, 20, 20), (0, 20, 20))
    assert not layer.data.any()
    assert "moment" in brush.said.text()
    assert ready(brush, qtbot).count > 2 * few
    viewer.dims.set_current_step(0, 2)
    assert ready(brush, qtbot).index == (2,)
    stroke(viewer, layer, (2, 20, 20), (2, 20, 20))
    assert layer.data[2].any()
    assert not layer.data[:2].any()
    assert session_of(viewer).memory.recall("superpixels") == {"size_px": 5}


def test_superpixels_of_a_picture_with_channels_are_painted_once_for_all(annotate, qtbot, stroke):
    data = np.random.default_rng(0).integers(0, 255, (3, 2, 40, 48)).astype(np.uint8)
    panel = annotate(data, axis_labels=("z", "c", "y", "x"))
    viewer, layer = panel.viewer, panel.labels
    viewer.dims.set_current_step(0, 1)
    viewer.dims.set_current_step(1, 1)
    brush = switched_on(panel, qtbot)
    stroke(viewer, layer, tuple(layer.world_to_data((1, 1, 20, 20))), tuple(layer.world_to_data((1, 1, 20, 20))))
    assert np.array_equal(layer.data[1, 0] == 1, brush.superpixels.labels == brush.superpixels.labels[20, 20])


def test_a_covered_panel_leaves_an_ordinary_brush_and_takes_the_outlines_away(annotate, qtbot, steps_image):
    panel = annotate(steps_image[0])
    viewer, layer = panel.viewer, panel.labels
    usual = list(layer.mouse_drag_callbacks)
    brush = switched_on(panel, qtbot)
    dock = panel.parent()
    dock.hide()
    qtbot.waitUntil(lambda: not panel.in_view, timeout=3000)
    assert not brush.on
    assert layer.mouse_drag_callbacks == usual
    assert "em · superpixels" not in [other.name for other in viewer.layers]
    dock.show()
    qtbot.waitUntil(lambda: panel.in_view, timeout=3000)
    ready(brush, qtbot)
    assert brush.on
    viewer.layers.remove(layer)
    assert not brush.on
    assert [callback.__name__ for callback in layer.mouse_drag_callbacks] == ["draw"]  # napari takes its overlays off itself


def test_a_slice_without_values_says_so(annotate, qtbot, stroke):
    panel = annotate(np.full((2, 20, 24), np.nan, np.float32), contrast_limits=(0, 1))
    brush = panel.superpixels
    brush.switch.click()
    qtbot.waitUntil(lambda: "no pixel" in brush.said.text(), timeout=20000)
    stroke(panel.viewer, panel.labels, (0, 5, 5), (0, 5, 5))
    assert not panel.labels.data.any()
