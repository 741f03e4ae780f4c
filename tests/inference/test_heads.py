"""Heads of one class against the rest, and thresholds moved to where validation found them best."""

import dataclasses

import numpy as np
import pytest
import torch

from napari_segtool.core.errors import ModelError
from napari_segtool.core.progress import drain
from napari_segtool.core.stack import Stack
from napari_segtool.inference._predict import predict_steps
from napari_segtool.nets._loaded import load_model
from tests.hand_models import convolution, loaded_by_hand, saved_unet

LOGITS = np.random.default_rng(3).normal(0, 3, (3, 14, 15)).astype(np.float32)
STACK = Stack(LOGITS, "CYX")


def told(**facts):
    """A model of three classes whose logits are the pixel values of three channels."""
    return dataclasses.replace(loaded_by_hand(convolution(torch.eye(3).reshape(3, 3, 1, 1)), values=(0, 1, 2)), **facts)


def predicted(model, stack=STACK, **options):
    return drain(predict_steps(model.bundle, stack, loaded=model, precision="float32", **options))


def sigmoid(values):
    return 1 / (1 + np.exp(-values.astype(np.float64)))


def softmax(values):
    risen = np.exp(values.astype(np.float64))
    return risen / risen.sum(0)


def test_sigmoid_heads_give_sigmoids_divided_by_their_sum():
    result = predicted(told(head="sigmoid"), probabilities=True)
    single = sigmoid(LOGITS)
    np.testing.assert_allclose(result.probabilities.data, single / single.sum(0), rtol=1e-5)
    np.testing.assert_allclose(result.probabilities.data.sum(0), 1, atol=1e-6)
    np.testing.assert_array_equal(result.labels.data, LOGITS.argmax(0))
    assert not np.allclose(result.probabilities.data, softmax(LOGITS), atol=0.01)


@pytest.mark.parametrize("probabilities", [True, False])
@pytest.mark.parametrize("mirror", ["on", "off"])
def test_labels_of_sigmoid_heads_are_the_largest_logit_however_they_are_asked_for(probabilities, mirror):
    result = predicted(told(head="sigmoid"), probabilities=probabilities, mirror=mirror)
    np.testing.assert_array_equal(result.labels.data, LOGITS.argmax(0))


def test_sigmoids_too_small_for_a_number_still_add_up_to_one():
    low = Stack(np.stack([np.full((6, 6), level, np.float32) for level in (-300, -301, -400)]), "CYX")
    chances = predicted(told(head="sigmoid"), low, probabilities=True).probabilities.data
    np.testing.assert_allclose(chances[:, 0, 0], [1 / (1 + np.exp(-1)), np.exp(-1) / (1 + np.exp(-1)), 0], atol=1e-6)


@pytest.mark.parametrize("head", ["softmax", "sigmoid"])
@pytest.mark.parametrize("options", [{}, {"probabilities": True}, {"mirror": "on"}, {"uncertainty": True}])
def test_a_bias_is_added_to_the_logarithm_of_the_probabilities_before_the_largest_is_taken(head, options):
    bias = (0.7, -1.1, 0.2)
    chances = softmax(LOGITS) if head == "softmax" else sigmoid(LOGITS) / sigmoid(LOGITS).sum(0)
    weighed = chances * np.exp(np.array(bias))[:, None, None]
    expected = weighed.argmax(0)
    result = predicted(told(head=head, class_bias=bias), **options)
    np.testing.assert_array_equal(result.labels.data, expected)
    assert (expected != LOGITS.argmax(0)).any()
    if result.probabilities is not None:
        np.testing.assert_allclose(result.probabilities.data, weighed / weighed.sum(0), rtol=1e-5)
        np.testing.assert_array_equal(result.probabilities.data.argmax(0), result.labels.data)


def test_a_bias_moves_the_threshold_between_two_classes_to_its_probability():
    model = dataclasses.replace(loaded_by_hand(convolution(torch.tensor([0.0, 1.0]).reshape(2, 1, 1, 1))), class_bias=(0.0, float(np.log(0.7 / 0.3))))
    ramp = np.linspace(-3, 3, 600, dtype=np.float32)[None].repeat(2, 0)
    np.testing.assert_array_equal(predicted(model, Stack(ramp, "YX")).labels.data, sigmoid(ramp) > 0.3)


def test_head_and_bias_are_read_from_the_card(tmp_path):
    model = load_model(saved_unet(tmp_path / "model", card={"head": "sigmoid", "class_bias": [0.5, 0]}), device="cpu", precision="float32")
    assert (model.head, model.class_bias) == ("sigmoid", (0.5, 0.0))
    plain = load_model(saved_unet(tmp_path / "plain"), device="cpu", precision="float32")
    assert (plain.head, plain.class_bias) == ("softmax", ())


@pytest.mark.parametrize("card", [{"head": "linear"}, {"class_bias": [1.0]}, {"class_bias": [0.0, "x"]}, {"class_bias": 3}])
def test_a_head_or_bias_that_cannot_be_is_refused(tmp_path, card):
    with pytest.raises(ModelError, match="cannot be used"):
        load_model(saved_unet(tmp_path / "model", card=card), device="cpu", precision="float32")
