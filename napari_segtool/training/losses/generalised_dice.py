"""Generalised Dice: one overlap of all classes, in which small ones count as much as large ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_segtool.core.params import Params
from napari_segtool.core.registry import LOSSES

if TYPE_CHECKING:
    from torch import Tensor

    from napari_segtool.training.losses._context import Loss, LossContext


class GeneralisedDiceParams(Params):
    """Generalised Dice has no settings: the volumes of the classes decide."""


@LOSSES.register(
    "generalised-dice",
    title="Generalised Dice",
    summary="One Dice of all classes, each weighed by one over its squared volume: for structures of very different size.",
    params=GeneralisedDiceParams,
    family="overlap",
    reference="Sudre et al. 2017, doi:10.1007/978-3-319-67558-9_28",
    aliases=("generalized-dice",),
)
def generalised_dice(params: GeneralisedDiceParams, context: LossContext) -> Loss:
    """Make 1 − 2 Σ_k v_k Σ pg / Σ_k v_k Σ (p + g) with v_k = 1 / (Σ g)² over the classes that occur in the batch.

    Inner sums go over the labelled pixels of the whole batch; each counts by its weight, in the volumes too. Classes that do not occur have no part.

    Parameters
    ----------
    params
        None.
    context
        Says whether the heads are softmax or sigmoid.

    Returns
    -------
    Loss
        Function of logits, target and pixel weights, from 0 to 1; 0 where nothing is labelled.
    """
    import torch

    from napari_segtool.training.losses._overlap import overlap_of

    def loss(logits: Tensor, target: Tensor, pixel_weights: Tensor | None) -> Tensor:
        sums = overlap_of(context, logits, target, pixel_weights)
        smallest = torch.where(sums.present, sums.true, torch.inf).min()  # as a ratio: one over a squared volume would leave float32
        volumes = torch.where(sums.present, (smallest / sums.true).square(), torch.zeros_like(sums.true))
        both = (volumes * (sums.predicted + sums.true)).sum()
        apart = (volumes * (sums.predicted + sums.true - 2 * sums.shared)).sum()
        return apart / torch.where(both > 0, both, torch.ones_like(both))

    return loss
