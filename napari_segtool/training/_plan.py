"""What the engine needs to know to train any network; a learner fills it in from its parameters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from napari_segtool.training._augment import Augmentation


@dataclass(frozen=True)
class LossTerm:
    """One part of the loss.

    Parameters
    ----------
    name
        Entry of `LOSSES`.
    weight
        What it is multiplied by.
    params
        Its parameters.
    """

    name: str
    weight: float = 1.0
    params: Mapping[str, Any] = field(default_factory=dict)


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
        Of AdamW (Loshchilov & Hutter 2019, arXiv:1711.05101).
    schedule
        How the learning rate falls.
    gradient_limit
        Largest norm of a step's gradient; longer ones are shortened.
    average_steps
        The kept weights are an exponential average over about this many steps; 0 keeps the latest ones.
    class_balance
        Exponent of the class weights in the loss: 0 none, 1 equal mass for each class.
    draw_balance
        Share of patches drawn for a class chosen evenly; the rest follows the number of pixels.
    dice_weight
        Weight of the soft Dice loss beside the cross-entropy.
    keep_within
        Later weights, being nearer the end of the schedule, are kept unless their Dice is worse than the best by more than this.
    normalisation
        ``"plane"`` or ``"fixed"``, see `nets._normalise.Normalisation`.
    precision
        ``"auto"``, ``"float32"`` or ``"bfloat16"``.
    augmentation
        How patches are varied.
    mirror
        Asks prediction to average over mirrored inputs.
    """

    network: str
    network_params: Mapping[str, Any]
    spatial: int = 2
    patch_px: tuple[int, int, int] = (1, 256, 256)
    batch: int = 4
    learning_rate: float = 1e-3
    weight_decay: float = 1e-4
    schedule: Literal["cosine", "step"] = "cosine"
    gradient_limit: float = 5.0
    average_steps: int = 100
    class_balance: float = 0.5
    draw_balance: float = 1.0
    dice_weight: float = 0.5
    keep_within: float = 0.01
    normalisation: Literal["plane", "fixed"] = "plane"
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    augmentation: Augmentation = field(default_factory=Augmentation)
    mirror: bool = False
