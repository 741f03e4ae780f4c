"""The curves of a training in files that other programs read: ``history.csv`` for tables, and event files for TensorBoard."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from napari_segtool.training.runs._events import read_events, write_atomically
from napari_segtool.training.runs._history import row_of, rows_of
from napari_segtool.training.runs._tensorboard import TensorboardFile

COLUMNS = (
    "step",
    "seconds",
    "loss",
    "learning_rate",
    "steps_per_second",
    "validation_loss",
    "validation_dice",
    "validation_iou",
    "train_loss",
    "train_dice",
    "train_iou",
    "kept",
)
_TAGS = {
    "loss": "loss/step",
    "validation_loss": "loss/held out",
    "train_loss": "loss/learned",
    "validation_dice": "dice/held out",
    "train_dice": "dice/learned",
    "validation_iou": "iou/held out",
    "train_iou": "iou/learned",
    "learning_rate": "training/learning rate",
    "steps_per_second": "training/steps per second",
}


class CurveFiles:
    """Writes both files along with the events. Where the disk is full they are given up, and the training goes on.

    Parameters
    ----------
    folder
        Of the run; the files are ``history.csv`` and ``tensorboard/events.out.tfevents.*``.
    classes
        Names of the classes.
    tell
        Called with a sentence when they are given up.
    """

    def __init__(self, folder: Path, classes: tuple[str, ...], tell: Callable[[str], None]) -> None:
        self._folder, self._tell = folder, tell
        self._columns = (*COLUMNS, *(f"dice of {name}" for name in classes))
        self._board: TensorboardFile | None = None
        self._given_up = False

    def take(self, event: Mapping[str, Any]) -> None:
        """Add what an event says."""
        row = row_of(event)
        if self._given_up or not (row or event.get("kind") == "start"):
            return
        try:
            if event["kind"] == "start":
                self._begin(int(event.get("step") or 0))
            else:
                self._add(row)
        except OSError as error:
            self._given_up = True
            self._tell(f"The curves can no longer be written: {error.strerror or error}. Training goes on; events.jsonl is what counts.")

    def _begin(self, step: int) -> None:
        """Write the table anew: what a resumed run does again must not stand there twice."""
        rows = rows_of(read_events(self._folder / "events.jsonl")[0])
        text = io.StringIO()
        table = csv.DictWriter(text, self._columns, restval="", extrasaction="ignore", lineterminator="\n")
        table.writeheader()
        table.writerows(rows)
        write_atomically(self._folder / "history.csv", text.getvalue().encode())
        self._board = TensorboardFile(self._folder / "tensorboard", time.time(), step)

    def _add(self, row: Mapping[str, float]) -> None:
        text = io.StringIO()
        csv.DictWriter(text, self._columns, restval="", extrasaction="ignore", lineterminator="\n").writerow(row)
        with (self._folder / "history.csv").open("ab") as file:
            file.write(text.getvalue().encode())
        if self._board is not None:
            numbers = {name: value for name, value in row.items() if name not in ("step", "seconds", "kept")}
            self._board.add(time.time(), int(row["step"]), {_TAGS.get(name, name.replace("dice of ", "dice of classes/")): n for name, n in numbers.items()})
