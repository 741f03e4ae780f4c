"""What every explainer promises, whoever wrote it."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from napari_segtool.core.params import describe
from napari_segtool.core.progress import drain
from napari_segtool.core.registry import EXPLAINERS
from napari_segtool.core.stack import Stack
from napari_segtool.core.target import Region, Target
from napari_segtool.explain._explain import explain_steps
from napari_segtool.nets._forward import Forward
from tests.hand_models import AS_IS, convolution, loaded_by_hand, small_unet

pytestmark = pytest.mark.parametrize("name", EXPLAINERS.names())


def noise(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def explained(name, model, stack, target, **params):
    return drain(explain_steps(model.bundle, stack, name, target, loaded=model, **params))


def bright_is_the_class(channels, decides=0):
    """Class 1 is where one channel is above 0, class 0 where it is below; the other channels do nothing."""
    kernels = torch.zeros(2, channels, 3, 3)
    kernels[0, decides, 1, 1], kernels[1, decides, 1, 1] = -1, 1
    return nn.Sequential(convolution(kernels), nn.ReLU(), convolution(torch.eye(2).reshape(2, 2, 1, 1)))


@pytest.fixture(scope="module")
def models():
    return {spatial: loaded_by_hand(small_unet(spatial=spatial, depth=1, base_channels=8, seed=1)[0]) for spatial in (2, 3)}


DRAWN = Region.of_pixels([(1, y, x) for y in range(6, 12) for x in range(3, 9)])


@pytest.mark.parametrize("target", [Target(1, plane=(1,)), Target(1, point=(1, 9, 4)), Target(1, region=DRAWN), Target(1, plane=(1,), against=0)])
@pytest.mark.parametrize("spatial", [2, 3])
def test_the_map_is_a_finite_float32_picture_that_lines_up_with_its_plane(name, models, spatial, target):
    overlay = explained(name, models[spatial], Stack(noise(3, 20, 17), "ZYX", (0.05, 0.01, 0.01)), target)
    assert overlay.shape == (1, 20, 17)
    assert overlay.data.dtype == np.float32
    assert np.isfinite(overlay.data).all()
    assert overlay.axes == "ZYX"
    assert overlay.spacing_um == (0.05, 0.01, 0.01)
    assert overlay.memo["plane"] == (1,)
    assert overlay.data.any()


def test_a_single_picture_gives_a_single_picture(name, models):
    assert explained(name, models[2], Stack(noise(20, 17), "YX"), Target(0)).shape == (20, 17)


def test_a_model_that_ignores_its_input_has_nothing_to_show(name):
    blind = nn.Sequential(convolution(torch.zeros(2, 1, 3, 3)), nn.ReLU(), convolution(torch.ones(2, 2, 1, 1), (0.0, 1.0)))
    for target in (Target(1), Target(0), Target(1, point=(4, 5)), Target(1, region=Region.of_pixels([(4, 5), (9, 2)])), Target(1, against=0)):
        assert not explained(name, loaded_by_hand(blind), Stack(noise(16, 16), "YX"), target).data.any()


def test_a_bright_spot_that_alone_makes_the_class_is_the_maximum(name):
    kernels = torch.zeros(2, 1, 3, 3)
    kernels[0, 0, 1, 1], kernels[1, 0, 1, 1] = -1, 1
    network = nn.Sequential(convolution(kernels), nn.ReLU(), convolution(torch.eye(2).reshape(2, 2, 1, 1)))
    pixels = -0.1 * np.abs(noise(16, 16))
    pixels[6, 11] = 5
    finest = {"patch_px": 1, "stride_px": 1} if "windows" in EXPLAINERS.get(name).traits else {}
    drawn = explained(name, loaded_by_hand(network), Stack(pixels, "YX"), Target(1), **finest).data
    assert np.unravel_index(drawn.argmax(), drawn.shape) == (6, 11)


@pytest.mark.parametrize("place", [(3, 4), (40, 2), (8, 46)])
def test_the_pixel_at_a_known_place_that_alone_decides_gets_the_maximum(name, place):
    model, pixels = loaded_by_hand(bright_is_the_class(channels=1)), -0.1 * np.abs(noise(48, 48))
    pixels[place] = 5
    for target in (Target(1), Target(1, point=place), Target(1, against=0), Target(1, region=Region(np.ones((48, 48), bool)))):
        drawn = explained(name, model, Stack(pixels, "YX"), target).data
        assert drawn[place] == drawn.max() > 0
        if target.region is None:  # DeconvNet looks the same wherever it is asked about
            assert (drawn < 0.999 * drawn.max()).mean() > 0.5


def test_of_several_channels_only_the_one_that_decides_matters(name):
    model = loaded_by_hand(bright_is_the_class(channels=3, decides=1))
    pixels = np.abs(noise(3, 48, 48)) + 1
    pixels[1] = -0.1
    pixels[1, 5, 9] = 5
    drawn = explained(name, model, Stack(pixels, "CYX"), Target(1)).data
    assert drawn[5, 9] == drawn.max() > 0
    others = pixels.copy()
    others[[0, 2]] *= -7
    np.testing.assert_allclose(explained(name, model, Stack(others, "CYX"), Target(1)).data, drawn, rtol=1e-4, atol=1e-6)


def test_a_network_that_is_shown_neighbouring_slices_is_explained_too(name):
    model = replace(loaded_by_hand(small_unet(3, base_channels=8, depth=1, seed=1)[0], normalisation=AS_IS), neighbours=1)
    stack = Stack(noise(4, 20, 17), "ZYX")
    drawn = explained(name, model, stack, Target(1, plane=(2,))).data
    assert drawn.shape == (1, 20, 17)
    assert np.isfinite(drawn).all()
    assert drawn.any()
    far = Stack(stack.data.copy(), "ZYX")
    far.data[0] = 99  # not shown for plane 2
    np.testing.assert_array_equal(explained(name, model, far, Target(1, plane=(2,))).data, drawn)


@pytest.mark.parametrize("when", [1, 2, 3])
def test_wherever_it_is_stopped_the_network_is_as_it_was(name, models, when):
    model, stack = models[2], Stack(noise(20, 20), "YX")
    batch = torch.from_numpy(stack.data)[None, None]
    expected, in_place = model.forward.differentiable(batch), [getattr(module, "inplace", None) for module in model.forward.network.modules()]
    steps = explain_steps(model.bundle, stack, name, Target(1), loaded=model)
    list(itertools.islice(steps, when))
    steps.close()
    assert [getattr(module, "inplace", None) for module in model.forward.network.modules()] == in_place
    hooks = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    assert not any(getattr(module, kind) for module in model.forward.network.modules() for kind in hooks)
    np.testing.assert_array_equal(model.forward.differentiable(batch).numpy(), expected.numpy())


def test_after_an_error_the_network_is_as_it_was(name, models, monkeypatch):
    model, stack = models[2], Stack(noise(20, 20), "YX")
    plain = Forward.differentiable

    def broken(self, batch):
        plain(self, batch)
        raise ValueError("broken on purpose")

    monkeypatch.setattr(Forward, "differentiable", broken)
    monkeypatch.setattr(Forward, "logits", broken)
    with pytest.raises(ValueError, match="on purpose"):
        explained(name, model, stack, Target(1))
    assert not any(module._forward_hooks for module in model.forward.network.modules())
    x = torch.tensor([-1.0, 2.0], requires_grad=True)
    (torch.relu(x) * torch.tensor([1.0, -1.0])).sum().backward()
    assert x.grad.tolist() == [0, -1]  # no other rule is left in force


def test_the_input_is_left_alone_and_the_answer_is_the_same_twice(name, models):
    pixels = noise(20, 20)
    before = pixels.copy()
    first, second = (explained(name, models[2], Stack(pixels, "YX"), Target(1)).data for _ in range(2))
    np.testing.assert_array_equal(pixels, before)
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("fill", [0.0, np.nan])
def test_a_picture_without_contrast_or_with_gaps_gives_finite_numbers(name, models, fill):
    pixels = np.full((20, 20), 3.0, np.float32)
    pixels[5:9] = fill
    assert np.isfinite(explained(name, models[2], Stack(pixels, "YX"), Target(1)).data).all()


def test_every_parameter_works_at_its_bounds(name, models):
    for field in describe(EXPLAINERS.get(name).params):
        for value in [bound for bound in (field.minimum, field.maximum) if bound is not None] + list(field.choices) + [True, False] * (field.kind == "bool"):
            given = int(value) if field.kind == "int" else value
            overlay = explained(name, models[2], Stack(noise(24, 24), "YX"), Target(1), **{field.name: given})
            assert np.isfinite(overlay.data).all()


def test_it_can_be_stopped_after_one_step_and_asked_again(name, models):
    stack = Stack(noise(20, 20), "YX")
    steps = explain_steps(models[2].bundle, stack, name, Target(1), loaded=models[2])
    next(steps)
    steps.close()
    assert np.isfinite(explained(name, models[2], stack, Target(1)).data).all()
