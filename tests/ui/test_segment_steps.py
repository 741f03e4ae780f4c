"""Previews of a pipeline: the same pixels as the whole result has, and no more work than the visible slice needs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from napari_segtool import api
from napari_segtool.core.chain import Link, parse_chain
from napari_segtool.core.errors import DataError
from napari_segtool.core.planes import label_key, plane_indices
from napari_segtool.core.progress import drain
from napari_segtool.core.registry import FILTERS, METHODS
from napari_segtool.core.stack import Stack
from napari_segtool.ui._bars import borders
from napari_segtool.ui._lazy_labels import PlaneLabels, WholeNeeded
from napari_segtool.ui._segment_steps import Bench, Plan, Taken, apply_steps, preview_steps
from tests.ui.pipeline_entries import ENTRIES, is_evolution, with_entries

SIZES = {"T": 2, "Z": 3, "Y": 14, "X": 18, "S": 3, "C": 2, "Q": 3}


@pytest.fixture(autouse=True)
def entries(monkeypatch):
    monkeypatch.setattr(METHODS, "_entries", with_entries(METHODS, *ENTRIES))


def blobs(axes: str = "ZYX", seed: int = 0) -> Stack:
    """Two bright boxes on dark ground in every plane, brighter from plane to plane, with noise."""
    shape = tuple(SIZES[axis] for axis in axes)
    places = dict(zip(axes, np.indices(shape), strict=True))
    inside = (places["Y"] % 7 > 2) & (places["X"] % 9 > 3)
    lift = sum((places[axis] * 6 for axis in axes if axis not in "YXCS"), np.zeros(shape, int))
    data = 50 + 110 * inside + lift + np.random.default_rng(seed).normal(0, 12, shape)
    return Stack(np.clip(data, 0, 255).astype(np.uint8), axes, name="blobs")


def over(stack: Stack, make) -> np.ndarray:
    """An array over the stack made by ``make`` from a generator of random numbers."""
    return make(np.random.default_rng(1), stack.label_shape)


def boxes(generator, shape):
    return (generator.random(shape) > 0.3).astype(np.uint8)


def ids(generator, shape):
    return generator.integers(0, 4, shape).astype(np.uint8)


def strokes(generator, shape):
    paint = np.zeros(shape, np.uint8)
    paint[generator.random(shape) > 0.9] = 1
    paint[generator.random(shape) > 0.9] = 2
    return paint


def chances(generator, shape):
    return generator.random((3, *shape), np.float32)


def taken(array, key=0):
    return Taken(key, lambda part: np.array(array[part if array.ndim == len(part) else (slice(None), *part)]))


def filters(*texts):
    return parse_chain(texts, FILTERS)


def steps_after(*names):
    return tuple(Link(name, METHODS.get(name).params().model_dump()) for name in names)


PLANS = {
    "threshold": ("otsu", {}, (), (), ()),
    "filters before": ("otsu", {}, ("median", "gaussian:sigma_px=1.5"), (), ()),
    "a filter through the slices": ("kmeans", {"clusters": 3}, ("gaussian:volume=true",), (), ()),
    "refined plane by plane": ("otsu", {"classes": 3}, (), ("shift",), ()),
    "refined as a whole": ("otsu", {"classes": 3}, ("median",), ("rank",), ()),
    "refined twice": ("kmeans", {"clusters": 3}, (), ("shift", "rank", "shift"), ()),
    "inside a mask": ("otsu", {"classes": 3}, ("median",), ("shift",), ("mask",)),
    "from paint": ("nearest", {}, ("median",), ("rank",), ("paint",)),
    "from paint in a mask": ("nearest", {}, (), (), ("paint", "mask")),
    "labels refined": ("shift", {"by": 3}, (), ("rank",), ("labels",)),
    "labels refined in a mask": ("rank", {}, (), (), ("labels", "mask")),
    "from probabilities": ("likeliest", {}, (), ("shift",), ("probabilities",)),
    "clicked seeds": ("region-growing", {"tolerance": 30.0, "grow_in": "slice"}, ("median",), ("rank",), ("mask",)),
}
MAKERS = {"mask": boxes, "paint": strokes, "labels": ids, "probabilities": chances}


def plan_of(name: str, stack: Stack, only=None) -> Plan:
    method, params, before, after, beside = PLANS[name]
    arrays = {kind: over(stack, MAKERS[kind]) for kind in beside}
    if method == "region-growing":
        places = ["; ".join(f"{','.join(str(n // 2) for n in stack.label_shape)}:2" for _ in range(1))]
        params = {**params, "seeds": places[0]}
        arrays["mask"][...] = 1
    return Plan(method, params, filters(*before), steps_after(*after), {kind: taken(array) for kind, array in arrays.items()}, only)


AXES = ("YX", "ZYX", "TZYX", "ZXY", "YXS", "ZCYX", "QYX")
EACH = [(name, axes) for name in PLANS for axes in AXES if "slices" not in name or {"Z", "Q"} & set(axes)]


@pytest.mark.parametrize(("name", "axes"), EACH)
def test_the_preview_of_a_slice_is_that_slice_of_the_result(name, axes):
    stack = blobs(axes)
    plan = plan_of(name, stack)
    whole = drain(apply_steps(stack, plan)).data
    bench = Bench()
    for index in plane_indices(stack):
        plane = whole[label_key(stack, index)]
        expected = plane.T if axes.index("Y") > axes.index("X") else plane
        np.testing.assert_array_equal(drain(preview_steps(bench, stack, plan, index)).plane, expected)


@pytest.mark.parametrize("name", [name for name in PLANS if name != "clicked seeds"])
def test_this_slice_alone_is_the_same_as_a_stack_of_that_slice(name):
    stack = blobs("ZYX")
    plan = plan_of(name, stack, only=(1,))
    method, params, before, after, beside = PLANS[name]
    arrays = {kind: over(stack, MAKERS[kind])[:, 1:2] if kind == "probabilities" else over(stack, MAKERS[kind])[1:2] for kind in beside}
    by_hand = api.segment(Stack(stack.data[1:2], "ZYX"), method, filters=filters(*before), then=steps_after(*after), **arrays, **params)
    made = drain(apply_steps(stack, plan))
    assert made.data.shape == (1, 14, 18)
    np.testing.assert_array_equal(made.data, by_hand.data)
    np.testing.assert_array_equal(drain(preview_steps(Bench(), stack, plan, (1,))).plane, by_hand.data[0])


def test_the_recipe_names_filters_method_and_what_comes_then_in_order():
    stack = blobs()
    plan = plan_of("inside a mask", stack)
    history = drain(apply_steps(stack, plan)).history
    assert [step.name for step in history] == ["filter:median", "segment:otsu", "segment:shift"]
    assert set(history[1].inputs) == {"mask"}


def test_filters_that_stand_before_the_one_that_changed_are_not_done_again(monkeypatch):
    seen = []

    def counting(stack, params):
        yield from ()
        return lambda plane: seen.append(params.radius_px) or plane // params.radius_px

    median = FILTERS.get("median")
    monkeypatch.setattr(FILTERS, "_entries", with_entries(FILTERS, replace(median, function=counting)))
    stack, bench = blobs("ZYX"), Bench()
    drain(preview_steps(bench, stack, Plan("otsu", {}, filters("median", "gaussian:sigma_px=1")), (1,)))
    first = len(seen)
    assert first > 0
    for width in (2, 3, 4):
        drain(preview_steps(bench, stack, Plan("otsu", {}, filters("median", f"gaussian:sigma_px={width}")), (1,)))
    assert len(seen) == first
    drain(preview_steps(bench, stack, Plan("otsu", {"classes": 3}, filters("median")), (2,)))
    assert len(seen) == first
    drain(preview_steps(bench, stack, Plan("otsu", {}, filters("median:radius_px=2")), (1,)))
    assert len(seen) > first


def test_post_processing_of_one_slice_leaves_the_other_slices_alone():
    stack, seen = blobs("ZYX"), []

    def counted(plane):
        seen.append(1)
        return (plane > 100).astype(np.uint8)

    lazy = PlaneLabels(stack, counted, {})
    assert lazy.shape == stack.shape
    np.testing.assert_array_equal(lazy[1, :, :], stack.data[1] > 100)
    np.testing.assert_array_equal(lazy[1, :, :], stack.data[1] > 100)
    assert len(seen) == 1


@pytest.mark.parametrize(
    "ask", [np.asarray, np.max, lambda labels: labels == 1, lambda labels: labels.max(), lambda labels: labels[:, 3], lambda labels: labels[1:]]
)
def test_whoever_asks_for_more_than_a_slice_of_lazy_labels_is_told_that_all_are_needed(ask):
    stack = blobs("ZYX")
    with pytest.raises(WholeNeeded):
        ask(PlaneLabels(stack, lambda plane: (plane > 100).astype(np.uint8), {}))


def test_what_is_drawn_or_painted_is_read_again_only_when_it_has_changed():
    stack, bench, seen = blobs("ZYX"), Bench(), []
    mask = over(stack, boxes)

    def read(part):
        seen.append(part)
        return np.array(mask[part])

    for key in ("first", "first", "second"):
        drain(preview_steps(bench, stack, Plan("otsu", {}, beside={"mask": Taken(key, read)}), (0,)))
    assert len(seen) == 2


def test_the_filtered_slice_comes_along_where_it_is_asked_for_also_when_the_method_cannot_work():
    stack = blobs("ZYX")
    expected = api.apply_filter(stack, "median").data[2]
    preview = drain(preview_steps(Bench(), stack, Plan("otsu", {}, filters("median")), (2,), filtered=True))
    np.testing.assert_array_equal(preview.filtered, expected)
    assert drain(preview_steps(Bench(), stack, Plan("otsu", {}), (2,), filtered=True)).filtered is None
    alone = drain(preview_steps(Bench(), stack, Plan("", {}, filters("median")), (2,), filtered=True))
    assert alone.plane is None
    np.testing.assert_array_equal(alone.filtered, expected)
    empty = {"mask": taken(np.zeros(stack.shape, np.uint8))}
    failed = drain(preview_steps(Bench(), stack, Plan("otsu", {}, filters("median"), beside=empty), (2,), filtered=True))
    assert isinstance(failed.error, DataError)
    np.testing.assert_array_equal(failed.filtered, expected)
    with pytest.raises(DataError, match="empty"):
        drain(preview_steps(Bench(), stack, Plan("otsu", {}, beside=empty), (2,)))


def test_bars_count_what_the_method_sees_behind_the_filters_and_inside_the_mask():
    stack = blobs("ZYX")
    mask = np.zeros(stack.shape, np.uint8)
    mask[:, :7] = 1
    plan = Plan("otsu", {}, filters("median"), beside={"mask": taken(mask)})
    preview = drain(preview_steps(Bench(), stack, plan, (1,), histogram=True))
    seen = api.apply_filter(stack, "median").data[:, :7]
    assert preview.bars.counts.sum() == 7 * 18
    assert (preview.bars.lowest, preview.bars.highest) == (seen.min(), seen.max())
    found = preview.plane[:7] == 1
    assert preview.bars.borders == (seen[1][found].min(),)


def test_borders_are_those_of_the_method_not_of_what_comes_then():
    stack = blobs("ZYX")
    alone = drain(preview_steps(Bench(), stack, Plan("otsu", {"classes": 3}), (1,), histogram=True)).bars.borders
    assert len(alone) == 2
    assert drain(preview_steps(Bench(), stack, Plan("otsu", {"classes": 3}, then=steps_after("rank")), (1,), histogram=True)).bars.borders == alone


def test_classes_that_overlap_in_grey_or_have_no_value_have_no_border():
    grey = np.array([[1, 5, 3, 9]], np.float32)
    assert borders(grey, np.array([[0, 0, 1, 1]])) == ()
    assert borders(np.array([[1, 2, np.nan, 9]], np.float32), np.array([[0, 0, 0, 1]])) == (9.0,)
    assert borders(grey, np.array([[0, 0, 0, 40]])) == ()


def test_an_evolution_on_the_way_is_that_of_the_slice_looked_at():
    stack = blobs("ZYX")
    seen = [progress for progress in preview_steps(Bench(), stack, Plan("evolving", {"until": 2}), (1,)) if is_evolution(progress)]
    assert [int(progress.labels[0, 0]) for progress in seen] == [1, 2]
    assert all(progress.labels.shape == (14, 18) for progress in seen)


def test_a_preview_can_be_left_after_any_step_and_the_next_one_is_right():
    stack, bench = blobs("ZYX"), Bench()
    plan = plan_of("refined as a whole", stack)
    expected = drain(apply_steps(stack, plan)).data[1]
    for count in range(1, 12):
        steps = preview_steps(bench, stack, plan, (1,), histogram=True)
        try:
            for _ in range(count):
                next(steps)
        except StopIteration:
            break
        steps.close()
    np.testing.assert_array_equal(drain(preview_steps(bench, stack, plan, (1,))).plane, expected)
