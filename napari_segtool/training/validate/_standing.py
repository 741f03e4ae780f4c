"""Which validation was the best, which weights are kept, and for how long nothing has improved."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from napari_segtool.training.validate._tally import Metric, Tally

if TYPE_CHECKING:
    from napari_segtool.training.validate._scoring import Validation

PLATEAU_STEPS = 300
"""After so many steps without improvement it is said; and again after twice as many."""
_LEAST_CHECKS = 4
_DOUBT = 2
"""Standard errors by which later weights must be worse not to be kept."""


@dataclass
class Standing:
    """Follows the validations of a training.

    Parameters
    ----------
    metric
        What is looked at.
    keep_within
        Later weights, being nearer the end of the schedule, are kept unless they are worse than the best by more than this; for the loss, by this part of it.
    patience_steps
        Training is to end after so many steps without improvement; 0 never.
    by_planes
        Later weights are also kept where they are worse by no more than two standard errors of the difference, because held-out planes cannot tell them
        apart (after the rule of one standard error, Breiman et al. 1984, Classification and Regression Trees, doi:10.1201/9781315139470; the best of many
        validations is so partly by chance, which takes two). Not for paint: from strokes, later weights may be worse than strokes can tell.

    Attributes
    ----------
    best
        The best score so far; the loss with a minus sign; NaN before the first.
    best_step, kept_step
        Where that was, and which weights are kept; 0 before the first.
    """

    metric: Metric = "dice"
    keep_within: float = 0.01
    patience_steps: int = 0
    by_planes: bool = True
    best: float = math.nan
    best_step: int = 0
    kept_step: int = 0
    kept_dice: float = math.nan
    unimproved: int = 0
    _best_tally: Tally = field(default_factory=Tally)
    _checks: int = 0
    _said_at: int = 0

    def take(self, step: int, result: Validation) -> bool:
        """Note a validation and return whether its weights are to be kept. Where nothing is held out, the latest are."""
        score = {"dice": result.dice, "iou": result.iou, "loss": -result.loss}[self.metric]
        within = self.keep_within * (abs(self.best) if self.metric == "loss" else 1)
        within = max(within, _DOUBT * result.tally.doubt(self._best_tally, self.metric)) if self.by_planes else within
        kept = math.isnan(self.best) or score >= self.best - within
        if not math.isnan(score) and (math.isnan(self.best) or score > self.best):
            self.best, self.best_step, self._checks, self._said_at, self._best_tally = score, step, 0, 0, result.tally
        elif not math.isnan(score):
            self._checks += 1
        self.unimproved = step - self.best_step if not math.isnan(self.best) else 0
        if kept:
            self.kept_step, self.kept_dice = step, result.dice
        return kept

    @property
    def out_of_patience(self) -> bool:
        """Whether training is to end now."""
        return 0 < self.patience_steps <= self.unimproved

    def remark(self) -> str:
        """A sentence when nothing has improved for long, once for every doubling of that time; empty otherwise."""
        due = max(PLATEAU_STEPS, 2 * self._said_at)
        if self.unimproved < due or self._checks < _LEAST_CHECKS or self.out_of_patience:
            return ""
        self._said_at = self.unimproved
        return f"Validation has not improved for {self.unimproved} steps; it was best at step {self.best_step} ({self.told()})."

    def told(self) -> str:
        """The best score in words."""
        name = {"dice": "Dice", "iou": "IoU", "loss": "loss"}[self.metric]
        return f"{name} {abs(self.best):.3f}"

    def record(self) -> dict[str, Any]:
        """What a checkpoint remembers of it, JSON-ready."""
        number = {"best": self.best, "kept_dice": self.kept_dice}
        plain = {name: None if math.isnan(value) else value for name, value in number.items()}
        return {
            **plain,
            "best_step": self.best_step,
            "kept_step": self.kept_step,
            "checks": self._checks,
            "said_at": self._said_at,
            "tally": self._best_tally.record(),
        }

    def restore(self, facts: Mapping[str, Any]) -> None:
        """Go on from what `record` said."""
        self.best, self.kept_dice = (math.nan if facts.get(name) is None else float(facts[name]) for name in ("best", "kept_dice"))
        self.best_step, self.kept_step = int(facts.get("best_step", 0)), int(facts.get("kept_step", 0))
        self._checks, self._said_at = int(facts.get("checks", 0)), int(facts.get("said_at", 0))
        self._best_tally = Tally.from_record(facts.get("tally", {}))
