"""Results written into a layer that is there: which pixels change, and that napari's own undo takes them back as one step."""

from __future__ import annotations

import numpy as np
import pytest
import zarr
from napari.layers import Labels as LabelsLayer

import napari_segtool.ui._write_into as module
from napari_segtool.core.progress import drain
from napari_segtool.core.result import Step
from napari_segtool.ui._bridge import META, class_colormap
from napari_segtool.ui._write_into import Written, changes_steps, holds

MADE = (Step("segment:otsu", {"classes": 2}, "1", "sha"),)
EVERYWHERE = (slice(None),) * 3


def before():
    return np.random.default_rng(0).integers(0, 3, (4, 12, 14)).astype(np.uint8)


def result():
    return np.random.default_rng(1).integers(0, 4, (4, 12, 14)).astype(np.uint16)


def written(data, where, key=EVERYWHERE, inside=None):
    layer = LabelsLayer(data, metadata={META: {"history": [{"name": "paint"}]}})
    changes = drain(changes_steps(layer.data, result()[key], key, where, inside))
    return layer, Written(layer, changes, MADE, where)


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("all", lambda old, new: new),
        ("found", lambda old, new: np.where(new != 0, new, old)),
        ("empty", lambda old, new: np.where(old == 0, new, old)),
    ],
)
@pytest.mark.parametrize("private", [True, False], ids=["as napari paints", "by data_setitem"])
def test_only_the_pixels_asked_for_change_and_one_undo_brings_all_back(monkeypatch, where, expected, private):
    if not private:
        monkeypatch.setattr(module, "_MaskedPaintAtom", None)
    layer, write = written(before(), where)
    wanted = expected(before(), result())
    np.testing.assert_array_equal(layer.data, wanted)
    assert layer.data.dtype == np.uint8
    assert write.pixels == (wanted != before()).sum()
    layer.undo()
    np.testing.assert_array_equal(layer.data, before())
    layer.redo()
    np.testing.assert_array_equal(layer.data, wanted)


def test_one_slice_or_the_inside_of_a_mask_may_be_written_alone():
    key = (slice(2, 3), slice(None), slice(None))
    inside = np.zeros((1, 12, 14), np.uint8)
    inside[:, 3:6] = 5
    layer, write = written(before(), "all", key, inside)
    expected = before()
    expected[2, 3:6] = result()[2, 3:6]
    np.testing.assert_array_equal(layer.data, expected)
    write.undo()
    np.testing.assert_array_equal(layer.data, before())


def test_the_recipe_goes_with_undo_and_comes_back_with_redo():
    layer, first = written(before(), "all")
    names = lambda: [record["name"] for record in layer.metadata[META]["history"]]  # noqa: E731
    assert names() == ["paint", "segment:otsu", "merge:labels"]
    other = np.where(result() == 3, 2, result())
    second = Written(layer, drain(changes_steps(layer.data, other, EVERYWHERE, "all")), MADE, "all")
    assert names() == ["paint", "segment:otsu", "merge:labels", "segment:otsu", "merge:labels"]
    layer.undo()
    assert (second.stands, first.stands) == (False, True)
    assert names() == ["paint", "segment:otsu", "merge:labels"]
    layer.undo()
    assert names() == ["paint"]
    layer.redo()
    layer.redo()
    assert len(names()) == 5
    np.testing.assert_array_equal(layer.data, other)


def test_undo_of_the_write_takes_back_the_strokes_painted_after_it_too():
    layer, write = written(before(), "all")
    layer.paint((1, 5, 5), 2)
    write.undo()
    np.testing.assert_array_equal(layer.data, before())
    write.undo()  # nothing left to take back
    np.testing.assert_array_equal(layer.data, before())


def test_a_write_that_changes_nothing_leaves_no_step_and_no_recipe():
    layer = LabelsLayer(result().astype(np.uint8), metadata={META: {"history": []}})
    layer.paint((1, 5, 5), 3)
    write = Written(layer, drain(changes_steps(layer.data, layer.data.copy(), EVERYWHERE, "all")), MADE, "all")
    assert write.pixels == 0
    assert "Nothing changed" in write.text
    assert not write.stands
    assert layer.metadata[META]["history"] == []


def test_a_layer_on_disk_is_written_on_disk(tmp_path):
    array = zarr.open_array(tmp_path / "labels.zarr", mode="w", shape=(4, 12, 14), chunks=(1, 8, 8), dtype="uint8")
    array[...] = before()
    layer, _ = written(array, "found")
    expected = np.where(result() != 0, result(), before())
    np.testing.assert_array_equal(zarr.open_array(tmp_path / "labels.zarr", mode="r")[...], expected)
    layer.undo()
    np.testing.assert_array_equal(zarr.open_array(tmp_path / "labels.zarr", mode="r")[...], before())


def test_labels_that_do_not_fit_the_layers_type_are_known_before():
    layer = LabelsLayer(before())
    assert holds(layer, 255)
    assert not holds(layer, 256)


def test_new_classes_get_the_colours_of_classes():
    layer = LabelsLayer(before(), colormap=class_colormap(range(3)), metadata={META: {}})
    Written(layer, drain(changes_steps(layer.data, result(), EVERYWHERE, "all")), MADE, "all")
    np.testing.assert_allclose(layer.get_color(3)[:3], (0, 158 / 255, 115 / 255), atol=0.01)  # Okabe and Ito's bluish green


def test_the_memory_of_undo_is_a_few_bytes_for_each_pixel():
    layer, _ = written(before(), "all")
    kept = sum(part.nbytes for item in layer._undo_history for atom in item for part in atom if isinstance(part, np.ndarray))
    assert kept <= 4 * before().size
