"""Histogram valleys and Gaussian mixtures: of histograms with known modes, and against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest

from napari_segtool.api import segment
from napari_segtool.core.errors import DataError
from napari_segtool.core.progress import drain
from napari_segtool.core.stack import Stack
from napari_segtool.methods._histogram import plane_histogram
from napari_segtool.methods._mixture import fit_colours_steps, fit_grey
from napari_segtool.methods.histogram_valleys import find_valleys


def labels_of(data, method: str, axes: str = "", **params) -> np.ndarray:
    data = np.asarray(data)
    return segment(Stack(data, axes or "ZYX"[-data.ndim :]), method, **params).labels.data


def drawn(parts: list[tuple[float, float, float]], shape: tuple[int, ...] = (4, 90, 90), seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Values drawn from Gaussians (share, mean, deviation), and which each came from."""
    generator = np.random.default_rng(seed)
    truth = generator.choice(len(parts), shape, p=[share for share, _, _ in parts])
    return generator.normal(np.array([mean for _, mean, _ in parts])[truth], np.array([deviation for _, _, deviation in parts])[truth]), truth


THREE = [(0.5, 60.0, 8.0), (0.35, 120.0, 10.0), (0.15, 200.0, 9.0)]


# ------------------------------------------------------ histogram valleys


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_the_number_of_classes_is_that_of_the_modes(dtype):
    for count in (2, 3):
        parts = THREE[:count]
        data, truth = drawn([(share / sum(part[0] for part in parts), mean, deviation) for share, mean, deviation in parts])
        found = labels_of((data.clip(0, 255) * (200 if dtype == "uint16" else 1)).astype(dtype), "histogram-valleys")
        assert found.max() == count - 1
        assert (found == truth).mean() > 0.99


def test_a_mode_of_two_percent_is_found_and_ripples_of_chance_are_not():
    data, truth = drawn([(0.98, 60.0, 12.0), (0.02, 180.0, 15.0)])
    found = labels_of(data.clip(0, 255).astype(np.uint8), "histogram-valleys")
    assert np.array_equal(found, truth) or (found == truth).mean() > 0.999


def test_of_too_many_modes_those_that_rise_most_are_kept():
    data, _ = drawn([(0.4, 40.0, 6.0), (0.35, 180.0, 6.0), (0.25, 205.0, 7.0)])
    grey = data.clip(0, 255).astype(np.uint8)
    assert labels_of(grey, "histogram-valleys").max() == 2
    two = labels_of(grey, "histogram-valleys", modes=2)
    assert two.max() == 1
    assert 60 < grey[two == 1].min() < 160  # the shallow valley near 190 is given up, not the deep one


def test_a_valley_is_the_middle_of_the_emptiness_between_two_spikes():
    data = np.repeat(np.array([[10, 110]], np.uint8), 20, axis=0)
    assert find_valleys(plane_histogram(data), 6, 0.02, 0.05).tolist() == [60]
    assert find_valleys(plane_histogram(np.array([[10, 11]], np.uint8)), 6, 0.0, 0.05).size <= 1


def test_modes_at_the_very_ends_count_and_hot_pixels_do_not_hide_the_others():
    data, truth = drawn(THREE)
    grey = data.clip(0, 255).astype(np.uint16)
    grey[truth == 0] = 0
    assert labels_of(grey, "histogram-valleys").max() == 2
    grey[0, 0, :5] = 60_000
    assert labels_of(grey, "histogram-valleys").max() == 2


def test_a_picture_of_one_mode_is_refused_with_a_way_out():
    data, _ = drawn([(1.0, 100.0, 15.0)])
    with pytest.raises(DataError, match="single mode") as caught:
        labels_of(data.astype(np.uint8), "histogram-valleys")
    assert "otsu" in caught.value.hint
    stack = np.stack([data[0], drawn(THREE, (90, 90))[0]]).clip(0, 255).astype(np.uint8)
    found = labels_of(stack, "histogram-valleys", per_slice=True)
    assert not found[0].any()
    assert found[1].max() == 2


# ------------------------------------------------------- Gaussian mixture


def test_the_gaussians_that_values_were_drawn_from_are_found():
    data, truth = drawn(THREE)
    values, counts = np.unique(np.rint(data), return_counts=True)
    mixture = fit_grey(values, counts.astype(float), 3)
    assert np.allclose(mixture.shares, [share for share, _, _ in THREE], atol=0.01)
    assert np.allclose(mixture.means, [mean for _, mean, _ in THREE], atol=0.6)
    assert np.allclose(np.sqrt(mixture.variances), [deviation for _, _, deviation in THREE], atol=0.6)
    assert (labels_of(data.clip(0, 255).astype(np.uint8), "gaussian-mixture") == truth).mean() > 0.99


@pytest.mark.parametrize("clusters", [2, 3, 4])
@pytest.mark.parametrize("seed", range(2))
def test_the_mixture_is_as_likely_as_that_of_scikit_learn(clusters, seed):
    from sklearn.mixture import GaussianMixture

    data, _ = drawn(THREE, (40, 50), seed)
    grey = np.rint(data)
    values, counts = np.unique(grey, return_counts=True)
    mixture = fit_grey(values, counts.astype(float), clusters)
    ours = float((np.log(np.exp(mixture.log_densities(values)).sum(axis=0)) * counts).sum() / counts.sum())
    model = GaussianMixture(clusters, tol=1e-6, max_iter=500, random_state=0, reg_covar=1 / 12).fit(grey.reshape(-1, 1))
    assert ours >= model.score(grey.reshape(-1, 1)) - 1e-3


def test_a_broad_and_a_narrow_class_are_told_apart_where_kmeans_cannot():
    data, truth = drawn([(0.85, 80.0, 25.0), (0.15, 150.0, 4.0)])
    grey = data.clip(0, 255).astype(np.uint8)
    agreement = {method: (labels_of(grey, method, clusters=2) == truth).mean() for method in ("gaussian-mixture", "kmeans")}
    assert agreement["gaussian-mixture"] > 0.96
    assert agreement["kmeans"] < 0.9


@pytest.mark.parametrize("dtype", ["uint16", "float32", "float64"])
def test_the_number_format_makes_hardly_a_difference(dtype):
    data, _ = drawn(THREE)
    expected = labels_of(data.clip(0, 255).astype(np.uint8), "gaussian-mixture")
    other = (data.clip(0, 255) * 200).astype(dtype)
    assert (labels_of(other, "gaussian-mixture") == expected).mean() > 0.995


def test_colours_are_grouped_as_by_scikit_learn():
    from sklearn.mixture import GaussianMixture

    generator = np.random.default_rng(0)
    stretched = np.array([[14.0, 12, 0], [0, 6, 0], [0, 0, 20]])
    truth = generator.integers(0, 3, (60, 60))
    centres = np.array([[60.0, 60, 60], [100, 60, 120], [180, 170, 60]])
    data = (centres[truth] + generator.normal(size=(60, 60, 3)) @ stretched).astype(np.float32)
    found = labels_of(data, "gaussian-mixture", "YXS", clusters=3)
    model = GaussianMixture(3, random_state=0, n_init=2).fit(data.reshape(-1, 3).astype(np.float64))
    theirs = model.predict(data.reshape(-1, 3).astype(np.float64)).reshape(truth.shape)
    order = np.argsort(np.argsort(model.means_.mean(axis=1)))
    assert (found == order[theirs]).mean() > 0.995
    assert (found == truth).mean() > 0.95
    means = [data[found == k].mean() for k in range(3)]
    assert means == sorted(means)


def test_channels_of_any_scale_and_pixels_without_a_value_do_no_harm():
    generator = np.random.default_rng(1)
    truth = generator.integers(0, 2, (50, 50))
    small = truth * 0.01 + generator.normal(0, 0.002, truth.shape)
    large = generator.normal(5000, 900, truth.shape)
    data = np.stack([small, large, np.full(truth.shape, 3.0)]).astype(np.float32)
    data[1, 10:20, 10:20] = np.nan
    found = labels_of(data, "gaussian-mixture", "CYX", clusters=2)
    assert not found[10:20, 10:20].any()
    known = np.ones(truth.shape, bool)
    known[10:20, 10:20] = False
    agreement = (found == truth)[known].mean()
    assert max(agreement, 1 - agreement) > 0.98


def test_mixtures_of_colours_are_remembered_with_the_stack():
    data = np.random.default_rng(0).integers(0, 255, (30, 30, 3), dtype=np.uint8)
    stack = Stack(data, "YXS")
    segment(stack, "gaussian-mixture", clusters=2)
    first = next(iter(stack.memo["mixtures"].values()))
    segment(stack, "gaussian-mixture", clusters=2)
    assert list(stack.memo["mixtures"].values()) == [first]
    for clusters in range(2, 12):
        segment(stack, "gaussian-mixture", clusters=clusters)
    assert len(stack.memo["mixtures"]) <= 8


def test_fewer_colours_than_clusters_are_refused():
    with pytest.raises(DataError, match="2 different colours"):
        drain(fit_colours_steps(np.repeat([[0.0, 0, 0], [9, 9, 9]], 5, axis=0).astype(np.float32), 3, 0))


def test_a_stack_of_many_features_is_clustered_by_all_of_them():
    generator = np.random.default_rng(2)
    centres = generator.normal(0, 1, (4, 12))
    truth = generator.integers(0, 4, (2, 40, 40))
    features = np.moveaxis(centres[truth] + generator.normal(0, 0.2, (2, 40, 40, 12)), -1, 1).astype(np.float32)
    for method in ("kmeans", "gaussian-mixture"):
        found = labels_of(features, method, "ZCYX", clusters=4)
        pairs, counts = np.unique(np.stack([found.ravel(), truth.ravel()]), axis=1, return_counts=True)
        assert counts[np.lexsort((-counts, pairs[0]))].size >= 4
        assert sum(counts[pairs[0] == k].max() for k in range(4)) / truth.size > 0.99
