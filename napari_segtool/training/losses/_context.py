"""What a loss is told when it is made, and the three things all losses count with. Imports torch; imported only inside functions.

Pixel weights mean the same in every loss: a pixel of weight 2 counts as two pixels, one of weight 0 as if it were not labelled.
Every loss is a mean or a ratio of sums, so that twice the weight everywhere changes nothing (but for the few pixels that smooth an overlap).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from napari_segtool.training.runs._pairs import IGNORED

Loss = Callable[[Tensor, Tensor, Tensor | None], Tensor]
"""``loss(logits (N, K, …), target (N, …) int64 with 255 for unlabelled, pixel_weights (N, …) or None) -> scalar``.

It is 0, with gradients of 0, where nothing is labelled."""


@dataclass(frozen=True, eq=False)
class LossContext:
    """What is known of a training when its loss is made.

    Parameters
    ----------
    pixels
        ``(K,)`` labelled pixels of each class in the training data.
    class_weights
        ``(K,)`` how much a pixel of each class counts. Where the pixel weights hold the class weights already, as those of
        `training.data._weights.border_weights`
        do, these must be ones.
    device
        Where the logits are.
    sampling
        Distance between pixels along each spatial axis, in units of pixels of the finest axis, for losses that measure distances; empty for 1 everywhere.
    sigmoid
        Whether each logit is a sigmoid head, one class against the rest; otherwise the classes share one softmax.
    """

    pixels: Tensor
    class_weights: Tensor
    device: torch.device
    sampling: tuple[float, ...] = ()
    sigmoid: bool = False

    @property
    def classes(self) -> int:
        """Number of classes."""
        return len(self.pixels)

    def chances(self, logits: Tensor) -> Tensor:
        """Return the probabilities ``(N, K, …)`` that the logits mean."""
        return logits.sigmoid() if self.sigmoid else logits.softmax(1)


def mass_of(target: Tensor, pixel_weights: Tensor | None, dtype: torch.dtype) -> Tensor:
    """Return how much each pixel counts, ``(N, …)``: its weight, or 1 where there are no weights, and 0 where it is not labelled."""
    known = target != IGNORED
    if pixel_weights is None:
        return known.to(dtype)
    return torch.where(known, pixel_weights.to(dtype), torch.zeros((), dtype=dtype, device=target.device))


def one_hot(target: Tensor, classes: int, dtype: torch.dtype) -> Tensor:
    """Return ``(N, K, …)``: 1 at the class of each pixel, 0 elsewhere and where it is not labelled."""
    return torch.stack([target == index for index in range(classes)], 1).to(dtype)


def mean_over(values: Tensor, mass: Tensor) -> Tensor:
    """Return the mean of ``values`` in which each counts by its ``mass``; 0 where all mass is 0."""
    return (values * mass).sum() / mass.sum().clamp_min(torch.finfo(values.dtype).tiny)


def mean_present(values: Tensor, present: Tensor) -> Tensor:
    """Return the mean of those ``values (K,)`` whose class is ``present (K,)``; 0 where none is."""
    return torch.where(present, values, torch.zeros_like(values)).sum() / present.sum().clamp_min(1)
