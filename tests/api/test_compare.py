"""Several methods on one slice: what they make of it, scores, and failures that do not spread."""

from __future__ import annotations

import time

import numpy as np
import pytest

from napari_segtool.api import compare_slice, compare_slice_steps, segment
from napari_segtool.core.errors import AxesError, DataError, ParameterError, ShapeError
from napari_segtool.core.given import Given
from napari_segtool.core.params import Params
from napari_segtool.core.planes import label_key, plane_indices
from napari_segtool.core.registry import METHODS, Entry
from tests.contract.pictures import USUAL, discs_phantom, usual


def add(monkeypatch, name: str, function, **more) -> None:
    entry = Entry(name, name.capitalize(), "For a test.", function, Params, **more)
    monkeypatch.setattr(METHODS, "_entries", {**{known.name: known for known in METHODS}, name: entry})


@pytest.mark.parametrize("name", USUAL)
def test_a_slice_comes_out_as_it_does_when_the_method_is_applied_to_the_stack(name):
    stack = usual(name)
    index = list(plane_indices(stack))[-1]
    otsu, kmeans = compare_slice(stack, ["otsu", ("kmeans", {"clusters": 3})], index)
    for candidate, params in ((otsu, {}), (kmeans, {"clusters": 3})):
        whole = segment(usual(name), candidate.link.name, **params).data[label_key(stack, index)]
        flip = stack.label_axes.index("Y") > stack.label_axes.index("X")
        assert np.array_equal(candidate.labels, whole.T if flip else whole)
        assert candidate.error is None
        assert candidate.seconds > 0
    assert kmeans.link.params["clusters"] == 3
    assert "smoothing_px" in kmeans.link.params  # all of them, so that they can be taken over


def test_dice_and_f1_are_those_of_the_discs():
    phantom = discs_phantom()
    truth = phantom.truth[0].astype(np.uint8)
    otsu, edges = compare_slice(phantom.stack, ["otsu", "canny"], (0,), truth)
    by_hand = segment(phantom.stack, "otsu").data[0] == 1
    assert otsu.dice == pytest.approx(2 * (by_hand & (truth > 0)).sum() / (by_hand.sum() + (truth > 0).sum()))
    assert otsu.dice > 0.95
    assert edges.dice > 0.95
    assert edges.f1_50 == 1
    dark = compare_slice(phantom.stack, ["otsu"], (0,), (truth == 0).astype(np.uint8))[0]
    assert dark.dice > 0.95  # the label that means background here is what is looked for
    assert np.isnan(dark.f1_50)  # one thing, which may be a class


def test_without_truth_there_is_no_score():
    (otsu,) = compare_slice(discs_phantom().stack, ["otsu"], (0,))
    assert np.isnan(otsu.dice)
    assert np.isnan(otsu.f1_50)


def test_a_method_that_fails_says_why_and_the_others_go_on(monkeypatch):
    def broken(stack, params):
        raise RuntimeError("out of luck")
        yield

    add(monkeypatch, "broken", broken)
    stack = usual("3-D uint8")
    grown, bad, otsu = compare_slice(stack, ["region-growing", "broken", "otsu"], (1,), np.ones((24, 40), np.uint8))
    assert isinstance(grown.error, ParameterError)
    assert "seed" in str(grown.error)
    assert isinstance(bad.error, RuntimeError)
    assert grown.labels is None
    assert otsu.labels is not None


def test_each_candidate_is_told_as_soon_as_it_is_there_and_progress_runs_to_the_end():
    told, fractions = [], []
    steps = compare_slice_steps(usual("3-D uint8"), ["otsu", "kmeans", "canny"], (0,), found=lambda candidate: told.append(candidate.title))
    for progress in steps:
        fractions.append(progress.fraction)
        assert len(told) >= int(3 * progress.fraction)
    assert told == ["Otsu", "k-means", "Canny"]
    assert fractions[-1] == 1


def test_leaving_in_the_middle_closes_the_method_that_runs(monkeypatch):
    closed = []

    def endless(stack, params):
        from napari_segtool.core.progress import Progress

        try:
            while True:
                yield Progress(0, 1, "endless")
                time.sleep(0.001)
        finally:
            closed.append(True)

    add(monkeypatch, "endless", endless)
    told = []
    steps = compare_slice_steps(usual("3-D uint8"), ["endless", "otsu"], (0,), found=told.append)
    for _ in range(3):
        next(steps)
    steps.close()
    assert closed == [True]
    assert not told


def test_paint_goes_to_the_methods_that_work_with_it_only(monkeypatch):
    seen = []

    def painted(stack, params, given):
        seen.append(given)
        return lambda plane: np.zeros(plane.shape[-2:], np.uint8)
        yield

    add(monkeypatch, "painted", painted, traits=frozenset({"paint"}))
    stack = usual("3-D uint8")
    paint = np.ones(stack.label_shape, np.uint8)
    first, second = compare_slice(stack, ["otsu", "painted"], (0,), given=Given(paint=paint))
    assert first.error is None
    assert second.error is None
    assert seen[0].paint is paint
    (without,) = compare_slice(stack, ["painted"], (0,))
    assert isinstance(without.error, ParameterError)


@pytest.mark.parametrize("name", ["3-D uint8", "X before Y", "RGB", "time"])
def test_filters_mask_and_post_processing_are_those_of_the_whole_way(name, monkeypatch):
    def every_other(stack, params, given):
        """Clear every other row."""

        def at(index):
            labels = given.at(stack, index).labels
            kept = labels.copy()
            kept[::2] = 0
            return lambda plane: kept

        from napari_segtool.core.planes import PlaceRule

        return PlaceRule(at)
        yield

    add(monkeypatch, "rows", every_other, family="refine", traits=frozenset({"labels"}))
    stack = usual(name)
    mask = np.zeros(stack.label_shape, np.uint8)
    mask[tuple(slice(None) if axis not in "X" else slice(0, 30) for axis in stack.label_axes)] = 1
    index = list(plane_indices(stack))[-1]
    more = {"filters": ["gaussian:sigma_px=1"], "then": ["rows"], "mask": mask}
    (candidate,) = compare_slice(stack, ["otsu"], index, **more)
    result = segment(usual(name), "otsu", **more)
    whole = result.data[label_key(stack, index)]
    assert candidate.error is None
    assert candidate.labels.any()
    assert [(step.name, step.params) for step in candidate.history] == [(step.name, step.params) for step in result.history]
    assert len({step.input_sha for step in candidate.history}) == 3
    assert np.array_equal(candidate.labels, whole.T if stack.label_axes.index("Y") > stack.label_axes.index("X") else whole)


def test_what_cannot_be_compared_is_refused_at_once():
    stack = usual("3-D uint8")
    with pytest.raises(ParameterError, match="no method"):
        compare_slice(stack, ["ostu"], (0,))
    with pytest.raises(AxesError, match="no plane"):
        compare_slice(stack, ["otsu"], (7,))
    with pytest.raises(DataError, match="cannot come after"):
        compare_slice(stack, ["otsu"], (0,), then=["kmeans"])
    with pytest.raises(ShapeError, match="truth"):
        compare_slice(stack, ["otsu"], (0,), np.zeros((3, 3), np.uint8))
