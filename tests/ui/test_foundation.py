"""The frame of the panels, the session and the workspace, in a real viewer."""

from __future__ import annotations

import numpy as np

from napari_segtool.ui._session import session_of
from napari_segtool.ui.workspace import PANELS, open_workspace, panel_of, show_panel


def test_the_workspace_opens_every_panel_once_and_follows_the_image(make_napari_viewer):
    viewer = make_napari_viewer()
    open_workspace(viewer)
    panels = [panel_of(viewer, entry.name) for entry in PANELS]
    assert all(panel is not None for panel in panels)
    assert {panel.session for panel in panels} == {session_of(viewer)}
    panels = [panel for panel in panels if panel.needs_image]
    assert [panel.state for panel in panels] == ["empty"] * len(panels)
    layer = viewer.add_image(np.zeros((3, 8, 8), np.uint8), scale=(0.05, 0.004, 0.004), units="um", name="em")
    assert [panel.state for panel in panels] == ["ready"] * len(panels)
    assert all("3×8×8 · 4×4×50 nm" in panel.facts.text() for panel in panels)
    assert all(panel.image_combo.layer() is layer for panel in panels)
    open_workspace(viewer)
    assert show_panel(viewer, "segment") is panel_of(viewer, "segment")
    viewer.layers.remove(layer)
    assert [panel.state for panel in panels] == ["empty"] * len(panels)
