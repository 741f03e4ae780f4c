import itertools

import dask.array
import numpy as np
import pytest
import scipy.stats
import torch
import zarr

from napari_segtool.core.errors import AxesError, DeviceError, ModelError
from napari_segtool.core.progress import drain
from napari_segtool.core.result import data_sha
from napari_segtool.core.stack import Stack
from napari_segtool.inference._predict import predict_steps
from napari_segtool.nets._forward import Forward
from napari_segtool.nets._loaded import load_model
from tests.hand_models import AS_IS, convolution, loaded_by_hand, saved_unet, small_unet


def noise(*shape, dtype=np.uint8, seed=0):
    return np.random.default_rng(seed).integers(0, 200, shape).astype(dtype)


def predicted(model, stack, **options):
    options.setdefault("precision", "float32")
    return drain(predict_steps(model.bundle, stack, loaded=model, **options))


def brighter_than(level: float):
    """Class 1 where a pixel is above ``level``, else class 0."""
    return convolution(torch.tensor([0.0, 1.0]).reshape(2, 1, 1, 1), (0.0, -level))


@pytest.fixture
def tiny_tiles(monkeypatch):
    """Tiles so small that any test picture needs many."""
    monkeypatch.setattr(Forward, "largest_px", lambda self, gradient=False: 64**2 if self.spatial == 2 else 24**3)


@pytest.mark.parametrize(("spatial", "shape"), [(2, (150, 131)), (2, (61, 300)), (3, (21, 40, 52))])
def test_a_tiled_prediction_is_that_of_the_whole_picture_at_once(tiny_tiles, spatial, shape):
    network, _ = small_unet(classes=3, spatial=spatial, depth=1)
    pixels = noise(*shape) / np.float32(50)
    model = loaded_by_hand(network, values=(0, 1, 2))
    result = predicted(model, Stack(pixels, "ZYX"[-spatial:]), probabilities=True)
    with torch.no_grad():
        expected = network(torch.from_numpy(pixels)[None, None]).softmax(1)[0].numpy()
    np.testing.assert_allclose(result.probabilities.data, expected, atol=2e-5)
    decided = np.sort(expected, 0)[-1] - np.sort(expected, 0)[-2] > 1e-4
    assert (result.labels.data == expected.argmax(0))[decided].all()
    assert len(collect(model, Stack(pixels, "ZYX"[-spatial:]))) > 4


def collect(model, stack, **options):
    seen = []
    drain(predict_steps(model.bundle, stack, loaded=model, precision="float32", **options), seen.append)
    return seen


def test_each_plane_is_normalised_by_itself_and_gets_the_training_labels_numbers():
    pixels = noise(3, 12, 10) + np.array([0, 20, 55], np.uint8)[:, None, None]
    model = loaded_by_hand(brighter_than(0), values=(3, 700), normalisation={"kind": "plane", "mean": [], "deviation": []})
    result = predicted(model, Stack(pixels, "ZYX", (0.05, 0.004, 0.004), "em"))
    np.testing.assert_array_equal(result.labels.data, np.where(pixels > pixels.mean((1, 2), keepdims=True), 700, 3))
    assert result.labels.data.dtype == np.uint16
    assert result.labels.axes == "ZYX"
    assert result.spacing_um == (0.05, 0.004, 0.004)
    assert result.labels.class_names[3] == "class 3"
    assert result.labels.class_names[0] == ""


@pytest.mark.parametrize("axes", ["YX", "XY", "ZYX", "YXZ", "TZYX", "TZXY", "QYX", "CYX", "ZCYX", "YXS", "XCTY"])
def test_any_order_of_axes_gives_each_pixel_the_same_answer(axes):
    sizes = {"Z": 2, "T": 3, "Q": 2, "Y": 9, "X": 13, "C": 3, "S": 3}
    channel = next((axis for axis in axes if axis in "CS"), "")
    pixels = noise(*(sizes[axis] for axis in axes))
    # Above 100 in the last channel, and the pixel to the right is not: so Y and X cannot be confused unseen.
    kernels = torch.zeros(2, 3 if channel else 1, 1, 3)
    kernels[1, -1, 0, 1], kernels[1, -1, 0, 2] = 1, -1
    result = predicted(loaded_by_hand(convolution(kernels)), Stack(pixels, axes))
    grey = pixels.astype(int) if not channel else np.take(pixels, 2, axes.index(channel)).astype(int)
    label_axes = axes.replace(channel, "") if channel else axes
    right = np.roll(grey, -1, label_axes.index("X"))
    last = [slice(None)] * grey.ndim
    last[label_axes.index("X")] = slice(-1, None)
    right[tuple(last)] = 0
    np.testing.assert_array_equal(result.labels.data, (grey > right).astype(np.uint8))
    assert result.labels.axes == label_axes


def test_a_volume_model_sees_the_neighbours_in_z_of_each_time_point():
    kernels = torch.zeros(2, 1, 3, 1, 1)
    kernels[1, 0, 0, 0, 0], kernels[1, 0, 1, 0, 0] = -1, 1  # above what lies one section up
    pixels = noise(2, 5, 8, 9)
    result = predicted(loaded_by_hand(convolution(kernels)), Stack(pixels, "TZYX"))
    above = np.zeros_like(pixels)
    above[:, 1:] = pixels[:, :-1]
    np.testing.assert_array_equal(result.labels.data, pixels > above)


@pytest.mark.parametrize("spatial", [2, 3])
def test_asked_for_planes_are_those_of_the_whole_prediction(tiny_tiles, spatial):
    network, _ = small_unet(spatial=spatial, depth=1)
    stack = Stack(noise(2, 22, 30, 34) / np.float32(50), "TZYX")
    model = loaded_by_hand(network)
    everything = predicted(model, stack, probabilities=True, uncertainty=True)
    part = predicted(model, stack, planes=[(1, 18), (1, 3)], probabilities=True, uncertainty=True)
    assert part.labels.shape == (1, 2, 30, 34)
    np.testing.assert_allclose(part.probabilities.data, everything.probabilities.data[:, 1:, [3, 18]], atol=2e-5)
    np.testing.assert_allclose(part.uncertainty.data, everything.uncertainty.data[1:, [3, 18]], atol=1e-4)
    assert part.history[0].input_sha == data_sha(stack.data[1:, [3, 18]])


def test_planes_that_are_no_grid_or_not_there_are_refused():
    model, stack = loaded_by_hand(brighter_than(100)), Stack(noise(2, 3, 8, 8), "TZYX")
    with pytest.raises(AxesError, match="grid"):
        predicted(model, stack, planes=[(0, 0), (1, 1)])
    with pytest.raises(AxesError, match="plane 3 along Z"):
        predicted(model, stack, planes=[(0, 3)])
    with pytest.raises(AxesError, match="1 number"):
        predicted(model, stack, planes=[(0,)])


@pytest.mark.parametrize("kind", ["dask", "zarr", "memmap", "big-endian", "bool", "float64"])
def test_whatever_holds_the_pixels_the_labels_are_the_same(tmp_path, tiny_tiles, kind):
    pixels = noise(3, 70, 90) if kind != "bool" else noise(3, 70, 90) > 100
    if kind == "dask":
        data = dask.array.from_array(pixels, chunks=(1, 40, 40))
    elif kind == "zarr":
        data = zarr.create_array(store=str(tmp_path / "a.zarr"), data=pixels, chunks=(1, 40, 40))
    elif kind == "memmap":
        data = np.memmap(tmp_path / "a.raw", np.uint8, "w+", shape=pixels.shape)
        data[:] = pixels
    else:
        data = pixels.astype({"big-endian": ">u2", "bool": bool, "float64": np.float64}[kind])
    model = loaded_by_hand(small_unet(depth=1)[0], normalisation={"kind": "plane", "mean": [], "deviation": []})
    result, plain = (predicted(model, Stack(array, "ZYX")).labels.data for array in (data, pixels.astype(np.float32)))
    np.testing.assert_array_equal(result, plain)


def test_no_more_than_one_plane_is_asked_for_at_a_time():
    class Watched:
        shape, dtype, ndim = (6, 20, 30), np.dtype(np.uint8), 3
        largest = 0

        def __getitem__(self, key):
            part = pixels[key]
            self.largest = max(self.largest, part.size)
            return part

    pixels, watched = noise(6, 20, 30), Watched()
    result = predicted(loaded_by_hand(brighter_than(100)), Stack(watched, "ZYX"))
    np.testing.assert_array_equal(result.labels.data, pixels > 100)
    assert watched.largest == 20 * 30


def test_gaps_in_the_picture_get_a_class_and_do_not_disturb_their_neighbours():
    pixels = noise(40, 40, dtype=np.float32)
    holed = pixels.copy()
    holed[5, 5], holed[5, 6], holed[30, :3] = np.nan, np.inf, -np.inf
    model = loaded_by_hand(brighter_than(float(np.median(holed[np.isfinite(holed)])) - 1))
    labels = predicted(model, Stack(holed, "YX")).labels.data
    here = np.isfinite(holed)
    np.testing.assert_array_equal(labels[here], predicted(model, Stack(pixels, "YX")).labels.data[here])
    assert (labels[~here] == 1).all()  # the median lies one grey level above the threshold


@pytest.mark.parametrize("value", [0, 7, np.nan])
def test_a_constant_or_empty_of_meaning_picture_is_predicted_without_complaint(value):
    stack = Stack(np.full((20, 20), value, np.float32), "YX")
    result = predicted(loaded_by_hand(small_unet()[0], normalisation={"kind": "plane", "mean": [], "deviation": []}), stack, probabilities=True)
    assert np.isfinite(result.probabilities.data).all()


def test_probabilities_add_up_to_one_and_uncertainty_is_their_entropy():
    model = loaded_by_hand(small_unet(classes=3)[0], values=(1, 2, 5))
    result = predicted(model, Stack(noise(2, 30, 31) / np.float32(100), "ZYX", (1, 1, 1)), probabilities=True, uncertainty=True)
    chances = result.probabilities.data
    assert chances.shape == (3, 2, 30, 31)
    assert chances.dtype == result.uncertainty.data.dtype == np.float32
    np.testing.assert_allclose(chances.sum(0), 1, atol=1e-5)
    np.testing.assert_array_equal(np.array([1, 2, 5])[chances.argmax(0)], result.labels.data)
    np.testing.assert_allclose(result.uncertainty.data, scipy.stats.entropy(chances, axis=0) / np.log(3), atol=1e-4)
    assert result.probabilities.classes == (1, 2, 5)
    assert result.probabilities.axes == "CZYX"
    assert result.uncertainty.spacing_um == (1, 1, 1)


def test_mirroring_averages_the_probabilities_of_all_eight_views():
    network, _ = small_unet(depth=1)
    pixels = noise(24, 36) / np.float32(50)
    result = predicted(loaded_by_hand(network), Stack(pixels, "YX"), mirror="on", probabilities=True)
    views = []
    for quarters, flip in itertools.product(range(4), (False, True)):
        view = np.rot90(pixels[::-1] if flip else pixels, quarters)
        with torch.no_grad():
            chances = network(torch.from_numpy(view.copy())[None, None]).softmax(1)[0].numpy()
        back = np.rot90(chances, -quarters, (1, 2))
        views.append(back[:, ::-1] if flip else back)
    np.testing.assert_allclose(result.probabilities.data, np.mean(views, 0), atol=1e-5)
    assert np.std(views, 0).max() > 1e-3  # else there would be nothing to average


def test_mirroring_is_what_the_model_card_says_unless_told_otherwise():
    stack = Stack(noise(16, 16), "YX")
    model = loaded_by_hand(small_unet()[0], mirror=True)
    sides = loaded_by_hand(small_unet()[0], mirror="sides")
    both = predicted(sides, stack, probabilities=True)
    assert both.history[0].params["mirror"] == "sides"
    turned = predicted(sides, Stack(np.ascontiguousarray(stack.data[..., ::-1]), stack.axes), probabilities=True)
    np.testing.assert_allclose(both.probabilities.data, turned.probabilities.data[..., ::-1], atol=1e-5)
    assert predicted(model, stack).history[0].params["mirror"] is True
    assert predicted(model, stack, mirror="off").history[0].params["mirror"] is False
    assert predicted(loaded_by_hand(small_unet()[0]), stack).history[0].params["mirror"] is False


@pytest.fixture
def small_memory(monkeypatch):
    """A device on which more than some pixels do not fit."""
    plain = Forward.logits

    def limited(most_px):
        def logits(self, batch):
            if batch[:, 0].numel() > most_px:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
            return plain(self, batch)

        monkeypatch.setattr(Forward, "logits", logits)

    return limited


def test_out_of_memory_makes_the_tiles_smaller_and_the_result_stays_the_same(small_memory):
    model = loaded_by_hand(small_unet(depth=1)[0])
    stack = Stack(noise(3, 100, 80), "ZYX")
    expected = predicted(model, stack).labels.data
    small_memory(50 * 50)
    seen = []
    result = drain(predict_steps(model.bundle, stack, loaded=model, precision="float32"), seen.append)
    np.testing.assert_array_equal(result.labels.data, expected)
    assert any("memory" in progress.label for progress in seen)


def test_out_of_memory_with_the_smallest_tile_is_said(small_memory):
    model = loaded_by_hand(small_unet()[0])
    small_memory(10)
    with pytest.raises(DeviceError, match="memory"):
        predicted(model, Stack(noise(40, 40), "YX"))


def test_other_errors_of_torch_are_not_taken_for_lack_of_memory(monkeypatch):
    def broken(self, batch):
        raise RuntimeError("shapes do not match")

    model = loaded_by_hand(small_unet()[0])
    monkeypatch.setattr(Forward, "logits", broken)
    with pytest.raises(RuntimeError, match="shapes"):
        predicted(model, Stack(noise(20, 20), "YX"))


def test_slow_passes_make_the_tiles_after_them_smaller(monkeypatch):
    import napari_segtool.inference._predict as module

    now_s = itertools.count(step=1.5)  # every look at the clock is a second and a half later
    model = loaded_by_hand(small_unet(depth=1)[0])
    stack = Stack(noise(2, 200, 200), "ZYX")
    expected = predicted(model, stack).labels.data
    usual = len(collect(model, stack))
    monkeypatch.setattr(module.time, "perf_counter", lambda: next(now_s))
    np.testing.assert_array_equal(predicted(model, stack).labels.data, expected)
    assert len(collect(model, stack)) > usual


def test_progress_rises_to_the_total_and_can_be_stopped_after_any_step(tiny_tiles):
    model, stack = loaded_by_hand(small_unet(depth=1)[0]), Stack(noise(100, 100), "YX")
    seen = collect(model, stack)
    assert [progress.done for progress in seen] == sorted(progress.done for progress in seen)
    assert seen[-1].fraction == 1
    steps = predict_steps(model.bundle, stack, loaded=model)
    next(steps)
    steps.close()


def test_results_may_be_memory_maps(tmp_path):
    made = []

    def allocate(shape, dtype):
        made.append(np.memmap(tmp_path / f"{len(made)}.raw", dtype, "w+", shape=shape))
        return made[-1]

    result = predicted(loaded_by_hand(brighter_than(100)), Stack(noise(4, 20, 20), "ZYX"), allocate=allocate, probabilities=True, uncertainty=True)
    assert [array.shape for array in made] == [(4, 20, 20), (2, 4, 20, 20), (4, 20, 20)]
    assert result.labels.data is made[0]
    assert made[0].any()


@pytest.mark.parametrize(
    ("network", "shape", "axes", "match"),
    [
        (lambda: brighter_than(1), (5, 5, 3), "YXS", "3 colour samples"),
        (lambda: brighter_than(1), (2, 5, 5), "CYX", "2 channel"),
        (lambda: convolution(torch.ones(2, 3, 1, 1)), (5, 5), "YX", "trained on 3"),
        (lambda: convolution(torch.ones(2, 1, 1, 1, 1)), (4, 5, 5), "QYX", "volumes"),
    ],
)
def test_an_image_that_does_not_fit_the_model_is_refused_with_a_hint(network, shape, axes, match):
    with pytest.raises(ModelError, match=match) as refused:
        predicted(loaded_by_hand(network()), Stack(noise(*shape), axes))
    assert refused.value.hint


def test_a_saved_model_predicts_and_its_recipe_says_which_it_was(tmp_path):
    bundle = saved_unet(tmp_path / "model", values=(1, 2))
    stack = Stack(noise(2, 40, 48), "ZYX", name="cells")
    result = drain(predict_steps(bundle, stack, device="cpu", precision="float32"))
    (step,) = result.history
    assert step.name == "predict:unet"
    assert step.input_sha == data_sha(stack.data)
    assert step.params["model_sha"] == bundle.card["weights_sha256"][:16]
    assert result.name == "cells · U-Net"
    assert set(np.unique(result.labels.data)) <= {1, 2}


def test_a_model_card_without_sense_is_refused(tmp_path):
    for key, value in (("classes", [{"value": "many"}] * 2), ("halo", "wide"), ("normalisation", {"kind": "magic"})):
        bundle = saved_unet(tmp_path / key, card={key: value})
        with pytest.raises(ModelError):
            load_model(bundle, device="cpu")


def test_the_reach_on_the_card_is_used_and_measured_where_it_is_not_there(tmp_path):
    assert load_model(saved_unet(tmp_path / "a", card={"halo": [9, 11]}), device="cpu").halo == (9, 11)
    assert load_model(saved_unet(tmp_path / "b", card={"halo": 12}), device="cpu").halo == (12, 12)
    assert load_model(saved_unet(tmp_path / "c", depth=1), device="cpu").halo == (8, 8)


def test_tiles_overlap_by_the_whole_reach_where_asked_and_by_half_where_that_costs_much():
    model = loaded_by_hand(small_unet(depth=3)[0])
    exact, _ = model.tile_size((4000, 4000), exact=True, largest_px=200**2)
    half, core = model.tile_size((4000, 4000), largest_px=200**2)
    assert exact == model.halo
    assert half == tuple(-(-n // 2) for n in model.halo)
    assert all(n < 200 for n in core)
    assert model.tile_size((100, 100), largest_px=200**2)[0] == model.halo  # one tile: nothing to save


@pytest.mark.data
def test_a_real_stack_is_predicted_in_tiles_as_at_once(data_folder, tiny_tiles):
    import tifffile

    pixels = tifffile.imread(data_folder / "isbi2012_em" / "image.tif")[:1, :200, :200]
    network, _ = small_unet(depth=1)
    model = loaded_by_hand(network, normalisation={"kind": "plane", "mean": [], "deviation": []})
    result = predicted(model, Stack(pixels, "ZYX"), probabilities=True)
    plane = pixels[0].astype(np.float32)
    with torch.no_grad():
        expected = network(torch.from_numpy((plane - plane.mean()) / plane.std())[None, None]).softmax(1)[0].numpy()
    np.testing.assert_allclose(result.probabilities.data[:, 0], expected, atol=1e-4)


def test_pixels_as_they_are_means_no_scaling():
    assert AS_IS["deviation"] == [1.0]
    labels = predicted(loaded_by_hand(brighter_than(99.5)), Stack(np.array([[99, 100]], np.uint8), "YX")).labels.data
    assert labels.tolist() == [[0, 1]]
