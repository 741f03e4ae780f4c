"""How trainings went, read from their folders: curves, what was best, and in which settings several runs differ. Light: loads no torch."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from napari_segtool.core.errors import DataError
from napari_segtool.training.runs._events import ENDS, read_events
from napari_segtool.training.runs._run import open_run

_NAMED = {"step": ("loss", "learning_rate", "steps_per_second"), "validation": ("train_loss", "train_dice", "train_iou")}
_HELD = {"loss": "validation_loss", "dice": "validation_dice", "iou": "validation_iou"}


def row_of(event: Mapping[str, Any]) -> dict[str, float]:
    """Return the numbers of one event by column name, ``step`` and ``seconds`` first; empty where it has none.

    Examples
    --------
    >>> row_of({"kind": "validation", "step": 20, "seconds": 4.0, "loss": 0.3, "dice": 0.9, "classes": {"cell": 0.95}, "kept": True})
    {'step': 20, 'seconds': 4.0, 'validation_loss': 0.3, 'validation_dice': 0.9, 'dice of cell': 0.95, 'kept': 1}
    """
    kind = event.get("kind")
    if kind not in _NAMED:
        return {}
    found: dict[str, Any] = {name: event.get(name) for name in ("step", "seconds")}
    if kind == "validation":
        found |= {column: event.get(name) for name, column in _HELD.items()}
    found |= {name: event.get(name) for name in _NAMED[str(kind)]}
    if kind == "validation":
        found |= {f"dice of {name}": dice for name, dice in (event.get("classes") or {}).items()}
        found["kept"] = int(bool(event.get("kept", True)))
    return {name: value for name, value in found.items() if isinstance(value, int | float)}


def rows_of(events: Iterable[Mapping[str, Any]]) -> list[dict[str, float]]:
    """Return the rows of all events. A run that went on from a checkpoint did the steps after it again: the first try is left out."""
    rows: list[dict[str, float]] = []
    for event in events:
        if event.get("kind") == "start":
            rows = [row for row in rows if row.get("step", 0) <= int(event.get("step") or 0)]
        elif row := row_of(event):
            rows.append(row)
    return rows


@dataclass(frozen=True)
class RunHistory:
    """One training.

    Parameters
    ----------
    folder, name
        Where it lies, and the folder's name.
    state
        See `Run.state`.
    curves
        ``((step, value), …)`` by column: ``loss`` (of training, smoothed), ``learning_rate``, ``validation_loss``, ``validation_dice``, ``validation_iou``,
        ``train_loss``, ``train_dice``, ``train_iou`` (of a few windows that are learned from, measured as the held-out ones), ``dice of CLASS``.
    metric
        What decided which weights are kept: ``"dice"``, ``"iou"`` or ``"loss"``.
    best, best_step
        Its best value on held-out pixels and the step of that; NaN and 0 before the first validation.
    kept_step
        Step of the weights that are kept.
    steps, seconds
        Done so far.
    settings
        All settings by name, as chosen for the run, with its budget and seed.
    """

    folder: Path
    name: str
    state: str
    curves: Mapping[str, tuple[tuple[int, float], ...]]
    metric: str = "dice"
    best: float = math.nan
    best_step: int = 0
    kept_step: int = 0
    steps: int = 0
    seconds: float = 0.0
    settings: Mapping[str, Any] = field(default_factory=dict)

    def record(self) -> dict[str, Any]:
        """Return it JSON-ready; NaN becomes None."""
        plain = {name: getattr(self, name) for name in ("name", "state", "metric", "best_step", "kept_step", "steps", "seconds")}
        best = None if math.isnan(self.best) else self.best
        curves = {name: [list(point) for point in curve] for name, curve in self.curves.items()}
        return {"folder": str(self.folder), **plain, "best": best, "settings": dict(self.settings), "curves": curves}


@dataclass(frozen=True)
class RunsHistory:
    """Several trainings beside each other.

    Parameters
    ----------
    runs
        The trainings, in the order asked for.
    differing
        Settings that are not the same in all of them: their values by name, one for each run, None where a run has no such setting.
    """

    runs: tuple[RunHistory, ...]
    differing: Mapping[str, tuple[Any, ...]]

    def record(self) -> dict[str, Any]:
        """Return it JSON-ready."""
        return {"runs": [run.record() for run in self.runs], "differing": {name: list(values) for name, values in self.differing.items()}}


def read_run(folder: str | Path) -> RunHistory:
    """Read how a training went, or goes.

    Raises
    ------
    ModelError
        If there is no run, or its configuration is damaged.
    """
    run = open_run(folder)
    events, _ = read_events(run.event_path)
    rows = rows_of(events)
    curves: dict[str, list[tuple[int, float]]] = {}
    for row in rows:
        for name, value in row.items():
            if name not in ("step", "seconds", "kept", "steps_per_second"):
                curves.setdefault(name, []).append((int(row["step"]), float(value)))
    settings = _settings(run.folder, run.config)
    told = [event["metric"] for event in events if event.get("kind") == "start" and event.get("metric") in _HELD]
    metric = str(told[-1] if told else settings.get("metric", "dice"))
    checked = curves.get(f"validation_{metric}", [])
    sign = -1 if metric == "loss" else 1
    best_step, best = max(checked, key=lambda point: sign * point[1], default=(0, math.nan))
    kept = [int(row["step"]) for row in rows if row.get("kept")]
    ends = [event for event in events if event.get("kind") in ENDS or event.get("kind") == "step"]
    seconds = [float(event["seconds"]) for event in ends if isinstance(event.get("seconds"), int | float)]
    steps = [int(row["step"]) for row in rows]
    return RunHistory(
        Path(folder),
        Path(folder).resolve().name,
        run.state,
        {name: tuple(points) for name, points in curves.items()},
        metric,
        best,
        best_step,
        kept[-1] if kept else 0,
        max(steps, default=0),
        seconds[-1] if seconds else 0.0,
        settings,
    )


def find_runs(folders: Sequence[str | Path]) -> tuple[Path, ...]:
    """Return the runs in these folders: a run is itself, any other folder stands for the runs that lie in it, by name.

    Raises
    ------
    DataError
        If a folder is no run and holds none.
    """
    found: list[Path] = []
    for folder in map(Path, folders):
        if (folder / "config.json").is_file() or not folder.is_dir():
            found.append(folder)
            continue
        within = sorted(path.parent for path in folder.glob("*/config.json"))
        if not within:
            raise DataError(f"{folder} is not a run and holds none.", hint="Give folders that `segtool train -o` has made, or the folder they lie in.")
        found += within
    return tuple(found)


def read_runs(folders: Sequence[str | Path]) -> RunsHistory:
    """Read several trainings and find the settings in which they differ.

    Raises
    ------
    DataError
        If a folder holds no run.
    ModelError
        If a run is damaged.
    """
    runs = tuple(read_run(folder) for folder in find_runs(folders))
    names = sorted({name for run in runs for name in run.settings})
    table = {name: tuple(run.settings.get(name) for run in runs) for name in names}
    return RunsHistory(runs, {name: values for name, values in table.items() if any(value != values[0] for value in values[1:])})


def _settings(folder: Path, config: Mapping[str, Any]) -> dict[str, Any]:
    """Settings as they were chosen, where something was left to choose; else as they were given."""
    chosen: Mapping[str, Any] = {}
    try:
        chosen = json.loads((folder / "proposal.json").read_text(encoding="utf-8")).get("settings", {})
    except (OSError, ValueError, AttributeError):
        chosen = {}  # a learner that chooses nothing writes none
    facts = {name: config.get(name) for name in ("learner", "minutes", "steps", "seed", "labels_are", "device", "threads")}
    images = tuple(entry.get("name") for entry in config.get("classes", ()))
    return {**facts, "classes": ", ".join(map(str, images)), **config.get("params", {}), **chosen}
