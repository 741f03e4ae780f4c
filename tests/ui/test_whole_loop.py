"""The main job through the window, as a user does it: open, paint, train, stop and keep, predict, look inside, export, open again."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tifffile
from napari.layers import Labels as LabelsLayer

from napari_segtool import api
from napari_segtool.core.stack import Stack
from napari_segtool.io.recipe import read_history
from napari_segtool.ui._bridge import notes_of
from napari_segtool.ui._io import layer_of_stack

SPACING_UM = (0.05, 0.004, 0.004)
SIDE_PX, SLICES = 192, 4


@pytest.fixture
def em(request):
    """A part of the real stack with its truth (0 membrane, 1 inside); the sample where the real one is not here."""
    try:
        folder = request.getfixturevalue("data_folder") / "isbi2012_em"
        image, truth = (api.read(folder / name).data for name in ("image.tif", "labels.tif"))
    except pytest.skip.Exception:
        stack, labels = api.sample("em")
        image, truth = stack.data, labels.data
    part = (slice(0, SLICES), slice(0, SIDE_PX), slice(0, SIDE_PX))
    return Stack(np.array(image[part]), "ZYX", SPACING_UM, "em"), np.array(truth[part]) > 0


def straight_lines(mask, length_px, count):
    """Starts of horizontal lines that stay inside a mask, spread over it."""
    runs = np.stack([mask[:, i : mask.shape[1] - length_px + i] for i in range(length_px)]).all(0)
    places = np.argwhere(runs)
    return places[np.linspace(0, len(places) - 1, count).astype(int)]


@pytest.mark.slow
def test_the_main_job_from_a_stack_and_a_brush_to_an_exported_label_tiff(workspace, em, stroke, qtbot, tmp_path, monkeypatch):
    monkeypatch.setenv("SEGTOOL_RUNS_FOLDER", str(tmp_path / "runs"))
    monkeypatch.setenv("SEGTOOL_CONFIG", str(tmp_path / "segtool.json"))
    viewer, (stack, inside) = workspace.viewer, em
    data, meta, _ = layer_of_stack(stack)
    image = viewer.add_image(data, **meta)

    # paint
    annotate = workspace("annotate")
    annotate.button.click()
    paint = annotate.labels
    for plane in (0, 2):
        viewer.dims.set_point(0, plane * SPACING_UM[0])
        for value, mask, length, brush in ((1, ~inside[plane], 10, 2), (2, inside[plane], 24, 4)):
            paint.selected_label, paint.brush_size = value, brush
            for y, x in straight_lines(mask, length, 14):
                stroke(viewer, paint, (plane, y, x), (plane, y, x + length - 1))
    assert set(np.unique(paint.data)) == {0, 1, 2}
    assert set(np.flatnonzero(paint.data.any((1, 2)))) == {0, 2}
    assert 0 < (paint.data > 0).mean() < 0.05

    # train, watch the curve grow, stop and keep
    train = workspace("train")
    train.desk.ask_closing = lambda window: "stop"
    qtbot.waitUntil(lambda: not train.session.paint.busy, timeout=3000)
    assert train.label_facts.text().startswith("2 slices")
    assert train.meaning.currentData() == "paint"
    train.budget.set_budget(minutes=3)
    train.form.set_values({"base_channels": 8, "depth": 3, "patch_px": 96, "batch": 4, "mirror": False, "learning_rate": 0.003})
    viewer.dims.set_point(0, 1 * SPACING_UM[0])
    train.button.click()
    qtbot.waitUntil(lambda: train.curves.drawn >= 3, timeout=60000)
    drawn = train.curves.drawn
    qtbot.waitUntil(lambda: train.curves.drawn > drawn + 2 and train.desk.history.step >= 60, timeout=90000)
    qtbot.waitUntil(lambda: "em · preview" in viewer.layers, timeout=30000)
    preview = viewer.layers["em · preview"]
    assert preview.data.shape == (1, SIDE_PX, SIDE_PX)
    np.testing.assert_allclose(preview.data_to_world((0, 0, 0)), (SPACING_UM[0], 0, 0))
    train.stop_button.click()
    qtbot.waitUntil(lambda: train.state == "done", timeout=20000)
    assert train.message.plain.startswith("Stopped and kept")
    assert train.desk.history.losses[-1] < train.desk.history.losses[0]

    # predict
    predict = workspace("predict")
    qtbot.waitUntil(lambda: predict.models.desk.bundle is not None, timeout=5000)
    assert "Learned from em" in predict.models.card.text()
    predict.scope.setCurrentIndex(predict.scope.findData("stack"))
    predict.uncertainty.setChecked(True)
    predict.button.click()
    qtbot.waitUntil(lambda: predict.state in ("done", "failed"), timeout=60000)
    assert predict.state == "done", predict.message.plain
    result = viewer.layers["em · U-Net"]
    assert isinstance(result, LabelsLayer)
    assert "em · preview" not in viewer.layers
    assert result.data.shape == stack.shape
    assert tuple(result.scale) == pytest.approx(SPACING_UM)
    assert [str(unit) for unit in result.units] == ["micrometer"] * 3
    assert result.axis_labels == image.axis_labels
    unseen = result.data[[1, 3]] == 2
    truth = inside[[1, 3]]
    agreement = (unseen & truth).sum() / truth.sum() + (~unseen & ~truth).sum() / (~truth).sum()
    assert agreement / 2 > 0.6, "half a minute must be better than guessing on slices that were not painted"
    uncertainty = viewer.layers["em · U-Net · uncertainty"]
    assert 0 <= uncertainty.data.min() < uncertainty.data.max() <= 1

    # look inside
    explain = workspace("explain")
    explain.at_pixel.click()
    assert explain.picker.on
    explain.picker.picked.emit((3, 60, 70))
    qtbot.waitUntil(lambda: explain.state in ("done", "failed"), timeout=60000)
    assert explain.state == "done", explain.message.plain
    overlay = viewer.layers[f"em · {explain.explainer.entry().title}"]
    np.testing.assert_allclose(overlay.data_to_world((0, 0, 0)), (3 * SPACING_UM[0], 0, 0))
    explain.opacity.setValue(30)
    assert overlay.opacity == pytest.approx(0.3)

    # export, and open again with tifffile and with napari
    export = workspace("export")
    assert export.layer_combo.layer() is result
    path = tmp_path / "labels.tif"
    export.path.setText(str(path))
    export.button.click()
    qtbot.waitUntil(lambda: export.state in ("done", "failed"), timeout=20000)
    assert export.state == "done", export.message.plain
    with tifffile.TiffFile(path) as file:
        assert file.series[0].axes == "ZYX"
        assert np.array_equal(file.asarray(), result.data)
        assert file.asarray().dtype == np.uint8
        x, y = (file.pages[0].tags[name].value for name in ("XResolution", "YResolution"))
        unit = file.imagej_metadata["unit"]
        factor = {"micron": 1.0, "um": 1.0, "µm": 1.0, "\\u00B5m": 1.0, "nm": 0.001}[unit]
        assert (file.imagej_metadata["spacing"] * factor, y[1] / y[0] * factor, x[1] / x[0] * factor) == pytest.approx(SPACING_UM)
    steps = read_history(path)
    assert steps[-1].name == "predict:unet"
    assert json.dumps([step.as_dict() for step in steps]) == json.dumps(notes_of(result)["history"])
    (again,) = viewer.open(path, plugin="napari-segtool")
    assert np.array_equal(again.data, result.data)
    assert tuple(again.scale) == pytest.approx(SPACING_UM)
    assert [str(unit) for unit in again.units] == ["micrometer"] * 3
