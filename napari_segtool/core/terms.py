"""Registered entries with weights and parameters as a short text: ``cross-entropy + 0.5*dice(form=squared)``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from napari_segtool.core.errors import ParameterError
from napari_segtool.core.registry import Registry

_NUMBER = r"(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_TERM = re.compile(rf"\s*(?:(?P<weight>{_NUMBER})\s*[*·×]?\s*)?(?P<name>[A-Za-z][\w-]*)\s*(?:\((?P<params>[^()]*)\))?\s*")
_PAIR = re.compile(r"\s*(?P<key>[A-Za-z]\w*)\s*=\s*(?P<value>[^=]*?)\s*(?:[,;]\s*(?=[A-Za-z]\w*\s*=)|$)")
_NO_NAMES = ("auto", "none")


@dataclass(frozen=True)
class Term:
    """One entry of such a text.

    Parameters
    ----------
    name
        As it is registered.
    weight
        Above 0.
    params
        Those of its parameters that are given.
    """

    name: str
    weight: float = 1.0
    params: Mapping[str, Any] = field(default_factory=dict)


def format_terms(terms: Iterable[Term]) -> str:
    """Write terms as a text that `TermReader` reads back.

    Examples
    --------
    >>> format_terms((Term("cross-entropy"), Term("dice", 0.5, {"form": "squared"})))
    'cross-entropy + 0.5*dice(form=squared)'
    """
    return " + ".join(_written(term) for term in terms)


def _written(term: Term) -> str:
    weight = "" if term.weight == 1 else f"{term.weight!r}*"
    params = ", ".join(f"{key}={value}" for key, value in term.params.items())
    return f"{weight}{term.name}{f'({params})' if params else ''}"


@dataclass(frozen=True)
class TermReader:
    """Reads such texts, and tells people what is wrong with theirs.

    Parameters
    ----------
    registry
        Of the entries.
    what
        Name of the text in messages: "loss".
    hint
        How it is written, in a sentence; the names of the entries follow.
    entries
        What they are called there: "Losses".
    """

    registry: Registry
    what: str
    hint: str
    entries: str

    def read(self, text: str) -> tuple[Term, ...]:
        """Return the terms in the order of the text.

        Raises
        ------
        ParameterError
            If it cannot be read, or an entry or one of its parameters is not known; the message names those that are.
        """
        terms: list[Term] = []
        place = 0
        while place < len(text) or not terms:
            found = _TERM.match(text, place)
            if found is None:
                raise self._unclear(text, text[place:].strip() or text)
            terms.append(self._term(found, text))
            place = found.end()
            if place < len(text):
                if text[place] != "+" or not text[place + 1 :].strip():
                    raise self._unclear(text, text[place:].strip())
                place += 1
        return tuple(terms)

    def _term(self, found: re.Match[str], text: str) -> Term:
        weight = float(found["weight"] or 1)
        if not 0 < weight < float("inf"):
            raise ParameterError(
                f"The weight {found['weight']} in the {self.what} {text!r} is not allowed.", hint="Give a weight above 0, or leave the term out."
            )
        if found["name"] not in self.registry and found["name"].casefold() in _NO_NAMES:
            raise self._unclear(text, found["name"])
        entry = self.registry.get(found["name"])
        values: dict[str, Any] = {}
        for key, value in self._pairs(found["params"] or "", text):
            if key in values:
                raise ParameterError(f"The {self.what} {text!r} sets {key} of {entry.name} twice.", hint="Give it once.")
            values[key] = value
        built = entry.params.build(**values)
        return Term(entry.name, weight, {key: getattr(built, key) for key in values})

    def _pairs(self, text: str, whole: str) -> Iterator[tuple[str, str]]:
        place = 0
        while text[place:].strip():
            found = _PAIR.match(text, place)
            if found is None or found.end() == place:
                raise self._unclear(whole, text[place:].strip())
            yield found["key"], found["value"].strip()
            place = found.end()

    def _unclear(self, text: str, part: str) -> ParameterError:
        where = f" at {part!r}" if part.strip() and part != text else ""
        return ParameterError(f"The {self.what} {text!r} cannot be read{where}.", hint=f"{self.hint} {self.entries}: {', '.join(self.registry.names())}.")
