"""Li, isodata, Yen, triangle and multi-Otsu: against scikit-image and SimpleITK, and by hand."""

from __future__ import annotations

import numpy as np
import pytest

from napari_segtool.api import segment
from napari_segtool.core.errors import DataError
from napari_segtool.core.masked import inside
from napari_segtool.core.stack import Stack
from napari_segtool.methods._histogram import Histogram, plane_histogram
from napari_segtool.methods._thresholds import COARSE, coarsened

SINGLE = ("isodata", "li", "triangle", "yen")


def labels_of(data, method: str, **params) -> np.ndarray:
    data = np.asarray(data)
    return segment(Stack(data, "ZYX"[-data.ndim :]), method, **params).labels.data


def cells(seed: int = 0, share: float = 0.2, shape: tuple[int, ...] = (3, 80, 80)) -> np.ndarray:
    """Grey values 0 to 255 of a dark background and objects of uneven brightness; float64."""
    generator = np.random.default_rng(seed)
    bright = generator.random(shape) < share
    return np.clip(np.where(bright, generator.normal(150, 30, shape), generator.normal(50, 9, shape)), 0, 255)


def by_scikit_image(data: np.ndarray, method: str) -> np.ndarray:
    from skimage import filters

    return data > getattr(filters, f"threshold_{method}")(data)


@pytest.mark.parametrize("method", ["triangle", "yen"])
@pytest.mark.parametrize("seed", range(4))
def test_8_bit_pictures_are_parted_exactly_as_by_scikit_image(method, seed):
    data = cells(seed, share=(0.03, 0.1, 0.3, 0.6)[seed]).astype(np.uint8)
    assert np.array_equal(labels_of(data, method), by_scikit_image(data, method))
    negative = 255 - data
    assert np.array_equal(labels_of(negative, method), by_scikit_image(negative, method))


@pytest.mark.parametrize("method", ["triangle", "yen"])
def test_fractions_are_parted_within_a_bin_of_where_scikit_image_parts_them(method):
    from skimage import filters

    data = cells(5).astype(np.float32)
    found = labels_of(data, method)
    threshold, bin_width = getattr(filters, f"threshold_{method}")(data), np.ptp(data) / COARSE
    assert data[found == 1].min() > threshold - bin_width  # theirs is the middle of a bin, ours the end of one that is shifted a little
    assert data[found == 0].max() < threshold + bin_width * 1.01


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("seed", range(3))
def test_li_finds_no_worse_a_minimum_of_cross_entropy_than_scikit_image(dtype, seed):
    from skimage.filters import threshold_li

    scale = 200 if dtype == "uint16" else 1
    data = (cells(seed) * scale).astype(dtype)
    values = data.astype(np.float64) - float(data.min())

    def cross_entropy(bright: np.ndarray) -> float:
        return -sum(float(values[part].sum() * np.log(max(values[part].mean(), 1e-300))) for part in (bright, ~bright))

    found, theirs = labels_of(data, "li") == 1, data > threshold_li(data)
    assert cross_entropy(found) <= cross_entropy(theirs) + 1e-6 * abs(cross_entropy(theirs))
    assert (found == theirs).mean() > 0.995


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("seed", range(4))
def test_isodata_is_one_of_the_answers_of_scikit_image(dtype, seed):
    from skimage.filters import threshold_isodata

    data = (cells(seed, share=(0.05, 0.2, 0.5, 0.8)[seed]) * (100 if dtype == "uint16" else 1)).astype(dtype)
    found = labels_of(data, "isodata")
    assert any(np.array_equal(found, data > threshold) for threshold in threshold_isodata(data, nbins=65536, return_all=True))


def test_the_isodata_threshold_of_fractions_lies_between_the_means():
    data = cells(1).astype(np.float32)
    found = labels_of(data, "isodata") == 1
    middle = (data[found].mean() + data[~found].mean()) / 2
    assert data[~found].max() <= middle + np.ptp(data) / 65535
    assert data[found].min() >= middle - np.ptp(data) / 65535


@pytest.mark.parametrize(("method", "filter_name"), [("li", "Li"), ("isodata", "IsoData"), ("triangle", "Triangle"), ("yen", "Yen")])
def test_simpleitk_parts_nearly_alike(method, filter_name):
    itk = pytest.importorskip("SimpleITK")
    data = cells(2).astype(np.uint8)[0]
    by_itk = getattr(itk, f"{filter_name}ThresholdImageFilter")()
    by_itk.SetInsideValue(0)
    by_itk.SetOutsideValue(1)
    if hasattr(by_itk, "SetNumberOfHistogramBins"):
        by_itk.SetNumberOfHistogramBins(256)
    theirs = itk.GetArrayFromImage(by_itk.Execute(itk.GetImageFromArray(data)))
    assert (labels_of(data, method) == theirs).mean() > 0.97  # its bins and its rounding are its own


@pytest.mark.parametrize("classes", [2, 3, 4, 5])
def test_multi_otsu_gives_classes_as_far_apart_as_scikit_image_or_farther(classes):
    from skimage.filters import threshold_multiotsu

    generator = np.random.default_rng(classes)
    data = np.clip(generator.normal(generator.choice([20, 50, 90, 120], (60, 60)), 8), 0, 127).astype(np.uint8)
    expected = np.searchsorted(threshold_multiotsu(data, classes, nbins=int(np.ptp(data)) + 1), data, side="left")

    def between(labels: np.ndarray) -> float:
        return sum(float((labels == k).sum() * (data[labels == k].mean() - data.mean()) ** 2) for k in np.unique(labels))

    found = labels_of(data, "multi-otsu", classes=classes)
    assert found.max() == classes - 1
    assert between(found) >= between(expected) * (1 - 1e-9)
    assert np.array_equal(found, labels_of(data, "otsu", classes=classes))


@pytest.mark.parametrize("method", SINGLE)
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_dark_objects_are_those_that_bright_ones_are_not(method, dtype):
    data = cells().astype(dtype)
    if dtype == "float32":
        data[0, :5] = np.nan
    bright, dark = labels_of(data, method), labels_of(data, method, objects="dark")
    assert np.array_equal(dark == 1, (bright == 0) & ~np.isnan(data))
    assert not dark[np.isnan(data)].any()


@pytest.mark.parametrize("method", SINGLE)
def test_two_grey_values_are_parted_whatever_they_are(method):
    for pair in ([10, 200, 10], [10, 11, 11], [0, 65535, 65535]):
        assert labels_of(np.array([pair], np.uint16), method).tolist() == [[int(value == max(pair)) for value in pair]]


@pytest.mark.parametrize("method", SINGLE)
def test_brightness_and_contrast_of_the_whole_picture_make_no_difference(method):
    data = cells(3).astype(np.uint8)
    expected = labels_of(data, method)
    for other in (data.astype(np.int16) - 300, data.astype(np.uint16) * 16, data.astype(np.uint16) * 257, data.astype(np.float32) / 255, data * 0.37 - 5):
        assert (labels_of(other, method) == expected).mean() > 0.999


@pytest.mark.parametrize("method", SINGLE)
def test_thresholds_come_from_the_whole_stack_unless_each_slice_is_asked_for(method):
    dark = np.array([[10, 10, 10, 12, 60, 10, 10, 12, 60]], np.uint8)
    alone = labels_of(np.stack([dark, dark + 150, np.full_like(dark, 7)]), method, per_slice=True)
    assert np.array_equal(alone[0], alone[1])
    assert alone[0].tolist() == [[0, 0, 0, 0, 1, 0, 0, 0, 1]] or method == "yen"  # which counts the twelves as bright
    assert not alone[2].any()  # nothing to tell apart
    together = labels_of(np.stack([dark, dark + 150]), method)
    assert (together[1] >= together[0]).all()
    assert not np.array_equal(together[0], together[1])


@pytest.mark.parametrize("method", [*SINGLE, "multi-otsu", "histogram-valleys", "gaussian-mixture", "sauvola", "niblack", "local-mean"])
def test_a_constant_picture_is_refused_with_its_one_grey_value(method):
    with pytest.raises(DataError, match="1 grey value") as caught:
        labels_of(np.full((3, 9, 9), 7, np.uint16), method)
    assert caught.value.hint


@pytest.mark.parametrize("method", [*SINGLE, "multi-otsu", "histogram-valleys", "gaussian-mixture"])
def test_work_inside_a_mask_finds_what_it_would_find_if_there_were_nothing_else(method):
    data = cells(4, shape=(2, 60, 60)).astype(np.uint8)
    mask = np.zeros(data.shape, np.uint8)
    mask[:, 10:50, 5:55] = 1
    data[mask == 0] = 255
    found = segment(inside(Stack(data, "ZYX"), mask), method).labels.data
    assert np.array_equal(found[:, 10:50, 5:55], labels_of(data[:, 10:50, 5:55], method))
    assert not found[mask == 0].any()


# ------------------------------------------------------------ coarse bins


def test_up_to_256_grey_values_each_has_its_own_bin_and_more_share_bins_evenly():
    few = coarsened(plane_histogram(np.arange(7, 207, dtype=np.uint16).reshape(2, -1)))
    assert few.counts.tolist() == [1] * 200
    assert few.last.tolist() == list(range(7, 207))
    many = coarsened(plane_histogram(np.arange(1000, 2000, dtype=np.uint16).reshape(2, -1)))
    assert set(many.counts[:-1].tolist()) == {4}
    assert len(many.counts) == 250
    assert many.last[:2].tolist() == [1003, 1007]


@pytest.mark.parametrize("scale", [1 / 255, 257, 0.1])
def test_whole_numbers_in_disguise_leave_no_empty_bins(scale):
    data = (np.arange(40, 190).reshape(2, -1) * scale).astype(np.float32)
    assert coarsened(plane_histogram(data)).counts.tolist() == [1] * 150


def test_values_on_no_grid_are_counted_in_even_bins():
    data = np.sort(np.random.default_rng(0).random((50, 2000)).astype(np.float32).ravel()).reshape(50, -1)
    coarse = coarsened(plane_histogram(data))
    assert len(coarse.counts) == COARSE
    expected, _ = np.histogram(data, COARSE)
    assert np.abs(coarse.counts - expected).max() < 0.1 * expected.mean()


def test_a_histogram_of_one_bin_stays_one():
    assert coarsened(Histogram(np.array([0, 5, 0]), 0.0, 1.0, 1.0, 1.0)).counts.tolist() == [5]


@pytest.mark.data
def test_on_real_pictures_thresholds_are_those_of_scikit_image(data_folder):
    from skimage.filters import threshold_li
    from tifffile import imread

    data = imread(data_folder / "isbi2012_em" / "image.tif", key=range(2))
    for method in ("triangle", "yen"):
        assert np.array_equal(labels_of(data, method), by_scikit_image(data, method))
    assert (labels_of(data, "li") == (data > threshold_li(data))).mean() > 0.99
