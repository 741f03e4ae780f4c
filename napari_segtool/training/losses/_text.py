"""The loss as a short text: ``cross-entropy + 0.5*dice(form=squared)``."""

from __future__ import annotations

from collections.abc import Sequence

from napari_segtool.core.errors import ParameterError
from napari_segtool.core.registry import LOSSES
from napari_segtool.core.terms import Term, TermReader, format_terms

EXAMPLE = "cross-entropy + 0.5*dice"
_READER = TermReader(LOSSES, "loss", f"Write auto, or a sum like {EXAMPLE} or 2*focal(gamma=1.5).", "Losses")


def parse_loss(text: str) -> tuple[Term, ...]:
    """Read a weighted sum of losses.

    Parameters
    ----------
    text
        Names of `LOSSES` joined by ``+``, each with a weight before it (``0.5*dice``) and parameters in brackets (``focal(gamma=1.5)``) where wanted.

    Returns
    -------
    tuple of Term
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
    terms = _READER.read(text)
    doubled = next((term.name for n, term in enumerate(terms) if term in terms[:n]), "")
    if doubled:
        raise ParameterError(f"The loss {text!r} names {doubled} twice.", hint="Give it once, with a larger weight.")
    return terms


def format_loss(terms: Sequence[Term]) -> str:
    """Write terms as a text that `parse_loss` reads back.

    Examples
    --------
    >>> format_loss((Term("cross-entropy"), Term("dice", 0.5)))
    'cross-entropy + 0.5*dice'
    """
    return format_terms(terms)
