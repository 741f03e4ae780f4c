"""The loss as a text: what is written is read back, and what cannot be read is explained."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from napari_segtool.core.errors import ParameterError
from napari_segtool.core.params import describe
from napari_segtool.core.registry import LOSSES
from napari_segtool.core.terms import Term
from napari_segtool.training.losses._text import format_loss, parse_loss


@some.composite
def terms(draw: some.DrawFn) -> Term:
    entry = LOSSES.get(draw(some.sampled_from(LOSSES.names())))
    values = {}
    for field in describe(entry.params):
        if field.kind == "choice" and draw(some.booleans()):
            values[field.name] = draw(some.sampled_from(field.choices))
        elif field.kind == "float" and field.maximum is not None and field.minimum is not None and draw(some.booleans()):
            values[field.name] = draw(some.floats(field.minimum, field.maximum))
    return Term(entry.name, draw(some.floats(1e-6, 1e6)), values)


@settings(deadline=None, max_examples=200)
@given(some.lists(terms(), min_size=1, max_size=5, unique_by=lambda term: term.name))
def test_what_is_written_is_read_back(wanted: list[Term]) -> None:
    assert parse_loss(format_loss(wanted)) == tuple(wanted)


@settings(deadline=None, max_examples=300)
@given(some.text("abcdeincross-tropy+*()=0.5 ,", max_size=40))
def test_any_text_is_read_or_refused_with_a_hint(text: str) -> None:
    read: tuple[Term, ...] = ()
    hint = ""
    try:
        read = parse_loss(text)
    except ParameterError as error:
        hint = error.hint
    assert bool(read) != bool(hint)
    assert all(term.weight > 0 for term in read)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("dice", [("dice", 1.0)]),
        (" cross-entropy+dice ", [("cross-entropy", 1.0), ("dice", 1.0)]),
        ("cross_entropy + 1e-1*Dice", [("cross-entropy", 1.0), ("dice", 0.1)]),
        (".5 dice + 2 × cross-entropy", [("dice", 0.5), ("cross-entropy", 2.0)]),
    ],
)
def test_weights_and_names_may_be_written_freely(text: str, wanted: list[tuple[str, float]]) -> None:
    assert [(term.name, term.weight) for term in parse_loss(text)] == wanted


def test_parameters_of_a_loss_stand_in_brackets() -> None:
    (term,) = parse_loss("2*dice(form=squared)")
    assert (term.weight, dict(term.params)) == (2.0, {"form": "squared"})


@pytest.mark.parametrize("text", ["", "+", "dice +", "+ dice", "dice dice", "dice ++ dice", "dice(", "dice(form)", "-1*dice", "auto + dice", "0.5*", "3"])
def test_what_is_no_sum_of_losses_is_refused_and_the_losses_are_named(text: str) -> None:
    with pytest.raises(ParameterError) as caught:
        parse_loss(text)
    assert "cross-entropy" in caught.value.hint


def test_mistakes_are_named() -> None:
    with pytest.raises(ParameterError, match="no loss 'dicee'") as caught:
        parse_loss("cross-entropy + dicee")
    assert "dice" in caught.value.hint
    with pytest.raises(ParameterError, match="form = 'cubic' is not allowed"):
        parse_loss("dice(form=cubic)")
    with pytest.raises(ParameterError, match="no parameter 'shape'"):
        parse_loss("dice(shape=1)")
    with pytest.raises(ParameterError, match="weight 0 "):
        parse_loss("0*dice")
    with pytest.raises(ParameterError, match="twice"):
        parse_loss("dice + dice")
