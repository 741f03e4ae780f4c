"""Cross-entropy with a weight for each class that the user names."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from napari_segtool.core.errors import ParameterError
from napari_segtool.core.params import Params, param
from napari_segtool.core.registry import LOSSES

if TYPE_CHECKING:
    from napari_segtool.training.losses._context import Loss, LossContext


class WeightedCrossEntropyParams(Params):
    """The weights."""

    weights: str = param("", "One number for each class, in order, for example 1,10: how much its pixels count. Empty: all alike.")


@LOSSES.register(
    "weighted-cross-entropy",
    title="Weighted cross-entropy",
    summary="Cross-entropy in which you say how much each class counts.",
    params=WeightedCrossEntropyParams,
    family="pixels",
    reference="Ronneberger et al. 2015, eq. 1, doi:10.1007/978-3-319-24574-4_28",
    traits=("softmax", "class-weights"),
)
def weighted_cross_entropy(params: WeightedCrossEntropyParams, context: LossContext) -> Loss:
    """Make the cross-entropy −Σ w log p / Σ w, w being the class's given weight times the pixel's own.

    Parameters
    ----------
    params
        ``weights``; they stand in place of the context's, and only their ratios matter.
    context
        Says how many classes there are.

    Returns
    -------
    Loss
        Function of logits, target and pixel weights; 0 where nothing is labelled.

    Raises
    ------
    ParameterError
        If the weights are not one number of 0 or more for each class, one of them above 0.
    """
    import torch

    from napari_segtool.training.losses._cross import cross_entropy_of

    weights = read_weights(params.weights, context.classes)
    return cross_entropy_of(context, torch.tensor(weights, dtype=torch.float64))


def read_weights(text: str, classes: int) -> tuple[float, ...]:
    """Read one number for each class; an empty text is 1 for all.

    Examples
    --------
    >>> read_weights("1, 2.5", 2)
    (1.0, 2.5)
    """
    hint = f"Give {classes} numbers of 0 or more, not all of them 0, for example {','.join(['1', '10', *['1'] * classes][:classes])}."
    if not text.strip():
        return (1.0,) * classes
    try:
        weights = tuple(float(part) for part in text.replace(";", ",").split(","))
    except ValueError:
        raise ParameterError(f"The class weights {text!r} are not numbers with commas between.", hint=hint) from None
    if len(weights) != classes:
        raise ParameterError(f"There are {classes} classes, but the class weights {text!r} are {len(weights)}.", hint=hint)
    if not all(0 <= weight < math.inf for weight in weights) or not any(weights):
        raise ParameterError(f"The class weights {text!r} are not possible.", hint=hint)
    return weights
