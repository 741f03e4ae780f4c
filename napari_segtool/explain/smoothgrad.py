"""SmoothGrad: the mean gradient over noisy copies of the picture."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_segtool.core.params import param
from napari_segtool.core.progress import Steps
from napari_segtool.core.registry import EXPLAINERS
from napari_segtool.explain._shown import ShownParams, shown

if TYPE_CHECKING:
    from torch import Tensor

    from napari_segtool.explain._question import Part, Question

_BLOCK_PX = 128


class SmoothGradParams(ShownParams):
    """How many noisy copies, and how noisy."""

    samples: int = param(12, "Noisy copies that are averaged; more make a calmer map and take longer.", ge=2, le=200)
    noise: float = param(0.1, "Strength of the noise, as a share of the range of grey values in the slice.", ge=0.001, le=0.5)
    seed: int = param(0, "Seed of the noise.", ge=0, le=2**31 - 1, advanced=True)


@EXPLAINERS.register(
    "smoothgrad",
    title="SmoothGrad",
    summary="The gradient with its noise averaged away: calmer and as fine, a dozen times slower.",
    params=SmoothGradParams,
    family="gradients",
    reference="Smilkov et al. 2017, doi:10.48550/arXiv.1706.03825",
)
def explain_by_smoothgrad(question: Question, params: SmoothGradParams) -> Steps[NDArray[np.float32]]:
    """Average the derivative of the asked-for logits over pictures with Gaussian noise added.

    Which pixels have the class is decided on the picture without noise. The same seed gives the same map.

    Returns
    -------
    ndarray
        ``(Y, X)``: for ``"strength"`` the largest absolute mean derivative over channels, for ``"sign"`` their sum.
    """
    import torch

    pixels = question.plane_pixels()
    deviation = (params.noise * (pixels.max((1, 2)) - pixels.min((1, 2)))).astype(np.float32)

    def noisy(part: Part, sample: int) -> Tensor:
        bounds = [(axis.start, axis.stop) for axis in part.tile.outer]
        noise = standard_noise(len(deviation), bounds, (params.seed, sample))
        noise *= deviation.reshape(-1, *[1] * len(bounds))
        return part.pixels + torch.from_numpy(noise).to(part.pixels)

    slope = yield from question.input_gradient_steps(noisy, [1 / params.samples] * params.samples)
    return shown(slope, params)


def standard_noise(channels: int, bounds: list[tuple[int, int]], seed: tuple[int, ...]) -> NDArray[np.float32]:
    """Return a part of an endless field of Gaussian noise of deviation 1: the same pixel gets the same noise whatever part is asked for.

    Parameters
    ----------
    channels
        How many independent fields.
    bounds
        Start and stop along each spatial axis, from 0.
    seed
        Which field.

    Returns
    -------
    ndarray
        float32, ``(channels, [Z,] Y, X)``.

    Examples
    --------
    >>> whole, part = (standard_noise(1, [(0, 300), (first, 9)], (0,)) for first in (0, 5))
    >>> bool((whole[:, :, 5:] == part).all())
    True
    """
    sides = [1] * (len(bounds) - 2) + [_BLOCK_PX] * 2
    noise = np.empty((channels, *(stop - start for start, stop in bounds)), np.float32)
    for block in itertools.product(*(range(start // side, -(-stop // side)) for (start, stop), side in zip(bounds, sides, strict=True))):
        made = np.random.default_rng((*seed, *block)).standard_normal((channels, *sides), np.float32)
        there, here = [slice(None)], [slice(None)]
        for index, side, (start, stop) in zip(block, sides, bounds, strict=True):
            first, last = max(start, index * side), min(stop, (index + 1) * side)
            there.append(slice(first - start, last - start))
            here.append(slice(first - index * side, last - index * side))
        noise[tuple(there)] = made[tuple(here)]
    return noise
