"""What a training begins with: a new network, a model of the run list, one from a folder."""

from __future__ import annotations

from pathlib import Path

import pytest
from qtpy.QtWidgets import QFileDialog

from napari_segtool.ui._train_folder import RunCard
from napari_segtool.ui._train_start import NEW, StartFrom


def card(folder: Path, title: str, *, learner: str = "unet", has_model: bool = True) -> RunCard:
    if has_model:
        (folder / "model").mkdir(parents=True, exist_ok=True)
        (folder / "model" / "model.json").write_text("{}")
    return RunCard(folder, title, learner, "done", has_model=has_model)


@pytest.fixture
def chooser(qtbot):
    widget = StartFrom()
    qtbot.addWidget(widget)
    return widget


def pick(chooser: StartFrom, row: int) -> None:
    chooser.setCurrentIndex(row)
    chooser.activated.emit(row)


def texts(chooser: StartFrom) -> list[str]:
    return [chooser.itemText(row) for row in range(chooser.count())]


def test_a_new_network_is_the_beginning_and_only_models_of_the_learner_are_offered(chooser, tmp_path, qtbot):
    assert (chooser.model, chooser.currentText()) == (None, NEW)
    kinds = {"b": {}, "a": {}, "old": {"learner": "unet2015"}, "none": {"has_model": False}}
    cards = [card(tmp_path / name, f"run {name}", **kind) for name, kind in kinds.items()]
    chooser.offer(cards, "unet")
    assert texts(chooser)[:3] == [NEW, "run b", "run a"]
    assert chooser.model is None
    with qtbot.waitSignal(chooser.edited):
        pick(chooser, 2)
    assert (chooser.model, chooser.title) == (tmp_path / "a", "run a")
    chooser.offer([card(tmp_path / "c", "run c"), *cards], "unet")  # a newer run: the choice stays
    assert chooser.model == tmp_path / "a"
    chooser.offer(cards, "unet2015")
    assert (chooser.model, texts(chooser)[1]) == (None, "run old")
    chooser.offer(cards, "unet")
    assert chooser.model == tmp_path / "a"
    chooser.offer(cards[:1], "unet")  # it was deleted
    assert (chooser.model, chooser.currentText()) == (None, NEW)


def test_a_model_from_a_folder_is_offered_until_it_is_gone(chooser, tmp_path, qtbot, monkeypatch):
    card(tmp_path / "elsewhere", "")
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(tmp_path / "elsewhere" / "model"))
    with qtbot.waitSignal(chooser.edited):
        pick(chooser, chooser.count() - 1)
    assert chooser.model == tmp_path / "elsewhere" / "model"
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: "")
    pick(chooser, chooser.count() - 1)  # closed without a choice
    assert chooser.model == tmp_path / "elsewhere" / "model"
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(tmp_path))
    with qtbot.waitSignal(chooser.refused) as told:
        pick(chooser, chooser.count() - 1)
    assert "There is no model in" in told.args[0]
    assert chooser.model == tmp_path / "elsewhere" / "model"
    (tmp_path / "elsewhere" / "model" / "model.json").unlink()
    chooser.offer([], "unet")
    assert chooser.model is None


@pytest.mark.slow
def test_a_corrected_image_is_learned_from_where_the_last_training_ended(tiny_training, qtbot):
    panel = tiny_training
    panel.budget.set_budget(steps=4)
    panel.button.click()
    qtbot.waitUntil(lambda: panel.state == "done", timeout=60000)
    first = panel.desk.folder
    start = panel.settings.start
    qtbot.waitUntil(lambda: start.findData(str(first)) > 0, timeout=5000)
    panel.form.reset()
    panel.budget.set_budget(steps=4)
    pick(start, start.findData(str(first)))
    assert f"going on from “{start.title}”" in panel.settings.plan.text()
    assert panel.order_now().model == first
    panel.button.click()
    qtbot.waitUntil(lambda: panel.state == "done", timeout=60000)
    assert panel.desk.folder != first
    told = "\n".join(panel.desk.history.messages)
    assert "layers' weights were taken from the model to start from" in told
    assert "base channels 2: As in the model that this goes on from" in told
    panel.became_hidden()
    assert panel.recall()["start"] == str(first)
