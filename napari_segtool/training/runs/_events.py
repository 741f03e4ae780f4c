"""What a training says while it runs: one JSON object per line, appended and flushed, read by whoever watches."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from napari_segtool.core.progress import Progress

Kind = Literal["start", "step", "validation", "message", "preview", "done", "failed", "stopped", "cancelled"]
ENDS = frozenset({"done", "failed", "stopped", "cancelled"})


@dataclass(frozen=True, slots=True)
class TrainingProgress(Progress):
    """How far a training has come.

    Parameters
    ----------
    step
        Finished training steps.
    loss
        Training loss, smoothed over about twenty steps; NaN before the first.
    validation_loss, dice, iou
        Of held-out pixels at the latest validation; NaN before the first. ``dice`` and ``iou`` are means over the classes that occur there.
    train_loss, train_dice, train_iou
        The same of a few windows that are learned from, measured in the same way: where they improve and the others do not, the network learns by heart.
    best_step
        Step of the best validation so far; 0 before the first.
    seconds_left
        Estimate; 0 when finished.
    """

    step: int = 0
    loss: float = math.nan
    validation_loss: float = math.nan
    dice: float = math.nan
    iou: float = math.nan
    train_loss: float = math.nan
    train_dice: float = math.nan
    train_iou: float = math.nan
    best_step: int = 0
    seconds_left: float = 0.0


class EventLog:
    """Appends events to a file. A full disk loses events, not the training.

    Parameters
    ----------
    path
        ``events.jsonl`` of the run; made if it is not there.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._torn = path.exists() and path.read_bytes()[-1:] not in (b"", b"\n")
        self._readers: list[Callable[[Mapping[str, Any]], None]] = []
        self.lost = 0

    def also(self, reader: Callable[[Mapping[str, Any]], None]) -> None:
        """Hand every further event to ``reader`` too, after it was written."""
        self._readers.append(reader)

    def write(self, kind: Kind, **facts: Any) -> None:
        """Append one event with the time (seconds since 1970); NaN and infinite numbers become null."""
        record = {"time": round(time.time(), 3), "kind": kind, **{key: plain(value) for key, value in facts.items()}}
        line = (b"\n" if self._torn else b"") + json.dumps(record, ensure_ascii=False, allow_nan=False).encode() + b"\n"
        try:
            with self._path.open("ab", buffering=0) as file:
                written = file.write(line)
            self._torn = written is not None and written < len(line)
            self.lost += self._torn
        except OSError:
            self.lost += 1
        for reader in self._readers:
            reader(record)


def read_events(path: Path, offset: int = 0) -> tuple[tuple[Mapping[str, Any], ...], int]:
    """Return the whole events from byte ``offset`` on, and the offset to go on from.

    A line that is still being written is left for the next call; a damaged line is skipped.
    """
    try:
        with path.open("rb") as file:
            file.seek(offset)
            data = file.read()
    except FileNotFoundError:
        return (), offset
    whole = data[: data.rfind(b"\n") + 1]
    events = []
    for line in whole.splitlines():
        try:
            record = json.loads(line)
        except ValueError:
            continue
        if isinstance(record, dict) and "kind" in record:
            events.append(record)
    return tuple(events), offset + len(whole)


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file so that it is there whole or not at all, whatever happens to the process or the disk.

    Raises
    ------
    OSError
        If it cannot be written; the temporary file is gone and an older file is as it was.
    """
    fresh = path.with_name(f".{path.name}-{os.getpid()}")
    try:
        with fresh.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    except BaseException:
        fresh.unlink(missing_ok=True)
        raise


def plain(value: Any) -> Any:
    """Return ``value`` with every number that JSON cannot hold replaced by None."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value
