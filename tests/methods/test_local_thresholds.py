"""Sauvola, Niblack and local mean: against scikit-image, and windows summed by hand."""

from __future__ import annotations

import numpy as np
import pytest

from napari_segtool.api import segment
from napari_segtool.core.errors import AxesError, SpacingError
from napari_segtool.core.stack import Stack

LOCAL = ("local-mean", "niblack", "sauvola")


def labels_of(data, method: str, spacing_um: tuple[float, ...] = (), **params) -> np.ndarray:
    data = np.asarray(data)
    return segment(Stack(data, "ZYX"[-data.ndim :], spacing_um), method, **params).labels.data


def texture(shape: tuple[int, ...] = (60, 70), dtype: str = "uint8", seed: int = 0) -> np.ndarray:
    generator = np.random.default_rng(seed)
    scale = 250 if dtype == "uint16" else 1
    return (np.clip(np.linspace(20, 200, shape[-1]) + generator.normal(0, 20, shape), 0, 255) * scale).astype(dtype)


def by_hand(data: np.ndarray, method: str, reach: tuple[int, ...], bright: bool, amount: float) -> np.ndarray:
    """Every window summed on its own; nan does not count."""
    values = data.astype(np.float64)
    lowest, highest = np.nanmin(values), np.nanmax(values)
    found = np.zeros(data.shape, np.uint8)
    for place in np.ndindex(data.shape):
        window = values[tuple(slice(max(0, i - r), i + r + 1) for i, r in zip(place, reach, strict=True))]
        window = window[np.isfinite(window)]
        if not window.size or np.isnan(values[place]):
            continue
        mean, deviation = window.mean(), window.std()
        if method == "niblack":
            margin = amount * deviation
        elif method == "local-mean":
            margin = amount / 100 * (highest - lowest)
        else:
            from_end = highest - mean if bright else mean - lowest
            margin = amount * from_end * (1 - deviation / ((highest - lowest) / 2))
        excess = values[place] - mean if bright else mean - values[place]
        found[place] = excess > margin + 1e-6 * (highest - lowest) / 2
    return found


AMOUNT = {"niblack": ("k", 0.4), "sauvola": ("k", 0.2), "local-mean": ("offset", 4.0)}


@pytest.mark.parametrize("method", LOCAL)
@pytest.mark.parametrize("objects", ["bright", "dark"])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_each_pixel_is_compared_with_its_window(method, objects, dtype):
    data = texture((24, 31), dtype)
    if dtype == "float32":
        data[3:8, 4:20] = np.nan
        data[20, 25], data[0, 0] = np.inf, -np.inf
    name, amount = AMOUNT[method]
    found = labels_of(data, method, objects=objects, window_px=9, **{name: amount})
    known = data.astype(float)
    known[~np.isfinite(known)] = np.nan
    expected = by_hand(known, method, (4, 4), objects == "bright", amount)
    finite = np.isfinite(data)
    assert (found == expected)[finite].mean() > 0.998  # a pixel on the threshold itself may fall to either side
    assert not found[np.isnan(data)].any()
    if dtype == "float32":
        assert found[20, 25] == (objects == "bright")
        assert found[0, 0] == (objects == "dark")


@pytest.mark.parametrize("method", ["niblack", "sauvola"])
def test_away_from_the_border_scikit_image_finds_the_same(method):
    from skimage.filters import threshold_niblack, threshold_sauvola

    data = texture()
    values = data.astype(np.float64) - data.min()
    if method == "niblack":
        dark, bright = data < threshold_niblack(data, 15, k=0.3), data > threshold_niblack(data, 15, k=-0.3)
    else:
        dark = values < threshold_sauvola(values, 15, k=0.3, r=values.max() / 2)
        bright = (values.max() - values) < threshold_sauvola(values.max() - values, 15, k=0.3, r=values.max() / 2)
    inner = (slice(8, -8), slice(8, -8))
    for objects, expected in (("dark", dark), ("bright", bright)):
        found = labels_of(data, method, objects=objects, window_px=15, k=0.3)
        assert (found == expected)[inner].mean() > 0.9995


def test_away_from_the_border_opencv_finds_the_same_local_mean():
    import cv2

    data = texture()
    data[0, 0], data[0, 1] = 0, 250  # a range of 250, so that 4 % are 10 grey values
    data = np.minimum(data, 250)
    found = labels_of(data, "local-mean", window_px=15, offset=4.0)
    mean = cv2.boxFilter(data.astype(np.float64), -1, (15, 15))
    assert np.array_equal(found[8:-8, 8:-8], (data > mean + 10 + 1e-4)[8:-8, 8:-8])


@pytest.mark.parametrize("method", LOCAL)
def test_a_neighbourhood_through_the_slices_is_as_deep_in_microns_as_it_is_wide(method):
    data = texture((9, 14, 17), seed=1)
    name, amount = AMOUNT[method]
    for spacing, reach in (((0.3, 0.1, 0.1), (1, 4, 4)), ((0.1, 0.2, 0.1), (4, 2, 4)), ((), (4, 4, 4)), ((9.0, 1.0, 1.0), (0, 4, 4))):
        found = labels_of(data, method, spacing, window_px=9, volume=True, **{name: amount})
        assert (found == by_hand(data, method, reach, True, amount)).mean() > 0.998


def test_a_volume_of_other_axes_is_walked_the_same_way():
    data = texture((2, 5, 14, 17), seed=2)
    expected = np.stack([labels_of(np.concatenate([volume]), "niblack", volume=True, window_px=5) for volume in data])
    assert np.array_equal(segment(Stack(data, "TZYX"), "niblack", volume=True, window_px=5).labels.data, expected)
    turned = segment(Stack(data[0].transpose(0, 2, 1), "ZXY"), "niblack", volume=True, window_px=5).labels.data
    assert np.array_equal(turned.transpose(0, 2, 1), expected[0])
    holes = data[0].astype(np.float32)
    holes[2, 3:6, 3:9] = np.nan
    assert (labels_of(holes, "niblack", volume=True, window_px=5, k=0.4) == by_hand(holes, "niblack", (2, 2, 2), True, 0.4)).mean() > 0.998


def test_a_width_in_microns_is_that_many_pixels():
    data = texture()
    expected = labels_of(data, "niblack", window_px=9)
    assert np.array_equal(labels_of(data, "niblack", (0.5, 0.5), window_px=3, window_um=4.5), expected)
    with pytest.raises(SpacingError, match=r"4.5 µm"):
        labels_of(data, "niblack", window_um=4.5)
    with pytest.raises(AxesError, match="no slices"):
        labels_of(data, "niblack", volume=True)


@pytest.mark.parametrize("method", LOCAL)
def test_a_window_wider_than_the_picture_sees_all_of_it(method):
    data = texture((12, 15))
    name, amount = AMOUNT[method]
    found = labels_of(data, method, window_px=501, **{name: amount})
    assert (found == by_hand(data, method, (12, 15), True, amount)).mean() > 0.995


@pytest.mark.parametrize("method", LOCAL)
def test_flat_ground_holds_no_objects_whatever_its_grey_value(method):
    for value in (0.1, 1e5, -3.3):
        data = np.full((40, 60), value, np.float32)
        data[5:8, 5:8] = value + 1000.0
        found = labels_of(data, method, window_px=11)
        assert found[5:8, 5:8].all()
        assert found.sum() == 9
