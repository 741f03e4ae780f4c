"""Boundary loss: how far from the true boundary the prediction errs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_segtool.core.params import Params, param
from napari_segtool.core.registry import LOSSES

if TYPE_CHECKING:
    from torch import Tensor

    from napari_segtool.training.losses._context import Loss, LossContext


class BoundaryParams(Params):
    """Which classes have a boundary."""

    with_first: bool = param(
        True, "Whether the first class, usually the background, counts as well; with two classes it has the boundary of the second.", advanced=True
    )


@LOSSES.register(
    "boundary",
    title="Boundary",
    summary="Errors count by their distance from the true boundary; only beside a region loss, with a small weight such as 0.01.",
    params=BoundaryParams,
    family="boundaries",
    reference="Kervadec et al. 2021, doi:10.1016/j.media.2020.101851",
)
def boundary(params: BoundaryParams, context: LossContext) -> Loss:
    """Make the mean over pixels and classes of φ · p: p the chance of the class, φ the signed distance to its true boundary, negative inside.

    Distances are those within one patch, from `signed_distances`, found on the CPU. The mean goes over labelled pixels, each counting by its weight. The loss
    is negative where the prediction is good; its least value is that of the truth itself. Alone it is of no use: a class that is missing altogether from
    a patch has no boundary and no part in the loss.

    Parameters
    ----------
    params
        ``with_first``.
    context
        Its ``sampling`` gives the distance between pixels; says whether the heads are softmax or sigmoid.

    Returns
    -------
    Loss
        Function of logits, target and pixel weights, in pixels; 0 where nothing is labelled.
    """
    import torch

    from napari_segtool.training.losses._context import mass_of, mean_over
    from napari_segtool.training.losses._distance import signed_distances
    from napari_segtool.training.runs._pairs import IGNORED

    def loss(logits: Tensor, target: Tensor, pixel_weights: Tensor | None) -> Tensor:
        first = 0 if params.with_first else 1
        mass = mass_of(target, pixel_weights, logits.dtype)
        counted = torch.where(mass > 0, target, IGNORED).cpu().numpy()
        maps = signed_distances(counted, range(first, logits.shape[1]), context.sampling)
        distance = torch.from_numpy(maps).to(logits.device, logits.dtype)  # (N, K, …)
        return mean_over((context.chances(logits)[:, first:] * distance).mean(1), mass)

    return loss
