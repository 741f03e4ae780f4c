"""Settings on their way from open to settled, with what is known of data and machine, and the reason of each choice."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from napari_segtool.core.params import Params
from napari_segtool.training.configure._proposal import Reason
from napari_segtool.training.survey._survey import Survey

if TYPE_CHECKING:
    from napari_segtool.training.learners.unet import UNetLearnerParams

P = TypeVar("P", bound=Params)
Choice = tuple[Any, str]
"""A value and why; no sentence where the setting does not matter."""


@dataclass(frozen=True)
class Machine:
    """What the training will run on.

    Parameters
    ----------
    device
        ``cpu``, ``cuda:0`` or ``mps``.
    free_mb
        Memory that is free there.
    """

    device: str
    free_mb: float

    @property
    def gpu(self) -> bool:
        """Whether it is a GPU."""
        return not self.device.startswith("cpu")


class Chooser:
    """Parameters on their way from open to settled; later rules see what earlier ones chose."""

    def __init__(self, params: UNetLearnerParams, found: Survey, machine: Machine, going_on: bool) -> None:
        self.params, self.found, self.machine, self.going_on = params, found, machine, going_on
        self.reasons: list[Reason] = []

    def decide(self, name: str, is_open: Callable[[Any], bool], choose: Callable[[Chooser], Choice]) -> None:
        if is_open(getattr(self.params, name)):
            value, why = choose(self)
            self.params = changed(self.params, **{name: value})
            if why:
                self.reasons.append(Reason(name, value, why))

    @property
    def pretrained(self) -> bool:
        """Whether the network begins with what it has learned elsewhere."""
        return self.going_on or self.params.initialisation in ("imagenet", "em")

    @property
    def volumes(self) -> bool:
        return self.params.dimensions == "3-D"

    @property
    def shrink(self) -> int:
        return {"full": 1, "half": 2, "quarter": 4}[self.params.resolution]


def changed(params: P, **values: Any) -> P:
    """Return the parameters with some replaced, checked again."""
    return type(params).build(**{**params.model_dump(), **values})
