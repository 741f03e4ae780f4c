"""A network from within, on networks made by hand whose answers are known."""

import numpy as np
import pytest
import torch
from torch import nn

from napari_segtool.core.errors import ParameterError
from napari_segtool.core.progress import drain
from napari_segtool.core.stack import Stack
from napari_segtool.core.target import Target
from napari_segtool.explain._within_layers import activations_steps, filters_steps, layers_steps
from napari_segtool.explain._within_patches import layer_reach_px, patches_steps
from napari_segtool.explain._within_reach import receptive_field_steps
from tests.hand_models import convolution, loaded_by_hand, small_unet


def noise(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def ask(verb, model, *what, **more):
    return drain(verb(model.bundle, *what, loaded=model, **more))


def cross_finder():
    """Feature 0 is the picture, feature 1 answers to crosses; then a mean over 2 by 2 pixels, enlarged again."""
    kernels = torch.zeros(2, 1, 3, 3)
    kernels[0, 0, 1, 1] = 1
    kernels[1, 0] = torch.tensor([[-1, 1, -1], [1, 1, 1], [-1, 1, -1.0]])
    return loaded_by_hand(nn.Sequential(convolution(kernels), nn.AvgPool2d(2), convolution(torch.eye(2).reshape(2, 2, 1, 1)), nn.Upsample(scale_factor=2)))


def put_cross(plane, y, x, strength=1.0):
    plane[y, x - 1 : x + 2] = strength
    plane[y - 1 : y + 2, x] = strength


def test_layers_are_listed_in_the_order_they_work_with_features_scale_and_weights():
    layers = ask(layers_steps, loaded_by_hand(small_unet(depth=2, normalisation="none")[0]))
    assert [layer.name for layer in layers] == ["down.0", "down.1", "bottom", "unpool.0", "up.0", "unpool.1", "up.1"]
    known = {layer.name: layer for layer in layers}
    assert (known["down.1"].features, known["down.1"].scale_px) == (8, (2, 2))
    assert (known["bottom"].features, known["bottom"].scale_px) == (16, (4, 4))
    assert known["down.0"].weights == (9 * 1 * 4 + 4) + (9 * 4 * 4 + 4)


@pytest.mark.parametrize("settings", [{}, {"residual": True, "deep_supervision": True, "dropout": 0.5}, {"spatial": 3, "normalisation": "group"}])
def test_layers_have_the_names_that_the_drawing_gives_them(settings):
    from napari_segtool.api import describe_network

    settings = {"depth": 2, "base_channels": 8, **settings}
    layers = ask(layers_steps, loaded_by_hand(small_unet(**settings)[0]))
    drawn = {block.name: block for block in describe_network("unet", **settings).blocks}
    assert [drawn[layer.name].shape_out[0] for layer in layers] == [layer.features for layer in layers]
    assert {name for name in drawn if name not in {layer.name for layer in layers}} == {"pool.0", "pool.1", "head"}


def test_the_first_layers_filters_are_its_kernels_a_page_each():
    filters = ask(filters_steps, cross_finder())
    assert (filters.axes, filters.shape, filters.memo["layer"]) == ("QCYX", (2, 1, 3, 3), "0")
    np.testing.assert_array_equal(filters.data[1, 0], [[-1, 1, -1], [1, 1, 1], [-1, 1, -1]])


def test_filters_of_a_block_are_those_of_its_first_convolution_and_of_a_volume_they_are_volumes():
    assert ask(filters_steps, loaded_by_hand(small_unet(depth=1)[0]), layer="bottom").memo["layer"] == "bottom.0"
    assert ask(filters_steps, loaded_by_hand(small_unet(depth=1, spatial=3)[0])).axes == "QCZYX"
    with pytest.raises(ParameterError, match="attic"):
        ask(filters_steps, cross_finder(), layer="attic")
    with pytest.raises(ParameterError, match="no convolution"):
        ask(filters_steps, cross_finder(), layer="1")


def test_activations_lie_on_the_layers_grid_and_line_up_with_the_image():
    pixels = np.zeros((3, 12, 15), np.float32)
    pixels[2, 6:8, 10:12] = 1
    stack = Stack(pixels, "ZYX", (0.05, 0.01, 0.02))
    seen = ask(activations_steps, cross_finder(), stack, "2", plane=(2,), features=(0,))
    assert (seen.axes, seen.shape) == ("CZYX", (1, 1, 6, 8))
    assert seen.spacing_um == (0.05, 0.02, 0.04)
    assert seen.memo["plane"] == (2,)
    assert (seen.memo["scale_px"], seen.memo["offset_px"]) == ((2.0, 2.0), (0.5, 0.5))
    expected = np.zeros((6, 8))
    expected[3, 5] = 1
    np.testing.assert_allclose(seen.data[0, 0], expected, atol=1e-6)
    assert ask(activations_steps, cross_finder(), stack, "0").shape == (2, 1, 12, 15)


def test_activations_in_tiles_are_those_of_the_whole_picture():
    network, _ = small_unet(depth=2)
    model, pixels = loaded_by_hand(network), noise(72, 200)
    whole = {}
    hook = network.up[0].register_forward_hook(lambda _m, _i, output: whole.update(maps=output))
    with torch.no_grad():
        network(torch.from_numpy(pixels)[None, None])
    hook.remove()
    model.forward.largest_px = lambda gradient=False: 72 * 160
    seen = ask(activations_steps, model, Stack(pixels, "YX"), "up.0")
    assert seen.shape == (8, 36, 100)
    np.testing.assert_allclose(seen.data, whole["maps"][0, :, :36, :100].numpy(), atol=1e-4)


def test_activations_of_a_volume_are_the_layers_plane_nearest():
    model = loaded_by_hand(small_unet(depth=1, spatial=3)[0])
    seen = ask(activations_steps, model, Stack(noise(6, 16, 18), "ZYX"), "bottom", plane=(3,))
    assert (seen.axes, seen.shape) == ("CZYX", (8, 1, 8, 9))


def test_an_unknown_layer_or_feature_is_refused_with_those_there_are():
    stack = Stack(noise(16, 16), "YX")
    with pytest.raises(ParameterError, match="attic") as refused:
        ask(activations_steps, cross_finder(), stack, "attic")
    assert "2" in refused.value.hint
    with pytest.raises(ParameterError, match="no feature 7"):
        ask(activations_steps, cross_finder(), stack, "0", features=(7,))
    with pytest.raises(ParameterError, match="no feature 2"):
        ask(patches_steps, cross_finder(), [stack], "0", 2)
    with pytest.raises(ParameterError, match="no image"):
        ask(patches_steps, cross_finder(), [], "0", 0)


def test_the_patches_of_a_cross_finder_are_the_crosses_of_all_images_strongest_first():
    first, second = np.zeros((2, 40, 50), np.float32), np.zeros((60, 40), np.float32)
    put_cross(first[1], 12, 31, 2.0)
    put_cross(second, 50, 8, 3.0)
    put_cross(second, 20, 20, 1.0)
    second[5:8, 5:8] = 2  # a square is no cross
    stacks = [Stack(first, "ZYX"), Stack(second, "YX")]
    model = cross_finder()
    patches = ask(patches_steps, model, stacks, "0", 1, count=3, patch_px=16)
    assert [(patch.image, patch.plane, patch.centre) for patch in patches] == [(1, (), (50, 8)), (0, (1,), (12, 31)), (1, (), (20, 20))]
    assert [patch.value for patch in patches] == pytest.approx([15, 10, 5])
    assert patches[1].box == (4, 23, 20, 39)
    np.testing.assert_array_equal(patches[1].pixels, first[1, 4:20, 23:39])
    model.forward.largest_px = lambda gradient=False: 16 * 16
    assert [patch.centre for patch in ask(patches_steps, model, stacks, "0", 1, count=3, patch_px=16)] == [(50, 8), (12, 31), (20, 20)]


def test_patches_of_a_volume_name_the_plane():
    kernels = torch.zeros(2, 1, 3, 3, 3)
    kernels[:, 0, 1, 1, 1] = 1
    model = loaded_by_hand(nn.Sequential(convolution(kernels), convolution(torch.eye(2).reshape(2, 2, 1, 1, 1))))
    pixels = np.zeros((5, 20, 22), np.float32)
    pixels[3, 11, 14] = 1
    (patch,) = ask(patches_steps, model, [Stack(pixels, "ZYX")], "0", 0, count=1, patch_px=8)
    assert (patch.plane, patch.centre) == ((3,), (11, 14))
    assert patch.pixels.shape == (8, 8)


def test_a_patch_is_as_large_as_what_the_feature_sees():
    wide = nn.Sequential(convolution(torch.ones(1, 1, 21, 21)), convolution(torch.ones(2, 1, 1, 1)))
    forward = loaded_by_hand(wide).forward
    assert layer_reach_px(forward, forward.network[0], (1, 1)) == 21


def test_searching_can_be_left_between_two_tiles():
    steps = patches_steps(cross_finder().bundle, [Stack(noise(9, 32, 32), "ZYX")], "0", 1, loaded=cross_finder())
    seen = [next(steps) for _ in range(4)]
    steps.close()
    assert 0 < seen[-1].fraction < 1


def test_the_effective_receptive_field_of_two_means_is_their_pyramid():
    """A mean over 3 by 3 pixels twice: influence falls as 1 2 3 2 1 along each axis."""
    network = nn.Sequential(
        convolution(torch.full((1, 1, 3, 3), 1 / 9)), convolution(torch.tensor([-1.0, 1.0]).reshape(2, 1, 1, 1) * torch.full((2, 1, 3, 3), 1 / 9))
    )
    field = ask(receptive_field_steps, loaded_by_hand(network), Stack(noise(4, 20, 24), "ZYX"), Target(1, point=(2, 9, 13)), smoothing_px=0)
    line = np.array([1, 2, 3, 2, 1]) / 3
    expected = np.zeros((20, 24))
    expected[7:12, 11:16] = np.outer(line, line)
    np.testing.assert_allclose(field.map.data[0], expected, atol=1e-5)
    assert field.map.memo["plane"] == (2,)
    assert field.side_px == 5
    assert (field.outline.min(0).tolist(), field.outline.max(0).tolist()) == ([7, 11], [11, 15])
    assert field.box == (7, 11, 12, 16)


def test_the_effective_field_of_a_network_is_smaller_than_what_it_could_see():
    model = loaded_by_hand(small_unet(depth=2)[0])
    field = ask(receptive_field_steps, model, Stack(noise(96, 96), "YX"), Target(0, point=(48, 48)))
    assert 3 < field.side_px < field.box[2] - field.box[0]
    with pytest.raises(ParameterError, match="none was given"):
        ask(receptive_field_steps, model, Stack(noise(96, 96), "YX"), Target(0))
