"""Growing by mean and deviation, against SimpleITK."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK
from scipy.ndimage import gaussian_filter

from napari_segtool.api import segment
from napari_segtool.core.errors import ParameterError
from napari_segtool.core.stack import Stack


def hills(shape, dtype, seed=0):
    generator = np.random.default_rng(seed)
    ground = gaussian_filter(generator.normal(size=shape), 3)
    values = (128 + 30 * ground / ground.std() + generator.normal(0, 6, shape)).clip(0, 255).astype(dtype)
    return values - 128 if dtype == "int16" else values


def grown(image, seeds, **params):
    written = ";".join(",".join(map(str, seed)) for seed in seeds)
    return segment(Stack(image, "ZYX"[-image.ndim :]), "confidence-connected", seeds=written, smoothing_px=0, grow_in="volume", **params).labels.data


@pytest.mark.parametrize("shape", [(40, 50), (8, 30, 32)])
@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32"])
@pytest.mark.parametrize(("iterations", "multiplier", "radius"), [(0, 1.5, 1), (4, 2.5, 2), (2, 1.0, 3)])
@pytest.mark.parametrize("count", [1, 2])
def test_every_voxel_is_that_of_simpleitk(shape, dtype, iterations, multiplier, radius, count):
    image = hills(shape, dtype)
    generator = np.random.default_rng(count + iterations)
    seeds = [tuple(int(generator.integers(0, n)) for n in shape) for _ in range(count)]
    expected = SimpleITK.ConfidenceConnected(SimpleITK.GetImageFromArray(image), [seed[::-1] for seed in seeds], iterations, multiplier, radius, 1)
    found = grown(image, seeds, iterations=iterations, multiplier=multiplier, radius_px=radius)
    assert np.array_equal(found, SimpleITK.GetArrayFromImage(expected))


def test_a_pixel_that_two_labels_reach_goes_to_the_nearer_mean_in_deviations():
    image = np.tile(np.linspace(0, 100, 41, dtype=np.float32), (9, 1))  # a ramp: both regions spread
    found = segment(Stack(image, "YX"), "confidence-connected", seeds="4,5:1;4,35:2", smoothing_px=0, radius_px=4, multiplier=10, iterations=0).labels.data
    assert (found == np.where(np.arange(41) <= 20, 1, 2)).mean() > 0.97  # equally wide, so the border lies half-way


def test_what_has_no_value_is_neither_measured_nor_crossed():
    image = hills((30, 40), "float32")
    image[:] = 100 + np.random.default_rng(0).normal(0, 1, image.shape)
    image[:, 20] = np.nan
    image[14:17, 8] = np.nan  # in the neighbourhood of the seed
    found = grown(image, [(15, 9)], radius_px=2, multiplier=8.0)
    assert not found[:, 20:].any()
    assert found[:, :20][np.isfinite(image[:, :20])].all()
    with pytest.raises(ParameterError, match="without a value"):
        grown(image, [(3, 20)])


def test_growth_stays_in_the_slice_of_the_seed_unless_the_volume_is_asked_for():
    image = np.full((3, 12, 12), 50, np.uint8)
    image[:, :, 6:] = 200
    stack = Stack(image, "ZYX")
    one = segment(stack, "confidence-connected", seeds="1,5,2:3", smoothing_px=0).labels.data
    assert [int(plane.max()) for plane in one] == [0, 3, 0]
    every = segment(stack, "confidence-connected", seeds="1,5,2:3", smoothing_px=0, grow_in="volume").labels.data
    assert np.array_equal(every, np.where(image == 50, 3, 0))
