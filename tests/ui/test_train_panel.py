"""The Train panel with a stand-in for the training process: what a user is told, and what becomes of the run."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
from napari.layers import Labels
from napari.utils.notifications import notification_manager
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QApplication, QCheckBox

from napari_segtool.annotate.counts import count_steps
from napari_segtool.core.progress import drain
from napari_segtool.core.stack import Stack
from napari_segtool.ui._bridge import notes_of
from napari_segtool.ui._train_close import ClosingDialog, ask_closing
from napari_segtool.ui._train_desk import TrainingDesk
from napari_segtool.ui._train_folder import trainer_of
from napari_segtool.ui._train_marks import guess_labels_are
from napari_segtool.ui.workspace import show_panel


@pytest.fixture
def fake(monkeypatch, tmp_path):
    """Train with a script that only pretends; runs lie in a folder of their own. Nothing is left running."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent / "worker_scripts"))
    monkeypatch.setenv("SEGTOOL_RUNS_FOLDER", str(tmp_path / "runs"))
    monkeypatch.setenv("SEGTOOL_CONFIG", str(tmp_path / "segtool.json"))
    monkeypatch.setattr("napari_segtool.ui._train_child.CHILD_MODULE", "segtool_fake_training")
    yield lambda script: monkeypatch.setenv("FAKE_TRAINING", script)
    for folder in (tmp_path / "runs").glob("*"):
        pid = trainer_of(folder)
        if pid:
            os.kill(pid, signal.SIGKILL)


@pytest.fixture
def painted(make_napari_viewer, steps_image, qtbot, fake):
    """A Train panel over an image with paint of two classes; closing asks nobody."""
    viewer = make_napari_viewer()
    panel = show_panel(viewer, "train")
    panel.desk.ask_closing = lambda window: "stop"
    viewer.add_image(steps_image[0], name="steps")
    paint = np.zeros(steps_image[1].shape, np.uint8)
    paint[1, 2:4, 2:20], paint[1, 10:14, 12:20] = 2, 1
    layer = viewer.add_labels(paint, name="paint")
    notes_of(layer).update({"role": "paint", "classes": {1: "cell", 2: "rest"}})
    qtbot.waitUntil(lambda: not panel.session.paint.busy)
    return panel


def begin(panel, qtbot):
    panel.button.click()
    qtbot.waitUntil(lambda: len(panel.desk.history.steps) > 2, timeout=15000)


def end(panel, qtbot):
    qtbot.waitUntil(lambda: panel.state != "working", timeout=15000)


def test_what_is_missing_is_said_with_the_way_to_mend_it(make_napari_viewer, steps_image, qtbot, fake):
    viewer = make_napari_viewer()
    panel = show_panel(viewer, "train")
    viewer.add_image(steps_image[0], name="steps")
    panel.button.click()
    assert "nothing to learn from yet" in panel.message.plain
    assert "Annotate" in panel.message.offers
    layer = viewer.add_labels(np.zeros(steps_image[1].shape, np.uint8), name="paint")
    notes_of(layer).update({"role": "paint", "classes": {1: "cell", 2: "rest"}})
    layer.data[0, 3:6, 3:6] = 1
    layer.refresh()
    qtbot.waitUntil(lambda: panel.session.paint.counts.totals() == {1: 9}, timeout=3000)
    panel.button.click()
    assert panel.message.plain == "Paint at least two classes: “rest” has no pixels yet."
    assert panel.state == "ready"
    other = viewer.add_labels(np.zeros((5, 5), np.uint8), name="small")
    panel.session.labels = other
    panel.button.click()
    assert "another size" in panel.message.plain


def test_strokes_are_taken_for_paint_and_dense_labels_for_a_mask_and_the_user_is_right(painted, steps_image, qtbot):
    panel, viewer = painted, painted.viewer
    assert panel.meaning.currentData() == "paint"
    assert panel.label_facts.text().startswith("1 slice")
    panel.session.labels = viewer.add_labels(steps_image[1] * 255, name="dense")
    qtbot.waitUntil(lambda: panel.meaning.currentData() == "mask", timeout=3000)
    qtbot.waitUntil(lambda: panel.label_facts.text() == "2 classes: 0, 255 · all labelled", timeout=3000)
    panel.meaning.setCurrentIndex(panel.meaning.findData("paint"))
    panel.meaning.activated.emit(panel.meaning.currentIndex())
    panel.session.paint.changed.emit()
    assert panel.meaning.currentData() == "paint"


@pytest.mark.parametrize(("labelled", "wanted"), [(20, "mask"), (17, "paint")])
def test_small_objects_on_nearly_every_slice_of_many_are_a_mask(labelled, wanted):
    labels = np.zeros((20, 32, 32), np.uint8)
    labels[:labelled, 4:8, 4:8] = 1
    labels[:labelled, 16:20, 16:20] = 2
    counts = drain(count_steps(Stack(labels, "ZYX")))
    assert counts.fraction() < 0.1
    assert guess_labels_are(Labels(labels), counts) == wanted


def test_a_training_is_watched_then_stopped_and_kept_within_a_second(painted, qtbot):
    panel = painted
    begin(panel, qtbot)
    qtbot.waitUntil(lambda: panel.curves.drawn > 2, timeout=5000)
    drawn = panel.curves.drawn
    qtbot.waitUntil(lambda: panel.curves.drawn > drawn, timeout=5000)
    assert "left" in panel.bar.format()
    assert not panel.stop_button.isHidden()
    assert panel.message.plain.startswith("Memory ran out: going on with 2 patches at a time.\n")
    assert "Dice on held-out pixels: 0.800 (cell 0.90, rest 0.70)" in panel.message.plain
    config = json.loads((panel.desk.folder / "config.json").read_text())
    assert [entry["name"] for entry in config["classes"]] == ["cell", "rest"]
    begun = time.monotonic()
    panel.stop_button.click()
    end(panel, qtbot)
    assert time.monotonic() - begun < 1.0
    assert panel.message.plain.startswith("Stopped and kept")
    assert "Resume" in panel.message.offers
    qtbot.waitUntil(lambda: [card.state for card in panel.desk.cards] == ["stopped"], timeout=3000)
    assert panel.desk.cards[0].title.startswith("steps · ")


def test_a_process_that_does_not_listen_is_ended_when_cancelled(painted, qtbot, fake):
    fake("deaf")
    begin(painted, qtbot)
    pid = trainer_of(painted.desk.folder)
    painted.cancel_button.click()
    assert painted.message.plain == "Cancelling…"
    end(painted, qtbot)
    assert "Cancelled" in painted.message.plain
    assert not psutil.pid_exists(pid)


def test_a_killed_process_is_reported_in_plain_words_and_its_run_resumed(painted, qtbot, fake):
    fake("die")
    painted.button.click()
    end(painted, qtbot)
    assert painted.state == "failed"
    assert "killed from outside (signal 9), most often because the computer's memory ran out" in painted.message.plain
    assert painted.message.offers == ("Resume",)
    folder = painted.desk.folder
    fake("learn")
    painted.message.act("Resume")
    qtbot.waitUntil(lambda: painted.desk.history.phase == "learning" and painted.desk.history.step > 5, timeout=15000)
    assert painted.desk.folder == folder
    painted.cancel_button.click()
    end(painted, qtbot)


def test_a_full_disk_is_said_by_the_training_itself(painted, qtbot, fake):
    fake("full")
    painted.button.click()
    end(painted, qtbot)
    assert painted.state == "failed"
    assert painted.message.plain.endswith("is full.\nFree some space there and resume the run.")
    assert "Resume" in painted.message.offers


def test_an_end_without_a_word_shows_what_the_process_wrote(painted, qtbot, fake):
    fake("odd")
    painted.button.click()
    end(painted, qtbot)
    assert "ended unexpectedly (code 3)" in painted.message.plain
    assert "Details" in painted.message.offers
    painted.show_details()
    assert any("never my strength" in widget.toPlainText() for widget in QApplication.allWidgets() if hasattr(widget, "toPlainText"))


def test_input_that_cannot_be_learned_from_leaves_no_run(painted, qtbot):
    painted.viewer.layers["steps"].data[...] = 7
    painted.button.click()
    end(painted, qtbot)
    assert painted.state == "failed"
    assert "constant" in painted.message.plain
    assert list(painted.desk.cards) == []


@pytest.mark.parametrize("answer", ["background", "stop", "stay"])
def test_closing_the_window_while_it_trains_does_what_was_answered(painted, qtbot, answer, make_napari_viewer, fake):
    panel, viewer = painted, painted.viewer
    begin(panel, qtbot)
    folder, pid = panel.desk.folder, trainer_of(panel.desk.folder)
    answers = [answer, "stop"]
    asked = []
    panel.desk.ask_closing = lambda window: (asked.append(answers[0]), answers.pop(0))[1]
    viewer.window._qt_window.show()
    viewer.window._qt_window.close() if answer == "stay" else viewer.close()
    assert len(asked) == 1
    assert panel.session.closed == (answer != "stay")
    if answer == "stay":
        assert trainer_of(folder) == pid
        steps = len(panel.desk.history.steps)
        qtbot.waitUntil(lambda: len(panel.desk.history.steps) > steps, timeout=3000)
    elif answer == "stop":
        qtbot.waitUntil(lambda: trainer_of(folder) == 0, timeout=5000)
        assert b'"stopped"' in (folder / "events.jsonl").read_bytes()
    else:
        time.sleep(0.3)
        assert trainer_of(folder) == pid
        other = make_napari_viewer(show=True)
        found = show_panel(other, "train")
        found.desk.ask_closing = lambda window: "stop"
        qtbot.waitUntil(lambda: found.state == "working" and len(found.desk.history.steps) > 5, timeout=5000)
        assert found.desk.folder == folder
        found.stop_button.click()
        end(found, qtbot)
        assert found.message.plain.startswith("Stopped and kept")


def test_the_closing_dialog_offers_three_ways_and_escape_stays(qtbot, make_napari_viewer):
    viewer = make_napari_viewer()
    dialog = ClosingDialog(viewer.window._qt_window)
    assert [button.text().replace("&", "") for button in dialog.buttons()] != []
    for button, answer in ((dialog.background, "background"), (dialog.stop, "stop"), (dialog.stay, "stay")):
        dialog.show()
        button.click()
        assert dialog.answer == answer
    assert dialog.escapeButton() is dialog.stay
    dialog.deleteLater()
    QTimer.singleShot(100, lambda: QApplication.activeModalWidget().stop.click())
    assert ask_closing(viewer.window._qt_window) == "stop"


def test_several_images_with_their_labels_are_learned_from_together(painted, qtbot):
    panel, viewer = painted, painted.viewer
    viewer.add_image(np.random.default_rng(1).integers(0, 255, (2, 30, 30), np.uint8), name="second")
    marks = np.zeros((2, 30, 30), np.uint8)
    marks[0, 3:6, 3:20], marks[0, 10:14, 12:20] = 2, 1
    viewer.add_labels(marks, name="second paint")
    box = panel.settings.others.findChildren(QCheckBox)[0]
    assert box.text() == "second"
    box.click()
    assert panel.settings.more.button.text().endswith("(1)")
    assert panel.settings.plan.text().endswith("from 2 images")
    begin(panel, qtbot)
    pairs = json.loads((panel.desk.folder / "data" / "index.json").read_text())["pairs"]
    assert [(pair["name"], tuple(pair["shape"])) for pair in pairs] == [("steps", (3, 40, 48)), ("second", (2, 30, 30))]
    panel.cancel_button.click()
    end(panel, qtbot)


def test_weights_of_pixels_are_stored_with_the_run(painted, qtbot):
    panel = painted
    sure = np.ones(panel.labels.data.shape, np.float32)
    sure[1, 10:14] = 3
    panel.settings.weights.set_layer(panel.viewer.add_image(sure, name="sure"))
    begin(panel, qtbot)
    assert np.array_equal(np.load(panel.desk.folder / "data" / "0-weights.npy"), sure)
    panel.cancel_button.click()
    end(panel, qtbot)


def test_runs_are_compared_renamed_and_deleted_from_the_list(painted, qtbot):
    panel = painted
    for _ in range(2):
        begin(panel, qtbot)
        panel.stop_button.click()
        end(panel, qtbot)
    qtbot.waitUntil(lambda: len(panel.desk.cards) == 2 and all(card.state == "stopped" for card in panel.desk.cards), timeout=5000)
    newest, oldest = (card.folder for card in panel.desk.cards)
    panel.runs.table.selectAll()
    assert set(panel.runs.selected) == {newest, oldest}
    qtbot.waitUntil(lambda: panel.curves.legend.text().count("●") == 2, timeout=5000)
    panel.runs.table.clearSelection()
    panel.runs.table.selectRow(1)
    assert panel.runs.selected == (oldest,)
    panel.runs.table.item(1, 0).setText("■ The first")
    qtbot.waitUntil(lambda: panel.desk.cards[1].title == "The first", timeout=3000)
    panel.runs.delete.click()
    assert "The first" in panel.message.plain
    assert oldest.exists()
    panel.message.act("Delete it")
    qtbot.waitUntil(lambda: len(panel.desk.cards) == 1, timeout=5000)
    assert not oldest.exists()


def test_settings_come_back_when_the_panel_is_opened_again(painted, qtbot):
    panel, viewer = painted, painted.viewer
    panel.budget.set_budget(steps=123)
    panel.form.set_values({"base_channels": 8, "learning_rate": 0.0003})
    panel.seed.setValue(5)
    panel.release()
    from napari_segtool.ui.train import TrainPanel

    again = TrainPanel(viewer)
    qtbot.addWidget(again)
    assert (again.budget.steps, again.seed.value()) == (123, 5)
    assert (again.form.values()["base_channels"], again.form.values()["learning_rate"]) == (8, 0.0003)
    again.release()


def test_every_control_says_what_it_does(painted):
    from qtpy.QtWidgets import QAbstractButton, QAbstractSpinBox, QComboBox, QTableWidget

    controls = [widget for kind in (QAbstractButton, QAbstractSpinBox, QComboBox, QTableWidget) for widget in painted.findChildren(kind)]
    silent = [
        (type(widget).__name__, getattr(widget, "text", str)()) for widget in controls if not widget.toolTip() and not isinstance(widget.parent(), QTableWidget)
    ]
    assert len(controls) > 20
    assert silent == []


def test_one_desk_serves_all_panels_of_a_viewer(painted):
    assert painted.session.shared(TrainingDesk) is painted.desk


def test_a_damaged_settings_file_does_not_keep_the_panel_from_opening(make_napari_viewer, monkeypatch, tmp_path):
    (tmp_path / "segtool.json").write_text("{")
    monkeypatch.setenv("SEGTOOL_CONFIG", str(tmp_path / "segtool.json"))
    panel = show_panel(make_napari_viewer(), "train")
    assert "cannot be read" in notification_manager.records[-1].message
    assert panel.settings.device.device() == "auto"
