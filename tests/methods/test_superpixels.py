"""Superpixels: their size, their connection, and what they keep to."""

from __future__ import annotations

import numpy as np
import pytest
from skimage.measure import label
from skimage.segmentation import slic

from napari_segtool.api import segment
from napari_segtool.core.errors import DataError, SpacingError
from napari_segtool.core.stack import Stack


def picture(shape=(80, 100), noise=6.0):
    generator = np.random.default_rng(0)
    y, x = np.ogrid[: shape[-2], : shape[-1]]
    truth = np.broadcast_to(((y - 40) ** 2 + (x - 50) ** 2 < 26**2).astype(int) + (x > 85), shape)
    return (60.0 + 70 * truth + generator.normal(0, noise, shape)).clip(0, 255).astype(np.uint8), truth


def kept(labels, truth):
    """Part of the pixels that lie in the thing that most of their superpixel lies in."""
    table = np.zeros((int(labels.max()) + 1, int(truth.max()) + 1))
    np.add.at(table, (labels.ravel(), truth.ravel()), 1)
    return table.max(axis=1).sum() / labels.size


def test_superpixels_keep_to_edges_as_those_of_scikit_image_do():
    image, truth = picture()
    found = segment(Stack(image, "YX"), "slic", size_px=10).labels.data
    theirs = slic(image.astype(float), n_segments=80, compactness=0.1, sigma=1, channel_axis=None, start_label=1)
    assert kept(found, truth) > kept(theirs, truth) - 0.005
    assert kept(found, truth) > 0.97
    assert 40 < found.max() < 160


@pytest.mark.parametrize("volume", [False, True])
def test_every_superpixel_is_connected_and_they_are_numbered_as_they_come(volume):
    image, _ = picture((4, 40, 50), noise=25)
    found = segment(Stack(image, "ZYX"), "slic", size_px=8, volume=volume).labels.data
    for part in [found] if volume else found:
        assert label(part, connectivity=1).max() == part.max() == np.unique(part).size
        first = np.unique(part, return_index=True)[1]
        assert (np.diff(first) > 0).all()


def test_supervoxels_in_thick_slices_are_as_deep_in_um_as_they_are_wide():
    image = np.random.default_rng(0).integers(90, 110, (12, 60, 60)).astype(np.uint8)
    found = segment(Stack(image, "ZYX", (0.5, 0.1, 0.1)), "slic", size_um=1.5, compactness=200.0, volume=True).labels.data
    boxes = [np.ptp(np.argwhere(found == number), axis=0) + 1 for number in range(1, found.max() + 1)]
    assert np.median(boxes, axis=0).tolist() == pytest.approx([3, 15, 15], abs=3)  # 1.5 µm
    assert np.median(boxes, axis=0)[0] <= 4
    with pytest.raises(SpacingError):
        segment(Stack(image, "ZYX"), "slic", size_um=1.5)


def test_large_compactness_makes_squares_and_a_count_may_be_asked_for():
    image, _ = picture()
    squares = segment(Stack(image, "YX"), "slic", size_px=20, compactness=1000.0).labels.data
    expected = np.arange(80)[:, None] // 20 * 5 + np.arange(100) // 20 + 1
    assert (squares != expected).mean() < 0.12
    assert segment(Stack(image, "YX"), "slic", count=30).labels.data.max() == pytest.approx(30, abs=12)


def test_what_has_no_value_belongs_to_no_superpixel_and_one_grey_value_is_refused():
    image, _ = picture()
    values = image.astype(np.float32)
    values[20:40, 30:50] = np.nan
    found = segment(Stack(values, "YX"), "slic", size_px=10).labels.data
    assert np.array_equal(found == 0, np.isnan(values))
    with pytest.raises(DataError, match="1 grey value"):
        segment(Stack(np.full((9, 9), 5, np.uint8), "YX"), "slic")
