"""Sums over pixels that the overlap losses are made of. Imports torch; imported only inside functions."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from napari_segtool.training.losses._context import LossContext, mass_of, one_hot


@dataclass(frozen=True, eq=False)
class Overlap:
    """What prediction and truth of a batch have in common, class by class, over labelled pixels.

    Parameters
    ----------
    shared
        ``(K,)`` Σ p·g.
    predicted
        ``(K,)`` Σ p, or Σ p² where squared.
    true
        ``(K,)`` Σ g; g is 0 or 1, so that Σ g² is the same.
    """

    shared: Tensor
    predicted: Tensor
    true: Tensor

    @property
    def present(self) -> Tensor:
        """``(K,)`` bool: which classes occur."""
        return self.true > 0


def overlap_of(context: LossContext, logits: Tensor, target: Tensor, pixel_weights: Tensor | None, *, squared: bool = False) -> Overlap:
    """Sum over a batch, each pixel counting by its weight."""
    axes = [0, *range(2, logits.ndim)]
    mass = mass_of(target, pixel_weights, logits.dtype).unsqueeze(1)  # (N, 1, …)
    chance = context.chances(logits)  # (N, K, …)
    truth = one_hot(target, logits.shape[1], logits.dtype) * mass
    predicted = chance * chance if squared else chance
    return Overlap((chance * truth).sum(axes), (predicted * mass).sum(axes), truth.sum(axes))
