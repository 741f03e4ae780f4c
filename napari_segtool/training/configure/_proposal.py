"""A proposal of how to train: every setting, and one sentence for each choice."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a setting was chosen.

    Parameters
    ----------
    setting
        Name of the parameter of the learner, or ``"steps"``.
    value
        What was chosen.
    why
        One plain sentence.
    """

    setting: str
    value: Any
    why: str


@dataclass(frozen=True)
class Proposal:
    """How to train on given images and labels.

    Parameters
    ----------
    learner
        Entry of `LEARNERS`.
    settings
        Every parameter of the learner, with nothing left on auto that depends on images or labels: the learner trains the same way when it is given these.
    reasons
        One for each choice that was left to it, in the order of the choices.
    device
        What it was worked out for.
    memory_mb
        Estimate of the memory that a training step takes there; 0 where it was not asked for.
    free_mb
        Memory that was free there.
    parameters
        Number of weights of the network.
    seconds_per_step
        Estimate from the network's multiplications and a quick timing; 0 where it was not asked for.
    steps
        Steps that the budget allows; 0 where it was not asked for.
    """

    learner: str
    settings: Mapping[str, Any]
    reasons: tuple[Reason, ...]
    device: str = ""
    memory_mb: float = 0.0
    free_mb: float = 0.0
    parameters: int = 0
    seconds_per_step: float = 0.0
    steps: int = 0

    def record(self) -> dict[str, Any]:
        """Return it as plain data, for JSON."""
        return {**asdict(self), "settings": dict(self.settings), "reasons": [asdict(reason) for reason in self.reasons]}

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Proposal:
        """Read what `record` wrote."""
        return cls(**{**record, "reasons": tuple(Reason(**reason) for reason in record["reasons"])})

    def sentences(self) -> tuple[str, ...]:
        """Return one line for each choice, as people read it: setting, value and why."""
        return tuple(f"{reason.setting.replace('_', ' ')} {reason.value}: {reason.why}" for reason in self.reasons)
