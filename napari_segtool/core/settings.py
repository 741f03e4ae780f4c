"""Settings are read at the doors and passed down: argument > environment > settings file > default."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from napari_segtool.core.errors import ParameterError
from napari_segtool.core.params import Params, param


class Settings(Params):
    """What a user sets once, for all images."""

    device: str = param("auto", "Where networks run: auto, cpu, cuda, cuda:1 or mps.")
    threads: int = param(0, "Processor cores for networks; 0 means all but one.", ge=0, le=256)
    runs_folder: str = param("", "Folder for training runs; empty means segtool-runs in the home folder.")
    precision: Literal["auto", "float32", "bfloat16"] = param("auto", "Number format of networks; auto times both once.")


def settings_path(environment: Mapping[str, str] = os.environ) -> Path:
    """Return where the settings file lies: ``$SEGTOOL_CONFIG`` or the platform's usual place."""
    if environment.get("SEGTOOL_CONFIG"):
        return Path(environment["SEGTOOL_CONFIG"])
    if sys.platform == "win32":
        base = Path(environment.get("APPDATA", Path.home() / "AppData" / "Roaming"))
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Application Support"
    else:
        base = Path(environment.get("XDG_CONFIG_HOME", Path.home() / ".config"))
    return base / "napari-segtool" / "settings.json"


def read_settings(environment: Mapping[str, str] = os.environ) -> Settings:
    """Read the settings; a damaged file or a bad value is refused with its path or name.

    Examples
    --------
    >>> read_settings({"SEGTOOL_THREADS": "3", "SEGTOOL_CONFIG": "/nonexistent"}).threads
    3
    """
    path, values = settings_path(environment), {}
    if path.is_file():
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
            assert isinstance(values, dict)
        except (OSError, ValueError, AssertionError) as error:
            raise ParameterError(f"The settings file {path} cannot be read: {error}.", hint="Mend or delete it.") from None
    for name in Settings.model_fields:
        if f"SEGTOOL_{name.upper()}" in environment:
            values[name] = environment[f"SEGTOOL_{name.upper()}"]
    return Settings.build(**values)


def worker_threads(settings: Settings) -> int:
    """Return how many cores a child process uses: all but one, so that the window keeps one."""
    return settings.threads or max(1, (os.cpu_count() or 2) - 1)
