"""Integrated gradients: each pixel's share of the score, gathered on the way from an empty picture to this one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from napari_segtool.core.params import param
from napari_segtool.core.progress import Steps
from napari_segtool.core.registry import EXPLAINERS
from napari_segtool.explain._shown import ShownParams, shown

if TYPE_CHECKING:
    from torch import Tensor

    from napari_segtool.explain._question import Part, Question


class IntegratedGradientsParams(ShownParams):
    """Where the way begins, and how finely it is walked."""

    show: Literal["strength", "sign"] = param("sign", "Share of the score (sign: red speaks for the class, blue against), or its size.")
    baseline: Literal["mean", "dark", "bright"] = param(
        "mean", "The picture without information that the way begins at: mean grey, or the darkest or brightest value of the slice."
    )
    steps: int = param(24, "Pictures on the way; more make the shares add up better.", ge=4, le=256, advanced=True)


@EXPLAINERS.register(
    "integrated-gradients",
    title="Integrated gradients",
    summary="How much each pixel adds to the score: shares that add up, signed; slow, and it depends on what counts as empty.",
    params=IntegratedGradientsParams,
    family="gradients",
    reference="Sundararajan et al. 2017, doi:10.48550/arXiv.1703.01365",
)
def explain_by_integrated_gradients(question: Question, params: IntegratedGradientsParams) -> Steps[NDArray[np.float32]]:
    """Integrate the derivative along the straight line from a constant picture, and multiply it by the difference of both.

    The integral is taken by Gauss–Legendre quadrature. Summed over all pixels and channels the shares are the difference of
    the asked-for logits between the two pictures.

    Returns
    -------
    ndarray
        ``(Y, X)``: for ``"sign"`` the sum over channels, for ``"strength"`` the largest absolute share.
    """
    import torch

    pixels = question.plane_pixels()
    empty = {"mean": np.zeros(len(pixels), np.float32), "dark": pixels.min((1, 2)), "bright": pixels.max((1, 2))}[params.baseline]
    nodes, weights = np.polynomial.legendre.leggauss(params.steps)
    way = (1 + nodes) / 2

    def changed(part: Part, step: int) -> Tensor:
        start = torch.from_numpy(empty).to(part.pixels).reshape(1, -1, *[1] * (part.pixels.ndim - 2))
        return start + float(way[step]) * (part.pixels - start)

    slope = yield from question.input_gradient_steps(changed, [float(weight) / 2 for weight in weights])
    return shown(slope * torch.from_numpy(pixels - empty[:, None, None]).to(slope), params)
