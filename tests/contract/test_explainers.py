"""What every explainer promises, whoever wrote it."""

import numpy as np
import pytest
import torch
from torch import nn

from napari_segtool.core.params import describe
from napari_segtool.core.progress import drain
from napari_segtool.core.registry import EXPLAINERS
from napari_segtool.core.stack import Stack
from napari_segtool.core.target import Target
from napari_segtool.explain._explain import explain_steps
from tests.hand_models import convolution, loaded_by_hand, small_unet

pytestmark = pytest.mark.parametrize("name", EXPLAINERS.names())


def noise(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def explained(name, model, stack, target, **params):
    return drain(explain_steps(model.bundle, stack, name, target, loaded=model, **params))


@pytest.fixture(scope="module")
def models():
    return {spatial: loaded_by_hand(small_unet(spatial=spatial, depth=1)[0]) for spatial in (2, 3)}


@pytest.mark.parametrize("target", [Target(1, plane=(1,)), Target(1, point=(1, 9, 4))])
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
    for target in (Target(1), Target(0), Target(1, point=(4, 5))):
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
