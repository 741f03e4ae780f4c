"""Effects of grey values as a text: what is written is read back, what is read is what acts, and what cannot be read is explained."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from napari_segtool.core.errors import ParameterError
from napari_segtool.core.params import describe
from napari_segtool.core.registry import AUGMENTATIONS
from napari_segtool.core.terms import Term
from napari_segtool.training.augment._patch import Patch
from napari_segtool.training.augment._presets import PRESETS, prepare, vary
from napari_segtool.training.augment._text import format_effects, parse_effects

NOISE = "noise(probability=1)"


@some.composite
def effects(draw: some.DrawFn) -> Term:
    entry = AUGMENTATIONS.get(draw(some.sampled_from(AUGMENTATIONS.names())))
    bounds = {field.name: field for field in describe(entry.params)}
    strength = draw(some.floats(1e-6, bounds["strength"].maximum or 1))
    return Term(entry.name, strength, draw(some.one_of(some.just({}), some.fixed_dictionaries({"probability": some.floats(0, 1)}))))


def varied(text: str, intensity: float = 1.0) -> np.ndarray:
    patch = Patch(np.zeros((1, 1, 64, 64), np.float32), np.zeros((1, 64, 64), np.uint8))
    return vary(patch, np.random.default_rng(0), prepare(parse_effects(text), intensity)).image


@settings(deadline=None, max_examples=200)
@given(some.lists(effects(), max_size=5, unique_by=lambda effect: effect.name))
def test_what_is_written_is_read_back(wanted: list[Term]) -> None:
    assert parse_effects(format_effects(tuple(wanted))) == tuple(wanted)


@settings(deadline=None, max_examples=300)
@given(some.text("abceginorst-+*()=0.5 ,", max_size=40))
def test_any_text_is_read_or_refused_with_a_hint(text: str) -> None:
    hint = ""
    read: tuple[Term, ...] = ()
    try:
        read = parse_effects(text)
    except ParameterError as error:
        hint = error.hint
    assert bool(read or text == "none") != bool(hint)


@pytest.mark.parametrize("modality", PRESETS)
def test_presets_can_be_named_or_written_out(modality: str) -> None:
    assert parse_effects(format_effects(PRESETS[modality])) == parse_effects("auto", modality) == parse_effects(modality) == PRESETS[modality]


def test_names_strengths_and_parameters_may_be_written_freely() -> None:
    read = parse_effects("contrast + .5 Noise + missing_section(probability=0.1) + blur(strength=2, probability=1)")
    assert read == (Term("contrast"), Term("noise", 0.5), Term("missing-section", 1.0, {"probability": 0.1}), Term("blur", 2.0, {"probability": 1.0}))
    assert parse_effects("none") == ()


def test_strength_and_probability_reach_the_pixels() -> None:
    one = varied(NOISE)
    assert one.std() > 0
    assert np.allclose(varied(f"3*{NOISE}"), 3 * one, atol=1e-6)
    assert np.allclose(varied(NOISE, intensity=2), 2 * one, atol=1e-6)
    assert not varied("noise(probability=0)").any()
    assert not varied("none").any()


@pytest.mark.parametrize("text", ["", "+", "noise +", "noise blur", "noise(", "noise(strength)", "-1*noise", "auto + noise", "none + noise", "3"])
def test_what_is_no_list_of_effects_is_refused_and_the_effects_are_named(text: str) -> None:
    with pytest.raises(ParameterError, match="effects") as caught:
        parse_effects(text)
    assert "missing-section" in caught.value.hint


@pytest.mark.parametrize(
    ("text", "said", "hint"),
    [
        ("contrast + nois", "no augmentation 'nois'", "Did you mean 'noise'"),
        ("noise(often=1)", "no parameter 'often'", "probability"),
        ("noise(probability=2)", "probability = '2' is not allowed", "from 0 to 1"),
        ("noise(probability=often)", "probability = 'often' is not allowed", "from 0 to 1"),
        ("9*noise", "strength = 9.0 is not allowed", "from 0 to 5"),
        ("0*noise", "weight 0 ", "leave the term out"),
        ("noise(strength=0)", "strength 0", "Leave it out"),
        ("2*noise(strength=3)", "two strengths", r"2*noise"),
        ("noise + blur + 2*noise", "name noise twice", "Give it once"),
        ("noise(probability=1, probability=0)", "sets probability of noise twice", "Give it once"),
    ],
)
def test_mistakes_are_named(text: str, said: str, hint: str) -> None:
    with pytest.raises(ParameterError, match=said) as caught:
        parse_effects(text)
    assert hint in caught.value.hint
