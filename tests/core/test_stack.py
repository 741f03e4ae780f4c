import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_segtool.core.errors import AxesError, SpacingError
from napari_segtool.core.planes import label_key, map_planes, plane_axes, plane_indices, read_plane
from napari_segtool.core.progress import drain
from napari_segtool.core.stack import KNOWN_AXES, Stack, corrected, cut, parse_slices

EM_UM = (0.05, 0.004, 0.004)


def test_axes_that_do_not_fit_the_data_are_refused_with_the_way_to_mend_it():
    with pytest.raises(AxesError, match="3 dimensions") as caught:
        Stack(np.zeros((2, 3, 4)), "YX", name="em")
    assert "--axes" in caught.value.hint


@pytest.mark.parametrize("axes", ["ZZX", "ABX", "ZCX", "CYXS"])
def test_axes_with_a_repeated_unknown_or_missing_letter_are_refused(axes):
    with pytest.raises(AxesError):
        Stack(np.zeros((2,) * len(axes)), axes)


@pytest.mark.parametrize("spacing", [(1.0,), (1.0, 2.0), (0.0, 1.0, 1.0), (-1.0, 1.0, 1.0), (float("nan"), 1, 1)])
def test_a_spacing_needs_one_positive_number_for_each_spatial_axis(spacing):
    with pytest.raises(SpacingError):
        Stack(np.zeros((2, 3, 4)), "ZYX", spacing)


@pytest.mark.parametrize(
    ("axes", "slice_axis", "slices"),
    [("ZYX", 0, 2), ("QYX", 0, 2), ("TYX", 0, 2), ("YX", 0, 1), ("TZYX", 1, 3), ("YXS", 0, 1), ("CYX", 1, 1)],
)
def test_slices_are_counted_along_z_else_pages_else_time(axes, slice_axis, slices):
    stack = Stack(np.zeros((2, 3, 4, 5)[: len(axes)]), axes)
    assert (stack.slice_axis, stack.slices) == (slice_axis, slices)


def test_three_spacings_for_pages_say_that_the_pages_are_sections():
    stack = corrected(Stack(np.zeros((2, 3, 4)), "QYX"), spacing_um=EM_UM)
    assert (stack.axes, stack.spacing_um) == ("ZYX", EM_UM)


def test_naming_pages_z_keeps_what_the_file_said_only_where_it_covers_every_axis():
    paged = Stack(np.zeros((2, 3, 4)), "QYX", (0.004, 0.004))
    assert corrected(paged, axes="ZYX").spacing_um == ()
    assert corrected(paged, axes="TYX").spacing_um == (0.004, 0.004)


def test_cutting_is_a_view_and_an_empty_cut_is_refused():
    stack = Stack(np.arange(24).reshape(4, 2, 3), "ZYX", EM_UM)
    part = cut(stack, 1, 3)
    assert np.shares_memory(part.data, stack.data)
    assert part.data[0, 0, 0] == 6
    assert part.spacing_um == EM_UM
    with pytest.raises(AxesError, match="empty"):
        cut(stack, 4, 9)


@pytest.mark.parametrize(("text", "expected"), [("15:20", (15, 20)), ("7", (7, 8)), (":5", (0, 5)), ("-5:", (-5, 2**62))])
def test_slices_are_read_as_python_reads_them(text, expected):
    assert parse_slices(text) == expected


@pytest.mark.parametrize("text", ["a:b", "1:2:3", "", "1.5"])
def test_words_that_are_no_slices_are_refused(text):
    with pytest.raises(AxesError):
        parse_slices(text)


@st.composite
def stacks(draw):
    others = draw(st.lists(st.sampled_from([letter for letter in KNOWN_AXES if letter not in "YX"]), unique=True, max_size=2))
    if {"C", "S"} <= set(others):
        others.remove("S")
    axes = draw(st.permutations(["Y", "X", *others]))
    shape = tuple(draw(st.integers(1, 4)) for _ in axes)
    return Stack(np.arange(np.prod(shape)).reshape(shape), "".join(axes))


@given(stacks())
def test_planes_cover_every_pixel_once_whatever_the_order_of_axes(stack):
    planes = [read_plane(stack, index) for index in plane_indices(stack)]
    assert sorted(np.concatenate([plane.ravel() for plane in planes])) == list(range(stack.data.size))
    assert all(plane.ndim == 2 + (stack.channel_axis >= 0) for plane in planes)
    assert len(plane_axes(stack)) == len(stack.label_axes) - 2


@given(stacks())
def test_a_rule_mapped_over_planes_puts_every_result_where_its_pixel_was(stack):
    result = drain(map_planes(stack, lambda plane: plane if plane.ndim == 2 else plane.sum(axis=0)))
    expected = stack.data if stack.channel_axis < 0 else stack.data.sum(axis=stack.channel_axis)
    assert np.array_equal(result, expected)
    assert all(np.asarray(result[label_key(stack, index)]).ndim == 2 for index in plane_indices(stack))
