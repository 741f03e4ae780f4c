"""One process at a time trains a run; the system lets go of the lock when that process ends, however it ends."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from napari_segtool.core.errors import ModelError, StorageError


@contextlib.contextmanager
def sole_trainer(folder: Path) -> Iterator[None]:
    """Hold the run's lock.

    Raises
    ------
    ModelError
        If another process trains this run.
    """
    try:
        file = (folder / "lock").open("a+")
    except OSError as error:
        raise StorageError(f"The run {folder} cannot be written: {error.strerror or error}.", hint="Check that you may write there.") from None
    with file:
        if not _lock(file):
            raise ModelError(f"The run {folder} is being trained by another process.", hint="Stop that one first, or wait for it.")
        yield


def is_training(folder: Path) -> bool:
    """Tell whether a process holds the run's lock."""
    try:
        with (folder / "lock").open("r+") as file:
            return not _lock(file)
    except OSError:
        return False


def _lock(file: Any) -> bool:
    try:
        import fcntl
    except ImportError:  # Windows
        import msvcrt

        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined,unused-ignore]
        except OSError:
            return False
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
