"""``segtool gui [FILE…]``: napari with the workspace open."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from napari_segtool.core.errors import FormatError, MissingExtraError


def add_to(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("gui", help="Open napari with the workspace, and the files in it.")(gui)


def gui(
    files: Annotated[list[Path], typer.Argument(help="Images to open.", show_default=False)] = [],  # noqa: B006
    sample: Annotated[str, typer.Option("--sample", help="Open this bundled sample: em or ultrasound.", show_default=False)] = "",
) -> None:
    """Open napari with the workspace, and the files in it."""
    for file in files:
        if not file.exists():
            raise FormatError(f"There is no file {file}.", hint="Check the name and the folder.")
    if not any(find_spec(binding) for binding in ("PyQt5", "PyQt6", "PySide6")):
        raise MissingExtraError("No Qt is installed, so there is no window.", hint='Install it: pip install "napari-segtool[pyqt5]".')
    from napari_segtool.ui.launch import launch

    launch([str(file) for file in files], sample=sample)
