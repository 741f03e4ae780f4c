"""Effects of grey values as a short text: ``contrast + 0.5*noise + missing-section(probability=0.1)``."""

from __future__ import annotations

from napari_segtool.core.errors import ParameterError
from napari_segtool.core.registry import AUGMENTATIONS
from napari_segtool.core.terms import Term, TermReader, format_terms
from napari_segtool.training.augment._presets import PRESETS, Effects, preset

EXAMPLE = "contrast + 0.5*noise + missing-section(probability=0.1)"
_READER = TermReader(AUGMENTATIONS, "effects", f"Write auto, none, a modality, or names with strengths like {EXAMPLE}.", "Effects")


def parse_effects(text: str, modality: str = "general") -> Effects:
    """Read which effects change grey values.

    Parameters
    ----------
    text
        ``auto`` for those of ``modality``, the name of another (``em``), ``none``, or names of `AUGMENTATIONS` joined by ``+``, each with a strength
        before it (``0.5*noise``) and parameters in brackets (``noise(probability=0.1)``) where wanted.
    modality
        As for `preset`.

    Returns
    -------
    tuple of Term
        In the order of the text, names as they are registered; empty for ``none``.

    Raises
    ------
    ParameterError
        If it cannot be read, or an effect or one of its parameters is not known or not allowed; the message names those that are.

    Examples
    --------
    >>> [(effect.name, effect.weight) for effect in parse_effects("contrast + 0.5*noise")]
    [('contrast', 1.0), ('noise', 0.5)]
    """
    if text == "auto" or text in PRESETS:
        return preset(modality if text == "auto" else text)
    if text == "none":
        return ()
    effects = tuple(_effect(term) for term in _READER.read(text))
    names = [effect.name for effect in effects]
    doubled = next((name for name in names if names.count(name) > 1), "")
    if doubled:
        raise ParameterError(f"The effects {text!r} name {doubled} twice.", hint="Give it once, with a larger strength or probability.")
    return effects


def format_effects(effects: Effects) -> str:
    """Write effects as a text that `parse_effects` reads back.

    Examples
    --------
    >>> format_effects(preset("light"))
    '1.4*contrast + 1.4*brightness + 1.4*gamma + blur + 1.4*noise'
    """
    return format_terms(effects) or "none"


def _effect(term: Term) -> Term:
    """The strength may stand before the name or in the brackets."""
    params = dict(term.params)
    strength = params.pop("strength", term.weight)
    if term.weight not in (1, strength):
        raise ParameterError(f"{term.name} has two strengths, {term.weight:g} and {strength:g}.", hint=f"Write {term.weight:g}*{term.name}.")
    if strength == 0:
        raise ParameterError(f"{term.name} has strength 0.", hint="Leave it out.")
    AUGMENTATIONS.get(term.name).params.build(strength=strength)
    return Term(term.name, strength, params)
