"""The comparison: methods run one after the other beside the window, show up as they come, can be stopped at once, and one is kept."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest
from qtpy.QtCore import Qt

from napari_segtool import api
from napari_segtool.api._thumbnail import Backdrop, label_colours
from napari_segtool.core.params import Params, param
from napari_segtool.core.progress import Progress
from napari_segtool.core.registry import METHODS, Entry
from napari_segtool.core.stack import Stack
from napari_segtool.ui._bridge import META, segmentation_of, visible_plane
from napari_segtool.ui._compare_subject import Subject
from napari_segtool.ui._segment_steps import Taken
from napari_segtool.ui._session import session_of
from napari_segtool.ui.compare import CompareDialog, show_comparison


class GatedParams(Params):
    """Settings of the gated method."""

    value: int = param(1, "Label to write.", ge=1, le=200)


class Gated:
    """A method that waits until the test lets it go on, without a step in between."""

    def __init__(self):
        self.gate, self.begun, self.closed = threading.Event(), threading.Event(), threading.Event()

    def __call__(self, stack, params):
        try:
            self.begun.set()
            yield Progress(0, 1, "gated")
            self.gate.wait(10)
            yield Progress(1, 1, "gated")
            return lambda plane: np.full(plane.shape[-2:], params.value, np.uint8)
        finally:
            self.closed.set()


@pytest.fixture
def gated(monkeypatch):
    method = Gated()
    entries = {**{entry.name: entry for entry in METHODS}, "zz-gated": Entry("zz-gated", "Zz gated", "Waits.", method, GatedParams, "threshold")}
    monkeypatch.setattr(METHODS, "_entries", entries)
    yield method
    method.gate.set()


class Bench:
    """A viewer with an image and the comparison on it, which remembers what was used."""

    def __init__(self, viewer, qtbot):
        self.viewer, self.qtbot, self.session = viewer, qtbot, session_of(viewer)
        self.used = []
        self.more = {}

    def find(self):
        image = self.session.image
        return None if image is None else Subject(image, self.session.stack(image), visible_plane(self.viewer, image), **self.more)

    def open(self, *methods):
        if methods:
            self.session.memory.remember("compare", {"methods": list(methods)})
        view = show_comparison(self.session, self.find, lambda name, values: self.used.append((name, dict(values))))
        self.view = view
        return view

    def wait(self):
        self.qtbot.waitUntil(lambda: self.view.state != "working", timeout=20000)
        self.qtbot.wait(30)


@pytest.fixture
def bench(make_napari_viewer, qtbot, monkeypatch, tmp_path):
    monkeypatch.setenv("SEGTOOL_CONFIG", str(tmp_path / "settings.json"))
    made = Bench(make_napari_viewer(show=True), qtbot)
    qtbot.wait(50)
    return made


PLACED = {"scale": (0.05, 0.004, 0.004), "translate": (1, 2, 3), "units": "um", "axis_labels": ("z", "y", "x")}


def test_methods_are_compared_on_the_visible_slice_and_scored_against_a_truth(bench, steps_image):
    data, truth = steps_image
    bench.viewer.add_image(data, name="em", **PLACED)
    bench.viewer.add_labels(truth, name="right", metadata={META: {"role": "truth"}}, **PLACED)
    bench.viewer.dims.set_current_step(0, 2)
    view = bench.open("otsu", "kmeans", "region-growing")
    bench.wait()
    assert view.place.text() == "<b>em</b>, slice 2"
    assert view.truth.layer().name == "right"
    assert set(view.grid.candidates) == {"otsu", "kmeans"}  # region growing has no seed
    whole = api.segment(Stack(data, "ZYX"), "otsu").data
    assert np.array_equal(view.grid.candidates["otsu"].labels, whole[2])
    assert "Dice 1.00" in view.grid.texts()["otsu"]
    assert "★" in view.grid.texts()["otsu"]
    assert "Otsu" in view.message.plain
    assert view.grid.chosen() is not None

    bench.viewer.dims.set_current_step(0, 0)
    view.truth.setCurrentIndex(0)
    view.button.click()
    bench.wait()
    assert view.place.text() == "<b>em</b>, slice 0"
    assert "Dice" not in view.grid.texts()["otsu"]
    assert np.array_equal(view.grid.candidates["otsu"].labels, whole[0])


def test_the_one_that_is_liked_is_used_with_its_settings_by_button_and_by_key(bench, qtbot, steps_image):
    bench.viewer.add_image(steps_image[0], name="em")
    bench.more = {"values": {"kmeans": {"clusters": 3, "smoothing_px": 1.5}}}
    view = bench.open("otsu", "kmeans")
    bench.wait()
    view.grid.choose("kmeans")
    view.use_button.click()
    name, values = bench.used[-1]
    assert name == "kmeans"
    assert (values["clusters"], values["smoothing_px"]) == (3, 1.5)
    assert "Clusters: 3" in view.grid.currentItem().toolTip()
    view.grid.choose("otsu")
    qtbot.keyClick(view.grid, Qt.Key.Key_Return)
    assert bench.used[-1][0] == "otsu"
    assert len(bench.viewer.layers) == 1


def test_a_result_is_kept_as_a_layer_that_lies_on_its_slice_and_knows_its_recipe(bench, steps_image):
    data = steps_image[0]
    image = bench.viewer.add_image(data, name="em", **PLACED)
    bench.viewer.dims.set_current_step(0, 1)
    bench.more = {"filters": ["gaussian:sigma_px=1"]}
    view = bench.open("otsu")
    bench.wait()
    view.keep_button.click()
    layer = bench.viewer.layers["em · Otsu, slice 1"]
    whole = api.segment(Stack(data, "ZYX"), "otsu", filters=["gaussian:sigma_px=1"])
    assert np.array_equal(layer.data[0], whole.data[1])
    assert np.allclose(layer.data_to_world((0, 5, 6)), image.data_to_world((1, 5, 6)))
    assert [step.name for step in segmentation_of(layer).history] == ["filter:gaussian", "segment:otsu"]
    assert "em · Otsu, slice 1" in view.message.plain
    view.keep_button.click()
    assert len(bench.viewer.layers) == 2


def test_stop_answers_at_once_keeps_what_is_there_and_drops_what_comes_late(bench, qtbot, gated, steps_image):
    bench.viewer.add_image(steps_image[0], name="em")
    view = bench.open("otsu", "zz-gated", "kmeans")  # in the order of the list: Otsu, the gated one, k-means
    qtbot.waitUntil(lambda: "otsu" in view.grid.candidates and gated.begun.is_set(), timeout=10000)
    qtbot.wait(80)
    assert view.button.text() == "Stop"
    assert "works" in view.grid.texts()["zz-gated"]
    assert "waits" in view.grid.texts()["kmeans"]
    before = time.perf_counter()
    view.button.click()
    assert time.perf_counter() - before < 0.3
    assert view.state == "ready"
    assert view.button.text() == "Compare"
    assert view.message.plain == "Stopped."
    assert "stopped" in view.grid.texts()["kmeans"]
    gated.gate.set()
    qtbot.waitUntil(gated.closed.is_set, timeout=5000)
    qtbot.wait(100)
    assert set(view.grid.candidates) == {"otsu"}
    view.grid.choose("otsu")
    assert view.use_button.isEnabled()

    view.button.click()  # and again from the start
    bench.wait()
    assert set(view.grid.candidates) == {"otsu", "zz-gated", "kmeans"}


def test_the_window_stays_alive_while_a_method_works(bench, qtbot, gated, steps_image):
    bench.viewer.add_image(steps_image[0], name="em")
    view = bench.open("zz-gated")
    qtbot.waitUntil(gated.begun.is_set, timeout=5000)
    ticks = []
    for _ in range(5):
        qtbot.wait(20)
        ticks.append(view.state)
    assert ticks == ["working"] * 5
    gated.gate.set()
    bench.wait()
    assert view.state == "done"


def test_a_method_that_fails_says_so_in_its_cell(bench, monkeypatch, steps_image):
    def broken(stack, params):
        raise RuntimeError("out of luck")
        yield

    monkeypatch.setattr(METHODS, "_entries", {**{entry.name: entry for entry in METHODS}, "broken": Entry("broken", "Broken", "", broken, Params, "edges")})
    bench.viewer.add_image(steps_image[0], name="em")
    view = bench.open("otsu", "broken")
    bench.wait()
    assert "failed" in view.grid.texts()["broken"]
    assert "out of luck" in view.grid._cells["broken"].toolTip()
    assert "1 of 2" in view.message.plain
    view.grid.choose("broken")
    assert not view.use_button.isEnabled()
    assert not view.keep_button.isEnabled()


def test_methods_that_lack_something_say_what_and_run_once_it_is_there(bench, monkeypatch, steps_image):
    def painted(stack, params, given):
        return lambda plane: given.paint[0]
        yield

    more = {"traits": frozenset({"paint"}), "family": "regions"}
    monkeypatch.setattr(METHODS, "_entries", {**{entry.name: entry for entry in METHODS}, "painted": Entry("painted", "Painted", "", painted, Params, **more)})
    data = steps_image[0]
    bench.viewer.add_image(data, name="em")
    view = bench.open("painted", "region-growing", "otsu")
    bench.wait()
    assert set(view.grid.candidates) == {"otsu"}
    assert view.tree._items["painted"].text(0) == "Painted (needs paint)"
    assert view.tree._items["painted"].isDisabled()
    paint = np.full(data.shape, 3, np.uint8)
    bench.more = {"beside": {"paint": Taken(0, lambda key: paint[key])}, "seeds": "1,10,12:1"}
    view.button.click()
    bench.wait()
    assert set(view.grid.candidates) == {"painted", "region-growing", "otsu"}
    assert (view.grid.candidates["painted"].labels == 3).all()
    assert view.grid.candidates["region-growing"].labels[10, 12] == 1
    view.grid.choose("region-growing")
    view.use_button.click()
    assert "seeds" not in bench.used[-1][1]  # they are in the panel already


def test_what_is_ticked_is_remembered_and_by_default_everything_that_needs_nothing(bench, steps_image):
    bench.viewer.add_image(steps_image[0], name="em")
    view = bench.open()
    view.stop()
    chosen = set(view.tree.chosen())
    assert {"otsu", "kmeans", "canny"} <= chosen
    for name in chosen:
        entry = METHODS.get(name)
        assert entry.family != "refine"
        assert not entry.traits & {"seeds", "paint", "labels", "probabilities"}
    view.tree.none_button.click()
    view.button.click()
    assert "Tick" in view.message.plain
    view.tree._items["otsu"].setCheckState(0, Qt.CheckState.Checked)
    assert bench.session.memory.recall("compare")["methods"] == ["otsu"]


def test_classes_of_a_truth_can_be_looked_for_one_by_one(bench, steps_image):
    data, truth = steps_image
    bench.viewer.add_image(data, name="em")
    bench.viewer.add_labels((1 - truth).astype(np.uint8), name="right", metadata={META: {"role": "truth", "class_names": ["bright", "dark"]}})
    view = bench.open("otsu")
    bench.wait()
    assert [view.truth_class.itemText(i) for i in range(view.truth_class.count())] == ["everything labelled", "bright", "dark"]
    view.truth_class.setCurrentIndex(1)
    view.button.click()
    bench.wait()
    assert view.grid.candidates["otsu"].dice > 0.99


def test_closing_the_comparison_stops_it_and_the_viewer_closes_with_it_open(bench, qtbot, gated, steps_image):
    bench.viewer.add_image(steps_image[0], name="em")
    view = bench.open("zz-gated")
    qtbot.waitUntil(gated.begun.is_set, timeout=5000)
    view.window().close()
    assert view.state == "ready"
    gated.gate.set()
    qtbot.waitUntil(gated.closed.is_set, timeout=5000)
    again = bench.open("otsu")
    assert again is view
    bench.wait()
    assert view.state == "done"


def test_work_on_this_slice_alone_is_compared_as_such(bench, steps_image):
    data = (steps_image[0] * np.array([0.3, 1, 1])[:, None, None]).astype(np.uint8)
    bench.viewer.add_image(data, name="em")
    bench.viewer.dims.set_current_step(0, 0)
    bench.more = {"only": (0,)}
    view = bench.open("otsu")
    bench.wait()
    assert np.array_equal(view.grid.candidates["otsu"].labels, api.segment(Stack(data[:1], "ZYX"), "otsu").data[0])
    assert not np.array_equal(view.grid.candidates["otsu"].labels, api.segment(Stack(data, "ZYX"), "otsu").data[0])


def test_the_segment_panel_compares_what_it_is_set_to_and_takes_over_what_is_liked(workspace, qtbot, steps_image):
    viewer, data = workspace.viewer, steps_image[0]
    viewer.add_image(data, name="em")
    viewer.dims.set_current_step(0, 1)
    panel = workspace("segment")
    panel.preview_switch.setChecked(False)
    panel.choose("kmeans", {"clusters": 5})
    panel.choose("otsu", {"smoothing_px": 1.5})
    panel.session.memory.remember("compare", {"methods": ["otsu", "kmeans"]})
    panel.compare_button.click()
    view = panel.session.shared(CompareDialog).comparison
    qtbot.waitUntil(lambda: view.state == "done", timeout=20000)
    found = view.grid.candidates
    assert found["kmeans"].link.params["clusters"] == 5
    assert np.array_equal(found["otsu"].labels, api.segment(Stack(data, "ZYX"), "otsu", smoothing_px=1.5).data[1])
    view.grid.choose("kmeans")
    view.use_button.click()
    assert panel.settings.entry.name == "kmeans"
    assert panel.form.values()["clusters"] == 5


@pytest.mark.parametrize(
    ("axes", "shape", "spacing", "size"), [("YX", (40, 80), (), (20, 40)), ("YX", (40, 80), (2.0, 1.0), (40, 40)), ("YXS", (8, 4, 3), (), (40, 20))]
)
def test_a_thumbnail_has_the_proportions_of_the_slice_and_the_colours_of_its_labels(axes, shape, spacing, size):
    stack = Stack(np.full(shape, 100, np.uint8), axes, spacing)
    backdrop = Backdrop.of(stack, (), (0.0, 200.0), 40)
    assert backdrop.picture.shape == (*size, 3)
    if axes == "YX":
        assert np.abs(backdrop.picture.astype(int) - 127).max() <= 1
    labels = np.zeros(shape[:2], np.uint8)
    labels[:, : shape[1] // 2] = 2
    shown = backdrop.with_labels(labels)
    half = size[1] // 2
    assert np.array_equal(shown[:, half:], backdrop.picture[:, half:])
    expected = 0.55 * backdrop.picture[0, 0] + 0.45 * label_colours(2)[1]
    assert np.abs(shown[:, :half] - expected).max() < 1
