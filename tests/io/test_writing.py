"""What is written is read back equal, by us and by tifffile, with its recipe; and a failure leaves things as they were."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_segtool.core.errors import DataError, FormatError, StorageError
from napari_segtool.core.labels import Labels, Paint
from napari_segtool.core.result import Prediction, Probabilities, Segmentation, Step
from napari_segtool.core.stack import SPATIAL, Stack
from napari_segtool.io import _atomic, _write
from napari_segtool.io._read import read_stack
from napari_segtool.io._write import write_image, write_labels, write_result, write_results, write_text
from napari_segtool.io.recipe import KEY, Record, read_history, read_record

STEPS = (
    Step("filter:gaussian", {"sigma_um": 0.25, "note": "µm “quoted” \\ <&> 図"}, "0.1.0", "0123456789abcdef"),
    Step("segment:kmeans", {"clusters": 4, "points": "1,2,3:1; 4,5,6:2", "fast": True}, "0.1.0", "fedcba9876543210", 7),
)
AXES = ("YX", "ZYX", "TYX", "QYX", "IYX", "CYX", "TZYX", "CZYX", "ZCYX", "TZCYX", "TCZYX", "IQYX", "YXS", "ZYXS", "QYXS", "SYX", "YXZ", "XY", "ZXY")
DTYPES = ("bool", "uint8", "int8", "uint16", "int16", "uint32", "int32", "float16", "float32", "float64", "int64", "uint64", ">u2", ">f4")


@st.composite
def stacks(draw: st.DrawFn) -> Stack:
    axes = draw(st.sampled_from(AXES))
    shape = tuple(draw(st.integers(1, 4)) if axis != "S" else draw(st.sampled_from((2, 3, 4))) for axis in axes)
    dtype = np.dtype(draw(st.sampled_from(DTYPES)))
    data = draw(hnp.arrays(dtype, shape, elements={"allow_nan": False} if dtype.kind == "f" else None))
    spatial = sum(axis in SPATIAL for axis in axes)
    spacing = draw(st.one_of(st.just(()), st.tuples(*[st.floats(1e-4, 1e5)] * spatial)))
    return Stack(data, axes, spacing, "made")


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(stack=stacks())
def test_an_image_comes_back_with_its_axes_shape_dtype_values_spacing_and_recipe(tmp_path: Path, stack: Stack) -> None:
    path = tmp_path / "image.tif"
    write_result(stack, path, history=STEPS)
    again = read_stack(path)
    assert (again.axes, again.shape, again.spacing_um) == (stack.axes, stack.shape, stack.spacing_um)
    assert again.data.dtype == stack.data.dtype.newbyteorder("=")
    assert np.array_equal(again.data, stack.data)
    assert read_history(path) == STEPS
    with tifffile.TiffFile(path) as tif:
        assert np.array_equal(tif.asarray().squeeze(), stack.data.squeeze())
        if 1 not in stack.shape:
            assert tif.series[0].axes == stack.axes
    assert [entry.name for entry in tmp_path.iterdir()] == ["image.tif"]


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    axes=st.sampled_from([axes for axes in AXES if not set(axes) & set("CS")]),
    largest=st.sampled_from((0, 1, 255, 256, 65535, 65536, 4294967295)),
    dtype=st.sampled_from(("uint8", "uint16", "uint32", "int32", "int64", "uint64", "float32", "float64", "bool")),
    seed=st.integers(0, 99),
)
def test_labels_are_the_smallest_unsigned_type_and_keep_their_values(tmp_path: Path, axes: str, largest: int, dtype: str, seed: int) -> None:
    largest = min(largest, 1 if dtype == "bool" else 2**24 if dtype == "float32" else np.iinfo(dtype).max if np.dtype(dtype).kind in "iu" else largest)
    values = np.random.default_rng(seed).integers(0, largest, [3] * len(axes), endpoint=True)
    values.flat[seed % values.size] = largest
    spacing = tuple(0.5 + i for i, axis in enumerate(axes) if axis in SPATIAL)
    write_result(Segmentation(Labels(values.astype(dtype), axes, ("background", "mitochondrion")), spacing, STEPS), tmp_path / "labels.tif")
    expected = "uint8" if largest < 2**8 else "uint16" if largest < 2**16 else "uint32"
    again = read_stack(tmp_path / "labels.tif")
    assert (again.axes, str(again.data.dtype), again.spacing_um) == (axes, expected, spacing)
    assert np.array_equal(again.data, values)
    stored = tifffile.imread(tmp_path / "labels.tif")
    assert (stored.dtype, stored.shape) == (again.data.dtype, again.shape)
    record = read_record(tmp_path / "labels.tif")
    assert record is not None
    assert record.class_names == ("background", "mitochondrion")
    assert record.history == STEPS


def test_fiji_is_told_the_hyperstack_its_spacing_and_where_labels_end(tmp_path: Path) -> None:
    labels = np.zeros((2, 3, 16, 16), np.int64)
    labels[..., 4:8, 4:8] = 3
    write_result(Segmentation(Labels(labels, "TZYX"), (0.05, 0.004, 0.005), STEPS), tmp_path / "a.tif")
    with tifffile.TiffFile(tmp_path / "a.tif") as tif:
        words, page = tif.imagej_metadata, tif.pages[0]
        assert (words["frames"], words["slices"], words["hyperstack"]) == (2, 3, True)
        assert (words["unit"], words["spacing"], words["max"]) == ("um", 0.05, 3)
        assert page.tags["XResolution"].value[0] / page.tags["XResolution"].value[1] == pytest.approx(200)
        assert page.tags["YResolution"].value[0] / page.tags["YResolution"].value[1] == pytest.approx(250)
        assert json.loads(words["Info"])["recipe"] == [step.as_dict() for step in STEPS]
        assert len(tif.pages) == 6  # compressed, so ImageJ needs every page


def test_images_for_fiji_lie_in_one_piece_so_that_they_can_be_mapped(tmp_path: Path) -> None:
    write_image(Stack(np.zeros((5, 16, 16), np.uint16), "ZYX", (1, 2, 3)), tmp_path / "a.tif")
    assert tifffile.memmap(tmp_path / "a.tif").shape == (5, 16, 16)


def test_ome_carries_uint32_labels_with_their_sizes(tmp_path: Path) -> None:
    write_labels(Labels(np.full((2, 3, 4), 70_000), "ZYX"), tmp_path / "a.tif", spacing_um=(0.05, 0.004, 0.004), history=STEPS)
    with tifffile.TiffFile(tmp_path / "a.tif") as tif:
        assert tif.is_ome
        assert 'PhysicalSizeZ="0.05"' in tif.ome_metadata
        assert 'PhysicalSizeZUnit="µm"' in tif.ome_metadata


def test_probabilities_are_float32_with_the_class_axis_first(tmp_path: Path) -> None:
    values = np.random.default_rng(0).random((3, 4, 20, 22))
    write_result(
        Probabilities(values, "CZYX", ("membrane", "cytoplasm", "mitochondrion"), (0, 1, 2)), tmp_path / "p.tif", spacing_um=(0.05, 0.004, 0.004), history=STEPS
    )
    with tifffile.TiffFile(tmp_path / "p.tif") as tif:
        assert (tif.series[0].axes, tif.series[0].shape, tif.series[0].dtype) == ("CZYX", (3, 4, 20, 22), np.float32)
    again = read_stack(tmp_path / "p.tif")
    assert (again.axes, again.spacing_um) == ("CZYX", (0.05, 0.004, 0.004))
    assert np.array_equal(again.data, values.astype(np.float32))
    record = read_record(tmp_path / "p.tif")
    assert record is not None
    assert (record.classes, record.class_names, record.history) == ((0, 1, 2), ("membrane", "cytoplasm", "mitochondrion"), STEPS)


def test_of_a_prediction_the_labels_are_written(tmp_path: Path) -> None:
    labels = np.eye(6, dtype=np.int64)
    write_result(Prediction(Labels(labels, "YX"), spacing_um=(1, 2), history=STEPS), tmp_path / "l.tif")
    assert np.array_equal(tifffile.imread(tmp_path / "l.tif"), labels)
    assert read_history(tmp_path / "l.tif") == STEPS
    write_result(Paint(labels, "YX"), tmp_path / "paint.tif")
    assert np.array_equal(tifffile.imread(tmp_path / "paint.tif"), labels)


def test_a_spacing_changed_by_another_program_counts_more_than_our_notes(tmp_path: Path) -> None:
    write_image(Stack(np.zeros((5, 16, 16), np.uint16), "ZYX", (0.05, 0.004, 0.004)), tmp_path / "a.tif")
    with tifffile.TiffFile(tmp_path / "a.tif") as tif:
        words, pixels = tif.imagej_metadata, tif.asarray()
    tifffile.imwrite(
        tmp_path / "b.tif", pixels, imagej=True, resolution=(125, 125), metadata={"axes": "ZYX", "unit": "um", "spacing": 0.1, "Info": words["Info"]}
    )
    assert read_stack(tmp_path / "b.tif").spacing_um == pytest.approx((0.1, 0.008, 0.008))
    tifffile.imwrite(
        tmp_path / "c.tif", pixels[:2], imagej=True, resolution=(250, 250), metadata={"axes": "ZYX", "unit": "um", "spacing": 0.05, "Info": words["Info"]}
    )
    assert read_stack(tmp_path / "c.tif").shape == (2, 16, 16)


def test_files_of_others_have_no_recipe_and_broken_notes_are_no_error(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((4, 5), np.uint8))
    assert read_history(tmp_path / "a.tif") == ()
    for text in ("", "{", json.dumps({KEY: "1"}), json.dumps({KEY: 1, "axes": 3, "shape": 7}), "[1]", f'"{KEY}"{{'):
        assert Record.from_text(text) is None


class Slices:
    """A lazy array: counts how much of it is looked at, at once."""

    def __init__(self, values: np.ndarray) -> None:
        self._values, self.shape, self.ndim, self.dtype, self.largest_look = values, values.shape, values.ndim, values.dtype, 0

    def __getitem__(self, index: object) -> np.ndarray:
        part = self._values[index]
        self.largest_look = max(self.largest_look, part.nbytes)
        return part

    def __array__(self, *_: object, **__: object) -> np.ndarray:
        raise AssertionError("the whole array was asked for")


@pytest.mark.parametrize("dtype", ["uint8", "int64", "float32"])
def test_lazy_data_are_written_plane_by_plane(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dtype: str) -> None:
    monkeypatch.setattr(_write, "_WHOLE_BYTES", 0)
    values = np.random.default_rng(0).integers(0, 200, (6, 2, 30, 40)).astype(dtype)
    lazy = Slices(values)
    if dtype == "float32":
        write_image(Stack(lazy, "TZYX"), tmp_path / "a.tif")
    else:
        write_labels(Labels(lazy, "TZYX"), tmp_path / "a.tif")
    assert np.array_equal(read_stack(tmp_path / "a.tif").data, values)
    assert lazy.largest_look == 30 * 40 * values.itemsize


def test_dask_and_zarr_can_be_written(tmp_path: Path) -> None:
    da, zarr = pytest.importorskip("dask.array"), pytest.importorskip("zarr")
    values = np.arange(6 * 30 * 40, dtype=np.uint16).reshape(6, 30, 40)
    write_image(Stack(da.from_array(values, chunks=(2, 16, 16)), "ZYX"), tmp_path / "dask.tif")
    write_image(Stack(zarr.array(values, chunks=(2, 16, 16)), "ZYX"), tmp_path / "zarr.tif")
    assert np.array_equal(tifffile.imread(tmp_path / "dask.tif"), values)
    assert np.array_equal(tifffile.imread(tmp_path / "zarr.tif"), values)


def test_a_single_picture_can_be_a_png(tmp_path: Path) -> None:
    for dtype in (np.uint8, np.uint16):
        values = np.arange(12, dtype=dtype).reshape(3, 4) * 20
        write_result(Segmentation(Labels(values, "YX"), (0.5, 0.25), STEPS), tmp_path / "a.png")
        again = read_stack(tmp_path / "a.png")
        assert (again.axes, again.spacing_um) == ("YX", (0.5, 0.25))
        assert np.array_equal(again.data, values)
        assert read_history(tmp_path / "a.png") == STEPS
    for wrong in (Stack(np.zeros((2, 3, 4), np.uint8), "ZYX"), Stack(np.zeros((3, 4), np.float32), "YX")):
        with pytest.raises(FormatError, match="PNG") as refusal:
            write_result(wrong, tmp_path / "b.png")
        assert refusal.value.hint
    assert not (tmp_path / "b.png").exists()


def test_endings_that_cannot_be_written_are_refused_with_those_that_can(tmp_path: Path) -> None:
    for name in ("a.mrc", "a", "a.nii.gz", "a.jpg"):
        with pytest.raises(FormatError, match="cannot be written") as refusal:
            write_image(Stack(np.zeros((3, 4), np.uint8), "YX"), tmp_path / name)
        assert ".tif" in refusal.value.hint
    with pytest.raises(FormatError, match="OME-TIFF"):
        write_image(Stack(np.zeros((3, 4, 5), np.uint8), "QYX"), tmp_path / "a.ome.tif")
    write_image(Stack(np.zeros((3, 4, 5), np.uint8), "ZYX", (1, 1, 1)), tmp_path / "b.ome.tif")
    with tifffile.TiffFile(tmp_path / "b.ome.tif") as tif:
        assert tif.is_ome


@pytest.mark.parametrize("wrong", [np.full((3, 4), -1), np.full((3, 4), 0.5), np.full((3, 4), np.nan), np.full((3, 4), 2**32)])
def test_labels_that_are_none_leave_no_file(tmp_path: Path, wrong: np.ndarray) -> None:
    with pytest.raises(DataError):
        write_labels(Labels(wrong, "YX"), tmp_path / "a.tif")
    assert not list(tmp_path.iterdir())


class BreaksAt(Slices):
    """Fails at its last plane, when most is written."""

    error: BaseException = RuntimeError("the computation failed")

    def __getitem__(self, index: object) -> np.ndarray:
        if index == (self.shape[0] - 1,):
            raise self.error
        return super().__getitem__(index)


def test_of_results_that_belong_together_all_are_written_or_none(tmp_path: Path) -> None:
    (tmp_path / "a.tif").write_bytes(b"older")
    good = Labels(np.ones((3, 4), np.uint8), "YX")
    broken = Stack(np.zeros((3, 4), np.float32), "YX")
    with pytest.raises(FormatError, match="PNG"):
        write_results([(good, tmp_path / "a.tif"), (broken, tmp_path / "b.png")])
    assert [path.name for path in tmp_path.iterdir()] == ["a.tif"]
    assert (tmp_path / "a.tif").read_bytes() == b"older"
    write_results([(good, tmp_path / "a.tif"), (broken, tmp_path / "b.tif")])
    assert np.array_equal(read_stack(tmp_path / "a.tif").data, good.data)
    assert np.array_equal(read_stack(tmp_path / "b.tif").data, broken.data)


@pytest.mark.parametrize(
    "error", [RuntimeError("the computation failed"), KeyboardInterrupt(), MemoryError(), OSError(errno.ENOSPC, "No space left on device")]
)
def test_a_failure_midway_leaves_the_old_file_and_nothing_else(tmp_path: Path, error: BaseException) -> None:
    path = tmp_path / "a.tif"
    path.write_bytes(b"what was there")
    lazy = BreaksAt(np.zeros((9, 600, 700), np.uint8))
    lazy.error = error
    with pytest.raises(StorageError if isinstance(error, OSError) else type(error)):
        write_image(Stack(lazy, "ZYX"), path)
    assert [(entry.name, entry.read_bytes()) for entry in tmp_path.iterdir()] == [("a.tif", b"what was there")]


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (errno.ENOSPC, "disk is full"),
        (errno.EDQUOT, "disk is full"),
        (errno.EACCES, "no permission"),
        (errno.EROFS, "no permission"),
        (errno.EIO, "Input/output"),
    ],
)
@pytest.mark.parametrize("step", ["open", "fsync", "replace"])
def test_whatever_the_disk_refuses_is_one_storage_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, said: str, step: str) -> None:
    path = tmp_path / "a.tif"
    path.write_bytes(b"what was there")

    def refuse(*_args: object, **_more: object) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(*((Path, "open") if step == "open" else (_atomic.os, step)), refuse)
        with pytest.raises(StorageError, match=said) as refusal:
            write_image(Stack(np.zeros((3, 4), np.uint8), "YX"), path)
    assert refusal.value.hint
    assert "unchanged" in refusal.value.message
    assert [(entry.name, entry.read_bytes()) for entry in tmp_path.iterdir()] == [("a.tif", b"what was there")]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full to stand for a full disk")
def test_a_disk_that_is_really_full_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = Path.open
    monkeypatch.setattr(Path, "open", lambda self, mode="r", *more: real(Path("/dev/full") if mode == "x+b" else self, "r+b" if mode == "x+b" else mode, *more))
    with pytest.raises(StorageError, match="disk is full"):
        write_text("x" * 100_000, tmp_path / "a.json")
    assert not list(tmp_path.iterdir())


def test_missing_folders_and_folders_in_place_of_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="no folder"):
        write_text("x", tmp_path / "nowhere" / "a.json")
    with pytest.raises(StorageError, match="is a folder"):
        write_text("x", tmp_path)
    (tmp_path / "a.tif").mkdir()
    with pytest.raises(StorageError, match="is a folder"):
        write_image(Stack(np.zeros((3, 4), np.uint8), "YX"), tmp_path / "a.tif")


def test_names_as_long_as_the_file_system_allows_and_links_can_be_written(tmp_path: Path) -> None:
    write_text("µ", tmp_path / ("n" * 250 + ".json"))
    (tmp_path / "real.json").write_text("old")
    (tmp_path / "link.json").symlink_to(tmp_path / "real.json")
    write_text("new", tmp_path / "link.json")
    assert (tmp_path / "link.json").is_symlink()
    assert (tmp_path / "real.json").read_text() == "new"


def test_new_files_have_the_usual_permissions(tmp_path: Path) -> None:
    (tmp_path / "usual").touch()
    write_text("x", tmp_path / "a.json")
    assert (tmp_path / "a.json").stat().st_mode == (tmp_path / "usual").stat().st_mode
