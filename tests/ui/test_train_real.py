"""The Train panel with the real training process: killed, its last checkpoint damaged, and still it goes on."""

from __future__ import annotations

import os
import signal
import time

import numpy as np
import pytest

from napari_segtool.ui._train_folder import trainer_of


@pytest.mark.slow
def test_a_killed_training_with_a_damaged_checkpoint_is_resumed_from_the_one_before(tiny_training, qtbot, tmp_path):
    panel, viewer = tiny_training, tiny_training.viewer
    panel.budget.set_budget(steps=4000)
    panel.button.click()
    checkpoints = tmp_path / "runs"
    qtbot.waitUntil(lambda: len(list(checkpoints.glob("*/checkpoints/step-*.json"))) >= 2, timeout=60000)
    folder = panel.desk.folder
    pid = trainer_of(folder)
    assert pid
    os.kill(pid, signal.SIGKILL)
    qtbot.waitUntil(lambda: panel.state == "failed", timeout=5000)
    assert "killed from outside (signal 9)" in panel.message.plain
    viewer.dims.set_point(0, 1)  # the window goes on

    older, newest = sorted((folder / "checkpoints").glob("step-*.safetensors"))[-2:]
    newest.write_bytes(newest.read_bytes()[:-7])
    panel.message.act("Resume")
    going_on = f"Going on from step {int(older.stem.split('-')[1])}."
    qtbot.waitUntil(lambda: going_on in panel.desk.history.messages, timeout=60000)
    assert any(newest.stem in text and "damaged" in text for text in panel.desk.history.messages)
    panel.stop_button.click()
    qtbot.waitUntil(lambda: panel.state == "done", timeout=20000)
    assert [entry for entry in np.diff(panel.desk.history.steps) if entry <= 0] == []
    assert (folder / "model" / "model.json").is_file()


@pytest.mark.slow
def test_a_training_that_is_stopped_twice_keeps_its_best_all_the_same(steps_image, tmp_path):
    from napari_segtool.core.labels import Labels
    from napari_segtool.core.stack import Stack
    from napari_segtool.training.learners.unet import UNetLearnerParams
    from napari_segtool.training.runs._run import create_run
    from napari_segtool.ui._train_child import start_child

    large = [np.tile(part, (4, 12, 10)) for part in steps_image]  # so that the last scores take longer than a moment
    pairs = [(Stack(large[0], "ZYX"), Labels(large[1], "ZYX"))]
    params = UNetLearnerParams.build(base_channels=16, depth=2, patch_px=32, batch=2)
    run = create_run(tmp_path / "run", pairs, "unet", params, labels_are="mask", steps=100000)
    child = start_child(run.folder, 1)
    until = time.monotonic() + 60
    while not any(event["kind"] == "step" for event in run.events()[0]) and time.monotonic() < until:
        time.sleep(0.05)
    while child.alive and time.monotonic() < until:
        run.request("stop")
        time.sleep(0.01)
    assert not child.alive
    assert run.events()[0][-1]["kind"] == "stopped"
    assert run.model_folder.exists()


def test_settings_that_the_training_refuses_leave_no_run_and_nothing_to_resume(tiny_training, qtbot, tmp_path):
    panel = tiny_training
    panel.form.set_values({"depth": 4, "patch_px": 16})
    panel.button.click()
    qtbot.waitUntil(lambda: panel.state == "failed", timeout=60000)
    assert "Patches of 16 px are too small for 4 levels" in panel.message.plain
    assert "Resume" not in panel.message.offers
    assert list((tmp_path / "runs").iterdir()) == []
    qtbot.waitUntil(lambda: list(panel.desk.cards) == [], timeout=5000)
    assert panel.session.runs == ()
