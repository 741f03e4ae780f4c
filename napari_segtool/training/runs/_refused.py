"""A run that was made and then refused, before it learned anything: it is taken away, so that the corrected order finds its place free."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from napari_segtool.core.errors import SegtoolError
from napari_segtool.training.runs._events import read_events
from napari_segtool.training.runs._folder import clear_folder
from napari_segtool.training.runs._lock import is_training


@contextlib.contextmanager
def gone_if_refused(folder: str | Path) -> Iterator[None]:
    """Make a run and train it: where that is refused before the training began, its folder is again as it was.

    A run that began, was cancelled, or met an error that is a bug stays. So does a folder that held something before.

    Parameters
    ----------
    folder
        Where the run will lie: free or empty, else nothing is taken away.
    """
    folder = Path(folder)
    stood = folder.is_dir()
    free = not folder.exists() or (stood and not any(entry.name != "lost+found" for entry in folder.iterdir()))
    try:
        yield
    except SegtoolError:
        if free and never_began(folder):
            with contextlib.suppress(OSError):  # what was refused, and why, is what the user has to hear
                clear_folder(folder)
                if not stood:
                    folder.rmdir()
        raise


def never_began(folder: Path) -> bool:
    """Tell whether a run has learned nothing: nobody trains it, it did not start and was not cancelled, and has no checkpoint and no model."""
    if not (folder / "config.json").is_file() or is_training(folder) or (folder / "model").exists():
        return False
    checkpoints = folder / "checkpoints"
    if checkpoints.is_dir() and any(checkpoints.iterdir()):
        return False
    return not any(event["kind"] in ("start", "cancelled", "done", "stopped") for event in read_events(folder / "events.jsonl")[0])
