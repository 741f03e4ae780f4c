"""Gaps between objects closed in prediction: whatever the tiles, whatever is asked for, and only where the model says so."""

import dataclasses
import json

import numpy as np
import pytest
import torch

from napari_segtool.core.errors import ModelError
from napari_segtool.core.progress import drain
from napari_segtool.core.result import ModelBundle
from napari_segtool.core.stack import Stack
from napari_segtool.inference import _closing
from napari_segtool.inference._closing import Closing
from napari_segtool.inference._predict import predict_steps
from napari_segtool.methods._closed_contours import closed_contours_steps
from napari_segtool.nets._loaded import load_model
from tests.hand_models import convolution, loaded_by_hand, saved_unet


def walls(seed=0, planes=3, size=40):
    """Probability of a wall that parts rooms, with gaps at random."""
    rng = np.random.default_rng(seed)
    chance = np.full((planes, size, size), 0.05, np.float32)
    for plane in chance:
        for at in range(9, size - 4, 10):
            plane[at], plane[:, at] = 0.95, 0.95
            plane[at, rng.integers(0, size, 1)] = 0.1
            plane[rng.integers(0, size, 1), at] = 0.1
    return np.clip(chance + rng.normal(0, 0.01, chance.shape), 0.01, 0.99).astype(np.float32)  # no two places are alike


def stack_of(chance):
    """What the model below turns into these probabilities."""
    return Stack(np.log(np.stack([chance, 1 - chance])), "CZYX")


def told(**facts):
    """A model of two classes, wall and room, whose logits are the pixel values of two channels."""
    return dataclasses.replace(loaded_by_hand(convolution(torch.eye(2).reshape(2, 2, 1, 1)), values=(3, 5)), **facts)


def predicted(model, stack, **options):
    return drain(predict_steps(model.bundle, stack, loaded=model, precision="float32", **options))


def closed(chance):
    return np.stack([drain(closed_contours_steps(np.ascontiguousarray(plane))) for plane in chance])


def test_probabilities_are_closed_contours_and_labels_follow_them():
    chance = walls()
    result = predicted(told(separator=0), stack_of(chance), probabilities=True, uncertainty=True)
    np.testing.assert_allclose(result.probabilities.data[0], closed(chance), atol=1e-5)
    np.testing.assert_allclose(result.probabilities.data.sum(0), 1, atol=1e-6)
    np.testing.assert_array_equal(result.labels.data, np.where(result.probabilities.data[0] >= 0.5, 3, 5))
    assert (result.probabilities.data[0] > chance + 0.1).any()
    assert result.history[-1].params["close_gaps"] is True


@pytest.mark.parametrize("options", [{}, {"uncertainty": True}, {"mirror": "on"}, {"planes": [(1,)]}])
def test_labels_are_the_same_whatever_else_is_asked_for(options):
    stack = stack_of(walls())
    whole = predicted(told(separator=0), stack, probabilities=True).labels.data
    part = predicted(told(separator=0), stack, **options).labels.data
    np.testing.assert_array_equal(part, whole[1:2] if "planes" in options else whole)


def test_it_is_left_when_switched_off_and_when_the_model_does_not_ask_for_it():
    chance = walls()
    for model, options in ((told(separator=0), {"close_gaps": False}), (told(), {})):
        result = predicted(model, stack_of(chance), probabilities=True, **options)
        np.testing.assert_allclose(result.probabilities.data[0], chance, atol=1e-5)
        assert result.history[-1].params["close_gaps"] is False


def test_gaps_are_closed_in_probabilities_that_hold_the_bias_of_the_classes():
    chance = walls()
    result = predicted(told(separator=0, class_bias=(-0.5, 0.5)), stack_of(chance), probabilities=True)
    raised = chance * np.exp(-0.5) / (chance * np.exp(-0.5) + (1 - chance) * np.exp(0.5))
    np.testing.assert_allclose(result.probabilities.data[0], closed(raised), atol=1e-4)


def test_tiles_in_any_order_give_what_the_whole_plane_gives():
    chances = torch.from_numpy(np.stack([walls()[0], 1 - walls()[0]]))
    closing = Closing(2, 0, (40, 40))
    boxes = [(slice(y, y + 16 if y < 32 else 40), slice(x, min(x + 24, 40))) for y in (32, 0, 16) for x in (24, 0)]
    whole = [closing.put((7,), box, chances[(slice(None), *box)]) for box in boxes]
    assert whole == [False] * 5 + [True]
    np.testing.assert_allclose(drain(closing.take_steps((7,)))[0], closed(walls()[:1])[0])


def test_large_planes_are_closed_in_blocks_that_agree_where_they_meet(monkeypatch):
    monkeypatch.setattr(_closing, "_BLOCK_PX", 64)
    monkeypatch.setattr(_closing, "_OVERLAP_PX", 32)
    chance = walls(planes=1, size=150)
    closing = Closing(2, 0, chance.shape[1:])
    assert closing.put((0,), (slice(0, 150), slice(0, 150)), torch.from_numpy(np.stack([chance[0], 1 - chance[0]])))
    in_blocks, at_once = drain(closing.take_steps((0,)))[0].numpy(), closed(chance)[0]
    assert ((in_blocks > 0.5) != (at_once > 0.5)).mean() < 0.002


def test_a_card_that_names_no_class_of_its_own_is_refused(tmp_path):
    folder = saved_unet(tmp_path)
    folder = folder.path if isinstance(folder, ModelBundle) else folder
    card = json.loads((folder / "model.json").read_text())
    (folder / "model.json").write_text(json.dumps({**card, "separator": 9}))
    with pytest.raises(ModelError, match="separator = 9"):
        load_model(ModelBundle(folder, {**card, "separator": 9}))
