"""Binary cross-entropy: every class by itself against the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_segtool.core.params import Params
from napari_segtool.core.registry import LOSSES

if TYPE_CHECKING:
    from torch import Tensor

    from napari_segtool.training.losses._context import Loss, LossContext


class BinaryCrossEntropyParams(Params):
    """Binary cross-entropy has no settings of its own: the classes are weighed by the training's class balance."""


@LOSSES.register(
    "binary-cross-entropy",
    title="Binary cross-entropy",
    summary="A yes-or-no question for each class (sigmoid heads) in place of one choice between them.",
    params=BinaryCrossEntropyParams,
    family="pixels",
    reference="Bishop 2006, Pattern Recognition and Machine Learning, eq. 4.90",
    traits=("sigmoid",),
)
def binary_cross_entropy(params: BinaryCrossEntropyParams, context: LossContext) -> Loss:
    """Make the cross-entropy of each class against the rest, averaged over classes and labelled pixels.

    A pixel counts by its weight times that of its class.

    Parameters
    ----------
    params
        None.
    context
        Its ``class_weights`` are used.

    Returns
    -------
    Loss
        Function of logits, target and pixel weights; 0 where nothing is labelled. The logits are those of sigmoids.
    """
    import torch.nn.functional as F  # noqa: N812

    from napari_segtool.training.losses._context import mean_over, one_hot
    from napari_segtool.training.losses._cross import class_mass

    placed = context.class_weights.to(context.device)

    def loss(logits: Tensor, target: Tensor, pixel_weights: Tensor | None) -> Tensor:
        truth = one_hot(target, logits.shape[1], logits.dtype)  # (N, K, …)
        surprise = F.binary_cross_entropy_with_logits(logits, truth, reduction="none").mean(1)  # (N, …)
        return mean_over(surprise, class_mass(target, pixel_weights, placed.to(logits.dtype)))

    return loss
