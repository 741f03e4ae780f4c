"""Dense random fields and Potts cuts, against all pairs and all labellings."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from napari_segtool.api import segment
from napari_segtool.core.errors import DataError, ParameterError
from napari_segtool.core.stack import Stack
from napari_segtool.methods._cuts import energy
from napari_segtool.objects._meanfield import NearKernel, SimilarKernel, beliefs_steps
from napari_segtool.objects.potts import _edge_weights_steps
from tests.objects.patches import result_of


def halves(shape: tuple[int, ...], seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A picture that is dark on the left and bright on the right, its truth, and labels of which a fifth is wrong."""
    generator = np.random.default_rng(seed)
    truth = np.zeros(shape, np.uint8)
    truth[..., shape[-1] // 2 :] = 1
    picture = 60 + 100.0 * truth + generator.normal(0, 8, shape)
    return picture, truth, truth ^ (generator.random(shape) < 0.2)


def all_pairs(features: list[np.ndarray], known: np.ndarray) -> np.ndarray:
    """Kernel between all pairs of known pixels, normalised symmetrically."""
    points = np.stack([feature[known] for feature in features])
    kernel = np.exp(-((points[:, :, None] - points[:, None]) ** 2).sum(axis=0) / 2)
    norm = 1 / np.sqrt(kernel.sum(axis=1))
    return kernel * norm * norm[:, None]


@pytest.mark.parametrize(("shape", "near", "similar"), [((20, 24), (1.5, 2.0), (5.0, 7.0)), ((4, 12, 12), (0.8, 2.0, 2.0), (3.0, 6.0, 6.0))])
def test_beliefs_are_those_of_sums_over_all_pairs(shape, near, similar):
    picture, _, spoilt = halves(shape)
    known = np.ones(shape, bool)
    known[..., 3:5, 2:6] = False
    shares = np.where(np.stack([spoilt == 0, spoilt == 1]), 0.6, 0.4).astype(np.float32)
    places = np.indices(shape).astype(float)
    kernels = [
        all_pairs([place / sigma for place, sigma in zip(places, near, strict=True)], known),
        all_pairs([*(place / sigma for place, sigma in zip(places, similar, strict=True)), picture / 15], known),
    ]
    for weights in ((1.0, 0.0), (0.0, 1.5), (0.7, 1.0)):
        expected = shares[:, known].astype(float)
        for _ in range(3):
            scores = np.log(shares[:, known]) + sum(weight * expected @ kernel for weight, kernel in zip(weights, kernels, strict=True))
            expected = np.exp(scores) / np.exp(scores).sum(axis=0)
        pairs = [(weights[0], NearKernel(near)), (weights[1], SimilarKernel(picture, known, similar, 15.0))]
        found = result_of(beliefs_steps(shares, known, pairs, 3))
        assert np.abs(found[:, known] - expected).max() < 0.01
        assert not found[:, ~known].any()
        assert np.abs(expected - shares[:, known]).max() > 0.02  # the field has changed something


def test_a_dense_field_mends_labels_along_the_edges():
    picture, truth, spoilt = halves((60, 64))
    found = segment(Stack(picture.astype(np.float32), "YX"), "dense-crf", labels=spoilt).labels.data
    assert (spoilt != truth).mean() > 0.15
    assert np.array_equal(found, truth)


def test_a_narrow_kernel_over_a_large_volume_is_refused():
    with pytest.raises(DataError, match="cells") as caught:
        SimilarKernel(np.arange(100**3).reshape(100, 100, 100) % 251, np.ones((100, 100, 100), bool), (1.0, 1.0, 1.0), 1.0)
    assert "wider" in caught.value.hint


@pytest.mark.parametrize("method", ["dense-crf", "potts"])
def test_classes_of_probabilities_are_numbered_as_the_labels_are(method):
    picture, truth, _ = halves((20, 24))
    stack = Stack(picture.astype(np.float32), "YX")
    likely = np.stack([truth == 0, truth == 1]).astype(np.float32) * 0.8 + 0.1
    assert np.array_equal(segment(stack, method, probabilities=likely).labels.data, truth)
    assert np.array_equal(segment(stack, method, probabilities=likely, labels=truth + 1).labels.data, truth + 1)
    assert np.array_equal(segment(stack, method, labels=np.where(truth, 9, 4)).labels.data, np.where(truth, 9, 4))


@pytest.mark.parametrize("method", ["dense-crf", "potts"])
def test_a_volume_is_joined_through_its_slices(method):
    picture, truth, _ = halves((5, 24, 26))
    spoilt = truth.copy()
    spoilt[2] = 1 - truth[2]  # one slice is all wrong, sharply told from its neighbours by nothing
    stack = Stack(picture.astype(np.float32), "ZYX")
    assert np.array_equal(segment(stack, method, labels=spoilt, volume=True, confidence=0.6).labels.data, truth)
    assert not np.array_equal(segment(stack, method, labels=spoilt, confidence=0.6).labels.data, truth)


@pytest.mark.parametrize("method", ["dense-crf", "potts"])
def test_numbered_objects_and_nothing_at_all_are_refused(method):
    stack = Stack(np.arange(100, dtype=np.uint8).reshape(10, 10), "YX")
    with pytest.raises(DataError, match="100 different values"):
        segment(stack, method, labels=np.arange(100).reshape(10, 10))
    with pytest.raises(ParameterError, match="neither probabilities nor labels"):
        segment(stack, method)


def test_potts_labels_of_two_classes_cost_least_of_all():
    generator = np.random.default_rng(3)
    picture = generator.integers(0, 200, (3, 4)).astype(np.float32)
    likely = generator.random((3, 4)).astype(np.float32)
    likely = np.stack([likely, 1 - likely])
    found = segment(Stack(picture, "YX"), "potts", probabilities=likely, smoothness=1.2, contrast=30).labels.data
    span = float(picture.max() - picture.min())
    weights = [result_of(_edge_weights_steps(picture, axis, 0.3 * span, 1.2)) for axis in range(2)]
    unary = -np.log(likely)
    costs = [energy(np.array(choice).reshape(3, 4), unary, weights) for choice in itertools.product((0, 1), repeat=12)]
    assert energy(found, unary, weights) == pytest.approx(min(costs), abs=0.02)
    assert min(costs) < energy(likely.argmax(axis=0), unary, weights) - 0.1


def test_thick_slices_hold_together_less():
    truth = np.zeros((2, 12, 12), np.uint8)
    truth[1] = 1
    stack = Stack(np.full(truth.shape, 7, np.uint8), "ZYX", (0.05, 0.005, 0.005))
    same = Stack(stack.data, "ZYX")
    assert np.array_equal(segment(stack, "potts", labels=truth, volume=True, confidence=0.6, smoothness=2).labels.data, truth)
    assert np.unique(segment(same, "potts", labels=truth, volume=True, confidence=0.6, smoothness=2).labels.data).size == 1
