"""Cross-entropy weighed by how many different pixels of a class there effectively are."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from napari_segtool.core.params import Params, param
from napari_segtool.core.registry import LOSSES

if TYPE_CHECKING:
    from napari_segtool.training.losses._context import Loss, LossContext


class ClassBalancedParams(Params):
    """How far the balance goes."""

    beta: float = param(
        -1.0,
        "0 weighs all pixels alike; the nearer to 1, the nearer a class counts by one over its pixels. -1: (N − 1) / N, N being all labelled pixels.",
        ge=-1,
        le=0.999999999,
    )


@LOSSES.register(
    "class-balanced",
    title="Class-balanced cross-entropy",
    summary="Cross-entropy in which rare classes count more, by the effective number of their pixels.",
    params=ClassBalancedParams,
    family="pixels",
    reference="Cui et al. 2019, doi:10.1109/CVPR.2019.00949",
    traits=("softmax", "class-weights"),
)
def class_balanced(params: ClassBalancedParams, context: LossContext) -> Loss:
    """Make the cross-entropy −Σ w log p / Σ w with the class weights (1 − β) / (1 − β^n), n being the labelled pixels of the class.

    A pixel counts by the weight of its class times its own. Pixels are far more than the photographs of the paper: its β of 0.999 to 0.9999 would weigh all
    classes alike that have some ten thousand, which is why β follows the number of labelled pixels unless it is given.

    Parameters
    ----------
    params
        ``beta``; a negative one is taken from the number of labelled pixels.
    context
        Its ``pixels`` are used, its class weights are not.

    Returns
    -------
    Loss
        Function of logits, target and pixel weights; 0 where nothing is labelled.
    """
    import torch

    from napari_segtool.training.losses._cross import cross_entropy_of

    return cross_entropy_of(context, torch.tensor(balanced_weights(context.pixels.tolist(), params.beta), dtype=torch.float64))


def balanced_weights(pixels: Sequence[float], beta: float) -> tuple[float, ...]:
    """Return (1 − β) / (1 − β^n) for each class, scaled to a mean of 1; a class without a pixel counts as if it had one.

    Examples
    --------
    >>> balanced_weights([100, 100], -1.0)
    (1.0, 1.0)
    >>> balanced_weights([1, 1000], 0.0)
    (1.0, 1.0)
    """
    counts = [max(1.0, float(count)) for count in pixels]
    beta = beta if beta >= 0 else 1 - 1 / sum(counts)
    raw = [(1 - beta) / -math.expm1(count * math.log(beta)) if beta > 0 else 1.0 for count in counts]
    return tuple(weight * len(raw) / sum(raw) for weight in raw)
