"""Tab walks through every panel from top to bottom, and out of it again."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QRadioButton

from napari_segtool.ui._frame import _reading_order
from napari_segtool.ui.workspace import PANELS


@pytest.mark.parametrize("name", [entry.name for entry in PANELS])
def test_tab_visits_every_control_in_reading_order_and_leaves_the_panel(workspace, qtbot, name):
    viewer = workspace.viewer
    viewer.add_image(np.random.default_rng(0).integers(0, 255, (3, 30, 30)).astype(np.uint8), name="em")
    panel = workspace(name)
    if name == "segment":
        panel.settings.prepare.fold.unfold()
        panel.settings.prepare.box.activated.emit(panel.settings.prepare.box.findData("gaussian"))
        panel.settings.prepare.box.activated.emit(panel.settings.prepare.box.findData("median"))
        panel.settings.prepare.rows[1].buttons["up"].click()
    qtbot.wait(100)
    reachable = [widget for widget in _reading_order(panel) if widget.isVisible() and widget.isEnabled()]
    expected = [widget for widget in reachable if not isinstance(widget, QRadioButton) or widget.isChecked()]  # arrow keys reach the others
    inside = panel._scroll.widget()
    tops = [widget.mapTo(inside, widget.rect().center()).y() for widget in expected if inside.isAncestorOf(widget)]
    viewer.window._qt_window.activateWindow()
    expected[0].setFocus()
    qtbot.waitUntil(lambda: QApplication.focusWidget() is expected[0], timeout=3000)
    visited = []
    for _ in range(3 * len(expected)):
        focused = QApplication.focusWidget()
        if focused is None or not panel.isAncestorOf(focused):
            break
        if focused not in visited:  # a label with links is visited once for itself and once for each of its links
            visited.append(focused)
        QTest.keyClick(focused, Qt.Key.Key_Tab)
    else:
        raise AssertionError(f"Tab never leaves the panel: {visited[-3:]}")
    assert visited == expected
    scrolled = [(a, b) for a, b in itertools.pairwise(tops) if b < a - 12]
    assert not scrolled, "the reading order goes up"
