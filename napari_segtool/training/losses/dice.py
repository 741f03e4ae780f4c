"""Soft Dice: the overlap of prediction and truth, which does not mind how rare a class is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from napari_segtool.core.params import Params, param
from napari_segtool.core.registry import LOSSES

if TYPE_CHECKING:
    from torch import Tensor

    from napari_segtool.training.losses._context import Loss, LossContext


class DiceParams(Params):
    """Which of the two soft forms of Dice."""

    form: Literal["sum", "squared"] = param("sum", "What the overlap is compared with: sum is Σp + Σg; squared is Σp² + Σg², as in the V-Net.")
    smooth: float = param(1.0, "Pixels added above and below, so that tiny objects do not make the loss jump.", unit="px", ge=0, le=1000, advanced=True)


@LOSSES.register(
    "dice",
    title="Soft Dice",
    summary="Overlap of prediction and truth, the same for rare and frequent classes; best beside a cross-entropy.",
    params=DiceParams,
    family="overlap",
    reference="Milletari et al. 2016, doi:10.1109/3DV.2016.79; Drozdzal et al. 2016 (sum), doi:10.1007/978-3-319-46976-8_19",
)
def dice(params: DiceParams, context: LossContext) -> Loss:
    """Make one minus the mean soft Dice (2 Σpg + s) / (Σp + Σg + s) of the classes that occur in the batch.

    Sums go over the labelled pixels of the whole batch; each counts by its weight. Classes that do not occur have no part.

    Parameters
    ----------
    params
        ``form`` and ``smooth``.
    context
        Says whether the heads are softmax or sigmoid.

    Returns
    -------
    Loss
        Function of logits, target and pixel weights, from 0 to 1; 0 where nothing is labelled.
    """
    from napari_segtool.training.losses._context import mean_present
    from napari_segtool.training.losses._overlap import overlap_of

    def loss(logits: Tensor, target: Tensor, pixel_weights: Tensor | None) -> Tensor:
        sums = overlap_of(context, logits, target, pixel_weights, squared=params.form == "squared")
        both = (sums.predicted + sums.true + params.smooth).clamp_min(1e-12)
        return mean_present(1 - (2 * sums.shared + params.smooth) / both, sums.present)

    return loss
