"""Cross-entropy: how surprised the network is by the right class."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_segtool.core.params import Params
from napari_segtool.core.registry import LOSSES

if TYPE_CHECKING:
    from napari_segtool.training.losses._context import Loss, LossContext


class CrossEntropyParams(Params):
    """Cross-entropy has no settings of its own: the classes are weighed by the training's class balance."""


@LOSSES.register(
    "cross-entropy",
    title="Cross-entropy",
    summary="How surprised the network is by the right class of each pixel; classes weighed by the class balance of the training.",
    params=CrossEntropyParams,
    family="pixels",
    reference="Ronneberger et al. 2015, eq. 1, doi:10.1007/978-3-319-24574-4_28",
    traits=("softmax",),
)
def cross_entropy(params: CrossEntropyParams, context: LossContext) -> Loss:
    """Make the cross-entropy −Σ w log p / Σ w over labelled pixels, p being the softmax chance of the right class.

    w is the weight of the pixel's class times the pixel's own.

    Parameters
    ----------
    params
        None.
    context
        Its ``class_weights`` are used.

    Returns
    -------
    Loss
        Function of logits, target and pixel weights; 0 where nothing is labelled.
    """
    from napari_segtool.training.losses._cross import cross_entropy_of

    return cross_entropy_of(context, context.class_weights)
