"""What a user set in a panel, kept from one session to the next in one small JSON file beside the settings."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import Any

from napari_segtool.core.settings import settings_path


class Memory:
    """Values by panel and name, read once and written when they change.

    A file that is missing, damaged or unwritable means nothing is remembered; it is never a reason to fail.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path or settings_path().with_name("window.json")
        self._values: dict[str, dict[str, Any]] = {}
        try:
            read = json.loads(self._path.read_text(encoding="utf-8"))
            self._values = {str(key): value for key, value in read.items() if isinstance(value, dict)}
        except (OSError, ValueError, AttributeError):
            self._values = {}

    def recall(self, key: str) -> dict[str, Any]:
        """Return what was remembered under ``key``; empty if nothing was."""
        return dict(self._values.get(key, {}))

    def remember(self, key: str, values: dict[str, Any]) -> None:
        """Add ``values`` to what is remembered under ``key``."""
        merged = {**self._values.get(key, {}), **values}
        if merged == self._values.get(key):
            return
        self._values[key] = merged
        temporary = self._path.with_name(f".{self._path.name}.{os.getpid()}")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_text(json.dumps(self._values, indent=1, sort_keys=True), encoding="utf-8")
            temporary.replace(self._path)
        except OSError:
            with contextlib.suppress(OSError):
                temporary.unlink()
