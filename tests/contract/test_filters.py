"""What every filter promises."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_segtool.api import apply_filter, apply_filter_steps
from napari_segtool.core.errors import DataError, ParameterError, SegtoolError
from napari_segtool.core.params import describe
from napari_segtool.core.planes import map_planes, plane_indices, read_plane
from napari_segtool.core.progress import drain
from napari_segtool.core.registry import FILTERS, Entry
from napari_segtool.core.stack import Stack
from tests.contract.pictures import PHANTOMS, USUAL, Lazy, usual

pytestmark = pytest.mark.parametrize("entry", list(FILTERS), ids=lambda entry: entry.name)


def filtered_or_refusal(entry: Entry, stack: Stack, **params) -> Stack | SegtoolError:
    try:
        return apply_filter(stack, entry.name, **params)
    except SegtoolError as error:
        return error


@pytest.mark.parametrize("name", USUAL)
def test_the_result_has_the_shape_axes_spacing_and_type_of_the_stack(entry, name):
    stack = usual(name)
    before = np.array(stack.data)
    filtered = apply_filter(stack, entry.name)
    assert filtered.shape == stack.shape
    assert (filtered.axes, filtered.spacing_um) == (stack.axes, stack.spacing_um)
    assert filtered.data.dtype == stack.data.dtype.newbyteorder("=")
    assert np.array_equal(before, stack.data)
    assert np.array_equal(filtered.data, apply_filter(usual(name), entry.name).data)


@pytest.mark.parametrize("name", USUAL)
def test_grey_values_stay_between_the_darkest_and_the_brightest(entry, name):
    stack = usual(name)
    filtered = apply_filter(stack, entry.name).data.astype(float)
    rounding = 1e-5 * np.abs(stack.data).max() if stack.data.dtype.kind == "f" else 0
    assert stack.data.min() - rounding <= filtered.min()
    assert filtered.max() <= stack.data.max() + rounding


def test_a_preview_of_one_plane_is_that_plane_of_the_whole(entry):
    stack = usual("3-D uint8")
    rule = drain(entry.function(stack, entry.params()))
    whole = drain(map_planes(stack, rule))
    for index in plane_indices(stack):
        assert np.array_equal(rule(read_plane(stack, index)), whole[index])


def test_every_channel_is_filtered_on_its_own(entry):
    stack = usual("channels after Z")
    filtered = apply_filter(stack, entry.name).data
    for channel in range(2):
        assert np.array_equal(filtered[:, channel], apply_filter(Stack(stack.data[:, channel], "ZYX"), entry.name).data)


def test_a_constant_picture_stays_as_it_is(entry):
    for dtype in ("uint8", ">u2", "float32", "int16", "float64"):
        stack = Stack(np.full((2, 6, 7), 77, dtype), "ZYX")
        assert np.allclose(apply_filter(stack, entry.name).data, 77, rtol=1e-6)


def test_an_empty_picture_is_refused(entry):
    with pytest.raises(DataError, match="no pixel"):
        apply_filter(Stack(np.zeros((0, 8), np.uint8), "YX"), entry.name)


def test_pixels_without_a_value_stay_so_and_do_not_spread(entry):
    data = np.array(usual("float32").data)
    data[:, 5, 6] = np.nan
    filtered = apply_filter(Stack(data, "ZYX"), entry.name).data
    assert np.array_equal(np.isnan(filtered), np.isnan(data))
    nothing = np.full((2, 4, 4), np.nan, np.float32)
    assert np.isnan(apply_filter(Stack(nothing, "ZYX"), entry.name).data).all()


def test_a_stack_that_is_read_from_disk_is_walked_plane_by_plane(entry):
    stack = usual("3-D uint8")
    lazy = Lazy(np.array(stack.data))
    assert np.array_equal(apply_filter(Stack(lazy, "ZYX"), entry.name).data, apply_filter(stack, entry.name).data)
    assert lazy.largest == 24 * 40


def test_every_setting_may_be_at_both_ends_and_not_beyond(entry):
    stack = usual("3-D anisotropic uint16")
    for field in describe(entry.params):
        for end in (field.minimum, field.maximum):
            if end is None:
                continue
            value = int(end) if field.kind == "int" else end
            assert apply_filter(stack, entry.name, **{field.name: value}).shape == stack.shape
            with pytest.raises(ParameterError, match=field.name):
                apply_filter(stack, entry.name, **{field.name: value + (1 if end == field.maximum else -1)})
        if field.kind == "bool":
            assert apply_filter(stack, entry.name, **{field.name: not field.default}).shape == stack.shape


def test_it_can_be_left_after_a_step(entry):
    steps = apply_filter_steps(usual("3-D uint8"), entry.name)
    next(steps)
    steps.close()
    with pytest.raises(StopIteration):
        next(steps)


def test_it_brings_a_noisy_picture_nearer_to_the_clean_one(entry):
    phantom = PHANTOMS[entry.phantom]()
    error = lambda data: float(np.sqrt(np.mean((data[:, 6:-6, 6:-6].astype(float) - phantom.clean[:, 6:-6, 6:-6]) ** 2)))  # noqa: E731
    assert error(apply_filter(phantom.stack, entry.name).data) < error(phantom.stack.data) / 2


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_any_small_picture_is_filtered(entry, data):
    axes = data.draw(st.sampled_from(["YX", "ZYX", "QYX", "TYX", "CYX", "YXS", "TZYX", "ZCYX"]))
    shape = tuple(data.draw(st.integers(1, 4)) if axis in "CST" else data.draw(st.integers(1, 7)) for axis in axes)
    dtype = np.dtype(data.draw(st.sampled_from(["u1", "u2", ">u2", "i1", ">i2", "i4", "u4", "f2", "f4", ">f4", "f8", "?"])))
    generator = np.random.default_rng(data.draw(st.integers(0, 2**16)))
    values = (generator.normal(100, 40, shape).clip(0, 127) if dtype.kind != "b" else generator.random(shape) > 0.5).astype(dtype)
    values.flags.writeable = False
    found = filtered_or_refusal(entry, Stack(values, axes))
    assert isinstance(found, Stack)
    assert found.shape == shape
    assert found.data.dtype == dtype.newbyteorder("=")
