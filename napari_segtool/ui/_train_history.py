"""What the events of a training say so far: curves, how far it is, how it ended. No Qt, no napari."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ENDS = ("done", "stopped", "failed", "cancelled")
MOST_READ_BYTES = 1 << 20
_FEWEST_AFTER = 4
"""After fewer validations nothing is said about improvement: they differ by chance."""


class EventTail:
    """Reads the events of a run as they are written; each is returned once, and only when its line is whole.

    Parameters
    ----------
    path
        ``events.jsonl`` of the run; it need not be there yet.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0

    def read(self) -> tuple[Mapping[str, Any], ...]:
        """Return what is new, at most about a megabyte of it; damaged lines are skipped."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._offset)
                data = file.read(MOST_READ_BYTES)
        except FileNotFoundError:
            return ()
        end = data.rfind(b"\n") + 1
        if not end and len(data) == MOST_READ_BYTES:  # no line of ours is that long: pass over the damage
            end = len(data)
        self._offset += end
        return tuple(event for event in map(_parsed, data[:end].splitlines()) if event is not None)


def _parsed(line: bytes) -> Mapping[str, Any] | None:
    try:
        event = json.loads(line)
    except ValueError:
        return None
    return event if isinstance(event, dict) and isinstance(event.get("kind"), str) else None


@dataclass
class History:
    """One training as its events tell it; `take` brings it up to date.

    Attributes
    ----------
    steps, losses
        What each step made smaller, on patches that are augmented; NaN where it was not a number.
    checked, check_losses, dices, ious
        Step, loss, mean Dice and mean IoU of each validation on what is held out.
    train_losses, train_dices, train_ious
        The same, by the same measures, of a few places that are learned from; NaN where a run did not measure them.
    metric
        What decides which weights are kept, and which validation was the best: ``"dice"``, ``"iou"`` or ``"loss"``.
    best_step, best_dice, class_dices
        Step, mean Dice and Dice of each class by name of the weights that are kept; NaN before the first validation. Of
        weights that are equally good the latest are kept.
    phase
        ``"new"`` before the training has begun, ``"learning"``, or how it ended: one of `ENDS`.
    """

    steps: list[int] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    checked: list[int] = field(default_factory=list)
    check_losses: list[float] = field(default_factory=list)
    dices: list[float] = field(default_factory=list)
    ious: list[float] = field(default_factory=list)
    train_losses: list[float] = field(default_factory=list)
    train_dices: list[float] = field(default_factory=list)
    train_ious: list[float] = field(default_factory=list)
    class_dices: dict[str, float] = field(default_factory=dict)
    messages: list[str] = field(default_factory=list)
    metric: str = "dice"
    best_step: int = 0
    best_dice: float = math.nan
    phase: str = "new"
    step: int = 0
    fraction: float = 0.0
    seconds: float = 0.0
    seconds_left: float = math.nan
    device: str = ""
    plan: str = ""
    text: str = ""
    hint: str = ""

    @property
    def measures(self) -> dict[str, list[float]]:
        """What each validation measures, by its name in the events."""
        return {
            "loss": self.check_losses,
            "dice": self.dices,
            "iou": self.ious,
            "train_loss": self.train_losses,
            "train_dice": self.train_dices,
            "train_iou": self.train_ious,
        }

    def take(self, events: Iterable[Mapping[str, Any]]) -> None:
        """Add new events, in order. The window's own event ``again`` says that a process was started anew."""
        for event in events:
            method = getattr(self, f"_take_{event['kind']}", None)
            if method is not None:
                method(event)

    @property
    def peak(self) -> int:
        """Number of the validation that was best by the run's metric, the first of equals; -1 where there is none."""
        scored = [(worth, -number) for number, worth in enumerate(self.worths) if not math.isnan(worth)]
        return -max(scored)[1] if scored else -1

    @property
    def worths(self) -> list[float]:
        """The run's metric at each validation, so that more is better: the loss with a minus sign."""
        return [-loss for loss in self.check_losses] if self.metric == "loss" else self.ious if self.metric == "iou" else self.dices

    @property
    def unimproved(self) -> int:
        """Steps since that validation, up to the last one; 0 where fewer than four have followed."""
        followed = len(self.checked) - 1 - self.peak
        return self.checked[-1] - self.checked[self.peak] if self.peak >= 0 and followed >= _FEWEST_AFTER else 0

    @property
    def ended(self) -> bool:
        """True when the training has said that it is over."""
        return self.phase in ENDS

    def _take_start(self, event: Mapping[str, Any]) -> None:
        self.phase, self.text, self.hint = "learning", "", ""
        self.step = int(event.get("step") or 0)
        # A run that goes on from a checkpoint repeats the steps after it: what was drawn of them is taken back.
        keep = sum(step <= self.step for step in self.steps)
        del self.steps[keep:], self.losses[keep:]
        keep = sum(step <= self.step for step in self.checked)
        del self.checked[keep:]
        for values in self.measures.values():
            del values[keep:]
        self.device = str(event.get("device", ""))
        self.metric = str(event.get("metric", self.metric))
        self.plan = _plan_text(event)

    def _take_again(self, event: Mapping[str, Any]) -> None:
        self.phase, self.text, self.hint = "new", "", ""

    def _take_step(self, event: Mapping[str, Any]) -> None:
        self._at(event)
        self.steps.append(self.step)
        self.losses.append(_number(event.get("loss")))
        self.fraction = min(1.0, max(0.0, _number(event.get("fraction"), 0.0)))
        self.seconds_left = _number(event.get("seconds_left"))

    def _take_validation(self, event: Mapping[str, Any]) -> None:
        self._at(event)
        self.checked.append(self.step)
        for name, values in self.measures.items():
            values.append(_number(event.get(name)))
        if event.get("kept", True):
            self.best_step, self.best_dice = self.step, self.dices[-1]
            self.class_dices = {str(name): _number(dice) for name, dice in (event.get("classes") or {}).items()}

    def _take_message(self, event: Mapping[str, Any]) -> None:
        self.messages.append(str(event.get("text", "")))

    def _take_done(self, event: Mapping[str, Any]) -> None:
        self._at(event)
        self.phase, self.fraction, self.seconds_left = "done", 1.0, 0.0

    def _take_stopped(self, event: Mapping[str, Any]) -> None:
        self._at(event)
        self.phase, self.seconds_left = "stopped", 0.0

    def _take_cancelled(self, event: Mapping[str, Any]) -> None:
        self.phase = "cancelled"

    def _take_failed(self, event: Mapping[str, Any]) -> None:
        self.phase = "failed"
        self.text, self.hint = str(event.get("text") or "Training failed."), str(event.get("hint") or "")

    def _at(self, event: Mapping[str, Any]) -> None:
        self.step = int(event.get("step") or self.step)
        self.seconds = _number(event.get("seconds"), self.seconds)


def read_history(folder: Path) -> History:
    """Read all events of a run folder."""
    history, tail = History(), EventTail(folder / "events.jsonl")
    while events := tail.read():
        history.take(events)
    return history


def _plan_text(event: Mapping[str, Any]) -> str:
    patch = [int(n) for n in event.get("patch_px") or ()]
    flat = patch[:1] == [1]
    parts = [
        patches_text("2-D" if flat else "3-D", patch[flat:]) if patch else "",
        f"batch {event['batch']}" if event.get("batch") else "",
        _device_text(event),
    ]
    return ", ".join(part for part in parts if part)


def patches_text(kind: str, size_px: Sequence[int]) -> str:
    """Say what patches are like.

    Examples
    --------
    >>> patches_text("2-D", (256, 256)), patches_text("3-D", (16, 64, 64))
    ('2-D patches 256²', '3-D patches 16×64×64')
    """
    square = len(size_px) == 2 and size_px[0] == size_px[1]
    return f"{kind} patches {f'{size_px[0]}²' if square else '×'.join(map(str, size_px))}".strip()


def _device_text(event: Mapping[str, Any]) -> str:
    device = str(event.get("device", ""))
    if device == "cpu":
        threads = int(event.get("threads") or 0)
        return f"CPU with {threads} thread{'s' if threads != 1 else ''}" if threads else "CPU"
    return device.replace("cuda", "GPU").replace(":", " ")


def _number(value: Any, missing: float = math.nan) -> float:
    return float(value) if isinstance(value, int | float) else missing
