"""Run folders as the window sees them: which there are, what they are called, whether one is being trained. No Qt, no torch."""

from __future__ import annotations

import contextlib
import json
import math
import re
import shutil
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from napari_segtool.core.errors import StorageError
from napari_segtool.core.settings import Settings
from napari_segtool.training.runs._events import write_atomically
from napari_segtool.training.runs._lock import is_training
from napari_segtool.ui._train_history import ENDS, History, read_history

State = Literal["training", "done", "stopped", "cancelled", "failed", "interrupted", "new"]

TITLE_FILE = "title.txt"
LOG_FILE = "log.txt"
PROCESS_FILE = "process.json"
_CLOCK_S = 0.5
_WORDS = {
    "training": "training now",
    "done": "finished",
    "stopped": "stopped and kept",
    "cancelled": "cancelled",
    "failed": "failed",
    "interrupted": "interrupted",
    "new": "not started",
}


@dataclass(frozen=True)
class RunCard:
    """One line of the run list.

    Parameters
    ----------
    folder
        The run folder.
    title
        Name to show.
    learner
        Name of its learner.
    state
        What became of it.
    dice
        Best Dice on what was held out; NaN where there is none yet.
    seconds
        Time spent training.
    created
        When it was made, in seconds since 1970.
    classes
        Names of its classes.
    images
        Names of the images it learned from.
    has_model
        Whether a model was kept.
    stamp
        When its events were last written to, in ns: what they say need not be read again while it stays the same.
    """

    folder: Path
    title: str
    learner: str
    state: State
    dice: float = math.nan
    seconds: float = 0.0
    step: int = 0
    created: float = 0.0
    classes: tuple[str, ...] = ()
    images: tuple[str, ...] = ()
    has_model: bool = False
    stamp: int = 0

    @property
    def words(self) -> str:
        """The state in the user's words."""
        return _WORDS[self.state]

    @property
    def can_resume(self) -> bool:
        """True where there is something left to train."""
        return self.state not in ("training", "done")


def run_has_model(folder: Path) -> bool:
    """Tell whether a run has kept a model."""
    return is_model(folder / "model")


def is_model(folder: Path) -> bool:
    """Tell whether a folder looks like a model; nothing in it is read."""
    return (folder / "model.json").is_file()


def runs_folder(settings: Settings) -> Path:
    """Return the folder for runs: that of the settings, else ``segtool-runs`` in the home folder."""
    return Path(settings.runs_folder).expanduser() if settings.runs_folder else Path.home() / "segtool-runs"


def new_run_folder(root: Path, image: str, learner: str, now: float | None = None) -> Path:
    """Return a folder name that is not taken: image, learner and time, in letters every file system takes."""
    stem = re.sub(r"[^\w-]+", "-", image, flags=re.ASCII).strip("-_")[:40] or "image"
    stem = f"{stem}-{learner}-{time.strftime('%Y%m%d-%H%M%S', time.localtime(now))}"
    folder, number = root / stem, 1
    while folder.exists():
        number += 1
        folder = root / f"{stem}-{number}"
    return folder


def note_trainer(folder: Path, pid: int) -> None:
    """Write down which process trains the run, and when it started, so that another window finds it."""
    import psutil

    with contextlib.suppress(OSError, psutil.Error):  # it is gone already, or the disk is full, which the training itself says
        write_atomically(folder / PROCESS_FILE, json.dumps({"pid": pid, "started": psutil.Process(pid).create_time()}).encode())


def trainer_of(folder: Path) -> int:
    """Return the id of the process that a window started to train the run, or 0 if it has ended.

    Ids are used again, so the process must have started when the one that was noted did.
    """
    import psutil

    try:
        note = json.loads((folder / PROCESS_FILE).read_text(encoding="utf-8"))
        process = psutil.Process(int(note["pid"]))
        same = abs(process.create_time() - float(note["started"])) < _CLOCK_S
        return int(note["pid"]) if same and process.status() != psutil.STATUS_ZOMBIE else 0
    except (OSError, ValueError, KeyError, TypeError, psutil.Error):
        return 0


def in_training(folder: Path, history: History) -> bool:
    """Tell whether a process trains the run, be it started by a window or from the command line."""
    # The lock is only tried where the training has begun: trying it while a process starts could make that one give up.
    return trainer_of(folder) != 0 or (history.phase == "learning" and is_training(folder))


def read_card(folder: Path, known: RunCard | None = None) -> RunCard | None:
    """Return what the list shows of a run folder; ``None`` if it is none, or its configuration is damaged.

    Parameters
    ----------
    known
        What was returned before; its events are not read again if nothing was added to them.
    """
    stamp = _stamp(folder)
    if known is not None and known.stamp == stamp and known.state in ENDS and not trainer_of(folder):
        return replace(known, title=_title(folder), has_model=run_has_model(folder))
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        learner, created = str(config["learner"]), float(config.get("created", 0.0))
        classes = tuple(str(entry["name"]) for entry in config["classes"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    history = read_history(folder)
    state: State = history.phase if history.ended else "new" if history.phase == "new" else "interrupted"  # type: ignore[assignment]
    if in_training(folder, history):
        state = "training"
    return RunCard(
        folder=folder,
        title=_title(folder),
        learner=learner,
        state=state,
        dice=history.best_dice,
        seconds=history.seconds,
        step=history.step,
        created=created,
        classes=classes,
        images=_images(folder),
        has_model=run_has_model(folder),
        stamp=stamp,
    )


def list_runs(root: Path, more: Iterable[Path] = (), known: Iterable[RunCard] = ()) -> tuple[RunCard, ...]:
    """Return the runs in ``root`` and those of ``more`` that lie elsewhere, newest first; ``known`` spares reading."""
    before = {card.folder: card for card in known}
    folders = dict.fromkeys(Path(folder) for folder in more)
    with contextlib.suppress(OSError):  # there is no such folder yet, or its disk is not there
        folders |= dict.fromkeys(sorted(path for path in root.iterdir() if (path / "config.json").is_file()))
    cards = [card for folder in folders if (card := read_card(folder, before.get(folder))) is not None]
    return tuple(sorted(cards, key=lambda card: card.created, reverse=True))


def fresh_title(root: Path, title: str) -> str:
    """Return ``title``, with a number where a run in ``root`` is called so already."""
    taken = {_title(path.parent) for path in root.glob(f"*/{TITLE_FILE}")}
    return next(name for name in (title, *(f"{title} ({number})" for number in range(2, len(taken) + 3))) if name not in taken)


def rename_run(folder: Path, title: str) -> None:
    """Call a run ``title``; its folder keeps its name, which recipes mention.

    Raises
    ------
    StorageError
        If it cannot be written.
    """
    try:
        (folder / TITLE_FILE).write_text(title.strip() + "\n", encoding="utf-8")
    except OSError as error:
        raise StorageError(f"The run cannot be renamed: {error.strerror or error}.", hint=f"Check that you may write to {folder}.") from None


def delete_run(folder: Path) -> None:
    """Delete a run folder with its model.

    Raises
    ------
    StorageError
        If it is being trained, or cannot be deleted.
    """
    if in_training(folder, read_history(folder)):
        raise StorageError("This run is being trained.", hint="Stop it first.")
    try:
        shutil.rmtree(folder)
    except FileNotFoundError:
        return
    except OSError as error:
        raise StorageError(f"The run cannot be deleted: {error.strerror or error}.", hint=f"Check that you may write to {folder}.") from None


def _stamp(folder: Path) -> int:
    try:
        return (folder / "events.jsonl").stat().st_mtime_ns
    except OSError:
        return 0


def _title(folder: Path) -> str:
    try:
        return (folder / TITLE_FILE).read_text(encoding="utf-8").strip() or folder.name
    except (OSError, ValueError):
        return folder.name


def _images(folder: Path) -> tuple[str, ...]:
    try:
        return tuple(str(pair["name"]) for pair in json.loads((folder / "data" / "index.json").read_text(encoding="utf-8"))["pairs"])
    except (OSError, ValueError, KeyError, TypeError):
        return ()
