"""What a user looks at before a training: examples, weights, the network, the choices with their reasons, learning rates; and the settings themselves."""

from __future__ import annotations

import sys
import time

import numpy as np
import psutil
import pytest
from napari.layers import Image

from napari_segtool import api
from napari_segtool.core.params import describe
from napari_segtool.core.progress import Progress, drain
from napari_segtool.core.registry import LEARNERS
from napari_segtool.core.stack import Stack
from napari_segtool.nets._drawing import DrawnBlock, NetworkDrawing, ReceptiveField, Skip
from napari_segtool.training.configure._proposal import Proposal, Reason
from napari_segtool.ui import _train_rates
from napari_segtool.ui._bridge import META, notes_of
from napari_segtool.ui._train_adviser import Adviser
from napari_segtool.ui._train_answers import Weighed
from napari_segtool.ui._train_examples import Examples
from napari_segtool.ui._train_network import Network, squares_of
from napari_segtool.ui._train_pictured import pictured
from napari_segtool.ui._train_rates import Rates
from napari_segtool.ui._train_tool import ToolWindows
from napari_segtool.ui._train_topics import TOPICS, TopicForm
from napari_segtool.ui._train_why import Why
from napari_segtool.ui.workspace import show_panel

NM = 0.004


@pytest.fixture
def masked(make_napari_viewer, steps_image, qtbot, monkeypatch, tmp_path):
    """A Train panel over an image with dense labels, calibrated; settings for a tiny network."""
    monkeypatch.setenv("SEGTOOL_RUNS_FOLDER", str(tmp_path / "runs"))
    monkeypatch.setenv("SEGTOOL_CONFIG", str(tmp_path / "segtool.json"))
    viewer = make_napari_viewer()
    panel = show_panel(viewer, "train")
    place = {"scale": (0.05, NM, NM), "units": ("um", "um", "um"), "axis_labels": ("z", "y", "x")}
    viewer.add_image(steps_image[0], name="steps", **place)
    notes_of(viewer.add_labels(steps_image[1], name="truth", **place))["class_names"] = ["ground", "square"]
    qtbot.waitUntil(lambda: panel.meaning.currentData() == "mask", timeout=3000)
    panel.form.set_values({"base_channels": 2, "depth": 2, "patch_px": 32, "batch": 2})
    panel.settings.device.set_device("cpu")
    return panel


@pytest.fixture
def answered(monkeypatch):
    """Answer every question at once with what the test says, and note what was asked."""
    asked, answers = [], {}

    def ask_steps(self, what, order, **extra):
        asked.append((what, order, extra))
        yield Progress(0, 1, "thinking")
        if isinstance(answers[what], Exception):
            raise answers[what]
        return answers[what]

    monkeypatch.setattr(Adviser, "ask_steps", ask_steps)
    return asked, answers


def opened(panel, button, kind, qtbot, wait_s=60):
    panel.before.buttons[button].click()
    tool = panel.session.shared(ToolWindows)._windows[kind].tool
    qtbot.waitUntil(lambda: tool.state != "working", timeout=1000 * wait_s)
    return tool


def drawing(channels):
    blocks = (
        DrawnBlock("down.0", "conv 3×3", (1, 32, 32), (channels, 32, 32), 100, 0),
        DrawnBlock("pool.0", "max pool 2×2", (channels, 32, 32), (channels, 16, 16), 0, 1),
        DrawnBlock("bottom", "conv 3×3", (channels, 16, 16), (2 * channels, 16, 16), 100, 1),
        DrawnBlock("unpool.0", "up-conv 2×2", (2 * channels, 16, 16), (channels, 32, 32), 100, 0),
        DrawnBlock("up.0", "conv 3×3", (2 * channels, 32, 32), (channels, 32, 32), 100, 0),
        DrawnBlock("head", "conv 1×1", (channels, 32, 32), (2, 32, 32), 10, 0),
    )
    field = ReceptiveField((20, 20), (20, 20))
    skips = (Skip("down.0", "up.0", (channels, 32, 32)),)
    return NetworkDrawing("unet", "U-Net", {}, 1, 2, 2, (32, 32), 2, blocks, (), skips, field, (2, 2), 410, 2**20, 2**20)


# settings


def test_every_advanced_setting_of_every_learner_stands_under_a_topic():
    known = {name for names in TOPICS.values() for name in names}
    lost = {(entry.name, info.name) for entry in LEARNERS for info in describe(entry.params) if info.advanced and info.name not in known}
    assert lost == set()


def test_a_topic_says_how_many_of_its_settings_were_changed_and_all_go_back(masked):
    form = masked.form
    assert isinstance(form, TopicForm)
    assert form.topics["Network"].button.text().endswith("Network · 1 changed")
    form.fields["momentum"].box.setValue(0.5)
    assert form.topics["Optimiser"].button.text().endswith("Optimiser · 1 changed")
    masked.settings.reset.click()
    assert [fold.button.text()[2:] for fold in form.topics.values()] == [topic for topic in TOPICS if topic in form.topics]
    assert form.fields["batch"].box.text() == "auto"


def test_both_learners_can_be_chosen_and_keep_their_own_settings(masked):
    masked.settings.learner.choose("unet2015")
    masked.settings.learner.chosen.emit("unet2015")
    masked.form.set_values({"border_weight": 3.0})
    assert masked.order_now().learner == "unet2015"
    assert masked.order_now().params.border_weight == 3.0
    masked.settings.learner.choose("unet")
    masked.settings.learner.chosen.emit("unet")
    assert masked.form.values()["depth"] == 2


def test_effects_are_named_where_they_are_written_and_a_slip_is_told_at_once(masked):
    box = masked.form.fields["effects"].box
    assert "missing-section" in box.toolTip()
    box.setText("contrast + nois")
    masked.button.click()
    assert masked.state == "failed"
    assert "no augmentation 'nois'" in masked.message.plain
    assert "Did you mean 'noise'?" in masked.message.plain
    box.setText("contrast + noise(probability=1)")
    assert masked.order_now().params.effects == "contrast + noise(probability=1)"


def test_weights_of_pixels_are_chosen_from_images_as_large_as_the_labels(masked, steps_image, qtbot):
    viewer, weights = masked.viewer, masked.settings.weights
    viewer.add_image(np.zeros((5, 5), np.float32), name="small")
    sure = viewer.add_image(np.ones(steps_image[1].shape, np.float32), name="sure")
    names = [weights.itemText(row) for row in range(weights.count())]
    assert names == ["none: all count alike", "sure"]
    assert masked.order_now().pairs[0][2] is None
    weights.set_layer(sure)
    given = masked.order_now().pairs[0][2]
    assert given.data is sure.data
    assert given.axes == "ZYX"


def test_weights_of_pixels_go_along_to_the_process_that_answers(masked, steps_image):
    amounts = np.linspace(0, 2, steps_image[1].size, dtype=np.float32).reshape(steps_image[1].shape)
    masked.settings.weights.set_layer(masked.viewer.add_image(amounts, name="sure"))
    question = drain(masked.adviser._question(masked.order_now(), {}))
    stack, _, weights = question.opened()[0]
    assert np.array_equal(weights.data, amounts)
    assert weights.axes == stack.axes


# windows


def test_what_is_missing_is_said_in_the_panel_and_no_window_opens(masked):
    masked.viewer.layers["truth"].data[...] = 0
    masked.viewer.layers["truth"].refresh()
    masked.viewer.layers.remove("truth")
    for button in masked.before.buttons.values():
        button.click()
        assert "nothing to learn from yet" in masked.message.plain
    assert masked.session.shared(ToolWindows)._windows == {}


def test_examples_are_shown_varied_and_as_they_were_cut_and_drawn_again(masked, answered, steps_image, qtbot):
    asked, answers = answered
    stack, settings = Stack(steps_image[0], "ZYX"), {"labels_are": "mask", "patch_px": 32, "depth": 2, "augmentation": "strong"}
    first, second = (pictured(api.preview_augmentation(stack, steps_image[1], seed=seed, **settings), painted=False) for seed in (1, 2))
    answers["examples"] = first
    tool = opened(masked, "Look at examples", Examples, qtbot)
    assert tool.state == "done", tool.message.plain
    assert tool.grid.count() == 8
    assert "square" in tool.legend.text()
    assert "no colour: ground" in tool.legend.text()
    assert not np.array_equal(first[0].varied, first[0].cut)
    colours = np.abs(first[0].cut_labels.astype(int) - first[0].cut).sum(axis=-1) > 0
    assert 0 < colours.mean() < 1, "squares have a colour, the ground has none"
    answers["examples"] = second
    tool.button.click()
    qtbot.waitUntil(lambda: tool.state == "done" and tool.pictures is second, timeout=5000)
    seeds = [extra["drawn"] for what, _, extra in asked]
    assert len(set(seeds)) == len(seeds) == 2, "others are drawn"
    masked.settings.edited.emit()
    assert "settings have changed" in tool.message.plain


def test_choices_are_listed_with_reasons_and_taken_over(masked, answered, qtbot):
    reasons = (Reason("depth", 3, "Deep enough."), Reason("normalisation", "instance", "Few fit."), Reason("steps", 400, "So many fit."))
    answered[1]["proposal"] = Proposal("unet", {}, reasons, "cpu", 900.0, 8000.0, 5140067, 1.5, 400)
    tool = opened(masked, "What it will do and why", Why, qtbot)
    cells = [[tool.table.item(row, column).text() for column in range(3)] for row in range(3)]
    assert cells[0] == ["Depth", "3", "Deep enough."]
    assert [word in tool.summary.text() for word in ("5 140 067", "900 MB", "7.8 GB", "1.5 s", "400 steps", "10:00")] == [True] * 6
    tool.table.selectRow(1)
    tool.take_button.click()
    assert (masked.form.values()["normalisation"], masked.form.values()["depth"]) == ("instance", 2)
    tool.table.clearSelection()
    tool.take_button.click()
    assert masked.form.values()["depth"] == 3
    assert masked.settings.advanced.unfolded


def test_the_network_is_drawn_anew_when_settings_change_and_its_field_is_shown_in_the_picture(masked, answered, qtbot):
    asked, answers = answered
    answers["network"] = drawing(4)
    tool = opened(masked, "Network", Network, qtbot)
    lines = [box.lines for box in tool.view.boxes]
    assert lines == [
        ("image", "32×32"),
        ("4 channels", "32×32"),
        ("8 channels", "16×16"),
        ("4 channels", "32×32"),
        ("2 classes", "32×32"),
    ]
    assert "20×20 px (80×80 nm)" in tool.summary.text()
    answers["network"] = drawing(6)
    masked.form.fields["depth"].box.setValue(1)
    qtbot.waitUntil(lambda: tool.view.boxes[1].lines[0] == "6 channels", timeout=5000)
    assert asked[-1][1].params.depth == 1
    active = masked.viewer.layers.selection.active
    tool.seen.click()
    layer = masked.viewer.layers[-1]
    assert layer.metadata[META]["role"] == "preview"
    where = np.argwhere(layer.data == 2)
    low, high = (layer.data_to_world(tuple(corner)) for corner in (where.min(axis=0), where.max(axis=0) + 1))
    assert np.allclose(np.subtract(high, low), 20 * NM)
    assert np.allclose((np.add(low, high) - NM) / 2, [19.5 * NM, 23.5 * NM], atol=NM), "it lies about the middle of the 40×48 image"
    assert masked.viewer.layers.selection.active is active
    assert masked.image.name == "steps"
    tool.window().close()
    assert layer not in masked.viewer.layers


def test_squares_are_as_large_as_they_say_whichever_is_larger():
    for field, patch in (((3, 5), (7, 7)), ((9, 9), (4, 6))):
        squares, corner = squares_of(field, patch, (20, 30))
        smaller, larger = (2, 1) if field < patch else (1, 2)
        sizes = {2: field, 1: patch}
        assert (squares == smaller).sum() == np.prod(sizes[smaller])
        assert (squares > 0).sum() == np.prod(sizes[larger])
        assert np.abs(np.argwhere(squares > 0).mean(axis=0) + corner - (20, 30)).max() <= 0.5


def test_what_goes_wrong_is_said_in_the_window(masked, answered, qtbot):
    from napari_segtool.core.errors import ParameterError

    answered[1]["network"] = ParameterError("Patches of 32 px are too small for 6 levels.", hint="Take at least 128 px.")
    tool = opened(masked, "Network", Network, qtbot)
    assert tool.state == "failed"
    assert tool.message.plain == "Patches of 32 px are too small for 6 levels.\nTake at least 128 px."
    answered[1]["network"] = drawing(4)
    masked.form.fields["loss"].box.setText("cross-entropy + magic")
    tool.button.click()
    assert "magic" in tool.message.plain
    masked.button.click()
    assert masked.state == "failed"
    assert "magic" in masked.message.plain
    masked.form.fields["loss"].box.setText("cross-entropy + 0.5*dice(form=squared)")
    tool.button.click()
    qtbot.waitUntil(lambda: tool.state == "done", timeout=5000)


def test_a_rate_is_drawn_suggested_and_used(masked, answered, qtbot):
    rates = [10 ** (n / 4 - 6) for n in range(25)]
    losses = [1.0 - 0.5 / (1 + abs(n - 18)) for n in range(25)]
    answered[1]["rates"] = {"rates": rates, "losses": losses, "smoothed": losses, "suggestion": 0.003, "diverged": None}
    tool = opened(masked, "Find learning rate", Rates, qtbot)
    assert tool.drawn == 25
    assert "0.003" in tool.message.plain
    tool.use_button.click()
    assert masked.form.values()["learning_rate"] == 0.003
    answered[1]["rates"] = {"rates": rates, "losses": losses, "smoothed": losses, "suggestion": None, "diverged": None}
    tool.button.click()
    qtbot.waitUntil(lambda: "no rate can be told" in tool.message.plain, timeout=5000)
    assert not tool.use_button.isEnabled()


@pytest.mark.parametrize("preview", [True, False])
def test_a_border_weight_that_is_only_previewed_can_be_taken_over(masked, answered, tmp_path, qtbot, preview):
    np.save(tmp_path / "map.npy", np.ones(masked.image.data.shape, np.float32))
    why = "Nothing lies close." if preview else ""
    answered[1]["weights"] = Weighed(str(tmp_path / "map.npy"), "ZYX", 10.0, 5.0, 1.0, why, preview)
    masked.before.buttons["Weight map as layer"].click()
    qtbot.waitUntil(lambda: masked.state == "done", timeout=5000)
    assert ("Borders will not be weighed. Nothing lies close." in masked.message.plain) == preview
    assert masked.message.offers == (("Use this border weight",) if preview else ())
    if preview:
        masked.message.act("Use this border weight")
        assert masked.form.values()["border_weight"] == 10


# with the process that answers


@pytest.mark.slow
def test_the_process_answers_all_questions_and_the_window_loads_no_torch(masked, qtbot, monkeypatch):
    monkeypatch.setattr(_train_rates, "STEPS", 12)
    torch_before = "torch" in sys.modules
    why = opened(masked, "What it will do and why", Why, qtbot)
    assert why.state == "done", why.message.plain
    assert {reason.setting for reason in why.proposal.reasons} >= {"dimensions", "loss", "border_weight"}
    assert "depth" not in {reason.setting for reason in why.proposal.reasons}, "it was set"
    process = masked.adviser._apart._process._popen
    network = opened(masked, "Network", Network, qtbot)
    assert network.drawing.patch_px == (32, 32)
    assert (network.drawing.batch, network.drawing.classes) == (2, 2)
    examples = opened(masked, "Look at examples", Examples, qtbot)
    assert examples.grid.count() == 8, examples.message.plain
    before = examples.pictures[0].varied
    examples.button.click()
    qtbot.waitUntil(lambda: examples.state == "done" and not np.array_equal(examples.pictures[0].varied, before), timeout=30000)
    masked.form.set_values({"border_weight": 10.0})
    masked.before.buttons["Weight map as layer"].click()
    qtbot.waitUntil(lambda: masked.state != "working", timeout=30000)
    assert masked.state == "done", masked.message.plain
    image, layer = masked.image, masked.viewer.layers["steps · weights"]
    assert isinstance(layer, Image)
    assert layer.data.shape == image.data.shape
    assert np.allclose(layer.scale, image.scale)
    assert layer.units == image.units
    truth = masked.viewer.layers["truth"].data
    assert layer.data[truth == 1].mean() != layer.data[truth == 0].mean(), "the rare class counts more"
    rates = opened(masked, "Find learning rate", Rates, qtbot)
    assert rates.drawn == 12
    assert masked.adviser._apart._process._popen is process, "it stays warm"
    assert list(masked.adviser._folder.glob("told-*")) == []
    assert ("torch" in sys.modules) == torch_before

    monkeypatch.setattr(_train_rates, "STEPS", 100000)
    rates.button.click()
    qtbot.waitUntil(lambda: rates.drawn > 3, timeout=30000)
    begun = time.monotonic()
    rates.button.click()
    qtbot.waitUntil(lambda: rates.state != "working", timeout=5000)
    assert time.monotonic() - begun < 1.0
    qtbot.waitUntil(lambda: not psutil.pid_exists(process.pid), timeout=3000)
    folder = masked.adviser._folder
    masked.session.close()
    assert not folder.exists()


@pytest.mark.slow
def test_of_paint_only_what_is_painted_has_a_weight(masked, qtbot):
    layer = masked.viewer.layers["truth"]
    marks = np.zeros(layer.data.shape, np.uint8)
    marks[1, 2:4, 2:20], marks[1, 10:14, 12:20] = 2, 1
    notes_of(layer).clear()
    notes_of(layer).update({"role": "paint", "classes": {1: "cell", 2: "rest"}})
    layer.data = marks
    qtbot.waitUntil(lambda: masked.meaning.currentData() == "paint" and not masked.session.paint.busy, timeout=3000)
    masked.before.buttons["Weight map as layer"].click()
    qtbot.waitUntil(lambda: masked.state != "working", timeout=60000)
    assert masked.state == "done", masked.message.plain
    weights = masked.viewer.layers["steps · weights"].data
    assert np.array_equal(weights > 0, marks > 0)
    assert weights[marks == 1].max() > weights[marks == 2].min()
    assert "not painted does not count" in masked.message.plain
    assert "that needs masks" in masked.message.plain
    assert masked.message.offers == ()
    first, second = (weights[marks == value] for value in (1, 2))
    assert np.ptp(first) == np.ptp(second) == 0, "only the class counts, no border"
