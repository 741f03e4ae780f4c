"""Focal loss: cross-entropy that leaves what is already right alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_segtool.core.params import Params, param
from napari_segtool.core.registry import LOSSES

if TYPE_CHECKING:
    from torch import Tensor

    from napari_segtool.training.losses._context import Loss, LossContext


class FocalParams(Params):
    """How much easy pixels are passed over."""

    gamma: float = param(2.0, "0 is cross-entropy; with 2, a pixel that is 90 % right counts a hundredth.", ge=0, le=10)


@LOSSES.register(
    "focal",
    title="Focal",
    summary="Cross-entropy that counts hard pixels more and easy ones hardly: for rare structures in much easy background.",
    params=FocalParams,
    family="pixels",
    reference="Lin et al. 2017, doi:10.1109/ICCV.2017.324",
)
def focal(params: FocalParams, context: LossContext) -> Loss:
    """Make −Σ w (1 − p)^γ log p / Σ w over labelled pixels, p being the chance of the right class.

    w is the weight of the pixel's class (the paper's α) times the pixel's own. With sigmoid heads every class is asked by itself, and the mean over classes
    is taken, p being the chance of the right answer.

    Parameters
    ----------
    params
        ``gamma``.
    context
        Its ``class_weights`` are used; says whether the heads are softmax or sigmoid.

    Returns
    -------
    Loss
        Function of logits, target and pixel weights; 0 where nothing is labelled.
    """
    import torch
    import torch.nn.functional as F  # noqa: N812

    from napari_segtool.training.losses._context import mean_over, one_hot
    from napari_segtool.training.losses._cross import class_mass
    from napari_segtool.training.runs._pairs import IGNORED

    placed = context.class_weights.to(context.device)

    def weighed(log_chance: Tensor) -> Tensor:
        wrong = -torch.expm1(log_chance)
        # the slope of a power below 1 is endless at 0
        return -log_chance * wrong.clamp_min(torch.finfo(wrong.dtype).eps) ** params.gamma

    def loss(logits: Tensor, target: Tensor, pixel_weights: Tensor | None) -> Tensor:
        if context.sigmoid:
            asked = 2 * one_hot(target, logits.shape[1], logits.dtype) - 1  # 1 for yes, -1 for no
            values = weighed(F.logsigmoid(asked * logits)).mean(1)  # (N, …)
        else:
            values = weighed(-F.cross_entropy(logits, target, ignore_index=IGNORED, reduction="none"))  # (N, …)
        return mean_over(values, class_mass(target, pixel_weights, placed.to(logits.dtype)))

    return loss
