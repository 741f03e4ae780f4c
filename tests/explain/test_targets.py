import numpy as np
import pytest
import torch

from napari_segtool.core.errors import AxesError, DataError, ModelError
from napari_segtool.core.labels import Labels
from napari_segtool.core.progress import drain
from napari_segtool.core.stack import Stack
from napari_segtool.core.target import Region, Target
from napari_segtool.explain._explain import explain_steps
from napari_segtool.explain._question import Question
from napari_segtool.nets._forward import Forward
from tests.hand_models import convolution, loaded_by_hand, small_unet


def noise(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def explained(model, stack, target, explainer="gradient", **params):
    return drain(explain_steps(model.bundle, stack, explainer, target, loaded=model, **params))


def weighing(*weights):
    """The logit of class k at a pixel is ``weights[k]`` times the pixel."""
    return loaded_by_hand(convolution(torch.tensor(weights).reshape(-1, 1, 1, 1)), values=tuple(range(len(weights))))


def test_a_region_is_cut_to_the_box_it_fills_whatever_it_is_made_of():
    labels = np.zeros((4, 6, 7), np.uint16)
    labels[1:3, 2, 3:5] = 9
    labels[2, 4, 4] = 9
    expected = labels[1:3, 2:5, 3:5] == 9
    regions = [Region(labels == 9), Region.of_object(labels, 9), Region.of_object(Labels(labels, "ZYX"), 9), Region.of_pixels(np.argwhere(labels == 9))]
    for region in [*regions, Region(labels[1:] == 9, (1, 0, 0))]:
        assert region.start == (1, 2, 3)
        np.testing.assert_array_equal(region.mask, expected)
        assert region.pixels == 5


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (lambda: Region(np.zeros((3, 3), bool)), DataError),
        (lambda: Region.of_object(np.zeros((3, 3), int), 4), DataError),
        (lambda: Region.of_pixels([]), DataError),
        (lambda: Region(np.ones((3, 3), bool), (1,)), AxesError),
        (lambda: Region(np.ones((3, 3), bool), (-1, 0)), AxesError),
    ],
)
def test_a_region_without_pixels_or_with_a_corner_that_does_not_fit_is_refused(make, kind):
    with pytest.raises(kind) as refused:
        make()
    assert refused.value.hint


def test_of_a_region_exactly_its_pixels_are_asked_about_and_the_plane_is_that_with_most_of_it():
    region = Region.of_pixels([(1, 3, 3), (2, 5, 6), (2, 9, 2)])
    model, stack = weighing(0.0, 2.0), Stack(noise(4, 12, 10), "ZYX")
    overlay = explained(model, stack, Target(1, region=region), show="sign")
    assert overlay.memo["plane"] == (2,)
    assert np.argwhere(overlay.data).tolist() == [[0, 5, 6], [0, 9, 2]]
    assert np.argwhere(explained(model, stack, Target(1, plane=(1,), region=region)).data).tolist() == [[0, 3, 3]]
    (step,) = overlay.memo["history"]
    assert step.params["region"] == {"start": [1, 3, 2], "pixels": 3}
    assert step.inputs["region"]


def test_a_region_drawn_on_one_plane_lies_in_the_plane_that_is_given_in_any_order_of_axes():
    model = weighing(0.0, 2.0)
    overlay = explained(model, Stack(noise(4, 12, 10), "ZYX"), Target(1, plane=(3,), region=Region.of_pixels([(7, 1)])))
    assert np.argwhere(overlay.data).tolist() == [[0, 7, 1]]
    turned = Stack(noise(10, 4, 12), "XTY")
    overlay = explained(model, turned, Target(1, plane=(3,), region=Region.of_pixels([(1, 7)])))
    assert np.argwhere(overlay.data).tolist() == [[1, 0, 7]]
    overlay = explained(model, turned, Target(1, region=Region.of_pixels([(1, 3, 7)])))
    assert np.argwhere(overlay.data).tolist() == [[1, 0, 7]]


def test_in_a_volume_all_of_an_object_is_asked_about_whatever_plane_is_shown():
    kernels = torch.zeros(2, 1, 3, 1, 1)
    kernels[1, 0, 0], kernels[1, 0, 2] = 5, 7  # the sections above and below
    model, stack = loaded_by_hand(convolution(kernels)), Stack(noise(7, 8, 9), "ZYX")
    region = Region.of_pixels([(2, 4, 4), (4, 4, 4)])
    assert explained(model, stack, Target(1, plane=(3,), region=region)).data[0, 4, 4] == 12  # 7 from section 2, 5 from section 4
    assert explained(model, stack, Target(1, plane=(1,), region=region)).data[0, 4, 4] == 5
    assert not explained(model, stack, Target(1, plane=(6,), region=region)).data.any()


@pytest.mark.parametrize("explainer", ["gradient", "gradcam"])
def test_a_region_explained_in_parts_is_that_explained_at_once(monkeypatch, explainer):
    model, stack = loaded_by_hand(small_unet(depth=1)[0]), Stack(noise(101, 90), "YX")
    target = Target(1, region=Region(noise(101, 90, seed=1) > 0.5))
    monkeypatch.setattr("napari_segtool.nets._loaded._CHEAP", 100)
    whole = explained(model, stack, target, explainer).data
    monkeypatch.setattr(Forward, "largest_px", lambda self, gradient=False: 40 * 40)
    assert len(list(Question(model, stack, target).parts())) > 4
    np.testing.assert_allclose(explained(model, stack, target, explainer).data, whole, rtol=1e-3, atol=1e-4 * np.abs(whole).max())


def test_a_region_of_all_pixels_predicted_to_have_the_class_is_the_question_about_the_class():
    network, _ = small_unet()
    pixels = noise(40, 36)
    with torch.no_grad():
        chosen = network(torch.from_numpy(pixels)[None, None])[0].argmax(0) == 1
    model, stack = loaded_by_hand(network), Stack(pixels, "YX")
    drawn = explained(model, stack, Target(1, region=Region(chosen.numpy())))
    np.testing.assert_allclose(drawn.data, explained(model, stack, Target(1)).data, rtol=1e-3, atol=1e-6)


def test_against_another_class_the_difference_of_both_logits_is_explained():
    model, stack = weighing(1.0, 3.0, -4.0), Stack(np.abs(noise(6, 6)), "YX")
    assert (explained(model, stack, Target(1, against=2), show="sign").data == 7).all()
    assert (explained(model, stack, Target(1, against=0), show="sign").data == 2).all()
    assert (explained(model, stack, Target(1), show="sign").data == 3).all()
    with pytest.raises(ModelError, match="no class 8"):
        explained(model, stack, Target(1, against=8))


@pytest.mark.parametrize(
    ("target", "match"),
    [
        (Target(1, point=(0, 1, 1), region=Region.of_pixels([(0, 1, 1)])), "Both"),
        (Target(1, region=Region.of_pixels([(0, 1, 12)])), "beyond"),
        (Target(1, region=Region.of_pixels([(3, 1, 1)])), "plane 3"),
        (Target(1, plane=(1,), region=Region.of_pixels([(0, 1, 1)])), "no pixel in the plane"),
        (Target(1, region=Region.of_pixels([(1, 1)])), "2 dimensions"),
        (Target(1, region=Region.of_pixels([(0, 0, 1, 1)])), "4 dimensions"),
    ],
)
def test_a_region_that_is_not_in_the_image_is_refused_with_a_hint(target, match):
    with pytest.raises(AxesError, match=match) as refused:
        explained(weighing(0.0, 1.0), Stack(noise(3, 10, 12), "ZYX"), target)
    assert refused.value.hint


@pytest.mark.parametrize("target", [Target(1, point=(12, 30, 33)), Target(1, plane=(12,)), Target(1, region=Region.of_pixels([(12, 30, 33), (14, 31, 30)]))])
def test_what_a_pixel_of_a_volume_can_depend_on_is_cut_to_the_memory_there_is(monkeypatch, target):
    model, stack = loaded_by_hand(small_unet(spatial=3, depth=2, base_channels=2)[0]), Stack(noise(24, 64, 64), "ZYX")
    limit = 20 * 40 * 40
    whole = explained(model, stack, target, show="sign").data
    monkeypatch.setattr(Forward, "largest_px", lambda self, gradient=False: limit)
    tiles = Question(model, stack, target).tiles()
    assert np.prod([2 * n + 1 for n in model.halo]) > limit
    assert max(np.prod(tile.outer_shape) for tile in tiles) <= limit
    cut = explained(model, stack, target, show="sign").data
    assert np.sum(whole * cut) / np.linalg.norm(whole) / np.linalg.norm(cut) > 0.95
