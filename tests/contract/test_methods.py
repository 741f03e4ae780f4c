"""What every classical method promises."""

from __future__ import annotations

import itertools
import math
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_segtool.api import segment, segment_rule_steps, segment_steps
from napari_segtool.core.errors import DataError, PaintError, ParameterError, SegtoolError
from napari_segtool.core.given import inputs_of
from napari_segtool.core.labels import smallest_dtype
from napari_segtool.core.params import describe
from napari_segtool.core.planes import AnyRule, apply_rule, label_key, plane_indices
from napari_segtool.core.progress import drain
from napari_segtool.core.registry import METHODS, Entry
from napari_segtool.core.stack import Stack
from tests.contract.pictures import PHANTOMS, USUAL, Lazy, dice, given_for, needs_labels, scene, settings_for, stack_of, usual

pytestmark = pytest.mark.parametrize("entry", list(METHODS), ids=lambda entry: entry.name)


def labels_of(entry: Entry, stack: Stack, **params) -> np.ndarray:
    return segment(stack, entry.name, **{**settings_for(entry, stack), **params}).labels.data


def labels_or_refusal(entry: Entry, stack: Stack, **params) -> np.ndarray | SegtoolError:
    try:
        return labels_of(entry, stack, **params)
    except SegtoolError as error:
        return error


def rule_of(entry: Entry, stack: Stack) -> AnyRule | np.ndarray:
    given = given_for(entry, stack)
    settings = {name: value for name, value in settings_for(entry, stack).items() if name not in given.names()}
    return drain(segment_rule_steps(stack, entry.name, given=given, **settings))


@pytest.mark.parametrize("name", USUAL)
def test_labels_have_the_shape_of_the_stack_and_the_smallest_type(entry, name):
    stack = usual(name)
    before = np.array(stack.data)
    labels = labels_of(entry, stack)
    assert labels.shape == stack.label_shape
    assert labels.dtype == smallest_dtype(int(labels.max()))
    assert np.array_equal(before, stack.data)


@pytest.mark.parametrize("name", USUAL)
def test_the_same_again_gives_the_same(entry, name):
    assert np.array_equal(labels_of(entry, usual(name)), labels_of(entry, usual(name)))


@pytest.mark.parametrize("name", USUAL)
def test_a_preview_of_one_plane_is_that_plane_of_the_whole(entry, name):
    stack = usual(name)
    whole = labels_of(entry, stack)
    rule = rule_of(entry, usual(name))
    if isinstance(rule, np.ndarray):
        assert np.array_equal(rule, whole)
        return
    for index in plane_indices(stack):
        alone = apply_rule(rule, stack, index)
        shown = whole[label_key(stack, index)]
        assert np.array_equal(alone, shown.T if stack.label_axes.index("Y") > stack.label_axes.index("X") else shown)


def test_a_preview_is_the_same_whatever_was_tried_before_on_the_stack(entry):
    data = np.clip(scene((48, 64)) + np.random.default_rng(5).normal(0, 40, (48, 64)), 0, 255).astype(np.uint8)  # hills and valleys everywhere
    given = given_for(entry, Stack(data, "YX"))
    settings = {name: value for name, value in settings_for(entry, Stack(data, "YX")).items() if name not in given.names()}

    def shown(stack: Stack, **params) -> np.ndarray | str:
        try:
            rule = drain(segment_rule_steps(stack, entry.name, given=given, **{**settings, **params}))
        except SegtoolError as error:
            return error.message
        return np.array(rule if isinstance(rule, np.ndarray) else apply_rule(rule, stack, ()))  # a copy, as of a layer

    tried = Stack(data, "YX")
    first = shown(tried)
    for field in describe(entry.params):
        if field.kind in ("int", "float", "choice", "bool"):
            other = {field.name: another(field)}
            assert np.array_equal(shown(tried, **other), shown(Stack(data, "YX"), **other)), f"{other} after others"
            assert np.array_equal(shown(tried), first), f"the usual settings after {other}"


def another(field) -> object:
    """A value of a setting that is not its default."""
    if field.kind == "bool":
        return not field.default
    if field.kind == "choice":
        return next(choice for choice in field.choices if choice != field.default)
    low = field.minimum if field.minimum is not None else field.default - 2
    high = field.maximum if field.maximum is not None else field.default + 2
    value = field.default + min(1.0, high - field.default) if field.default < high else max(low, field.default - 1)
    return int(value) if field.kind == "int" else float(value)


@pytest.mark.parametrize(("one", "other"), [("u1", ">u2"), ("u1", "float32"), ("u2", ">u2"), ("float32", ">f4")])
def test_the_number_format_makes_no_difference(entry, one, other):
    # whole grey values on an even grid, so that every type holds the same picture
    data = np.round(scene((3, 20, 32)) / 4).astype(np.uint8) * 4
    first, second = (labels_of(entry, Stack(data.astype(dtype), "ZYX")) for dtype in (one, other))
    assert (first != second).mean() < 0.01


def test_an_empty_picture_is_refused(entry):
    for shape in ((0, 8), (8, 0), (0, 8, 8), (0, 0)):
        with pytest.raises(DataError, match="no pixel"):
            labels_of(entry, Stack(np.zeros(shape, np.uint8), "ZYX"[-len(shape) :]))


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_a_constant_picture_is_one_region_or_refused_with_a_reason(entry, dtype):
    stack = Stack(np.full((2, 9, 9), 7, dtype), "ZYX")
    through = {"grow_in": "volume"} if "grow_in" in entry.params.model_fields else {}
    if needs_labels(entry):
        through["labels"] = np.full((2, 9, 9), 7, np.uint8)
    found = labels_or_refusal(entry, stack, **through)
    if isinstance(found, SegtoolError):
        assert isinstance(found, DataError)
        assert "grey value" in str(found)
        assert found.hint
    else:
        assert np.unique(found).size == 1


@pytest.mark.parametrize("shape", [(1, 1), (1, 1, 1), (1, 5, 1), (2, 1, 1)])
def test_a_picture_of_a_pixel_or_a_line_is_labelled_or_refused_with_a_reason(entry, shape):
    stack = Stack((np.arange(math.prod(shape)) * 40).astype(np.uint8).reshape(shape), "ZYX"[-len(shape) :])
    found = labels_or_refusal(entry, stack)
    if isinstance(found, SegtoolError):
        assert isinstance(found, (DataError, PaintError) if "paint" in entry.traits else DataError)  # paint of one class only fits into one pixel
        assert found.hint
    else:
        assert found.shape == shape


def test_pixels_without_a_value_become_0_and_do_not_change_the_others(entry):
    stack = usual("float32")
    holes = np.array(stack.data)
    holes[:, 2:4, 3:6] = np.nan
    holes[0, 20, 30] = np.inf
    holes[0, 21, 2] = -np.inf
    labels = labels_of(entry, replace(stack, data=holes, memo={}))
    if "ignores-image" in entry.traits:
        assert np.array_equal(labels, labels_of(entry, stack))
        return
    assert not labels[:, 2:4, 3:6].any()
    untouched = np.ones(labels.shape, bool)
    untouched[:, :14, :20] = False  # smoothing and edges near the holes may differ
    untouched[0, 12:, :] = False
    assert (labels != labels_of(entry, stack))[untouched].mean() < 0.02


def test_a_picture_without_any_value_is_refused(entry):
    if "ignores-image" in entry.traits:
        assert entry.family == "refine"
        return
    with pytest.raises((DataError, ParameterError)):
        labels_of(entry, Stack(np.full((2, 6, 6), np.nan, np.float32), "ZYX"))


def test_a_stack_that_is_read_from_disk_is_walked_plane_by_plane(entry):
    stack = usual("3-D uint8")
    lazy = Lazy(np.array(stack.data))
    assert np.array_equal(labels_of(entry, Stack(lazy, "ZYX")), labels_of(entry, stack))
    assert lazy.largest == 24 * 40


def test_every_setting_may_be_at_both_ends_and_not_beyond(entry):
    stack = usual("3-D uint8")
    for field in describe(entry.params):
        ends = [end for end in (field.minimum, field.maximum) if end is not None]
        for end in ends:
            value = int(end) if field.kind == "int" else end
            found = labels_or_refusal(entry, stack, **{field.name: value})
            if isinstance(found, SegtoolError):  # two ends may exclude each other: lower above upper
                assert found.hint
            else:
                assert found.shape == stack.label_shape
            with pytest.raises(ParameterError, match=field.name):
                labels_of(entry, stack, **{field.name: value + (1 if end == field.maximum else -1)})
        for choice in field.choices:
            found = labels_or_refusal(entry, stack, **{field.name: choice})
            if choice in inputs_of(entry) and choice not in given_for(entry, stack).names():  # a choice to work with what is not given here
                assert isinstance(found, ParameterError)
                assert found.hint
            else:
                assert isinstance(found, np.ndarray)
                assert found.shape == stack.label_shape
        if field.kind == "bool":
            assert labels_of(entry, stack, **{field.name: not field.default}).shape == stack.label_shape
    with pytest.raises(ParameterError, match="no parameter"):
        labels_of(entry, stack, nonsense=1)


def test_it_can_be_left_after_any_step_and_lets_go_of_its_memory(entry):
    stack = stack_of("ZYX", (16, 256, 256), "float32")
    settings = settings_for(entry, stack)
    labels_of(entry, usual("3-D uint8"))  # load libraries first
    for count in (1, 5, 20):
        tracemalloc.start()
        steps = segment_steps(stack, entry.name, **settings)
        before = tracemalloc.get_traced_memory()[0]
        for _ in itertools.islice(steps, count):
            pass
        steps.close()
        del steps
        left = tracemalloc.get_traced_memory()[0] - before
        tracemalloc.stop()
        assert left < stack.data.nbytes / 4


def test_progress_never_runs_back_within_a_stage_and_ends_full(entry):
    seen: dict[str, list[float]] = {}
    stack = usual("3-D uint8")
    drain(segment_steps(stack, entry.name, **settings_for(entry, stack)), lambda p: seen.setdefault(p.label, []).append(p.fraction))
    assert seen
    for fractions in seen.values():
        assert fractions == sorted(fractions)
        assert fractions[-1] == 1


def test_it_finds_what_is_in_its_phantom(entry):
    phantom = PHANTOMS[entry.phantom]()
    names = {field.name for field in describe(entry.params)} | set(inputs_of(entry))
    labels = labels_of(entry, phantom.stack, **{key: value for key, value in phantom.settings.items() if key in names})
    if entry.family == "refine":
        for number in (1, 2):
            assert dice(phantom.settings["labels"] == number, phantom.truth == number) < 0.94
            assert dice(labels == number, phantom.truth == number) > 0.95
        return
    if entry.phantom in ("discs", "drawn"):
        for number in range(1, phantom.truth.max() + 1):
            plane = int(np.argwhere(phantom.truth == number)[0][0])
            disc = phantom.truth[plane] == number
            found = np.bincount(labels[plane][disc]).argmax()
            assert found > 0
            assert dice(labels[plane] == found, disc) > 0.95
        return
    if entry.phantom in ("spots", "shaded"):
        assert dice(labels == 1, phantom.truth == 1) > 0.95
        return
    if entry.phantom == "painted":
        for value in range(1, 5):
            assert dice(labels == value, phantom.truth == value) > 0.95
        return
    if entry.phantom == "patches":  # many regions, none of which lies in two things
        for plane, truth in zip(labels, phantom.truth, strict=True):
            values = np.unique(plane)
            assert sum(np.bincount(truth[plane == value]).max() for value in values) / plane.size > 0.97
            assert 10 < values.size < 400
        return
    found = [labels == value for value in np.unique(labels) if value]
    for region in found:  # each label is one grey level, or neighbouring ones together
        spans = [np.logical_and(phantom.truth >= low, phantom.truth <= high) for low in range(4) for high in range(low, 4)]
        if "grow_in" in names:
            spans = [span & (np.arange(8) == 4)[:, None, None] for span in spans]
        assert max(dice(region, span) for span in spans) > 0.95
    assert found


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_any_small_picture_is_labelled_or_refused_with_a_reason(entry, data):
    axes = data.draw(st.sampled_from(["YX", "ZYX", "QYX", "TYX", "CYX", "YXS", "TZYX", "ZCYX"]))
    shape = tuple(data.draw(st.integers(1, 4)) if axis in "CST" else data.draw(st.integers(1, 7)) for axis in axes)
    dtype = np.dtype(data.draw(st.sampled_from(["u1", "u2", ">u2", "i1", ">i2", "i4", "u4", "f2", "f4", ">f4", "f8", "?"])))
    generator = np.random.default_rng(data.draw(st.integers(0, 2**16)))
    values = (generator.normal(100, 40, shape).clip(0, 127) if dtype.kind != "b" else generator.random(shape) > 0.5).astype(dtype)
    values.flags.writeable = False
    stack = Stack(values, axes)
    found = labels_or_refusal(entry, stack)
    if isinstance(found, SegtoolError):
        assert isinstance(found, (DataError, PaintError) if "paint" in entry.traits else DataError)  # paint of one class only fits into one pixel
        assert found.hint
    else:
        assert found.shape == stack.label_shape
        assert found.dtype.kind == "u"
