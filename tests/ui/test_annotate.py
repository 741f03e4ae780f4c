"""The Annotate panel, driven with strokes as a mouse makes them."""

from __future__ import annotations

import numpy as np
from qtpy.QtCore import Qt

from napari_segtool.core.labels import class_colour
from napari_segtool.ui._bridge import class_names_of, paint_of, spacing_of, unpainted_is_background


def counted(panel, qtbot):
    """Wait until the counts shown are those of the pixels."""
    layer = panel.labels

    def agree():
        values, sizes = np.unique(np.asarray(layer.data)[np.asarray(layer.data) > 0], return_counts=True)
        return not panel.session.paint.busy and panel.session.paint.counts.totals() == dict(zip(values.tolist(), sizes.tolist(), strict=True))

    qtbot.waitUntil(agree, timeout=3000)
    return panel.session.paint.counts


def test_painting_by_mouse_is_counted_by_class_and_slice_through_undo_fill_and_erase(workspace, qtbot, stroke, steps_image):
    viewer = workspace.viewer
    image = viewer.add_image(steps_image[0], name="em", scale=(0.05, 0.004, 0.004), translate=(1, 2, 3), units="um", axis_labels=("z", "y", "x"))
    panel = workspace("annotate")
    assert panel.state == "ready"
    panel.button.click()
    layer = panel.labels
    assert layer.name == "em · paint"
    assert layer.data.dtype == np.uint8
    assert layer.data.shape == (3, 40, 48)
    assert spacing_of(layer) == (0.05, 0.004, 0.004)
    assert tuple(layer.translate) == tuple(image.translate)
    assert layer.mode == "paint"
    assert panel.state == "done"
    assert "none" in panel.table.pixels_text(1)

    layer.brush_size = 3
    viewer.dims.set_current_step(0, 1)
    stroke(viewer, layer, (1, 10, 10), (1, 10, 30))
    first = counted(panel, qtbot).totals()
    assert set(first) == {1}
    assert 20 <= first[1] <= 100  # a line of 21 pixels, a brush of 3
    assert panel.chips.indices == ((1,),)
    assert "background" in panel.hint.text()

    panel.table.selectRow(1)
    assert layer.selected_label == 2
    viewer.dims.set_current_step(0, 2)
    stroke(viewer, layer, (2, 30, 10), (2, 30, 40))
    assert set(counted(panel, qtbot).totals()) == {1, 2}
    assert panel.chips.indices == ((1,), (2,))
    assert "✓" in panel.hint.text()
    assert panel.table.pixels_text(1) == str(first[1])
    assert "2 slices" in panel.label_facts.text()

    panel.tools.undo.click()
    assert counted(panel, qtbot).totals() == first
    layer.redo()
    assert set(counted(panel, qtbot).totals()) == {1, 2}
    layer.fill((0, 0, 0), 2)
    assert counted(panel, qtbot).totals()[2] >= 40 * 48
    layer.data[:] = 0  # as a script does it
    layer.refresh()
    assert counted(panel, qtbot).totals() == {}
    layer.data = np.full((3, 40, 48), 2, np.uint8)
    assert counted(panel, qtbot).totals() == {2: 3 * 40 * 48}

    panel.chips.clicked.emit((0,))
    assert viewer.dims.current_step[0] == 0


def test_classes_are_named_coloured_hidden_chosen_by_key_and_removed_when_empty(workspace, qtbot, steps_image):
    viewer = workspace.viewer
    viewer.add_image(steps_image[0], name="em")
    panel = workspace("annotate")
    panel.start()
    layer = panel.labels
    panel.add_button.click()
    assert class_names_of(layer) == {1: "object", 2: "background", 3: "class 3"}
    assert layer.selected_label == 3
    panel.table.item(2, 1).setText("vesicle")
    assert class_names_of(layer)[3] == "vesicle"
    assert paint_of(layer).class_names == ("object", "background", "vesicle")
    panel.table.item(2, 1).setText("object")
    assert panel.message.kind == "warning"
    assert class_names_of(layer)[3] == "vesicle"

    expected = tuple(int(class_colour(3)[i : i + 2], 16) / 255 for i in (1, 3, 5))
    assert np.allclose(layer.colormap.map(3)[:3], expected, atol=1e-3)
    panel.table.item(0, 4).setCheckState(Qt.CheckState.Unchecked)
    assert layer.colormap.map(1)[3] == 0
    assert layer.colormap.map(2)[3] == 1

    layer.mode = "pan_zoom"
    press = dict(layer.keymap.items())
    next(action for key, action in press.items() if str(key) == "2")(layer)
    assert (layer.selected_label, layer.mode) == (2, "paint")
    for mode in ("erase", "fill", "pick", "pan_zoom", "paint"):
        panel.tools.buttons[mode].click()
        assert layer.mode == mode
    layer.mode = "fill"
    assert panel.tools.buttons["fill"].isChecked()
    panel.tools.size.setValue(17)
    assert layer.brush_size == 17

    layer.paint((0, 5, 5), 3)
    counted(panel, qtbot)
    layer.selected_label = 3
    panel.remove_button.click()
    assert "vesicle" in panel.message.plain
    assert 3 in class_names_of(layer)
    layer.undo()
    counted(panel, qtbot)
    panel.remove_button.click()
    assert 3 not in class_names_of(layer)

    assert not unpainted_is_background(layer)
    panel.background.click()
    assert unpainted_is_background(layer)
    assert "background" in panel.meaning.text()


def test_paint_of_a_multichannel_image_is_drawn_once_for_all_channels(workspace, qtbot, stroke):
    viewer = workspace.viewer
    viewer.add_image(np.zeros((3, 2, 20, 24), np.uint8), name="zc", axis_labels=("z", "c", "y", "x"))
    panel = workspace("annotate")
    panel.start()
    layer = panel.labels
    assert layer.data.shape == (3, 1, 20, 24)
    for channel in (0, 1):
        viewer.dims.set_current_step(1, channel)
        stroke(viewer, layer, tuple(layer.world_to_data((1, channel, 5 + channel, 5))), tuple(layer.world_to_data((1, channel, 5 + channel, 15))))
    assert counted(panel, qtbot).planes() == ((1,),)
    assert paint_of(layer).axes == "ZYX"


def test_keys_work_while_the_paint_layer_is_active_as_napari_and_the_class_table_say(workspace, qtbot, stroke, steps_image):
    viewer = workspace.viewer
    viewer.add_image(steps_image[0], name="em")
    panel = workspace("annotate")
    panel.button.click()
    layer, window = panel.labels, viewer.window._qt_window
    qtbot.keyClick(window, "2")
    assert layer.selected_label == 2
    stroke(viewer, layer, (1, 10, 10), (1, 10, 20))
    assert layer.data.any()
    qtbot.keyClick(window, "z", modifier=Qt.KeyboardModifier.ControlModifier)
    assert not layer.data.any()
