"""What every filter promises; some promises are made by those that carry a trait.

``keeps-type``: the result has the type of the stack; without it, float32. ``keeps-range``: no value lies outside those of the stack.
``keeps-constant``: a constant picture stays as it is; without it, it becomes another constant picture.
"""

from __future__ import annotations

import itertools
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_segtool.api import apply_filter, apply_filter_steps
from napari_segtool.core.errors import AxesError, DataError, ParameterError
from napari_segtool.core.params import describe
from napari_segtool.core.planes import plane_indices, read_plane
from napari_segtool.core.progress import drain
from napari_segtool.core.registry import FILTERS, Entry
from napari_segtool.core.stack import Stack
from tests.contract.filter_phantoms import CHECKS
from tests.contract.pictures import USUAL, Lazy, stack_of, usual

every_filter = pytest.mark.parametrize("entry", list(FILTERS), ids=lambda entry: entry.name)
every_volume_filter = pytest.mark.parametrize("entry", [e for e in FILTERS if "volume" in e.params.model_fields], ids=lambda entry: entry.name)


def those_with(trait: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("entry", [entry for entry in FILTERS if trait in entry.traits], ids=lambda entry: entry.name)


def filtered(entry: Entry, stack: Stack, **params) -> np.ndarray:
    return apply_filter(stack, entry.name, **params).data


def filtered_or_refusal(entry: Entry, stack: Stack, **params) -> np.ndarray | ParameterError:
    try:
        return filtered(entry, stack, **params)
    except ParameterError as error:
        return error


def same(first: np.ndarray, second: np.ndarray) -> bool:
    return first.dtype == second.dtype and np.array_equal(first, second, equal_nan=first.dtype.kind == "f")


def promised_type(entry: Entry, dtype: np.dtype) -> np.dtype:
    return dtype.newbyteorder("=") if "keeps-type" in entry.traits else np.dtype(np.float32)


@every_filter
@pytest.mark.parametrize("name", USUAL)
def test_the_result_has_the_shape_axes_and_spacing_of_the_stack_and_the_type_promised(entry, name):
    stack = usual(name)
    before = np.array(stack.data)
    result = apply_filter(stack, entry.name)
    assert result.shape == stack.shape
    assert (result.axes, result.spacing_um) == (stack.axes, stack.spacing_um)
    assert result.data.dtype == promised_type(entry, stack.data.dtype)
    assert np.isfinite(result.data).all()
    assert np.array_equal(before, stack.data)
    assert same(result.data, filtered(entry, usual(name)))


@those_with("keeps-range")
@pytest.mark.parametrize("name", USUAL)
def test_grey_values_stay_between_the_darkest_and_the_brightest(entry, name):
    stack = usual(name)
    result = filtered(entry, stack).astype(float)
    rounding = 1e-5 * np.abs(stack.data).max() if stack.data.dtype.kind == "f" else 0
    assert stack.data.min() - rounding <= result.min()
    assert result.max() <= stack.data.max() + rounding


@every_filter
@pytest.mark.parametrize("name", ["3-D uint8", "float32", "X before Y"])
def test_a_preview_of_one_plane_is_that_plane_of_the_whole(entry, name):
    stack = usual(name)
    rule = drain(entry.function(stack, entry.params()))
    whole = filtered(entry, usual(name))
    for index in plane_indices(stack):
        alone = np.asarray(rule(read_plane(stack, index)))
        assert same(alone.T if name == "X before Y" else alone, whole[index])


@every_filter
def test_every_channel_is_filtered_on_its_own(entry):
    stack = usual("channels after Z")
    data = np.array(stack.data)
    data[:, 1] //= 3
    result = filtered(entry, Stack(data, stack.axes))
    for channel in range(2):
        assert same(result[:, channel], filtered(entry, Stack(data[:, channel], "ZYX")))


@every_filter
@pytest.mark.parametrize("dtype", ["uint8", ">u2", "float32", "int16", "float64", "bool"])
def test_a_constant_picture_stays_constant_and_a_hole_in_it_is_not_seen(entry, dtype):
    stack = Stack(np.full((2, 16, 17), 77, dtype), "ZYX")
    result = filtered(entry, stack)
    assert np.isfinite(result).all()
    assert np.ptp(result.astype(float)) <= 1e-5 * np.abs(result.astype(float)).max()
    if "keeps-constant" in entry.traits:
        assert np.allclose(result, stack.data, rtol=1e-6)
    if np.dtype(dtype).kind == "f":
        holes = np.array(stack.data)
        holes[0, 3:6, 4:9] = np.nan
        holes[1, 8, 8], holes[1, 12, 2] = np.inf, -np.inf
        known = np.isfinite(holes)
        found = filtered(entry, Stack(holes, "ZYX"))
        assert np.allclose(found[known], result[known], rtol=1e-5, atol=1e-5)
        assert np.isnan(found[0, 3:6, 4:9]).all()


@every_filter
def test_an_empty_picture_is_refused(entry):
    with pytest.raises(DataError, match="no pixel"):
        filtered(entry, Stack(np.zeros((0, 8), np.uint8), "YX"))


@every_filter
def test_pixels_without_a_value_stay_so_and_do_not_spread(entry):
    data = np.array(usual("float32").data)
    data[:, 5, 6] = np.nan
    data[1, 9:15, 20:30] = np.nan
    result = filtered(entry, Stack(data, "ZYX"))
    assert np.array_equal(np.isnan(result), np.isnan(data))
    assert np.isfinite(result[~np.isnan(data)]).all()
    data[2, 20, 30], data[2, 3, 2] = np.inf, -np.inf
    assert np.isfinite(filtered(entry, Stack(data, "ZYX"))[np.isfinite(data)]).all()
    nothing = np.full((2, 4, 4), np.nan, np.float32)
    assert np.isnan(filtered(entry, Stack(nothing, "ZYX"))).all()


@every_filter
def test_a_stack_that_is_read_from_disk_is_walked_plane_by_plane(entry):
    for name in ("3-D uint8", "channels after Z"):
        stack = usual(name)
        lazy = Lazy(np.array(stack.data))
        assert same(filtered(entry, Stack(lazy, stack.axes)), filtered(entry, stack))
        assert lazy.largest == 24 * 40


@every_filter
def test_every_setting_may_be_at_both_ends_and_not_beyond(entry):
    stack = usual("3-D anisotropic uint16")
    for field in describe(entry.params):
        for end in (field.minimum, field.maximum):
            if end is None:
                continue
            value = int(end) if field.kind == "int" else end
            found = filtered_or_refusal(entry, stack, **{field.name: value})
            if isinstance(found, ParameterError):  # how many pixels a width in µm makes depends on the spacing
                assert field.name.endswith("_um")
                assert "pixels of" in str(found)
                assert found.hint
            else:
                assert found.shape == stack.shape
            with pytest.raises(ParameterError, match=field.name):
                filtered(entry, stack, **{field.name: value + (1 if end == field.maximum else -1)})
        for choice in field.choices:
            assert filtered(entry, stack, **{field.name: choice}).shape == stack.shape
        if field.kind == "bool":
            assert filtered(entry, stack, **{field.name: not field.default}).shape == stack.shape
    with pytest.raises(ParameterError, match="no parameter"):
        filtered(entry, stack, nonsense=1)


@every_filter
def test_it_can_be_left_after_any_step_and_lets_go_of_its_memory(entry):
    stack = stack_of("ZYX", (8, 192, 192), "float32")
    drain(apply_filter_steps(usual("3-D uint8"), entry.name))  # load libraries first
    for count in (1, 5):
        tracemalloc.start()
        steps = apply_filter_steps(stack, entry.name)
        before = tracemalloc.get_traced_memory()[0]
        for _ in itertools.islice(steps, count):
            pass
        steps.close()
        with pytest.raises(StopIteration):
            next(steps)
        del steps
        left = tracemalloc.get_traced_memory()[0] - before
        tracemalloc.stop()
        assert left < stack.data.nbytes / 4


@every_filter
def test_progress_never_runs_back_within_a_stage_and_ends_full(entry):
    seen: dict[str, list[float]] = {}
    drain(apply_filter_steps(usual("3-D uint8"), entry.name), lambda p: seen.setdefault(p.label, []).append(p.fraction))
    assert seen
    for fractions in seen.values():
        assert fractions == sorted(fractions)
        assert fractions[-1] == 1


@pytest.mark.parametrize("entry", [entry for entry in FILTERS if entry.phantom], ids=lambda entry: entry.name)
def test_it_mends_what_is_wrong_with_its_phantom(entry):
    names = entry.params.model_fields
    CHECKS[entry.phantom](lambda stack, **params: filtered(entry, stack, **{key: value for key, value in params.items() if key in names}))


@every_volume_filter
@pytest.mark.parametrize(
    "name", ["3-D uint8", "3-D anisotropic uint16", "big-endian uint16", "float32", "pages of unknown meaning", "one voxel thin", "one row"]
)
def test_a_volume_keeps_shape_and_type_too(entry, name):
    stack = usual(name)
    before = np.array(stack.data)
    result = apply_filter(stack, entry.name, volume=True)
    assert (result.shape, result.axes, result.spacing_um) == (stack.shape, stack.axes, stack.spacing_um)
    assert result.data.dtype == promised_type(entry, stack.data.dtype)
    assert np.isfinite(result.data).all()
    assert np.array_equal(before, stack.data)
    if "keeps-range" in entry.traits:
        rounding = 1e-5 * np.abs(stack.data).max() if stack.data.dtype.kind == "f" else 0
        assert stack.data.min() - rounding <= result.data.min()
        assert result.data.max() <= stack.data.max() + rounding
    assert same(result.data, filtered(entry, usual(name), volume=True))


@every_volume_filter
def test_each_time_and_channel_is_a_volume_of_its_own_whatever_the_order_of_its_axes(entry):
    data = np.random.default_rng(1).integers(0, 200, (2, 4, 2, 12, 13)).astype(np.uint8)  # 8 bit: black and white do not depend on the other times
    data[1], data[:, :, 1] = data[1] // 2, data[:, :, 1] // 3
    noise = {"noise": 0.3} if "noise" in entry.params.model_fields else {}  # else measured in all times together
    found = filtered(entry, Stack(data, "TZCYX"), volume=True, **noise)
    for time in range(2):
        for channel in range(2):
            alone = filtered(entry, Stack(data[time, :, channel], "ZYX"), volume=True, **noise)
            assert same(found[time, :, channel], alone)
    turned = filtered(entry, Stack(data[1, :, 0].transpose(1, 0, 2), "YZX"), volume=True, **noise)
    assert same(turned.transpose(1, 0, 2), found[1, :, 0])


@every_volume_filter
def test_holes_in_a_volume_stay_and_do_not_spread(entry):
    data = np.array(usual("float32").data)
    data[1, 4:9, 5:11] = np.nan
    data[0, 20, 30] = np.nan
    result = filtered(entry, Stack(data, "ZYX"), volume=True)
    assert np.array_equal(np.isnan(result), np.isnan(data))
    assert np.isfinite(result[~np.isnan(data)]).all()
    constant = np.where(np.isnan(data), np.nan, 7).astype(np.float32)
    whole = filtered(entry, Stack(np.full(data.shape, 7, np.float32), "ZYX"), volume=True)
    found = filtered(entry, Stack(constant, "ZYX"), volume=True)
    assert np.allclose(found[~np.isnan(data)], whole[~np.isnan(data)], rtol=1e-5, atol=1e-5)
    assert np.isnan(filtered(entry, Stack(np.full((2, 4, 4), np.nan, np.float32), "ZYX"), volume=True)).all()


@every_volume_filter
def test_a_volume_without_slices_is_refused(entry):
    for name in ("float64", "channels"):
        with pytest.raises(AxesError, match="no slices"):
            filtered(entry, usual(name), volume=True)


@every_volume_filter
def test_a_volume_can_be_left_after_a_step_and_lets_go_of_its_memory(entry):
    stack = stack_of("ZYX", (8, 96, 96), "float32")
    drain(apply_filter_steps(usual("3-D uint8"), entry.name, volume=True))
    tracemalloc.start()
    steps = apply_filter_steps(stack, entry.name, volume=True)
    before = tracemalloc.get_traced_memory()[0]
    next(steps)
    steps.close()
    del steps
    left = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert left < stack.data.nbytes / 4


@every_filter
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_any_small_picture_is_filtered(entry, data):
    axes = data.draw(st.sampled_from(["YX", "ZYX", "QYX", "TYX", "CYX", "YXS", "TZYX", "ZCYX"]))
    shape = tuple(data.draw(st.integers(1, 4)) if axis in "CST" else data.draw(st.integers(1, 7)) for axis in axes)
    dtype = np.dtype(data.draw(st.sampled_from(["u1", "u2", ">u2", "i1", ">i2", "i4", "u4", "f2", "f4", ">f4", "f8", "?"])))
    generator = np.random.default_rng(data.draw(st.integers(0, 2**16)))
    values = (generator.normal(100, 40, shape).clip(0, 127) if dtype.kind != "b" else generator.random(shape) > 0.5).astype(dtype)
    values.flags.writeable = False
    volume = {"volume": True} if {"volume"} & set(entry.params.model_fields) and {"Z", "Q"} & set(axes) and data.draw(st.booleans()) else {}
    found = filtered(entry, Stack(values, axes), **volume)
    assert found.shape == shape
    assert found.dtype == promised_type(entry, dtype)
    assert np.isfinite(found).all()
