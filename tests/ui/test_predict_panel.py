"""The Predict panel: models and their cards, what fits and what does not, slices, stacks, files, memory."""

from __future__ import annotations

import json
import os
import shutil
import signal

import numpy as np
import pytest
import tifffile

from napari_segtool import api
from napari_segtool.core.errors import FormatError
from napari_segtool.core.progress import drain
from napari_segtool.core.stack import Stack
from napari_segtool.ui._plane_layer import plane_placement
from napari_segtool.ui._predict_models import card_text, misfit
from napari_segtool.ui._predict_steps import Outputs, files_steps, plane_of
from napari_segtool.ui.workspace import show_panel

CARD = {
    "learner": "unet",
    "channels": 1,
    "spatial": 2,
    "classes": [{"value": 1, "name": "membrane"}, {"value": 2, "name": "inside"}],
    "axes": "ZYX",
    "spacing_um": [0.05, 0.004, 0.004],
    "scores": {"dice": 0.912},
    "trained": {"steps": 240, "images": ["em-stack"]},
}


def test_a_model_card_says_what_a_person_wants_to_know():
    assert card_text(CARD) == "U-Net · membrane, inside\nLearned from em-stack · 4×4×50 nm\nHeld-out Dice 0.912 · 240 steps"
    assert "Not scored" in card_text({**CARD, "scores": {"dice": None}})


@pytest.mark.parametrize(("pixel_um", "says"), [(0.004, ""), (0.0045, ""), (0.008, "2 times larger"), (0.002, "2 times smaller")])
def test_another_pixel_size_is_said_before_it_runs(pixel_um, says):
    stack = Stack(np.zeros((2, 4, 4)), "ZYX", (0.05, pixel_um, pixel_um))
    text = misfit(CARD, stack)
    assert says in text
    assert bool(text) == bool(says)


def test_where_planes_are_resampled_their_size_is_no_complaint_but_channels_are():
    assert misfit(CARD, Stack(np.zeros((2, 4, 4)), "ZYX", (0.05, 0.008, 0.008)), resampled=True) == ""
    assert "cannot be used" in misfit(CARD, Stack(np.zeros((4, 4, 3)), "YXS", (0.008, 0.008)), resampled=True)
    assert Outputs().options()["resample"] == "auto"
    assert Outputs(resample=False).options()["resample"] == "off"
    assert Outputs().options()["close_gaps"] is True
    assert Outputs(close_gaps=False).how()["close_gaps"] is False


def test_channels_and_dimensions_that_do_not_fit_are_said_and_an_unknown_spacing_is_no_complaint():
    assert "wants 1 channel(s), but the image has 3" in misfit(CARD, Stack(np.zeros((4, 4, 3)), "YXS"))
    assert "wants a volume" in misfit({**CARD, "spatial": 3}, Stack(np.zeros((4, 4)), "YX"))
    assert misfit(CARD, Stack(np.zeros((2, 4, 4)), "ZYX")) == ""


def test_a_plane_is_taken_out_whatever_the_order_of_the_axes():
    data = np.arange(12).reshape(1, 3, 4)
    assert plane_of(data, "ZYX").tolist() == data[0].tolist()
    assert plane_of(data.transpose(0, 2, 1), "ZXY").tolist() == data[0].tolist()


def test_a_layer_one_plane_thick_lies_where_its_plane_lies(make_napari_viewer):
    viewer = make_napari_viewer()
    turn = np.array([[1, 0, 0], [0, 0.8, -0.6], [0, 0.6, 0.8]])
    image = viewer.add_image(np.zeros((6, 5, 4)), scale=(3, 2, 1), translate=(10, 20, 30), rotate=turn, shear=(0, 0, 0.3), affine=np.diag([1, 2, 3, 1]))
    plane = viewer.add_labels(np.zeros((1, 5, 4), np.uint8), **plane_placement(image, (4,)))
    for corner in ((0, 0, 0), (0, 4, 3), (0, 0, 3)):
        np.testing.assert_allclose(plane.data_to_world(corner), image.data_to_world((4, *corner[1:])))


class FakeClient:
    """Predicts class 1 everywhere."""

    def predict_steps(self, model, stack, **options):
        from napari_segtool.core.labels import Labels
        from napari_segtool.core.result import Prediction, Step

        yield from ()
        return Prediction(Labels(np.ones(stack.shape, np.uint8), stack.label_axes), None, None, stack.spacing_um, (Step("predict:unet", {}, "0", "0"),))


def test_files_are_predicted_one_by_one_and_a_bad_one_spoils_nothing(tmp_path):
    for name in ("a.tif", "c.ome.tif"):
        tifffile.imwrite(tmp_path / name, np.arange(12, dtype=np.uint8).reshape(3, 4))
    (tmp_path / "b.tif").write_bytes(b"II*\0 no more than a beginning")
    paths = [str(tmp_path / name) for name in ("a.tif", "b.tif", "c.ome.tif")]
    done = drain(files_steps(FakeClient(), tmp_path, paths, "", Outputs()))
    assert [path.name for path in done.written] == ["a-labels.tif", "c-labels.tif"]
    assert [path for path, _ in done.failed] == [paths[1]]
    assert tifffile.imread(tmp_path / "c-labels.tif").tolist() == np.ones((3, 4)).tolist()
    with pytest.raises(FormatError):
        api.read(paths[1])


@pytest.fixture
def model(tmp_path):
    """A small network that has learned nothing, saved as a model."""
    from napari_segtool.nets._bundle import build_network, save_bundle
    from napari_segtool.nets._normalise import Normalisation

    card = {**CARD, "network": "unet", "network_params": {"base_channels": 2, "depth": 2}, "normalisation": Normalisation().record(), "halo": [8, 8]}
    return save_bundle(tmp_path / "model", build_network(card), card)


@pytest.fixture
def panel(make_napari_viewer, steps_image, tmp_path, monkeypatch, qtbot):
    """A Predict panel over an image."""
    monkeypatch.setenv("SEGTOOL_RUNS_FOLDER", str(tmp_path / "runs"))
    monkeypatch.setenv("SEGTOOL_CONFIG", str(tmp_path / "segtool.json"))
    viewer = make_napari_viewer()
    shown = show_panel(viewer, "predict")
    viewer.add_image(steps_image[0], name="steps", scale=(0.05, 0.004, 0.004), units="um", axis_labels=("z", "y", "x"))
    return shown


def settle(panel, qtbot):
    qtbot.waitUntil(lambda: panel.state != "working", timeout=40000)


def test_without_a_model_the_way_to_one_is_offered(panel):
    panel.button.click()
    assert "no model yet" in panel.message.plain
    assert panel.message.offers == ("Train", "Open a model…")


def test_a_damaged_model_is_refused_in_words(panel, model, qtbot):
    weights = model.path / "weights.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 255
    weights.write_bytes(data)
    panel.models.desk.choose(model.path)
    qtbot.waitUntil(lambda: panel.models.desk.error is not None, timeout=5000)
    assert "damaged" in panel.models.card.text()
    panel.button.click()
    assert panel.state == "failed"
    assert "damaged" in panel.message.plain


def test_a_slice_then_the_stack_then_a_killed_process_then_free_memory(panel, model, qtbot, steps_image):
    viewer = panel.viewer
    panel.models.desk.choose(model.path)
    qtbot.waitUntil(lambda: panel.models.desk.bundle is not None, timeout=5000)
    assert panel.fit.text() == ""

    viewer.dims.set_point(0, 2 * 0.05)
    panel.scope.setCurrentIndex(panel.scope.findData("slice"))
    panel.button.click()
    settle(panel, qtbot)
    assert panel.state == "done", panel.message.plain
    part = viewer.layers["steps · U-Net · slice"]
    assert part.data.shape == (1, 40, 48)
    np.testing.assert_allclose(part.data_to_world((0, 0, 0)), (0.1, 0, 0))
    panel.button.click()
    settle(panel, qtbot)
    assert [layer.name for layer in viewer.layers].count("steps · U-Net · slice") == 1
    of_slice = part.data[0].copy()

    panel.scope.setCurrentIndex(panel.scope.findData("stack"))
    panel.probabilities.setChecked(True)
    panel.button.click()
    settle(panel, qtbot)
    whole = viewer.layers["steps · U-Net"]
    assert whole.data.shape == (3, 40, 48)
    assert np.array_equal(whole.data[2], of_slice)
    assert [str(unit) for unit in whole.units] == ["micrometer"] * 3
    assert whole.axis_labels == ("z", "y", "x")
    assert whole.metadata["segtool"]["history"][-1]["name"] == "predict:unet"
    total = viewer.layers["steps · U-Net · P(membrane)"].data + viewer.layers["steps · U-Net · P(inside)"].data
    np.testing.assert_allclose(total, 1, atol=1e-3)
    assert "steps · U-Net · slice" not in viewer.layers

    whole.data_setitem((np.array([0]), np.array([0]), np.array([0])), 3 - whole.data[0, 0, 0])
    os.kill(panel.process.client.pid, signal.SIGKILL)
    qtbot.waitUntil(lambda: not panel.process.running, timeout=3000)
    panel.button.click()
    settle(panel, qtbot)
    assert panel.state == "done", "a process that died is started again"
    assert sum(layer.name.startswith("steps · U-Net") and layer.ndim == 3 and "P(" not in layer.name for layer in viewer.layers) == 2, (
        "edits are never overwritten"
    )

    pid = panel.process.client.pid
    assert panel.free.isEnabled()
    panel.free.click()
    settle(panel, qtbot)
    assert not panel.process.running
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_planes_of_another_pixel_size_are_resampled_unless_that_is_switched_off(panel, model, qtbot):
    panel.models.desk.choose(model.path)
    qtbot.waitUntil(lambda: panel.models.desk.bundle is not None, timeout=5000)
    panel.viewer.layers["steps"].scale = (0.05, 0.008, 0.008)
    panel.image_changed(panel.image)
    told = "Image has 8 nm pixels, the model learned at 4 nm: planes are resampled by 2."
    assert panel.fit.text() == told
    panel.resample.click()
    assert "2 times larger" in panel.fit.text()
    panel.resample.click()
    panel.scope.setCurrentIndex(panel.scope.findData("slice"))
    panel.button.click()
    settle(panel, qtbot)
    assert panel.state == "done", panel.message.plain
    assert told in panel.message.plain
    assert panel.viewer.layers["steps · U-Net · slice"].data.shape == (1, 40, 48)


def test_gaps_are_closed_by_models_that_know_what_parts_objects_unless_that_is_switched_off(panel, model, tmp_path, qtbot):
    panel.models.desk.choose(model.path)
    qtbot.waitUntil(lambda: panel.models.desk.bundle is not None, timeout=5000)
    panel.image_changed(panel.image)
    assert not panel.close_gaps.isEnabled()
    knows = tmp_path / "knows"
    shutil.copytree(model.path, knows)
    card = json.loads((knows / "model.json").read_text())
    (knows / "model.json").write_text(json.dumps({**card, "separator": 0}))
    panel.models.desk.choose(knows)
    qtbot.waitUntil(lambda: panel.models.desk.bundle is not None and "separator" in panel.models.desk.bundle.card, timeout=5000)
    assert panel.close_gaps.isEnabled()
    panel.scope.setCurrentIndex(panel.scope.findData("slice"))
    for wanted in (True, False):
        panel.close_gaps.setChecked(wanted)
        panel.button.click()
        settle(panel, qtbot)
        assert panel.state == "done", panel.message.plain
        layer = next(layer for layer in panel.viewer.layers if layer.name.startswith("steps · U-Net"))
        assert layer.metadata["segtool"]["history"][-1]["params"]["close_gaps"] is wanted
        panel.viewer.layers.remove(layer)


def test_every_control_says_what_it_does(panel):
    from qtpy.QtWidgets import QAbstractButton, QComboBox

    controls = [widget for kind in (QAbstractButton, QComboBox) for widget in panel.findChildren(kind)]
    assert [getattr(widget, "text", str)() for widget in controls if not widget.toolTip()] == []
    assert panel.minimumSizeHint().width() <= 360
