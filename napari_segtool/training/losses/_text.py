"""The loss as a short text: ``cross-entropy + 0.5*dice(form=squared)``."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from napari_segtool.core.errors import ParameterError
from napari_segtool.core.registry import LOSSES
from napari_segtool.training._plan import LossTerm

EXAMPLE = "cross-entropy + 0.5*dice"
_NUMBER = r"(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_TERM = re.compile(rf"\s*(?:(?P<weight>{_NUMBER})\s*[*·×]?\s*)?(?P<name>[A-Za-z][\w-]*)\s*(?:\((?P<params>[^()]*)\))?\s*")
_PAIR = re.compile(r"\s*(?P<key>[A-Za-z]\w*)\s*=\s*(?P<value>[^=]*?)\s*(?:[,;]\s*(?=[A-Za-z]\w*\s*=)|$)")


def parse_loss(text: str) -> tuple[LossTerm, ...]:
    """Read a weighted sum of losses.

    Parameters
    ----------
    text
        Names of `LOSSES` joined by ``+``, each with a weight before it (``0.5*dice``) and parameters in brackets (``focal(gamma=1.5)``) where wanted.

    Returns
    -------
    tuple of LossTerm
        In the order of the text, names as they are registered.

    Raises
    ------
    ParameterError
        If it is not such a sum, or a loss or one of its parameters is not known; the message names those that are.

    Examples
    --------
    >>> [(term.name, term.weight) for term in parse_loss("cross-entropy + 0.5*dice")]
    [('cross-entropy', 1.0), ('dice', 0.5)]
    """
    terms: list[LossTerm] = []
    place = 0
    while place < len(text) or not terms:
        found = _TERM.match(text, place)
        if found is None:
            raise _unclear(text, text[place:].strip() or text)
        terms.append(_term(found, text))
        place = found.end()
        if place < len(text):
            if text[place] != "+" or not text[place + 1 :].strip():
                raise _unclear(text, text[place:].strip())
            place += 1
    doubled = next((term.name for n, term in enumerate(terms) if term in terms[:n]), "")
    if doubled:
        raise ParameterError(f"The loss {text!r} names {doubled} twice.", hint="Give it once, with a larger weight.")
    return tuple(terms)


def format_loss(terms: Sequence[LossTerm]) -> str:
    """Write terms as a text that `parse_loss` reads back.

    Examples
    --------
    >>> format_loss((LossTerm("cross-entropy"), LossTerm("dice", 0.5)))
    'cross-entropy + 0.5*dice'
    """
    return " + ".join(_written(term) for term in terms)


def _written(term: LossTerm) -> str:
    weight = "" if term.weight == 1 else f"{term.weight!r}*"
    params = ", ".join(f"{key}={value}" for key, value in term.params.items())
    return f"{weight}{term.name}{f'({params})' if params else ''}"


def _term(found: re.Match[str], text: str) -> LossTerm:
    weight = float(found["weight"] or 1)
    if not 0 < weight < float("inf"):
        raise ParameterError(f"The weight {found['weight']} in the loss {text!r} is not allowed.", hint="Give a weight above 0, or leave the term out.")
    if found["name"] not in LOSSES and found["name"].casefold() in ("auto", "none"):
        raise _unclear(text, found["name"])
    entry = LOSSES.get(found["name"])
    values: dict[str, Any] = dict(_pairs(found["params"] or "", text))
    built = entry.params.build(**values)
    return LossTerm(entry.name, weight, {key: getattr(built, key) for key in values})


def _pairs(text: str, whole: str) -> Iterator[tuple[str, str]]:
    place = 0
    while text[place:].strip():
        found = _PAIR.match(text, place)
        if found is None or found.end() == place:
            raise _unclear(whole, text[place:].strip())
        yield found["key"], found["value"].strip()
        place = found.end()


def _unclear(text: str, part: str) -> ParameterError:
    where = f" at {part!r}" if part.strip() and part != text else ""
    return ParameterError(
        f"The loss {text!r} cannot be read{where}.",
        hint=f"Write auto, or a sum like {EXAMPLE} or 2*focal(gamma=1.5). Losses: {', '.join(LOSSES.names())}.",
    )
