"""The plan of a training in the panel: worked out by itself while nothing goes on, and dropped as soon as anything changes."""

from __future__ import annotations

import numpy as np
import pytest

from napari_segtool.core.errors import PaintError
from napari_segtool.core.progress import Progress
from napari_segtool.training.configure._proposal import Proposal
from napari_segtool.ui import _train_ahead
from napari_segtool.ui._train_adviser import Adviser
from napari_segtool.ui._train_plan import plan_text
from napari_segtool.ui.workspace import show_panel

FOUND = Proposal("unet", {"dimensions": "2-D", "patch_px": 256, "patch_planes": 1, "batch": 8}, (), "cpu", 1126.0, 8000.0, 10**6, 0.66, 907)
SAID = "Plan: 2-D patches 256², batch 8, about 910 steps, 1.1 GB"
UNKNOWN = "Plan: chosen from the images, 10 min"


@pytest.fixture
def asked(monkeypatch):
    """Orders that were asked about; each is answered with ``FOUND`` once `asked.may` is true, or fails with `asked.error`."""

    class Asked(list):
        may, error = True, None

    orders = Asked()

    def ask_steps(self, what, order, **extra):
        orders.append(order)
        while not orders.may:
            yield Progress(0, 0, "waiting")
        yield Progress(0, 1, "thinking")
        if orders.error:
            raise orders.error
        return FOUND

    monkeypatch.setattr(Adviser, "ask_steps", ask_steps)
    monkeypatch.setattr(_train_ahead, "IDLE_MS", 20)
    return orders


@pytest.fixture
def panel(asked, workspace, steps_image, qtbot, tmp_path, monkeypatch):
    """A Train panel on the screen, over an image with dense labels."""
    monkeypatch.setenv("SEGTOOL_RUNS_FOLDER", str(tmp_path / "runs"))
    panel = workspace("train")
    workspace.viewer.add_image(steps_image[0], name="steps")
    workspace.viewer.add_labels(steps_image[1], name="truth")
    return panel


def says(panel, qtbot, text, wait_ms=5000):
    qtbot.waitUntil(lambda: panel.settings.plan.text() == text, timeout=wait_ms)


def test_the_plan_is_worked_out_by_itself_and_once(panel, asked, qtbot):
    says(panel, qtbot, SAID)
    count = len(asked)
    qtbot.wait(300)
    assert len(asked) == count
    assert asked[-1].learner == "unet"
    assert panel.settings._form is None, "settings that nobody looks at are not built for it"
    assert panel.state == "ready"


def change_the_time(panel):
    panel.budget.spin.setValue(20)


def choose_another_learner(panel):
    panel.settings.learner.choose("unet2015")
    panel.settings.learner.chosen.emit("unet2015")


def say_what_labels_are(panel):
    panel.settings.meaning_chosen.emit("paint")


def paint(panel):
    panel.labels.data_setitem((np.array([0]), np.array([1]), np.array([1])), 1)


def take_other_labels(panel):
    panel.session.labels = panel.viewer.add_labels(1 - panel.labels.data, name="other")


def replace_the_image(panel):
    panel.image.data = panel.image.data.copy()


CHANGES = (change_the_time, choose_another_learner, say_what_labels_are, paint, take_other_labels, replace_the_image)


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_what_was_worked_out_no_longer_stands_when_something_changes_and_is_worked_out_anew(panel, asked, qtbot, change):
    says(panel, qtbot, SAID)
    asked.may, count = False, len(asked)
    change(panel)
    qtbot.waitUntil(lambda: "910 steps" not in panel.settings.plan.text(), timeout=3000)
    qtbot.waitUntil(lambda: len(asked) > count, timeout=5000)
    assert "910 steps" not in panel.settings.plan.text()
    asked.may = True
    says(panel, qtbot, SAID)


def test_an_answer_that_comes_after_a_change_is_not_shown(panel, asked, qtbot):
    says(panel, qtbot, SAID)
    asked.may = False
    panel.ahead.forget()
    qtbot.waitUntil(lambda: panel.ahead._job is not None, timeout=3000)
    shown = []
    panel.ahead.changed.connect(lambda: shown.append(panel.ahead.proposal))
    panel.budget.spin.setValue(30)
    count, asked.may = len(asked), True
    says(panel, qtbot, SAID)
    assert len(asked) == count + 1
    assert asked[-1].minutes == 30
    assert len(shown) == 1, "only the second answer"


def test_nothing_is_asked_behind_another_tab_or_about_large_images(panel, asked, qtbot, monkeypatch):
    says(panel, qtbot, SAID)
    count = len(asked)
    show_panel(panel.viewer, "predict")
    qtbot.waitUntil(lambda: not panel.in_view, timeout=3000)
    panel.ahead.forget()
    qtbot.wait(200)
    assert len(asked) == count
    monkeypatch.setattr(_train_ahead, "MOST_BYTES", 100)
    show_panel(panel.viewer, "train")
    qtbot.wait(200)
    assert len(asked) == count
    assert panel.settings.plan.text() == UNKNOWN


def test_a_training_that_begins_ends_the_question_and_none_is_asked_while_it_goes_on(panel, asked, qtbot, monkeypatch):
    says(panel, qtbot, SAID)
    asked.may = False
    panel.ahead.forget()
    qtbot.waitUntil(lambda: panel.ahead._job is not None, timeout=3000)
    monkeypatch.setattr(type(panel.desk), "busy", property(lambda self: True))
    panel.desk.begun.emit()
    qtbot.waitUntil(lambda: panel.ahead._job is None, timeout=3000)
    count = len(asked)
    panel.ahead.forget()
    qtbot.wait(200)
    assert len(asked) == count
    monkeypatch.undo()


def test_what_cannot_be_trained_is_not_complained_about_until_train_is_pressed(panel, asked, qtbot):
    says(panel, qtbot, SAID)
    asked.error = PaintError("One class only.")
    panel.ahead.forget()
    count = len(asked)
    qtbot.waitUntil(lambda: len(asked) > count and panel.ahead._job is None, timeout=3000)
    qtbot.wait(200)
    assert len(asked) == count + 1, "it is not asked again and again"
    assert panel.settings.plan.text() == UNKNOWN
    assert panel.message.plain == ""


def test_what_the_user_asked_for_is_said_in_the_panel_too(panel, asked, qtbot, monkeypatch):
    says(panel, qtbot, SAID)
    monkeypatch.setattr(_train_ahead, "MOST_BYTES", 100)
    panel.ahead.forget()
    assert panel.settings.plan.text() == UNKNOWN
    panel.before.buttons["What it will do and why"].click()
    says(panel, qtbot, SAID)


@pytest.mark.parametrize(
    ("settings", "budget", "text"),
    [
        ({"dimensions": "3-D", "patch_px": 64, "patch_planes": 16, "batch": 2}, {"minutes": 10}, "3-D patches 16×64×64, batch 2, about 910 steps, 1.1 GB"),
        ({"dimensions": "2-D", "patch_px": 128, "patch_planes": 1, "batch": 4}, {"steps": 907}, "2-D patches 128², batch 4, 907 steps in about 10 min, 1.1 GB"),
        ({}, {"minutes": 10}, "as published, about 910 steps, 1.1 GB"),
    ],
)
def test_the_plan_says_patches_batch_steps_and_memory(settings, budget, text):
    found = Proposal("unet", settings, (), "cpu", 1126.0, 8000.0, 10**6, 0.66, 907)
    assert plan_text({"patch_px": 0}, proposal=found, **budget) == text
