"""2.5-D: networks that are shown the slices above and below, made by hand so that they pick one of them."""

import dataclasses

import numpy as np
import pytest
import torch

from napari_segtool import api
from napari_segtool.core.errors import ModelError
from napari_segtool.core.progress import drain
from napari_segtool.core.stack import Stack
from napari_segtool.core.target import Target
from napari_segtool.explain._question import Question
from napari_segtool.inference._predict import predict_steps
from napari_segtool.nets._bundle import load_network, save_bundle
from napari_segtool.nets._forward import Forward
from napari_segtool.nets._loaded import Scenes, load_model
from tests.hand_models import AS_IS, card_of, convolution, loaded_by_hand, saved_unet, small_unet

PLANE = {"kind": "plane", "mean": [], "deviation": []}


def picking(shown: int, neighbours: int, *, channels: int = 1, level: float = 100.0, **facts):
    """Class 1 where input channel ``shown`` is above ``level``, of a model with so many neighbours on each side."""
    kernels = torch.zeros(2, channels * (2 * neighbours + 1), 1, 1)
    kernels[1, shown] = 1
    facts.setdefault("normalisation", AS_IS | {"mean": [0.0] * channels, "deviation": [1.0] * channels})
    return dataclasses.replace(loaded_by_hand(convolution(kernels, (0.0, -level)), **facts), neighbours=neighbours)


def noise(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 200, shape).astype(np.uint8)


def predicted(model, stack, **options):
    return drain(predict_steps(model.bundle, stack, loaded=model, precision="float32", **options))


@pytest.fixture
def tiny_tiles(monkeypatch):
    monkeypatch.setattr(Forward, "largest_px", lambda self, gradient=False: 32**2)


@pytest.mark.parametrize(("shown", "step"), [(0, -2), (1, -1), (2, 0), (3, 1), (4, 2)])
def test_a_network_that_picks_one_slice_answers_with_that_slice_mirrored_at_the_ends(shown, step):
    pixels = noise(5, 12, 13)
    padded = np.pad(pixels, ((2, 2), (0, 0), (0, 0)), mode="reflect")
    labels = predicted(picking(shown, 2), Stack(pixels, "ZYX")).labels.data
    np.testing.assert_array_equal(labels, padded[2 + step : 7 + step] > 100)


@pytest.mark.parametrize("axes", ["ZYX", "ZXY", "XYZ", "QYX", "TYX", "TZYX", "ZTYX", "ZCYX", "CZYX", "TZYXS"])
def test_neighbours_lie_along_z_else_pages_else_time_wherever_the_axes_stand(axes):
    sizes = {"Z": 4, "T": 3, "Q": 4, "Y": 9, "X": 11, "C": 2, "S": 3}
    channel = next((axis for axis in axes if axis in "CS"), "")
    channels = sizes.get(channel, 1)
    pixels = noise(*(sizes[axis] for axis in axes))
    # The slice before, of the last channel: slices of the first channel come first, so it is one after all of the others'.
    model = picking(3 * (channels - 1), 1, channels=channels)
    labels = predicted(model, Stack(pixels, axes)).labels.data
    grey = np.take(pixels, channels - 1, axes.index(channel)) if channel else pixels
    along = next(axis for axis in "ZQT" if axis in axes)
    at = axes.replace(channel, "").index(along)
    before = np.take(grey, [1, *range(sizes[along] - 1)], at)
    np.testing.assert_array_equal(labels, before > 100)


def test_each_slice_shown_is_normalised_by_itself():
    pixels = (noise(3, 20, 20) // 4 + np.array([0, 60, 140])[:, None, None]).astype(np.uint8)
    labels = predicted(picking(2, 1, level=0.0, normalisation=PLANE), Stack(pixels, "ZYX")).labels.data
    after = pixels[[1, 2, 1]]
    np.testing.assert_array_equal(labels, after > after.mean((1, 2), keepdims=True))


def test_a_stack_of_one_slice_is_shown_it_several_times():
    pixels = noise(1, 8, 8)
    np.testing.assert_array_equal(predicted(picking(0, 3), Stack(pixels, "ZYX")).labels.data, pixels > 100)


def test_asked_for_planes_see_their_neighbours_in_the_whole_stack(tiny_tiles):
    network, _ = small_unet(channels=3, depth=1)
    model = dataclasses.replace(loaded_by_hand(network, normalisation=PLANE), neighbours=1)
    stack = Stack(noise(6, 50, 60), "ZYX")
    whole = predicted(model, stack, probabilities=True).probabilities.data
    part = predicted(model, stack, probabilities=True, planes=[(5,), (2,)]).probabilities.data
    np.testing.assert_allclose(part, whole[:, [2, 5]], atol=1e-6)


def test_a_tiled_prediction_is_that_of_the_whole_slices_at_once(tiny_tiles):
    network, _ = small_unet(channels=5, depth=1)
    pixels = noise(4, 70, 61) / np.float32(50)
    model = dataclasses.replace(loaded_by_hand(network, normalisation=AS_IS), neighbours=2)
    result = predicted(model, Stack(pixels, "ZYX"), probabilities=True).probabilities.data
    shown = np.pad(pixels, ((2, 2), (0, 0), (0, 0)), mode="reflect")
    windows = np.stack([shown[z : z + 5] for z in range(4)])
    with torch.no_grad():
        expected = network(torch.from_numpy(windows)).softmax(1).numpy()
    np.testing.assert_allclose(result, expected.swapaxes(0, 1), atol=2e-5)


def test_each_slice_is_read_once_and_only_the_neighbours_are_kept(tiny_tiles):
    class Watched:
        shape, dtype, ndim = (9, 40, 70), np.dtype(np.uint8), 3

        def __init__(self):
            self.read = []

        def __getitem__(self, key):
            self.read.append(key[0])
            return pixels[key]

    pixels, watched = noise(9, 40, 70), Watched()
    model = picking(0, 1)
    scenes, most = Scenes(Stack(watched, "ZYX"), model), 0
    for z in range(9):
        for columns in (slice(0, 35), slice(35, 70)):
            assert scenes.read((z,), (slice(0, 40), columns)).shape == (3, 40, 35)
            most = max(most, len(scenes._planes))
    assert sorted(watched.read) == list(range(9))
    assert most == 3


def test_a_picture_without_slices_is_refused():
    with pytest.raises(ModelError, match="3 slices at a time") as refused:
        predicted(picking(0, 1), Stack(noise(8, 8), "YX"))
    assert refused.value.hint


def test_channels_are_counted_per_slice():
    with pytest.raises(ModelError, match=r"has 2 channel\(s\), but the model was trained on 1 \(in each of the 3 slices") as refused:
        predicted(picking(0, 1), Stack(noise(4, 2, 8, 8), "ZCYX"))
    assert "one channel" in refused.value.hint
    model = dataclasses.replace(loaded_by_hand(convolution(torch.zeros(2, 4, 1, 1))), neighbours=1)
    with pytest.raises(ModelError, match="4 channels, which are not those of 3 slices"):
        predicted(model, Stack(noise(4, 8, 8), "ZYX"))


def test_the_card_says_channels_of_the_image_and_neighbours(tmp_path):
    network, params = small_unet(channels=10)
    bundle = save_bundle(tmp_path / "model", network, card_of(channels=2, params=params, neighbours=2))
    assert load_network(bundle).down[0][0].in_channels == 10
    model = load_model(bundle, device="cpu", precision="float32")
    assert model.neighbours == 2
    assert predicted(model, Stack(noise(3, 2, 16, 16), "ZCYX")).labels.shape == (3, 16, 16)
    assert load_model(saved_unet(tmp_path / "flat"), device="cpu", precision="float32").neighbours == 0


@pytest.mark.parametrize(("facts", "spatial"), [({"neighbours": -1}, 2), ({"neighbours": "1"}, 2), ({"neighbours": 1}, 3)])
def test_neighbours_that_cannot_be_are_refused(tmp_path, facts, spatial):
    bundle = saved_unet(tmp_path / "model", spatial=spatial, card=facts)
    with pytest.raises(ModelError, match="neighbours"):
        load_network(bundle)


def test_an_explanation_is_asked_on_the_slices_that_the_network_is_shown():
    pixels = noise(4, 10, 12) / np.float32(50)
    model = picking(2, 1, level=2.0)  # the slice after
    question = Question(model, Stack(pixels, "ZYX"), Target(1, plane=(3,)))
    (part,) = question.parts()
    np.testing.assert_array_equal(part.pixels[0].numpy(), pixels[[2, 3, 2]])
    slope = drain(question.input_gradient_steps())
    np.testing.assert_array_equal(slope.numpy(), np.stack([0 * pixels[2], 0 * pixels[3], (pixels[2] > 2).astype(np.float32)]))
    overlay = api.explain(model.bundle, Stack(pixels, "ZYX"), "gradient", Target(1, point=(3, 4, 5)), loaded=model, precision="float32")
    assert overlay.shape == (1, 10, 12)
