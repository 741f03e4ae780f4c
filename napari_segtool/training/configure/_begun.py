"""Going on from a model: the network is built as the model's is, so that its weights fit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from napari_segtool.core.errors import ModelError
from napari_segtool.core.params import Params, describe
from napari_segtool.core.registry import LEARNERS
from napari_segtool.nets._neighbours import neighbours_of
from napari_segtool.training._plan import Plan
from napari_segtool.training.configure._proposal import Reason

P = TypeVar("P", bound=Params)

_WHY = "As in the model that this goes on from, so that its weights fit."
_RESOLUTIONS = {1: "full", 2: "half", 4: "quarter"}
_FREE = ("dropout",)
"""Settings of a network that change none of its weights: chosen as for any training."""


def as_model(params: P, card: Mapping[str, Any]) -> tuple[P, tuple[Reason, ...]]:
    """Return the parameters with what makes the network taken from a model's card, and a reason for each.

    Parameters
    ----------
    params
        As the user set them; what is not at its default stays.
    card
        Of the model.

    Examples
    --------
    >>> from napari_segtool.training.learners.unet import UNetLearnerParams
    >>> card = {"network": "unet", "network_params": {"base_channels": 16, "reduction": 2}, "spatial": 2, "normalisation": {"kind": "plane"}}
    >>> params, reasons = as_model(UNetLearnerParams(), card)
    >>> params.base_channels, params.resolution, params.dimensions
    (16, 'half', '2-D')
    """
    neighbours = neighbours_of(card)
    theirs = {
        **{name: value for name, value in card["network_params"].items() if name not in _FREE},
        "network": card["network"],
        "dimensions": "3-D" if int(card["spatial"]) == 3 else "2.5-D" if neighbours else "2-D",
        "resolution": _RESOLUTIONS.get(int(card["network_params"].get("reduction", 1)), "full"),
        "grey_values": card["normalisation"]["kind"],
        **({"neighbours": neighbours} if neighbours else {}),
    }
    usual = {info.name: info.default for info in describe(type(params))}
    taken = {name: theirs[name] for name, default in usual.items() if name in theirs and getattr(params, name) == default != theirs[name]}
    if params.model_dump().get("initialisation") == "auto" and card.get("trained", {}).get("begun_from") != "em":
        taken["initialisation"] = "gaussian"  # written over by the model's weights
    params = type(params).build(**{**params.model_dump(), **taken})
    return params, tuple(Reason(name, value, _WHY) for name, value in taken.items() if name != "initialisation")


def check_network(plan: Plan, card: Mapping[str, Any]) -> None:
    """Refuse a model whose network is of another kind than the plan's: none of its weights would be kept.

    Raises
    ------
    ModelError
        If it is.
    """
    if plan.network != card["network"]:
        learner = str(card["learner"])
        title = LEARNERS.get(learner).title if learner in LEARNERS else learner
        raise ModelError(
            f"The model to go on from is a network “{card['network']}”, but “{plan.network}” is to be trained: none of its weights would fit.",
            hint=f"Leave the network on auto with the learner {title}, or start from a new network.",
        )
