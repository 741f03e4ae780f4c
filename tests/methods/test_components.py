"""Connected parts, numbered piece by piece: against SciPy, which numbers them at once."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import generate_binary_structure, label

from napari_segtool.methods._components import components_steps
from napari_segtool.methods._linked import STRONG, WEAK, keep_linked_steps


def finished(work):
    seen = []
    try:
        while True:
            seen.append(next(work))
    except StopIteration as stop:
        assert seen == sorted(seen)
        return stop.value


def whole(image: np.ndarray, corners: bool, smallest: int = 1) -> np.ndarray:
    """Parts of equal value, numbered from 1 as they come."""
    structure = generate_binary_structure(image.ndim, image.ndim if corners else 1)
    found, count = np.zeros(image.shape, int), 0
    for value in np.unique(image[image > 0]):
        parts, new = label(image == value, structure)
        found[parts > 0] = parts[parts > 0] + count
        count += new
    sizes = np.bincount(found.ravel(), minlength=count + 1)
    first = [(int(np.argmax(found.ravel() == number)), number) for number in range(1, count + 1) if sizes[number] >= smallest]
    table = np.zeros(count + 1, int)
    table[[number for _, number in sorted(first)]] = np.arange(1, len(first) + 1)
    return table[found]


@settings(max_examples=150, deadline=None)
@given(
    st.integers(0, 2**16),
    st.floats(0.05, 0.95),
    st.booleans(),
    st.sampled_from(["bool", "uint8", "uint16"]),
    st.lists(st.integers(1, 11), min_size=2, max_size=3),
    st.integers(1, 300),
    st.sampled_from([1, 1, 3]),
)
def test_parts_are_those_of_scipy_however_the_picture_is_cut_up(seed, share, corners, dtype, shape, part, smallest):
    generator = np.random.default_rng(seed)
    image = generator.random(shape) < share
    image = image if dtype == "bool" else (image * generator.integers(1, 3, shape)).astype(dtype)
    image.flags.writeable = False
    found = finished(components_steps(image, corners=corners, smallest=smallest, part=part))
    assert found.dtype == np.uint32
    assert np.array_equal(found, whole(image, corners, smallest))


@pytest.mark.parametrize("shape", [(6, 1, 1), (1, 1, 9), (1, 9), (9, 3), (4, 5)])
def test_corners_count_in_thin_pictures_too(shape):
    generator = np.random.default_rng(0)
    for _ in range(60):
        image = generator.random(shape) < generator.random()
        assert np.array_equal(finished(components_steps(image, corners=True)), whole(image, corners=True))


@pytest.mark.parametrize("shape", [(6, 1, 1), (4, 5, 6), (1, 7, 3)])
@pytest.mark.parametrize("corners", [False, True])
def test_what_is_linked_to_something_strong_is_so_in_thin_volumes_too(shape, corners):
    generator = np.random.default_rng(0)
    for _ in range(40):
        marks = generator.choice([0, WEAK, STRONG], shape, p=[0.5, 0.4, 0.1]).astype(np.uint8)
        parts, _ = label(marks > 0, generate_binary_structure(3, 3 if corners else 1))
        expected = np.isin(parts, parts[marks == STRONG]) & (marks > 0)
        for _ in keep_linked_steps(marks, corners, slab_voxels=12):
            pass
        assert np.array_equal(marks, expected)
