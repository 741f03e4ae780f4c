"""The folder of a run: claimed, cleared, and what is read from and written to it as JSON."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import shutil
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from napari_segtool.core.errors import ModelError, StorageError

LIBRARIES = ("torch", "numpy", "opencv-python-headless", "safetensors")


PROPOSAL = "proposal.json"
"""What was chosen for a run: one that is resumed, elsewhere or with less memory free, goes on with it."""
START = "start"
"""Copy of the model that a run goes on from."""


@contextlib.contextmanager
def new_folder(folder: Path) -> Iterator[None]:
    """Claim the folder while a run is made in it; where that fails, nothing is left behind.

    Raises
    ------
    StorageError
        If it is in use, a file, or cannot be written, or its disk is full.
    """
    made = claim_folder(folder)
    try:
        yield
        (folder / "creating").unlink()
    except BaseException as error:
        clear_folder(folder)
        if made:
            folder.rmdir()
        if isinstance(error, OSError):
            raise cannot_write(folder, error) from None
        raise


def claim_folder(folder: Path) -> bool:
    """Make the folder, or take it where it is empty; return whether it was made.

    Raises
    ------
    StorageError
        If it is in use, a file, or cannot be written.
    """
    try:
        if folder.exists():
            if not folder.is_dir():
                raise StorageError(f"{folder} is a file.", hint="Give another name for the run's folder.")
            if (folder / "creating").exists() and not (folder / "config.json").exists():
                clear_folder(folder)
            if any(entry.name != "lost+found" for entry in folder.iterdir()):
                run = (folder / "config.json").is_file()
                raise StorageError(
                    f"The folder {folder} {'already holds a run' if run else 'is not empty'}.",
                    hint="Go on with it by --resume, or give another name." if run else "Give another name, or an empty folder.",
                )
            made = False
        else:
            folder.mkdir(parents=True)
            made = True
        (folder / "creating").write_text("This run is being made. If nothing is making it, this folder can be deleted.\n")
    except OSError as error:
        raise cannot_write(folder, error) from None
    return made


def clear_folder(folder: Path) -> None:
    """Delete what is in the folder, but not what the file system itself put there."""
    for entry in folder.iterdir():
        if entry.name == "lost+found":
            continue
        shutil.rmtree(entry) if entry.is_dir() else entry.unlink()


def cannot_write(folder: Path, error: OSError) -> StorageError:
    """The error to raise where the system refused to write."""
    return StorageError(
        f"The run folder {folder} cannot be written: {error.strerror or error}.", hint="Free some space there, or choose a folder on another disk."
    )


def found_versions() -> dict[str, str]:
    """Versions of what takes part in a training, by name."""
    from napari_segtool import __version__

    found = {
        "napari-segtool": __version__,
        "python": platform.python_version(),
        "platform": f"{platform.system()} {os.uname().machine if hasattr(os, 'uname') else ''}".strip(),
    }
    for name in LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "absent"
    return found


def as_json(record: Mapping[str, Any]) -> bytes:
    """JSON for people to read."""
    return json.dumps(record, indent=1, ensure_ascii=False, allow_nan=False).encode()


def read_json(path: Path, what: str) -> dict[str, Any]:
    """Read a JSON object, or raise `ModelError` that says ``what`` of the run is damaged."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{path.parent} is damaged: {what} cannot be read ({error}).", hint="Start a new run.") from None
    if not isinstance(record, dict):
        raise ModelError(f"{path.parent} is damaged: {what} cannot be read.", hint="Start a new run.")
    return record
