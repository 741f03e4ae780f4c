"""Tversky: an overlap in which a miss may cost more than a false alarm."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_segtool.core.params import Params, param
from napari_segtool.core.registry import LOSSES

if TYPE_CHECKING:
    from torch import Tensor

    from napari_segtool.training.losses._context import Loss, LossContext


class TverskyParams(Params):
    """What errors cost."""

    alpha: float = param(0.3, "Cost of a false alarm: a pixel taken for the class that is none. 0.5 and 0.5 is Dice.", ge=0, le=1)
    beta: float = param(0.7, "Cost of a miss: a pixel of the class taken for another.", ge=0, le=1)
    with_first: bool = param(
        False, "Whether the first class, usually the background, is one to be found too; with two classes that would undo the difference.", advanced=True
    )
    smooth: float = param(1.0, "Pixels added above and below, so that tiny objects do not make the loss jump.", unit="px", ge=0, le=1000, advanced=True)


@LOSSES.register(
    "tversky",
    title="Tversky",
    summary="Overlap in which missing a rare structure costs more than a false alarm.",
    params=TverskyParams,
    family="overlap",
    reference="Salehi et al. 2017, doi:10.1007/978-3-319-67389-9_44",
)
def tversky(params: TverskyParams, context: LossContext) -> Loss:
    """Make one minus the mean over classes of (T + s) / (T + α F + β M + s): hits T = Σ pg, false alarms F = Σ p(1 − g), misses M = Σ (1 − p)g.

    Sums go over the labelled pixels of the whole batch; each counts by its weight. Classes that do not occur have no part, nor has the first class
    unless ``with_first``.

    Parameters
    ----------
    params
        ``alpha``, ``beta``, ``with_first`` and ``smooth``.
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
        sums = overlap_of(context, logits, target, pixel_weights)
        first = 0 if params.with_first else 1
        hits, alarms, misses = (part[first:] for part in (sums.shared, sums.predicted - sums.shared, sums.true - sums.shared))
        errors = params.alpha * alarms + params.beta * misses
        return mean_present(errors / (hits + errors + params.smooth).clamp_min(1e-12), sums.present[first:])

    return loss
