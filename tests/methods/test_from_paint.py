"""Graph cut and random walker: classes from strokes."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from skimage.segmentation import random_walker

from napari_segtool.api import segment
from napari_segtool.core.errors import PaintError
from napari_segtool.core.stack import Stack
from napari_segtool.methods import random_walker as own_walker
from napari_segtool.methods._cuts import energy, potts_labels_steps
from napari_segtool.methods._walk import potential_steps, pyramid_steps

METHODS = ("graph-cut", "random-walker")


def outcome(steps):
    """What a generator of fractions returns."""
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            return stop.value


def scene(shape=(60, 80), noise=12.0, seed=0):
    """A disc (or a rod through the slices) on a ground, and a stroke in each."""
    y, x = np.ogrid[: shape[-2], : shape[-1]]
    truth = np.broadcast_to(np.where((y - 30) ** 2 + (x - 40) ** 2 < 18**2, 2, 1), shape)
    generator = np.random.default_rng(seed)
    picture = (gaussian_filter(70.0 + 70 * (truth == 2), (0,) * (len(shape) - 2) + (1, 1)) + generator.normal(0, noise, shape)).clip(0, 255).astype(np.uint8)
    paint = np.zeros(shape, np.uint8)
    paint[..., 28:32, 34:46] = 2
    paint[..., 2:5, 5:75] = 1
    return picture, truth, paint


@pytest.mark.parametrize("method", METHODS)
def test_a_stroke_in_the_disc_and_one_outside_find_the_disc(method):
    picture, truth, paint = scene()
    found = segment(Stack(picture, "YX"), method, paint=paint).labels.data
    assert (found != truth).mean() < 0.02
    assert np.array_equal(found[paint > 0], paint[paint > 0])


@pytest.mark.parametrize("method", METHODS)
def test_strokes_of_one_class_are_refused_with_a_hint(method):
    picture, _, paint = scene()
    for wrong in (np.where(paint == 2, 2, 0), np.zeros_like(paint)):
        with pytest.raises(PaintError) as refusal:
            segment(Stack(picture, "YX"), method, paint=wrong)
        assert refusal.value.hint


@pytest.mark.parametrize("method", METHODS)
def test_strokes_in_one_slice_serve_the_volume(method):
    picture, truth, paint = scene((5, 60, 80))
    paint[1:] = 0
    stack = Stack(picture, "ZYX")
    assert (segment(stack, method, paint=paint, volume=True).labels.data != truth).mean() < 0.03
    alone = segment(stack, method, paint=paint).labels.data
    assert (alone[0] != truth[0]).mean() < 0.02
    assert alone[1:].any() == (method == "graph-cut")  # grey values serve other slices, walks do not


@pytest.mark.parametrize("method", METHODS)
def test_walls_without_a_value_are_not_crossed_by_a_walk_and_have_no_label(method):
    picture, _, paint = scene()
    values = picture.astype(np.float32)
    values[:, 60] = np.nan
    paint[:, 60:] = 0
    found = segment(Stack(values, "YX"), method, paint=paint).labels.data
    assert not found[:, 60].any()
    assert found[:, :60].all()
    assert found[:, 61:].all() == (method == "graph-cut")


def test_a_third_class_is_found_too_and_smoothness_straightens():
    generator = np.random.default_rng(0)
    truth = np.repeat(np.arange(1, 4), 20)[None].repeat(50, axis=0)
    picture = (60.0 * truth + generator.normal(0, 25, truth.shape)).clip(0, 255).astype(np.uint8)
    paint = np.zeros(truth.shape, np.uint8)
    paint[20:24] = truth[20:24]
    rough = segment(Stack(picture, "YX"), "graph-cut", paint=paint, smoothness=0).labels.data
    smooth = segment(Stack(picture, "YX"), "graph-cut", paint=paint, smoothness=3).labels.data
    assert (rough != truth).mean() > 0.1
    assert (smooth != truth).mean() < 0.02


def test_the_cut_costs_no_more_than_what_it_is_meant_to_find():
    picture, truth, _ = scene(noise=20)
    generator = np.random.default_rng(1)
    values = picture.astype(float)
    unary = np.stack([(values - 70) ** 2, (values - 140) ** 2]) / 800
    weights = tuple(np.exp(-(np.diff(values, axis=axis) ** 2) / 2000) * 3 for axis in (0, 1))
    found = finished(potts_labels_steps(unary, weights))
    least = energy(found, unary, weights)
    assert least <= energy(truth - 1, unary, weights)
    for _ in range(20):  # no block flipped at random is cheaper
        y, x = generator.integers(0, 50, 2)
        other = found.copy()
        other[y : y + 5, x : x + 5] ^= 1
        assert least <= energy(other, unary, weights) + 0.05


@pytest.mark.parametrize("shape", [(60, 80), (3, 60, 80)])
def test_walks_arrive_where_those_of_scikit_image_do(shape):
    picture, _, paint = scene(shape, noise=8)
    scaled = picture / picture.std()
    expected = random_walker(scaled, paint, beta=130 * scaled.std(), mode="bf")
    found = segment(Stack(picture, "ZYX"[-len(shape) :]), "random-walker", paint=paint, volume=len(shape) == 3, smoothing_px=0).labels.data
    assert (found != expected).mean() < 0.002


def finished(work):
    try:
        while True:
            next(work)
    except StopIteration as stop:
        return stop.value


def test_the_potential_solves_the_equation_of_a_row_of_resistors():
    weights = (np.zeros((0, 6), np.float32), np.array([[1, 1, 0.5, 1, 1]], np.float32))
    free = np.array([[0, 1, 1, 1, 1, 0]], bool)
    source = np.zeros((1, 6), np.float32)
    source[0, 1] = 1.0  # the left end is held at 1, the right one at 0
    potential = finished(potential_steps(finished(pyramid_steps(weights, free)), source))
    assert potential[0, 1:5] == pytest.approx([5 / 6, 4 / 6, 2 / 6, 1 / 6], abs=1e-3)  # resistances 1, 1, 2, 1, 1


def test_a_volume_solved_coarser_first_is_hardly_different(monkeypatch):
    picture, truth, paint = scene((6, 60, 80))
    stack = Stack(picture, "ZYX", (0.1, 0.02, 0.02))
    whole = segment(stack, "random-walker", paint=paint, volume=True).labels.data
    monkeypatch.setattr(own_walker, "LARGEST", 8_000)
    coarse = segment(stack, "random-walker", paint=paint, volume=True).labels.data
    assert (coarse != whole).mean() < 0.02
    assert (coarse != truth).mean() < 0.02
