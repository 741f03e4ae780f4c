"""Filters before a method, post-processing after it, masks and other inputs beside the image."""

from __future__ import annotations

import numpy as np
import pytest

from napari_segtool.api import apply_filter, prepare_steps, segment, segment_steps
from napari_segtool.core.errors import DataError, ParameterError
from napari_segtool.core.labels import Labels
from napari_segtool.core.progress import drain
from napari_segtool.core.result import Segmentation
from napari_segtool.core.stack import Stack


def halves(shape: tuple[int, ...] = (3, 16, 20), axes: str = "ZYX") -> Stack:
    """Dark left half, bright right half, with noise."""
    data = np.where(np.arange(shape[-1]) < shape[-1] // 2, 60, 180) + np.random.default_rng(0).normal(0, 25, shape)
    return Stack(np.clip(data, 0, 255).astype(np.uint8), axes, name="halves")


def test_a_filter_before_a_method_is_the_same_as_filtering_first_by_hand():
    stack = halves()
    by_hand = segment(apply_filter(stack, "median", radius_px=2), "otsu")
    chained = segment(stack, "otsu", filters=[("median", {"radius_px": 2})])
    written = segment(stack, "otsu", filters="median:radius-px=2")
    assert np.array_equal(chained.labels.data, by_hand.labels.data)
    assert np.array_equal(written.labels.data, by_hand.labels.data)
    assert not np.array_equal(chained.labels.data, segment(stack, "otsu").labels.data)


def test_the_recipe_names_every_link_with_all_its_parameters_in_order():
    history = segment(halves(), "otsu", filters=["median", "gaussian:sigma_px=3"]).history
    assert [step.name for step in history] == ["filter:median", "filter:gaussian", "segment:otsu"]
    assert history[0].params["radius_px"] == 1
    assert history[1].params["sigma_px"] == 3
    assert len({step.input_sha for step in history}) == 3


def test_a_chain_with_an_unknown_filter_or_parameter_is_refused_before_any_work():
    with pytest.raises(ParameterError, match="no filter"):
        segment(halves(), "otsu", filters=["medain"])
    with pytest.raises(ParameterError, match="radius"):
        segment(halves(), "otsu", filters=["median:radius=3"])
    with pytest.raises(ParameterError, match="no value"):
        segment(halves(), "otsu", filters=["median:radius_px"])


def test_a_method_that_makes_labels_cannot_come_after_another():
    with pytest.raises(DataError, match="cannot come after"):
        segment(halves(), "otsu", then=["kmeans"])


@pytest.mark.parametrize("axes", ["YX", "ZYX", "TZYX", "ZXY", "YXS", "ZCYX"])
def test_planes_behind_filters_are_those_of_filtering_the_whole_stack(axes):
    sizes = {"T": 2, "Z": 3, "Y": 12, "X": 14, "S": 3, "C": 2}
    stack = halves(tuple(sizes[axis] for axis in axes), axes)
    ready = drain(prepare_steps(stack, ["median", "gaussian"]))
    expected = apply_filter(apply_filter(stack, "median"), "gaussian")
    assert (ready.axes, ready.shape) == (expected.axes, expected.shape)
    assert np.array_equal(ready.data[..., :5], expected.data[..., :5])
    assert np.array_equal(np.asarray(ready.data), expected.data)


def test_a_plane_is_filtered_once_and_only_when_it_is_read(monkeypatch):
    seen = []
    import napari_segtool.preprocess.median as module

    real = module.median_steps
    monkeypatch.setattr(module, "median_steps", lambda plane, reach: seen.append(1) or real(plane, reach))
    ready = drain(prepare_steps(halves((6, 8, 8)), ["median"]))
    before = len(seen)
    assert before <= 1
    for _ in range(3):
        _ = ready.data[4]
    assert len(seen) == before + 1


def test_inside_a_mask_only_its_pixels_count_and_outside_is_0():
    data = np.full((2, 10, 30), 50, np.uint8)
    data[..., 10:20] = 100
    data[..., 20:] = 250  # would be the brighter class, were it not outside
    mask = np.zeros(data.shape, np.uint8)
    mask[..., :20] = 7
    labels = segment(Stack(data, "ZYX"), "otsu", mask=mask).labels.data
    assert (labels[..., 10:20] == 1).all()
    assert not labels[..., :10].any()
    assert not labels[..., 20:].any()


def test_a_region_does_not_grow_out_of_its_mask():
    stack = Stack(np.full((3, 9, 9), 80, np.uint8), "ZYX")
    mask = np.zeros((3, 9, 9), bool)
    mask[:, 2:6, 2:6] = True
    labels = segment(stack, "region-growing", seeds="1,3,3:2", grow_in="volume", mask=mask).labels.data
    assert np.array_equal(labels == 2, mask)


@pytest.mark.parametrize("kind", ["array", "labels", "segmentation", "stack"])
def test_a_mask_may_be_given_in_any_form(kind):
    stack = halves()
    array = np.zeros(stack.shape, np.uint8)
    array[:, 4:, :] = 1
    mask = {"array": array, "labels": Labels(array, "ZYX"), "segmentation": Segmentation(Labels(array, "ZYX")), "stack": Stack(array, "ZYX")}[kind]
    assert not segment(stack, "otsu", mask=mask).labels.data[:, :4].any()


def test_a_mask_of_another_shape_or_without_a_pixel_is_refused():
    with pytest.raises(DataError, match="shape"):
        segment(halves(), "otsu", mask=np.ones((3, 4, 4), np.uint8))
    with pytest.raises(DataError, match="empty"):
        segment(halves(), "otsu", mask=np.zeros((3, 16, 20), np.uint8))


def test_a_mask_of_the_whole_stack_fits_the_slices_that_are_asked_for():
    stack = halves()
    mask = np.zeros(stack.shape, np.uint8)
    mask[1, :, 10:] = 1
    labels = segment(stack, "threshold", slices="1:2", mask=mask, lower=0).labels.data
    assert labels.shape == (1, 16, 20)
    assert not labels[..., :10].any()


def test_an_input_that_a_method_does_not_use_is_refused():
    with pytest.raises(ParameterError, match="does not use paint"):
        segment(halves(), "otsu", paint=np.ones((3, 16, 20), np.uint8))


def test_probabilities_that_only_post_processing_weighs_are_kept_for_it():
    stack = Stack(np.repeat([[10, 10, 200, 200]], 4, axis=0).astype(np.uint8), "YX")
    sure = np.stack([np.ones(stack.shape), np.zeros(stack.shape)]).astype(np.float32)
    made = segment(stack, "otsu", then=["potts"], probabilities=sure)
    assert segment(stack, "otsu").labels.data.any()
    assert not made.labels.data.any(), "all pixels are sure to be of class 0"
    assert [sorted(step.inputs) for step in made.history] == [[], ["probabilities"]]


def test_work_with_filters_and_a_mask_can_be_left_after_any_step():
    steps = segment_steps(halves(), "otsu", filters=["median", "gaussian:volume=true"], mask=np.ones((3, 16, 20), np.uint8))
    next(steps)
    steps.close()
    with pytest.raises(StopIteration):
        next(steps)
