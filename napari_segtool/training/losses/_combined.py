"""Several losses as one. Light: torch is needed only by the terms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from napari_segtool.core.errors import ParameterError
from napari_segtool.core.registry import LOSSES
from napari_segtool.core.terms import Term

if TYPE_CHECKING:
    from torch import Tensor

    from napari_segtool.training.losses._context import Loss, LossContext


def head_of(terms: Sequence[Term]) -> Literal["softmax", "sigmoid"]:
    """Return what the network's outputs mean: a sigmoid each as soon as one term wants it, else one softmax.

    Raises
    ------
    ParameterError
        If one term wants sigmoid heads and another a softmax, or a name is unknown.

    Examples
    --------
    >>> head_of([Term("binary-cross-entropy"), Term("dice", 0.5)])
    'sigmoid'
    """
    used = [term.name for term in terms if term.weight]
    wants = {trait: [name for name in used if trait in LOSSES.get(name).traits] for trait in ("sigmoid", "softmax")}
    if wants["sigmoid"] and wants["softmax"]:
        raise ParameterError(
            f"The losses {wants['sigmoid'][0]} and {wants['softmax'][0]} cannot be added: one needs a sigmoid for each class, the other one softmax over all.",
            hint=f"Leave one of them out; dice, tversky and focal go with either, for example {wants['sigmoid'][0]} and dice.",
        )
    return "sigmoid" if wants["sigmoid"] else "softmax"


def combine(terms: Sequence[Term], context: LossContext) -> Loss:
    """Make the weighted sum of several losses.

    Parameters
    ----------
    terms
        Losses with their weights and parameters; those of weight 0 are left out.
    context
        Of the training; whether the heads are sigmoid is set here, by what the terms want (see `head_of`).

    Returns
    -------
    Loss
        Function of logits, target and pixel weights.

    Raises
    ------
    ParameterError
        If there is no term, a weight is negative, or a name or parameter is unknown.
    """
    for term in terms:
        if not 0 <= term.weight < float("inf"):
            raise ParameterError(f"The loss {term.name} has the weight {term.weight}.", hint="Give a weight of 0 or more.")
    used = [term for term in terms if term.weight]
    if not used:
        raise ParameterError("There is no loss to make small: every term has the weight 0.", hint="Give at least one loss a weight above 0.")
    context = replace(context, sigmoid=head_of(used) == "sigmoid")
    entries = [LOSSES.get(term.name) for term in used]
    losses: list[Loss] = [entry.function(entry.params.build(**term.params), context) for entry, term in zip(entries, used, strict=True)]
    weights = [term.weight for term in used]

    def loss(logits: Tensor, target: Tensor, pixel_weights: Tensor | None) -> Tensor:
        total = weights[0] * losses[0](logits, target, pixel_weights)
        for weight, part in zip(weights[1:], losses[1:], strict=True):
            total = total + weight * part(logits, target, pixel_weights)
        return total

    return loss
