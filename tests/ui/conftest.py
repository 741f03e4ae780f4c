"""What tests of the window share: a viewer with the workspace, and strokes as a mouse makes them."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from napari_segtool.ui._bridge import notes_of
from napari_segtool.ui.workspace import open_workspace, show_panel


@pytest.fixture(autouse=True)
def asked_only(monkeypatch):
    """Nothing is worked out ahead, which would take the processor and memory from whatever is tested."""
    monkeypatch.setattr("napari_segtool.ui._train_ahead.IDLE_MS", 10**7)


@pytest.fixture
def workspace(make_napari_viewer, qtbot, monkeypatch, tmp_path):
    """A viewer with the workspace open, in which panels are shown by name; nothing is remembered from other tests."""
    monkeypatch.setenv("SEGTOOL_CONFIG", str(tmp_path / "settings.json"))
    viewer = make_napari_viewer(show=True)
    open_workspace(viewer)
    qtbot.wait(50)

    def show(name):
        panel = show_panel(viewer, name)
        qtbot.waitUntil(lambda: panel.in_view, timeout=3000)
        return panel

    show.viewer = viewer
    return show


@pytest.fixture
def steps_image():
    """A stack of three slices with bright squares of different size on dark ground, a little noisy, with known labels."""
    truth = np.zeros((3, 40, 48), np.uint8)
    for z in range(3):
        truth[z, 5 : 15 + 5 * z, 8 : 20 + 5 * z] = 1
    noise = np.random.default_rng(0).integers(0, 20, truth.shape)
    return (40 + 150 * truth + noise).astype(np.uint8), truth


@pytest.fixture
def tiny_training(make_napari_viewer, steps_image, qtbot, monkeypatch, tmp_path):
    """A Train panel over an image with dense labels and settings for a tiny network; its runs lie in ``runs``, closing asks nobody."""
    monkeypatch.setenv("SEGTOOL_RUNS_FOLDER", str(tmp_path / "runs"))
    monkeypatch.setenv("SEGTOOL_CONFIG", str(tmp_path / "segtool.json"))
    viewer = make_napari_viewer()
    panel = show_panel(viewer, "train")
    panel.desk.ask_closing = lambda window: "stop"
    viewer.add_image(steps_image[0], name="steps")
    notes_of(viewer.add_labels(steps_image[1], name="truth"))["class_names"] = ["ground", "square"]
    qtbot.waitUntil(lambda: panel.meaning.currentData() == "mask", timeout=3000)
    panel.form.set_values({"base_channels": 2, "depth": 2, "patch_px": 32, "batch": 2})
    return panel


@pytest.fixture
def settled(qtbot):
    """Wait until the Segment panel shows the preview of its settings, and return its layer."""

    def wait(panel):
        qtbot.wait(30)  # strokes and shapes are followed at the end of a turn of the event loop
        qtbot.waitUntil(lambda: not panel.preview.busy, timeout=20000)
        qtbot.wait(20)
        return panel.preview.labels.layer

    return wait


@pytest.fixture
def applied(qtbot):
    """Press the button of a panel and wait until it is done."""

    def press(panel, state="done"):
        panel.button.click()
        qtbot.waitUntil(lambda: panel.state != "working", timeout=30000)
        assert panel.state == state, panel.message.plain

    return press


@pytest.fixture
def stroke(MouseEvent):  # noqa: N803  napari's fixture has this name
    """Drag the mouse over a labels layer from one data position to another, as napari's canvas would report it."""
    return partial(_stroke, MouseEvent)


def _stroke(mouse_event, viewer, layer, start, end):
    from napari.utils._proxies import ReadOnlyWrapper
    from napari.utils.interactions import mouse_move_callbacks, mouse_press_callbacks, mouse_release_callbacks

    def event(kind, position, dragging):
        return ReadOnlyWrapper(
            mouse_event(
                type=kind,
                is_dragging=dragging,
                position=layer.data_to_world(position),
                view_direction=None,
                dims_displayed=viewer.dims.displayed,
                dims_point=viewer.dims.point,
                button=1,
            )
        )

    mouse_press_callbacks(layer, event("mouse_press", start, False))
    mouse_move_callbacks(layer, event("mouse_move", end, True))
    mouse_release_callbacks(layer, event("mouse_release", end, False))
