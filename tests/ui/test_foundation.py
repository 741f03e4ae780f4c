"""The frame of the panels, the session and the workspace, in a real viewer."""

from __future__ import annotations

import gc
import itertools
import json
import os
import subprocess
import sys
import threading
import weakref

import numpy as np
import pytest
from qtpy.QtWidgets import QDialog

from napari_segtool.core.errors import DataError
from napari_segtool.core.progress import Progress
from napari_segtool.ui._axes_dialog import AxesDialog
from napari_segtool.ui._bridge import spacing_of
from napari_segtool.ui._session import session_of
from napari_segtool.ui.workspace import PANELS, STRIP, open_workspace, panel_of, show_panel


def image_panels(viewer):
    return [panel for panel in (panel_of(viewer, entry.name) for entry in PANELS) if panel.needs_image]


def test_the_workspace_opens_every_panel_once_and_follows_the_image(workspace, qtbot):
    viewer = workspace.viewer
    panels = [panel_of(viewer, entry.name) for entry in PANELS]
    assert all(panel is not None for panel in panels)
    assert {panel.session for panel in panels} == {session_of(viewer)}
    assert {panel.state for panel in image_panels(viewer)} == {"empty"}
    assert all(not panel.button.isVisibleTo(panel) and panel._empty.isVisibleTo(panel) for panel in image_panels(viewer))
    layer = viewer.add_image(np.zeros((3, 8, 8), np.uint8), scale=(0.05, 0.004, 0.004), units="um", name="em")
    for panel in image_panels(viewer):
        assert panel.state == "ready"
        assert panel.image_combo.layer() is layer
        assert "3×8×8 · 4×4×50 nm" in panel.facts.text()
        assert panel.button.isVisibleTo(panel)
    layer.name = "renamed"
    assert {panel.image_combo.currentText() for panel in image_panels(viewer)} == {"renamed"}
    other = viewer.add_image(np.zeros((5, 5)), name="other")
    first, second = image_panels(viewer)[:2]
    first.image_combo.setCurrentIndex(1)
    first.image_combo.activated.emit(1)
    assert second.image is other
    assert second.image_combo.layer() is other

    open_workspace(viewer)
    assert [panel_of(viewer, entry.name) for entry in PANELS] == panels
    shown = show_panel(viewer, "segment")
    qtbot.waitUntil(lambda: shown.in_view)
    assert [panel.name for panel in panels if panel.in_view] == ["segment"]
    viewer.layers.clear()
    assert {panel.state for panel in image_panels(viewer)} == {"empty"}


def test_every_tab_can_be_read_at_360_pixels_and_no_panel_is_wider(workspace, qtbot):
    workspace.viewer.add_image(np.zeros((3, 8, 8), np.uint8), name="em")
    for entry in PANELS:
        panel = workspace(entry.name)
        assert panel.minimumSizeHint().width() <= 360, entry.name


def test_the_strip_leads_to_the_panels_and_stays_away_once_closed(workspace, qtbot):
    viewer = workspace.viewer
    strip = viewer.window.dock_widgets[STRIP.dock_name]
    strip.buttons["segment"].click()
    qtbot.waitUntil(lambda: panel_of(viewer, "segment").in_view)
    strip.close_button.click()
    qtbot.waitUntil(lambda: STRIP.dock_name not in viewer.window.dock_widgets)
    open_workspace(viewer)
    qtbot.wait(20)
    assert STRIP.dock_name not in viewer.window.dock_widgets


def test_a_sample_opens_from_the_empty_page_with_its_true_labels(workspace, qtbot):
    panel = workspace("annotate")
    panel._empty.sample_wanted.emit("em")
    qtbot.waitUntil(lambda: panel.state == "done", timeout=20000)
    image, truth = workspace.viewer.layers
    assert image.data.shape == truth.data.shape
    assert not truth.visible
    assert spacing_of(image) == spacing_of(truth) != ()


def test_what_goes_wrong_is_said_in_the_panel_with_details_for_bugs_only(workspace, qtbot):
    workspace.viewer.add_image(np.zeros((3, 8, 8)), name="em")
    panel = workspace("segment")
    panel.preview_switch.click()

    def fails(error):
        yield Progress(1, 2)
        raise error

    results = []
    panel.run(lambda: fails(RuntimeError("CUDA error: unspecified launch failure")), results.append, "Failing")
    qtbot.waitUntil(lambda: panel.state == "failed", timeout=3000)
    assert "unspecified launch failure" in panel.message.plain
    assert "Traceback" not in panel.message.plain
    panel.message.act("Details")
    (dialog,) = panel.findChildren(QDialog)
    assert "RuntimeError" in dialog._text.toPlainText()
    dialog.close()
    panel.run(lambda: fails(DataError("All pixels are NaN.", hint="Choose another image.")), results.append, "Failing")
    qtbot.waitUntil(lambda: panel.state == "failed" and "NaN" in panel.message.plain, timeout=3000)
    assert "Choose another image." in panel.message.plain
    assert "Details" not in panel.message.offers
    panel.run(lambda: iter_done("fine"), lambda value: 1 / 0, "Failing late")
    qtbot.waitUntil(lambda: "ZeroDivisionError" in panel.message.plain, timeout=3000)
    assert results == []


def iter_done(value):
    yield Progress(1, 1)
    return value


def test_axes_and_spacing_are_corrected_in_a_dialog_that_refuses_nonsense(workspace, qtbot):
    viewer = workspace.viewer
    layer = viewer.add_image(np.zeros((3, 8, 9)), name="pages")
    panel = workspace("annotate")
    assert "spacing unknown" in panel.facts.text()
    dialog = AxesDialog(panel.session, layer, panel)
    dialog.axes.setText("ZYQ")
    dialog.accept()
    assert "X" in dialog.message.plain
    assert spacing_of(layer) == ()
    dialog.axes.setText("TYX")
    assert not dialog.boxes["Z"].isEnabled()
    dialog.unit.setCurrentText("nm")
    dialog.boxes["Y"].setValue(8)
    dialog.boxes["X"].setValue(4)
    dialog.accept()
    assert spacing_of(layer) == pytest.approx((0.008, 0.004))
    assert panel.session.stack(layer).axes == "TYX"
    assert "4×8 nm" in panel.facts.text()


def test_closing_the_viewer_ends_the_work_and_asks_the_guards_first(make_napari_viewer, qtbot):
    viewer = make_napari_viewer(show=True)
    session = session_of(viewer)
    ended, asked = [], []
    session.closing.connect(lambda: ended.append(True))
    cleaned = threading.Event()

    def work():
        try:
            while True:
                yield Progress(0, 0)
                cleaned.wait(0.005)
        finally:
            cleaned.set()

    session.start(work, "endless").start()
    answer = [False]

    def guard():
        asked.append(True)
        return answer[0]

    session.guards.append(guard)
    window = viewer.window._qt_window
    assert not window.close()
    assert (asked, ended) == ([True], [])
    assert window.isVisible()
    answer[0] = True
    viewer.close()
    assert ended == [True]
    assert cleaned.wait(2)
    assert session.closed


def test_a_panel_closed_for_good_lets_go_and_a_new_one_remembers_its_values(workspace, qtbot):
    viewer = workspace.viewer
    viewer.add_image(np.zeros((3, 8, 8), np.uint8), name="em")
    panel = workspace("segment")
    panel.chooser.choose("kmeans")
    panel.chooser.chosen.emit("kmeans")
    panel.form.set_values({"clusters": 7})
    panel.form.changed.emit("clusters")
    viewer.window.remove_dock_widget(panel.parent())
    assert panel._released
    gone = weakref.ref(panel)
    del panel
    viewer.add_image(np.zeros((3, 8, 8), np.uint8), name="another")
    viewer.dims.set_current_step(0, 1)
    qtbot.wait(50)
    gc.collect()
    assert gone() is None
    fresh = workspace("segment")
    assert fresh.chooser.entry().name == "kmeans"
    assert fresh.form.values()["clusters"] == 7


LIGHT = """
import json, os, sys
import numpy as np, napari
viewer = napari.Viewer(show=False)
viewer.add_image(np.zeros((3, 16, 16), np.uint8))
before = set(sys.modules)
from napari_segtool.ui.workspace import open_workspace
open_workspace(viewer)
heavy = {"torch", "sklearn", "matplotlib", "captum", "pandas", "skimage", "scipy.ndimage", "cv2", "zarr", "pyqtgraph"}
sys.stdout.write(json.dumps(sorted((set(sys.modules) - before) & heavy)) + "\\n")
viewer.close()
"""


def test_opening_all_panels_loads_no_heavy_library(tmp_path):
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", LIGHT],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
        env={**os.environ, "SEGTOOL_CONFIG": str(tmp_path / "s.json")},
    )
    assert json.loads(done.stdout.strip().splitlines()[-1]) == []


def test_tab_walks_through_a_panel_in_reading_order(workspace, qtbot):
    workspace.viewer.add_image(np.zeros((3, 8, 8), np.uint8), name="em")
    workspace.viewer.window.resize(1300, 1000)  # so that nothing is scrolled
    panel = workspace("segment")
    qtbot.waitUntil(lambda: panel._scroll.verticalScrollBar().maximum() == 0, timeout=3000)
    panel.window().activateWindow()
    panel.image_combo.setFocus()
    walked = []
    for _ in range(60):
        widget = panel.window().focusWidget()
        if not panel.isAncestorOf(widget) or (walked and widget is walked[0]):
            break
        walked.append(widget)
        panel.focusNextPrevChild(True)
    heights = [widget.mapTo(panel, widget.rect().center()).y() for widget in walked]
    assert walked[0] is panel.image_combo
    assert panel.button in walked
    assert all(above <= below + 4 for above, below in itertools.pairwise(heights))


def test_a_result_or_a_truth_is_never_painted_on_by_accident(workspace, qtbot):
    viewer = workspace.viewer
    panel = workspace("annotate")
    panel._empty.sample_wanted.emit("em")
    qtbot.waitUntil(lambda: panel.state == "done", timeout=20000)
    assert panel.labels is None
    assert not panel._working_part.isVisibleTo(panel)
    mine = viewer.add_labels(np.zeros(viewer.layers[0].data.shape, np.uint8), name="mine")
    assert panel.labels is mine
