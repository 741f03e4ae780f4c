"""Threshold, Otsu and k-means of grey values: by hand, by brute force, and against scikit-image."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_segtool.api import segment
from napari_segtool.core.errors import DataError, ParameterError
from napari_segtool.core.progress import drain
from napari_segtool.core.registry import METHODS
from napari_segtool.core.stack import Stack
from napari_segtool.methods._grey import Grey
from napari_segtool.methods._histogram import plane_histogram, stack_histogram_steps
from napari_segtool.methods._partition import best_partition
from napari_segtool.methods.threshold import parse_range


def labels_of(data, method: str, axes: str = "", **params) -> np.ndarray:
    data = np.asarray(data)
    return segment(Stack(data, axes or "ZYX"[-data.ndim :]), method, **params).labels.data


def spread(values: np.ndarray, labels: np.ndarray) -> float:
    """Sum of squared distances from the mean of each label."""
    return sum(float(((values[labels == value] - values[labels == value].mean()) ** 2).sum()) for value in np.unique(labels))


def mixture(shape: tuple[int, ...] = (4, 60, 60), dtype: str = "uint8", seed: int = 0) -> np.ndarray:
    generator = np.random.default_rng(seed)
    centre = generator.choice([40, 100, 170, 220], size=shape, p=[0.4, 0.3, 0.2, 0.1])
    return np.clip(generator.normal(centre, 14), 0, 255).astype(dtype)


def test_the_five_methods_of_the_first_issue_are_there():
    assert {"threshold", "otsu", "canny", "kmeans", "region-growing"} <= set(METHODS.names())


# --------------------------------------------------------- exact partition


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_no_other_split_of_a_histogram_is_better(data):
    values = np.array(sorted(data.draw(st.sets(st.integers(0, 60), min_size=1, max_size=9))), float)
    counts = np.array(data.draw(st.lists(st.integers(1, 20), min_size=len(values), max_size=len(values))), float)
    groups = data.draw(st.integers(1, min(5, len(values))))

    def cost(splits) -> float:
        ends = [0, *splits, len(values)]
        return sum(float((counts[a:b] * (values[a:b] - np.average(values[a:b], weights=counts[a:b])) ** 2).sum()) for a, b in itertools.pairwise(ends))

    found = best_partition(values, counts, groups, blocks=data.draw(st.sampled_from([1, 2, 100])))
    assert len(found) == groups - 1
    assert cost(found) <= min(cost(splits) for splits in itertools.combinations(range(1, len(values)), groups - 1)) + 1e-6


@pytest.mark.parametrize("groups", [3, 5, 9])
def test_looking_at_blocks_first_does_not_change_the_split_of_a_long_histogram(groups):
    generator = np.random.default_rng(groups)
    for counts in (generator.integers(1, 50, 3000), np.bincount(generator.normal(900, 300, 20_000).astype(int).clip(0, 2500)) + 1):
        counts[[0, -1]] = 8000  # black and saturated pixels
        values = np.cumsum(generator.integers(1, 4, len(counts))).astype(float)
        quick, thorough = (best_partition(values, counts.astype(float), groups, blocks=blocks) for blocks in (64, 10**6))
        assert quick.tolist() == thorough.tolist()


# -------------------------------------------------------------------- otsu


def test_two_grey_values_are_parted():
    assert labels_of([[10, 200, 10]], "otsu").tolist() == [[0, 1, 0]]


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("seed", range(3))
def test_otsu_is_that_of_scikit_image(dtype, seed):
    from skimage.filters import threshold_otsu

    data = mixture(dtype=dtype, seed=seed)
    assert np.array_equal(labels_of(data, "otsu"), data > threshold_otsu(data))


@pytest.mark.parametrize("classes", [2, 3, 4, 5])
def test_multi_level_otsu_is_that_of_scikit_image(classes):
    from skimage.filters import threshold_multiotsu

    data = mixture((3, 50, 50)) // 2
    expected = np.searchsorted(threshold_multiotsu(data, classes, nbins=int(np.ptp(data)) + 1), data, side="left")  # a value on a threshold is below it
    found = labels_of(data, "otsu", classes=classes)
    values = data.astype(float)
    assert spread(values, found) <= spread(values, expected) + 1e-6
    assert (found == expected).mean() > 0.99


def test_otsu_of_floats_agrees_with_that_of_the_whole_numbers_they_came_from():
    data = mixture()
    assert (labels_of(data, "otsu") == labels_of((data / 255).astype(np.float32), "otsu")).mean() > 0.999
    assert (labels_of(data, "otsu") == labels_of(data.astype(np.int32) * 1000 - 7, "otsu")).mean() > 0.999


def test_thresholds_come_from_the_whole_stack_unless_each_slice_is_asked_for():
    dark, bright = np.array([[10, 60, 10, 60]], np.uint8), np.array([[150, 230, 150, 230]], np.uint8)
    stack = np.stack([dark, bright])
    assert labels_of(stack, "otsu").tolist() == [[[0, 0, 0, 0]], [[1, 1, 1, 1]]]
    assert labels_of(stack, "otsu", per_slice=True).tolist() == [[[0, 1, 0, 1]], [[0, 1, 0, 1]]]


def test_a_slice_of_one_grey_value_is_class_0_where_each_slice_stands_alone():
    stack = np.stack([np.full((4, 4), 99), np.arange(16).reshape(4, 4)]).astype(np.uint8)
    found = labels_of(stack, "otsu", per_slice=True)
    assert not found[0].any()
    assert found[1].any()


def test_too_few_grey_values_are_refused_with_how_many_there_are():
    with pytest.raises(DataError, match=r"holds 2 grey value\(s\), but 3 classes") as caught:
        labels_of([[0, 9]], "otsu", classes=3)
    assert "at most 2" in caught.value.hint
    with pytest.raises(DataError, match="holds 1 grey value"):
        labels_of(np.full((5, 5), 3, np.uint8), "otsu")


def test_a_constant_float_picture_is_not_parted_by_what_smoothing_leaves_of_it():
    for value in (0.1, 7.3, 1e4):
        with pytest.raises(DataError, match="1 grey value"):
            labels_of(np.full((3, 20, 20), value, np.float32), "otsu", smoothing_px=2.0)


# ------------------------------------------------------------------ k-means


@pytest.mark.parametrize("clusters", [2, 4, 7])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_clusters_are_as_tight_as_any_that_opencv_finds(clusters, dtype):
    import cv2

    data = mixture((2, 40, 40)).astype(dtype)
    found = labels_of(data, "kmeans", clusters=clusters)
    values = data.astype(np.float32).reshape(-1, 1)
    cv2.setRNGSeed(1)
    criteria = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, 100, 1e-4)
    _, theirs, _ = cv2.kmeans(values, clusters, None, criteria, 5, cv2.KMEANS_PP_CENTERS)
    assert spread(values.ravel(), found.ravel()) <= spread(values.ravel(), theirs.ravel()) * (1 + 1e-6)
    assert found.max() == clusters - 1


def test_clusters_are_numbered_from_dark_to_bright():
    data = mixture()
    found = labels_of(data, "kmeans", clusters=4)
    means = [data[found == value].mean() for value in range(4)]
    assert means == sorted(means)
    assert all(data[found == value].max() < data[found == value + 1].min() for value in range(3))


def test_colours_are_clustered_by_colour_and_not_by_brightness():
    palette = np.array([[200, 20, 20], [20, 200, 20], [20, 20, 200]], float)
    truth = np.random.default_rng(0).integers(0, 3, (40, 40))
    noisy = np.clip(palette[truth] + np.random.default_rng(1).normal(0, 10, (40, 40, 3)), 0, 255).astype(np.uint8)
    found = labels_of(noisy, "kmeans", "YXS", clusters=3)
    pairs = {(int(t), int(f)) for t, f in zip(truth.ravel(), found.ravel(), strict=True)}
    assert len(pairs) == 3  # one label for each colour
    alpha = np.dstack([noisy, np.random.default_rng(2).integers(0, 255, (40, 40)).astype(np.uint8)])
    assert np.array_equal(labels_of(alpha, "kmeans", "YXS", clusters=3), found)


def test_clusters_of_channels_are_about_as_tight_as_those_of_opencv():
    import cv2

    generator = np.random.default_rng(3)
    centres = generator.uniform(0, 255, (5, 4))
    data = (centres[generator.integers(0, 5, (50, 50))] + generator.normal(0, 8, (50, 50, 4))).astype(np.float32)
    found = labels_of(np.moveaxis(data, -1, 0), "kmeans", "CYX", clusters=5)
    values = data.reshape(-1, 4)
    cv2.setRNGSeed(1)
    error, _, _ = cv2.kmeans(values, 5, None, (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, 100, 1e-4), 10, cv2.KMEANS_PP_CENTERS)
    ours = sum(((values[found.ravel() == v] - values[found.ravel() == v].mean(axis=0)) ** 2).sum() for v in range(5))
    assert ours <= error * 1.001


def test_a_picture_of_fewer_colours_than_clusters_is_refused():
    two = np.zeros((6, 6, 3), np.uint8)
    two[:3] = 255
    with pytest.raises(DataError, match="2 different colours, but 4 clusters"):
        labels_of(two, "kmeans", "YXS")


# ---------------------------------------------------------------- threshold


def test_percent_are_those_of_the_range_and_both_ends_belong_to_it():
    data = np.array([[0, 25, 50, 75, 100]], np.uint8)
    assert labels_of(data, "threshold", lower=25, upper=75).tolist() == [[0, 1, 1, 1, 0]]
    assert labels_of(data, "threshold", lower=25, upper=75, keep="outside").tolist() == [[1, 0, 0, 0, 1]]
    assert labels_of(data / 100, "threshold", lower=25, upper=75).tolist() == [[0, 1, 1, 1, 0]]
    assert labels_of(data, "threshold", lower=0, upper=100).all()
    assert labels_of(data, "threshold", lower=100, upper=100).tolist() == [[0, 0, 0, 0, 1]]


def test_grey_values_can_be_given_instead():
    data = np.array([[0, 89, 90, 200, 201]], np.uint8)
    assert labels_of(data, "threshold", grey_values="90:200").tolist() == [[0, 0, 1, 1, 0]]
    assert labels_of(data, "threshold", grey_values=" 90 : ").tolist() == [[0, 0, 1, 1, 1]]
    assert labels_of(data, "threshold", grey_values=":89", keep="outside").tolist() == [[0, 0, 1, 1, 1]]
    unknown = np.array([[np.nan, 5.0, 95.0]], np.float32)
    assert labels_of(unknown, "threshold", grey_values="90:", keep="outside").tolist() == [[0, 1, 0]]


@pytest.mark.parametrize("text", ["90", "90-200", "200:90", "a:b", "1:2:3", "nan:"])
def test_a_range_that_is_none_is_refused(text):
    with pytest.raises(ParameterError, match="no range") as caught:
        parse_range(text)
    assert caught.value.hint


def test_a_lower_end_above_the_upper_one_is_refused():
    with pytest.raises(ParameterError, match="lower = 60 lies above upper = 40"):
        labels_of([[0, 1]], "threshold", lower=60, upper=40)


# --------------------------------------------------------- grey, histogram


def test_colours_become_the_luminance_that_opencv_computes():
    import cv2

    rgb = np.random.default_rng(0).integers(0, 256, (20, 20, 3), dtype=np.uint8)
    ours = Grey(colours=True)(np.moveaxis(rgb, -1, 0)).astype(int)
    assert np.abs(ours - cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)).max() <= 1  # OpenCV rounds its weights
    grey = np.repeat(rgb[..., :1], 3, axis=-1)
    assert np.array_equal(Grey(colours=True)(np.moveaxis(grey, -1, 0)), rgb[..., 0])


def test_other_channels_become_their_mean():
    plane = np.array([[[10]], [[21]], [[30]]], np.uint16)
    assert Grey(colours=False)(plane).tolist() == [[20]]
    assert Grey(colours=False)(plane.astype(">u2")).dtype == np.uint16


@pytest.mark.parametrize("dtype", ["uint8", "uint16", ">u2", "int8", "int16", "bool"])
def test_every_whole_number_is_counted_exactly(dtype):
    data = (np.random.default_rng(0).integers(-100, 100, (3, 9, 9)) + (100 if np.dtype(dtype).kind == "u" else 0)).astype(dtype)
    histogram = drain(stack_histogram_steps(Stack(data, "ZYX"), Grey(colours=False)))
    values, counts = np.unique(data.astype(int), return_counts=True)
    levels = histogram.levels()
    assert (histogram.first + levels * histogram.step).tolist() == values.tolist()
    assert histogram.counts[levels].tolist() == counts.tolist()
    assert (histogram.lowest, histogram.highest) == (values[0], values[-1])


def test_floats_are_counted_without_those_that_are_no_numbers():
    plane = np.array([[0.0, 0.25, 1.0, np.nan, np.inf, -np.inf]], np.float32)
    histogram = plane_histogram(plane)
    assert histogram.counts.sum() == 3
    assert (histogram.lowest, histogram.highest) == (0, 1)
    assert plane_histogram(np.full((2, 2), np.nan)) is None


def test_the_histogram_is_remembered_with_the_stack_and_not_counted_twice():
    stack = Stack(mixture(), "ZYX")
    first = drain(stack_histogram_steps(stack, Grey.of(stack)))
    assert drain(stack_histogram_steps(stack, Grey.of(stack))) is first
    for width in range(10):
        drain(stack_histogram_steps(stack, Grey.of(stack, float(width))))
    assert len(stack.memo["histograms"]) <= 4


# --------------------------------------------------------------- real data


@pytest.mark.data
def test_on_real_stacks_otsu_is_that_of_scikit_image_and_kmeans_no_looser_than_opencv(data_folder):
    import cv2
    from skimage.filters import threshold_otsu
    from tifffile import imread

    data = imread(data_folder / "isbi2012_em" / "image.tif", key=range(4))
    assert np.array_equal(labels_of(data, "otsu"), data > threshold_otsu(data))
    wide = imread(data_folder / "awkward_files" / "derived" / "em_lowrange_u16.tif")
    wide = wide.reshape(-1, *wide.shape[-2:])
    assert np.array_equal(labels_of(wide, "otsu"), wide > threshold_otsu(wide, nbins=65536))
    values = data[:1].astype(np.float32).reshape(-1, 1)
    cv2.setRNGSeed(1)
    error, _, _ = cv2.kmeans(values, 4, None, (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, 100, 1e-4), 3, cv2.KMEANS_PP_CENTERS)
    assert spread(values.ravel(), labels_of(data[:1], "kmeans", clusters=4).ravel()) <= error * (1 + 1e-5)


@pytest.mark.data
def test_infinite_and_missing_values_of_a_real_file_do_no_harm(data_folder):
    from tifffile import imread

    data = imread(data_folder / "awkward_files" / "derived" / "em_float32_nan_inf.tif")
    found = labels_of(data, "otsu", "ZYX" if data.ndim == 3 else "YX")
    assert not found[np.isnan(data)].any()
    assert found[data == np.inf].all()
    assert 0.2 < found.mean() < 0.8
