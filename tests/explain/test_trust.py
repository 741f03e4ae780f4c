"""Checks of explanations: a map that ignores the network is found out, one that follows it passes."""

import json

import numpy as np
import pytest
import torch
from torch import nn

from napari_segtool.core.errors import ParameterError
from napari_segtool.core.params import Params
from napari_segtool.core.progress import Progress, drain
from napari_segtool.core.registry import EXPLAINERS
from napari_segtool.core.stack import Stack
from napari_segtool.core.target import Region, Target
from napari_segtool.core.trust import Curve, Likeness, TrustParams, TrustReport
from napari_segtool.explain._question import Question
from napari_segtool.explain._trust import trust_steps
from napari_segtool.explain._trust_curves import area_under, curves_steps, ordered_blocks
from napari_segtool.explain._trust_likeness import likeness, rank_correlation
from napari_segtool.explain._trust_random import grouped, weighted_blocks, with_random_weights
from napari_segtool.explain._trust_words import on_curve, on_randomisation, on_repeatability
from tests.hand_models import convolution, loaded_by_hand, small_unet

SETTINGS = {"occlusion": {"patch_px": 8, "stride_px": 8}, "smoothgrad": {"samples": 2}, "integrated-gradients": {"steps": 4}}
QUICK = TrustParams(layers=2, steps=8, draws=2)


def noise(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def blobs(side=64, seed=0):
    """Bright discs on a noisy ground, and where they are."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side]
    inside = np.zeros((side, side), bool)
    for cy, cx in rng.integers(6, side - 6, (7, 2)):
        inside |= (y - cy) ** 2 + (x - cx) ** 2 < 25
    return (rng.normal(0, 0.5, (side, side)) + 2 * inside).astype(np.float32), inside


IN_A_DISC = tuple(int(i) for i in np.argwhere(blobs(seed=9)[1])[40])


@pytest.fixture(scope="module")
def trained():
    """A tiny U-Net that has learned the discs."""
    network, _ = small_unet(depth=1, normalisation="none", seed=1)
    network.train()
    optimiser = torch.optim.Adam(network.parameters(), 1e-2)
    for step in range(60):
        pixels, inside = blobs(seed=step % 6)
        loss = nn.functional.cross_entropy(network(torch.from_numpy(pixels)[None, None]), torch.from_numpy(inside)[None].long())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert loss < 0.2
    return loaded_by_hand(network.eval())


@pytest.fixture
def edge_detector():
    """An explainer that looks at the picture only, as no explainer should."""

    def edges(question, params):
        yield Progress(0, 0)
        plane = question.plane_pixels()[0]
        return np.hypot(*np.gradient(plane)).astype(np.float32)

    EXPLAINERS.names()
    EXPLAINERS.register("edges-of-the-picture", title="Edges", summary="", params=Params)(edges)
    yield "edges-of-the-picture"
    del EXPLAINERS._entries["edges-of-the-picture"]


def checked(model, name, target, stack=None, **more):
    return drain(trust_steps(model.bundle, stack or Stack(blobs(seed=9)[0], "YX"), name, target, trust=QUICK, loaded=model, **more))


@pytest.mark.parametrize("target", [Target(1), Target(1, point=IN_A_DISC)])
def test_a_map_that_ignores_the_network_fails_the_randomisation_check(trained, edge_detector, target):
    report = checked(trained, edge_detector, target)
    assert all(step.rank == pytest.approx(1) and step.ssim == pytest.approx(1) for step in (*report.cascading, *report.independent))
    verdict = report.verdict("randomisation")
    assert verdict.passed is False
    assert "does not change when the network's weights are randomised: don't read it" in verdict.words
    assert not report.trusted


@pytest.mark.parametrize("target", [Target(1), Target(1, point=IN_A_DISC), Target(1, region=Region(blobs(seed=9)[1]))])
def test_the_gradient_of_a_trained_network_passes_the_randomisation_check(trained, target):
    report = checked(trained, "gradient", target)
    assert report.verdict("randomisation").passed
    assert report.cascading[-1].rank < 0.5
    assert report.difference < 1e-4
    assert report.cascading[-1].layers == ("down.0", "bottom", "unpool.0", "up.0", "head")
    assert len(report.independent) == 2


@pytest.mark.parametrize("name", [name for name in EXPLAINERS.names() if name != "cam"])
@pytest.mark.parametrize("target", [Target(1), Target(1, point=IN_A_DISC)])
def test_every_explainer_can_be_checked(trained, name, target):
    report = checked(trained, name, target, **SETTINGS.get(name, {}))
    assert report.explainer == EXPLAINERS.get(name).title
    assert np.isfinite(report.deletion.area)
    assert report.verdict("randomisation").passed is not None


def test_the_gradient_finds_what_the_network_uses_and_noise_as_a_map_does_not(trained):
    stack, target = Stack(blobs(seed=9)[0], "YX"), Target(1, region=Region(blobs(seed=9)[1]))
    assert checked(trained, "gradient", target, stack).verdict("deletion").passed
    question = Question(trained, stack, target)
    areas = {}
    for name, drawn in {"truth": stack.data * blobs(seed=9)[1], "noise": noise(64, 64), "worst": -stack.data * blobs(seed=9)[1]}.items():
        ranks, count = ordered_blocks(drawn, slice(0, 64), slice(0, 64), 4)
        deletion, insertion = drain(curves_steps(question, ranks, count, steps=8, measure="probability", label=""))
        areas[name] = deletion.area, insertion.area
    assert areas["truth"][0] < areas["noise"][0] < areas["worst"][0]
    assert areas["truth"][1] > areas["noise"][1] > areas["worst"][1]


def test_the_areas_of_a_sum_of_nine_weighted_pixels_are_those_worked_out_by_hand():
    """All pixels are 1 and the cover is 0: covering the pixels in an order takes their weights away in that order."""
    weights = np.array([[4, 1, 0], [2, 0, 1], [0, 0, 1.0]])
    network = convolution(torch.tensor(np.stack([0 * weights, weights])[:, None], dtype=torch.float32))
    pixels = np.zeros((20, 20), np.float32)
    pixels[9:12, 9:12] = 1
    pixels[0, 0] = -9  # the slice's mean is 0
    question = Question(loaded_by_hand(network), Stack(pixels, "YX"), Target(1, point=(10, 10)))
    drawn = np.zeros((20, 20), np.float32)
    drawn[9:12, 9:12] = weights
    ranks, count = ordered_blocks(drawn, slice(9, 12), slice(9, 12), 1)
    deletion, _ = drain(curves_steps(question, ranks, count, steps=9, measure="logit", label=""))
    assert deletion.scores == pytest.approx((9, 5, 3, 2, 1, 0, 0, 0, 0, 0), abs=1e-4)
    assert deletion.area == pytest.approx((9 / 2 + 5 + 3 + 2 + 1) / 9, abs=1e-4)
    _, insertion = drain(curves_steps(question, ranks, count, steps=9, measure="logit", label=""))
    gains = np.diff(insertion.scores)
    assert gains[0] / gains[1] == pytest.approx(2, rel=0.2)  # 4 and 2 times what the blurred picture lacks there
    assert insertion.scores[-1] == pytest.approx(9, abs=1e-4)


def test_the_area_under_scores_is_the_trapezoids():
    assert area_under([1, 1, 1, 1]) == 1
    assert area_under([4, 2, 0]) == 2
    assert area_under([1, 0]) == 0.5


def test_blocks_are_ranked_by_their_mean_within_the_part_that_counts():
    drawn = np.zeros((4, 6), np.float32)
    drawn[0, 2], drawn[3, 5], drawn[3, 0] = 1, 3, 99
    ranks, count = ordered_blocks(drawn, slice(0, 4), slice(2, 6), 2)
    assert count == 4
    assert ranks[0, 2] == ranks[1, 3] == 1
    assert ranks[3, 5] == ranks[2, 4] == 0
    assert ranks[3, 0] > count


def test_maps_of_one_pixel_are_not_alike_just_because_both_fall_off_from_it():
    y, x = np.mgrid[-20:21, -20:21]
    away = np.hypot(y, x)
    fall = np.exp(-away / 4)
    first, second = fall * np.abs(noise(41, 41)), fall * np.abs(noise(41, 41, seed=1))
    assert rank_correlation(first.ravel(), second.ravel()) > 0.6
    assert abs(likeness(first, second, away).rank) < 0.1
    assert likeness(first, first, away).rank == 1


def test_empty_maps_are_alike_to_nothing():
    empty, drawn = np.zeros((9, 9)), noise(9, 9)
    assert likeness(drawn, empty, empty).rank == 0
    assert np.isnan(likeness(empty, drawn, empty).rank)


def test_random_weights_are_of_the_same_size_and_others_are_left_alone():
    model = loaded_by_hand(small_unet(depth=1)[0])
    forward = model.forward
    assert weighted_blocks(forward) == ("down.0", "bottom", "unpool.0", "up.0", "head")
    before = {name: value.clone() for name, value in forward.network.named_parameters()}
    changed = dict(with_random_weights(forward, ("bottom",), 0).network.named_parameters())
    for name, value in before.items():
        torch.testing.assert_close(dict(forward.network.named_parameters())[name], value, rtol=0, atol=0)
        assert torch.equal(changed[name], value) != name.startswith("bottom")
        if name.startswith("bottom") and value.ndim > 1:
            assert float(changed[name].norm() / value.norm()) == pytest.approx(1, abs=0.15)
    again = with_random_weights(forward, ("bottom",), 0).network.bottom[0].weight
    assert torch.equal(again, changed["bottom.0.weight"])
    assert not torch.equal(with_random_weights(forward, ("bottom",), 1).network.bottom[0].weight, again)


def test_groups_of_layers_go_from_the_last_to_the_first_and_cover_all():
    assert grouped("abcde", 9) == (("e",), ("d",), ("c",), ("b",), ("a",))
    assert [name for group in reversed(grouped("abcdefg", 3)) for name in group] == list("abcdefg")


def test_the_same_pixels_are_asked_about_whatever_the_network_has_forgotten(trained):
    """Else any map of a class would change with the class's pixels."""
    seen = []

    def look(question, params):
        for part in question.parts():
            seen.append(int(part.mask(question.logits(part.pixels)).sum()))
            yield Progress(0, 0)
        return np.ones(question.shape, np.float32)

    EXPLAINERS.names()
    EXPLAINERS.register("looker", title="Looker", summary="", params=Params)(look)
    try:
        checked(trained, "looker", Target(1))
    finally:
        del EXPLAINERS._entries["looker"]
    assert len(set(seen)) == 1
    assert 0 < seen[0] < 64 * 64


def test_a_volume_can_be_checked_too():
    model = loaded_by_hand(small_unet(depth=1, base_channels=2, spatial=3)[0])
    report = checked(model, "gradient", Target(1, point=(2, 8, 9)), Stack(noise(5, 16, 18), "ZYX"))
    assert len(report.deletion.scores) == 9
    assert report.deletion.scores[0] == pytest.approx(report.insertion.scores[-1], abs=1e-5)


def test_the_report_survives_json(trained):
    report = checked(trained, "gradient", Target(1))
    again = TrustReport.from_dict(json.loads(json.dumps(report.as_dict(), allow_nan=False)))
    assert again == report
    assert len(report.words.splitlines()) == 4


def test_words_follow_the_numbers():
    alike = [Likeness(("a",), rank, float("nan"), 0.5) for rank in (0.9, 0.5, 0.1, float("nan"))]
    assert [on_randomisation([one]).passed for one in alike] == [False, True, True, None]
    assert "only in part" in on_randomisation([alike[1]]).words
    curve, flat = Curve((0, 0.5, 1), (1, 0.2, 0), 0.35), Curve((0, 0.5, 1), (1, 0.5, 0), 0.5)
    assert on_curve("deletion", curve, flat).passed
    assert not on_curve("deletion", flat, curve).passed
    assert on_curve("insertion", Curve((0, 1), (1, 1), 1.0), flat).passed is None
    assert on_curve("deletion", Curve((0, 1), (0.1, 0.6), 0.35), flat).passed is None  # a class that is not predicted there
    assert on_curve("insertion", Curve((0, 1), (0.0, 0.9), 0.6), Curve((0, 1), (0.0, 0.9), 0.45)).passed
    assert on_repeatability(0.0, 0.9, 0.05).passed
    assert not on_repeatability(0.2, 0.9, 0.05).passed
    assert not on_repeatability(0.0, 0.2, 0.05).passed
    assert on_repeatability(float("nan"), 0.2, 0.05).passed is None


def test_unknown_explainers_and_settings_are_refused_and_the_work_can_be_left(trained):
    with pytest.raises(ParameterError):
        checked(trained, "gradiant", Target(1))
    with pytest.raises(ParameterError):
        checked(trained, "gradient", Target(1), smothing=3)
    steps = trust_steps(trained.bundle, Stack(blobs()[0], "YX"), "gradient", Target(1), trust=QUICK, loaded=trained)
    for _ in range(5):
        next(steps)
    steps.close()
