"""What the engine needs to know to train any network; a learner fills it in from its parameters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from napari_segtool.core.terms import Term
from napari_segtool.nets._turns import Mirror
from napari_segtool.training.data._augment import Augmentation


@dataclass(frozen=True)
class Plan:
    """How to train.

    Parameters
    ----------
    network, network_params
        Entry of `NETWORKS` and its parameters.
    spatial
        2 trains on planes, 3 on volumes.
    patch_px
        ``(z, y, x)``; z is 1 in 2-D.
    batch
        Patches in a step.
    learning_rate, weight_decay
        Of the optimiser.
    optimiser
        Muon (Jordan et al. 2024, see `engine._muon`), AdamW (Loshchilov & Hutter 2019, arXiv:1711.05101), Adam, or SGD.
    momentum, nesterov
        Of SGD.
    initialisation
        Of the weights, see `nets._initialise.initialise`.
    retain
        How strongly a network that begins with the weights for electron microscopy is held to what they see, see `engine._retained.Retained`.
    schedule
        How the learning rate falls.
    warm_up
        Share of the budget over which the learning rate rises.
    gradient_limit
        Largest norm of a step's gradient; longer ones are shortened; 0 leaves all as they are.
    accumulate
        Batches whose gradients make one step.
    average_steps
        The kept weights are an exponential average over about this many steps; 0 keeps the latest ones.
    loss
        Its terms; their weighted sum is made small.
    class_balance
        Exponent of the class weights in the loss: 0 none, 1 equal mass for each class.
    draw_balance
        Share of patches drawn for a class chosen evenly; the rest follows the number of pixels.
    border_weight, border_sigma_px
        w₀ and σ of the weight map that makes pixels between touching objects count more (Ronneberger et al. 2015,
        doi:10.1007/978-3-319-24574-4_28); a weight of 0 makes none.
    deep_supervision
        Whether coarser outputs of the network are trained as well.
    metric
        What decides which weights are kept, on held-out pixels.
    patience_steps
        Training ends when the metric has not improved for so many steps; 0 goes on to the end of the budget.
    keep_within
        Later weights, being nearer the end of the schedule, are kept unless their metric is worse than the best by more than this and,
        for masks, by more than two standard errors of the difference.
    normalisation
        ``"plane"`` or ``"fixed"``, see `nets._normalise.Normalisation`.
    precision
        ``"auto"``, ``"float32"``, ``"bfloat16"``, or on CUDA ``"float16"`` with a scaled loss.
    augmentation
        How patches are varied.
    mirror
        Asks prediction to average over mirrored inputs; ``"sides"`` over the picture and its mirror image.
    rim_px
        2-D only: pixels on each side of a patch that are seen but not learned from, for networks whose convolutions are not padded.
    neighbours
        2-D only: planes on each side that are seen as further channels.
    """

    network: str
    network_params: Mapping[str, Any]
    spatial: int = 2
    patch_px: tuple[int, int, int] = (1, 256, 256)
    batch: int = 4
    learning_rate: float = 1e-3
    weight_decay: float = 1e-4
    optimiser: Literal["muon", "adamw", "adam", "sgd"] = "muon"
    momentum: float = 0.99
    nesterov: bool = True
    initialisation: Literal["kaiming", "gaussian", "orthogonal", "imagenet", "em"] = "kaiming"
    retain: float = 0.0
    schedule: Literal["cosine", "step", "polynomial", "one-cycle", "constant"] = "cosine"
    warm_up: float = 0.03
    gradient_limit: float = 5.0
    accumulate: int = 1
    average_steps: int = 100
    loss: tuple[Term, ...] = (Term("cross-entropy"), Term("dice", 0.5))
    class_balance: float = 0.5
    draw_balance: float = 1.0
    border_weight: float = 0.0
    border_sigma_px: float = 5.0
    deep_supervision: bool = False
    metric: Literal["dice", "iou", "loss"] = "dice"
    patience_steps: int = 0
    keep_within: float = 0.01
    normalisation: Literal["plane", "fixed"] = "plane"
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    augmentation: Augmentation = field(default_factory=Augmentation)
    mirror: Mirror = False
    rim_px: int = 0
    neighbours: int = 0
