"""A range of slices is predicted as a part of its stack: nothing changes at the cut."""

import dataclasses

import dask.array
import numpy as np
import pytest

from napari_segtool import api
from napari_segtool.cli._app import run
from napari_segtool.core.errors import AxesError, ParameterError
from napari_segtool.core.result import data_sha
from napari_segtool.core.stack import Stack
from napari_segtool.core.wanted import Wanted
from napari_segtool.nets._bundle import save_bundle
from napari_segtool.nets._forward import Forward
from napari_segtool.nets._loaded import load_model
from tests.hand_models import card_of, saved_unet, small_unet

EXACT = {"precision": "float32", "device": "cpu"}


def noise(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 200, shape).astype(np.uint8)


@pytest.fixture
def tiny_tiles(monkeypatch):
    monkeypatch.setattr(Forward, "largest_px", lambda self, gradient=False: 40**2 if self.spatial == 2 else 24**3)


@pytest.fixture(scope="module")
def looking_beside(tmp_path_factory):
    """A 2.5-D model that is shown two slices on each side."""
    network, params = small_unet(channels=5, depth=1)
    return save_bundle(tmp_path_factory.mktemp("beside") / "model", network, card_of(params=params, neighbours=2))


@pytest.fixture(scope="module")
def of_volumes(tmp_path_factory):
    return saved_unet(tmp_path_factory.mktemp("volumes") / "model", spatial=3, depth=1)


class Watched:
    """An array that notes which slices are read."""

    def __init__(self, data):
        self._data, self.read = data, set()
        self.shape, self.dtype, self.ndim = data.shape, data.dtype, data.ndim

    def __getitem__(self, key):
        part = key[0] if isinstance(key, tuple) else key
        self.read |= set(range(self.shape[0])[part] if isinstance(part, slice) else [int(part)])
        return self._data[key]


@pytest.mark.parametrize("axes", ["ZYX", "QYX", "TYX", "TZYX", "YXZ", "ZCYX"])
@pytest.mark.parametrize("slices", ["0:2", "3:4", "2:6", "5:", "-1:"])
def test_slices_of_a_model_that_looks_beside_them_are_those_of_the_whole_prediction(looking_beside, axes, slices):
    sizes = {"Z": 7, "Q": 7, "T": 2 if "Z" in axes else 7, "C": 1, "Y": 20, "X": 24}
    stack = Stack(noise(*(sizes[axis] for axis in axes)), axes)
    whole = api.predict(looking_beside, stack, **EXACT)
    part = api.predict(looking_beside, stack, slices=slices, **EXACT)
    at = stack.label_axes.index(next(axis for axis in "ZQT" if axis in axes))
    start, _, stop = slices.partition(":")
    taken = slice(int(start), int(stop) if stop else None)
    key = (slice(None),) * at + (taken,)
    np.testing.assert_array_equal(part.labels.data, whole.labels.data[key])
    np.testing.assert_allclose(part.probabilities.data, whole.probabilities.data[(slice(None), *key)], atol=1e-6)
    np.testing.assert_allclose(part.uncertainty.data, whole.uncertainty.data[key], atol=1e-5)


@pytest.mark.parametrize("slices", ["0:3", "4:5", "9:17", "20:"])
def test_slices_of_a_model_of_volumes_are_those_of_the_whole_prediction(tiny_tiles, of_volumes, slices):
    stack = Stack(noise(22, 26, 30), "ZYX")
    whole = api.predict(of_volumes, stack, **EXACT).probabilities.data
    part = api.predict(of_volumes, stack, slices=slices, **EXACT).probabilities.data
    start, _, stop = slices.partition(":")
    np.testing.assert_allclose(part, whole[:, int(start) : int(stop) if stop else None], atol=2e-5)


def test_cutting_the_stack_by_hand_gives_something_else(looking_beside, of_volumes):
    """Else the tests above would hold of a model that never looks beside a slice."""
    pixels = noise(9, 20, 24)
    for bundle in (looking_beside, of_volumes):
        cut = api.predict(bundle, Stack(pixels[3:6], "ZYX"), **EXACT).probabilities.data
        part = api.predict(bundle, Stack(pixels, "ZYX"), slices="3:6", **EXACT).probabilities.data
        assert np.abs(cut - part).max() > 1e-3


def test_only_the_slices_and_what_the_model_sees_beside_them_are_read(looking_beside, of_volumes):
    flat = Watched(noise(30, 16, 16))
    api.predict(looking_beside, Stack(flat, "ZYX"), slices="10:13", **EXACT)
    assert flat.read == set(range(8, 15))
    deep = Watched(noise(60, 16, 16))
    api.predict(of_volumes, Stack(deep, "ZYX"), slices="30:33", **EXACT)
    model = load_model(of_volumes, device="cpu", precision="float32")
    reach, stride = model.halo[0], model.forward.multiple[0]
    reach = -(-reach // stride) * stride
    assert deep.read <= set(range(30 - reach, 34 + reach))


def test_dask_arrays_are_cut_as_others(looking_beside):
    pixels = noise(8, 20, 20)
    lazy = Stack(dask.array.from_array(pixels, chunks=(1, 20, 20)), "ZYX")
    part = api.predict(looking_beside, lazy, slices="2:5", **EXACT)
    np.testing.assert_array_equal(part.labels.data, api.predict(looking_beside, Stack(pixels, "ZYX"), **EXACT).labels.data[2:5])
    assert part.history[0].input_sha == data_sha(pixels[2:5])
    assert part.history[0].params["slices"] == "2:5"


def test_the_command_line_shows_the_model_what_lies_beside_the_slices(looking_beside, tmp_path):
    stack = Stack(noise(7, 20, 24), "ZYX", (0.05, 0.004, 0.004))
    api.write(stack, tmp_path / "image.tif")
    out, chances = tmp_path / "labels.tif", tmp_path / "chances.tif"
    words = ["predict", looking_beside.path, tmp_path / "image.tif", "-o", out, "--probabilities", chances, "--slices", "3:5"]
    assert run([str(word) for word in words]) == 0
    whole = api.predict(looking_beside, stack, precision="auto")
    np.testing.assert_array_equal(api.read(out).data, whole.labels.data[3:5])
    np.testing.assert_allclose(api.read(chances).data, whole.probabilities.data[:, 3:5], atol=1e-6)


def test_rows_of_a_single_picture_are_cut(tmp_path):
    bundle = saved_unet(tmp_path / "model", depth=1)
    assert api.predict(bundle, Stack(noise(20, 24), "YX"), slices="4:12", **EXACT).labels.shape == (8, 24)


def test_slices_that_are_not_there_and_slices_with_planes_are_refused(looking_beside):
    stack = Stack(noise(4, 16, 16), "ZYX")
    with pytest.raises(AxesError, match="empty"):
        api.predict(looking_beside, stack, slices="4:9", **EXACT)
    with pytest.raises(ParameterError, match="slices and planes"):
        api.predict(looking_beside, stack, slices="0:2", planes=[(1,)], **EXACT)


@pytest.mark.parametrize("planes", [[(1, 0), (1, 1)], [(0, 2), (1, 2)], [(0, 0), (0, 2), (1, 0), (1, 2)]])
def test_pixels_of_some_planes_are_the_same_read_at_once_or_walked_through(planes):
    stack = Stack(noise(2, 4, 3, 5, 6), "TYZXC")
    wanted = Wanted(stack, [(t, z) for t, z in planes])
    assert data_sha(wanted.data) == data_sha(wanted.cut().data)
    assert dataclasses.replace(stack, data=np.stack([wanted.data[i] for i in range(wanted.data.shape[0])])).shape == wanted.cut().shape
