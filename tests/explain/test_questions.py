from pathlib import Path

import numpy as np
import pytest
import torch

from napari_segtool.core.errors import AxesError, ModelError, ParameterError
from napari_segtool.core.progress import drain
from napari_segtool.core.result import ModelBundle
from napari_segtool.core.stack import Stack
from napari_segtool.core.target import Target
from napari_segtool.explain._explain import explain_steps
from napari_segtool.explain._question import Question
from tests.hand_models import convolution, loaded_by_hand, saved_unet

STACK = Stack(np.random.default_rng(0).normal(size=(3, 10, 12)).astype(np.float32), "ZYX")


def model():
    return loaded_by_hand(convolution(torch.tensor([1.0, -1.0]).reshape(2, 1, 1, 1)), values=(1, 4))


def asked(target, **params):
    name = params.pop("explainer", "gradient")
    return drain(explain_steps(model().bundle, STACK, name, target, loaded=model(), **params))


@pytest.mark.parametrize(
    ("target", "kind", "match"),
    [
        (Target(2), ModelError, "no class 2"),
        (Target(1, point=(0, 10, 3)), AxesError, "Y runs from 0 to 9"),
        (Target(1, point=(0, 3, -1)), AxesError, "outside"),
        (Target(1, point=(3, 0, 0)), AxesError, "plane 3 along Z"),
        (Target(1, point=(4, 5)), AxesError, "2 number"),
        (Target(1, plane=(7,)), AxesError, "the image has 3"),
        (Target(1, plane=(1, 1)), AxesError, "2 number"),
        (Target(1, point=(0, 3, 3), plane=(1,)), AxesError, "does not lie"),
    ],
)
def test_a_question_about_something_that_is_not_there_is_refused_with_a_hint(target, kind, match):
    with pytest.raises(kind, match=match) as refused:
        asked(target)
    assert refused.value.hint


def test_an_unknown_explainer_or_parameter_is_refused_with_the_nearest():
    with pytest.raises(ParameterError) as refused:
        asked(Target(1), explainer="gradiant")
    assert "gradient" in refused.value.hint
    with pytest.raises(ParameterError, match="smothing_px"):
        asked(Target(1), smothing_px=1)


def test_the_plane_is_that_of_the_pixel_or_the_one_given_or_the_first():
    assert asked(Target(1, point=(2, 0, 0))).memo["plane"] == (2,)
    assert asked(Target(1, plane=(1,))).memo["plane"] == (1,)
    assert asked(Target(1)).memo["plane"] == (0,)
    assert Question(model(), STACK, Target(1, point=(4, 5), plane=(2,))).point == (4, 5)


def test_the_score_is_the_sum_of_the_classes_logits_where_it_wins_for_each_picture_of_a_batch():
    question = Question(model(), STACK, Target(4, plane=(1,)))
    (part,) = question.parts()
    logits = question.logits(part.pixels)
    plane = STACK.data[1]
    assert float(part.score(logits)[0]) == pytest.approx(float(-plane[plane < 0].sum()), rel=1e-5)
    # Of a changed picture the same pixels are asked about.
    changed = question.logits(torch.cat([part.pixels, part.pixels + 1]))
    assert part.score(changed).tolist() == pytest.approx([-plane[plane < 0].sum(), -(plane[plane < 0] + 1).sum()], rel=1e-4)


def test_gradients_of_changed_pixels_are_asked_about_the_unchanged_ones_class():
    question = Question(model(), STACK, Target(4))
    slope = drain(question.input_gradient_steps(lambda part, _: part.pixels * 0))
    np.testing.assert_array_equal(slope[0].numpy(), np.where(STACK.data[0] < 0, -1, 0))


def test_a_saved_model_is_explained_and_the_recipe_says_how(tmp_path):
    bundle = saved_unet(tmp_path / "model", values=(1, 2))
    overlay = drain(explain_steps(bundle, STACK, "gradcam", Target(2, plane=(2,)), device="cpu", precision="float32", layer="up.0"))
    (step,) = overlay.memo["history"]
    assert step.name == "explain:gradcam"
    assert step.params["layer"] == "up.0"
    assert step.params["class"] == 2
    assert step.params["plane"] == [2]
    assert step.params["model_sha"] == bundle.card["weights_sha256"][:16]


def test_a_model_that_is_no_network_is_refused_before_anything_is_loaded():
    forest = ModelBundle(Path("somewhere"), {"learner": "forest", "network": ""})
    with pytest.raises(ModelError, match="learner forest has none") as refused:
        drain(explain_steps(forest, STACK, "gradient", Target(1)))
    assert "network" in refused.value.hint
