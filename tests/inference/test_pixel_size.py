"""Images of another pixel size than the model learned at: shown to it at its own, and the answers brought back."""

import dataclasses
import itertools

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812

from napari_segtool import api
from napari_segtool.cli._app import run
from napari_segtool.core.errors import ParameterError
from napari_segtool.core.progress import drain
from napari_segtool.core.stack import Stack
from napari_segtool.inference._predict import predict_steps
from napari_segtool.methods._closed_contours import closed_contours_steps
from napari_segtool.nets._forward import Forward
from napari_segtool.nets._resample import Grid
from tests.hand_models import AS_IS, convolution, loaded_by_hand, saved_unet, small_unet

LEARNED = (0.004, 0.004)


def learned(network, pixel_um=LEARNED, **facts):
    return loaded_by_hand(network, pixel_um=list(pixel_um), **facts)


def predicted(model, stack, **options):
    options.setdefault("precision", "float32")
    return drain(predict_steps(model.bundle, stack, loaded=model, **options))


def em(data, pixel_um, axes="ZYX"):
    """A stack of that pixel size (Y, X), 50 nm thick."""
    letters = [axis for axis in axes if axis in "ZYX"]
    known = {"Z": 0.05, "Y": pixel_um[0], "X": pixel_um[1]}
    return Stack(data, axes, tuple(known[axis] for axis in letters), "em")


def noise(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 200, shape).astype(np.uint8)


@pytest.fixture
def tiny_tiles(monkeypatch):
    monkeypatch.setattr(Forward, "largest_px", lambda self, gradient=False: 40**2 if self.spatial == 2 else 20**3)


@pytest.mark.parametrize(("pixel_um", "step"), [((0.004, 0.004), 8), ((0.008, 0.008), 4), ((0.002, 0.002), 16), ((0.004, 0.008), 4)])
@pytest.mark.parametrize("axes", ["ZYX", "XYZ", "YX"])
def test_a_network_that_looks_32_nm_to_the_right_does_so_whatever_the_pixels_are(pixel_um, step, axes):
    """Class 1 where it is bright 8 of the model's pixels to the right: of a bright half, its edge moves by 32 nm."""
    kernel = torch.zeros(2, 1, 1, 17)
    kernel[1, 0, 0, 16] = 1
    sizes = {"Z": 2, "Y": 24, "X": 64}
    places = dict(zip(axes, np.indices([sizes[axis] for axis in axes]), strict=True))
    bright = (places["X"] >= 40).astype(np.float32)
    labels = predicted(learned(convolution(kernel, (0.0, -0.5))), em(bright, pixel_um, axes)).labels
    inside = places["X"] < 64 - step  # beyond the border there is nothing
    expected = places["X"] >= 40 - step
    assert labels.data.shape == bright.shape
    assert (labels.data == expected)[inside].all()


@pytest.mark.parametrize("zoom", [0.5, 0.75, 2.3])
@pytest.mark.parametrize("kind", ["2-D", "2.5-D", "3-D"])
def test_a_tiled_prediction_of_another_pixel_size_is_that_of_the_whole_planes_at_once(tiny_tiles, kind, zoom):
    spatial = 3 if kind == "3-D" else 2
    network, _ = small_unet(channels=3 if kind == "2.5-D" else 1, classes=3, spatial=spatial, depth=1)
    model = learned(network, values=(0, 1, 2), normalisation=AS_IS)
    if kind == "2.5-D":
        model = dataclasses.replace(model, neighbours=1)
    pixels = noise(5, 61, 80) / np.float32(50)
    stack = em(pixels, (LEARNED[0] / zoom, LEARNED[1] / zoom))
    result = predicted(model, stack, probabilities=True, uncertainty=True)
    grid = Grid((61, 80), (zoom, zoom))
    shown = grid.read(pixels, slice(0, grid.shape[0]), slice(0, grid.shape[1]))
    with torch.no_grad():
        if kind == "3-D":
            chances = network(torch.from_numpy(shown)[None, None]).softmax(1)[0].transpose(0, 1)
        else:
            order = [[max(z - 1, 1 - z), z, min(z + 1, 7 - z)] if kind == "2.5-D" else [z] for z in range(5)]
            chances = network(torch.from_numpy(np.stack([shown[each] for each in order]))).softmax(1)
        expected = F.interpolate(chances, (61, 80), mode="bilinear", antialias=True).transpose(0, 1).numpy()
    np.testing.assert_allclose(result.probabilities.data, expected, atol=5e-5)
    np.testing.assert_allclose(result.probabilities.data.sum(0), 1, atol=1e-5)
    np.testing.assert_array_equal(result.labels.data, result.probabilities.data.argmax(0))
    alone = predicted(model, stack)
    clear = np.diff(np.sort(expected, 0)[-2:], axis=0)[0] > 1e-3
    assert (alone.labels.data == expected.argmax(0))[clear].all()


def test_slices_of_another_pixel_size_are_those_of_the_whole_prediction(tiny_tiles):
    network, _ = small_unet(spatial=3, depth=1)
    stack = em(noise(14, 30, 36) / np.float32(50), (0.008, 0.006))
    whole = predicted(learned(network), stack, probabilities=True)
    part = predicted(learned(network), stack, probabilities=True, planes=[(6,), (7,)])
    np.testing.assert_allclose(part.probabilities.data, whole.probabilities.data[:, 6:8], atol=5e-5)


@pytest.mark.parametrize(
    ("card", "spacing"),
    [
        ({}, (0.05, 0.008, 0.008)),
        ({"pixel_um": []}, (0.05, 0.008, 0.008)),
        ({"pixel_um": [0.004, 0.004]}, ()),
        ({"pixel_um": [0.0044, 0.004]}, (9, 0.004, 0.0043)),
    ],
)
def test_where_a_size_is_not_known_or_they_agree_nothing_is_resampled(card, spacing):
    network, _ = small_unet(depth=1)
    stack = Stack(noise(2, 40, 50), "ZYX", spacing)
    result = predicted(loaded_by_hand(network, **card), stack, probabilities=True)
    as_before = predicted(loaded_by_hand(network), stack, probabilities=True)
    np.testing.assert_array_equal(result.probabilities.data, as_before.probabilities.data)
    assert "resampled" not in result.history[0].params


def test_resampling_can_be_switched_off_and_is_told_where_it_is_on():
    network, _ = small_unet(depth=1)
    model, stack = learned(network), em(noise(2, 40, 50), (0.008, 0.008))
    seen: list = []
    on = drain(predict_steps(model.bundle, stack, loaded=model, precision="float32"), seen.append)
    assert seen[0].label == "Image has 8 nm pixels, the model learned at 4 nm: planes are resampled by 2."
    assert on.history[0].params["resampled"] is True
    assert (on.history[0].params["image_pixel_um"], on.history[0].params["model_pixel_um"]) == ([0.008, 0.008], [0.004, 0.004])
    off = predicted(model, stack, resample="off", probabilities=True)
    plain = predicted(loaded_by_hand(network), stack, probabilities=True)
    np.testing.assert_array_equal(off.probabilities.data, plain.probabilities.data)
    assert "resampled" not in off.history[0].params
    with pytest.raises(ParameterError, match="resample = 'yes'"):
        predicted(model, stack, resample="yes")


def test_a_pixel_size_beyond_belief_is_told_and_nothing_is_resampled():
    network, _ = small_unet(depth=1)
    seen: list = []
    model, stack = learned(network), em(noise(1, 32, 32), (353.0, 353.0))
    result = drain(predict_steps(model.bundle, stack, loaded=model, precision="float32"), seen.append)
    assert "taken to be wrong" in seen[0].label
    assert result.history[0].params["resampled"] is False
    np.testing.assert_array_equal(result.labels.data, predicted(model, stack, resample="off").labels.data)


def test_progress_goes_by_tiles_and_a_cancel_leaves_nothing_behind(tiny_tiles):
    network, _ = small_unet(depth=1)
    model, stack = learned(network), em(noise(1, 60, 60), (0.008, 0.008))
    steps = predict_steps(model.bundle, stack, loaded=model, precision="float32")
    seen = list(itertools.islice(steps, 4))
    steps.close()
    tiles = [progress for progress in seen if progress.label == "tile"]
    assert len(tiles) == 3
    assert 0 < tiles[0].fraction < tiles[1].fraction < 1
    assert tiles[0].total == 120 * 120


def test_gaps_in_a_picture_do_not_spread():
    pixels = np.full((1, 30, 30), 10.0, np.float32)
    pixels[0, 4, 5] = np.nan
    kernel = torch.tensor([0.0, 1.0]).reshape(2, 1, 1, 1)
    result = predicted(learned(convolution(kernel, (0.0, -5.0))), em(pixels, (0.01, 0.01)), probabilities=True)
    assert np.isfinite(result.probabilities.data).all()
    assert (result.labels.data == 1).all()


@pytest.mark.parametrize("pixel_um", [(0.008, 0.008), (0.002, 0.0025)])
def test_gaps_are_closed_on_the_pixels_of_the_image(tiny_tiles, pixel_um):
    network = convolution(torch.eye(2).reshape(2, 2, 1, 1))
    model = dataclasses.replace(learned(network), separator=0)
    chance = np.random.default_rng(0).uniform(0.05, 0.6, (2, 45, 52)).astype(np.float32)
    chance[:, 20], chance[:, :, 30], chance[:, 20, 11] = 0.95, 0.95, 0.1
    stack = em(np.log(np.stack([chance, 1 - chance])), pixel_um, "CZYX")
    apart = predicted(model, stack, probabilities=True, close_gaps=False).probabilities.data
    result = predicted(model, stack, probabilities=True)
    expected = [drain(closed_contours_steps(np.ascontiguousarray(plane))) for plane in apart[0]]
    np.testing.assert_allclose(result.probabilities.data[0], expected, atol=1e-4)
    assert (result.history[0].params["close_gaps"], result.history[0].params["resampled"]) == (True, True)


def test_tiles_of_a_network_without_padding_are_resampled_as_the_whole(monkeypatch):
    from napari_segtool.nets.unet2015 import UNet2015Params, build_unet2015

    torch.manual_seed(0)
    network = build_unet2015(UNet2015Params(base_channels=1), 1, 2, 2).eval()
    model, stack = learned(network), em(noise(1, 50, 70) / np.float32(50), (0.006, 0.006))
    whole = predicted(model, stack, probabilities=True).probabilities.data
    monkeypatch.setattr(Forward, "largest_px", lambda self, gradient=False: 48 * 48)
    tiled = predicted(model, stack, probabilities=True).probabilities.data
    np.testing.assert_allclose(tiled, whole, atol=5e-5)
    grid = Grid((50, 70), (4 / 6, 4 / 6))
    with torch.no_grad():
        chances = network(torch.from_numpy(grid.read(stack.data, slice(0, grid.shape[0]), slice(0, grid.shape[1])))[None]).softmax(1)
        expected = F.interpolate(chances, (50, 70), mode="bilinear", antialias=True)[0].numpy()
    np.testing.assert_allclose(whole[:, 0], expected, atol=5e-5)


def test_the_command_line_tells_of_it_and_can_switch_it_off(tmp_path, capsys):
    bundle = saved_unet(tmp_path / "model", depth=1, card={"pixel_um": [0.004, 0.004]})
    stack = em(noise(2, 40, 48), (0.008, 0.008))
    api.write(stack, tmp_path / "image.tif")
    words = ["predict", str(bundle.path), str(tmp_path / "image.tif"), "-o", str(tmp_path / "out.tif")]
    assert run(words) == 0
    assert "Image has 8 nm pixels, the model learned at 4 nm: planes are resampled by 2." in capsys.readouterr().out
    np.testing.assert_array_equal(api.read(tmp_path / "out.tif").data, api.predict(bundle, stack).labels.data)
    assert run([*words, "--resample", "off"]) == 0
    assert "resampled" not in capsys.readouterr().out
    np.testing.assert_array_equal(api.read(tmp_path / "out.tif").data, api.predict(bundle, stack, resample="off").labels.data)
