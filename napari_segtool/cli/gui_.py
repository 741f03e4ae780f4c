"""``segtool gui [FILE…]``: napari with the workspace open."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from napari_segtool.cli._options import check_output
from napari_segtool.core.errors import FormatError, MissingExtraError
from napari_segtool.core.registry import SAMPLES


def add_to(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("gui", help="Open napari with the workspace, and the files in it.")(gui)


def gui(
    files: Annotated[list[Path], typer.Argument(help="Images to open.", show_default=False)] = [],  # noqa: B006
    sample: Annotated[str, typer.Option("--sample", help="Open this bundled sample: em or ultrasound.", show_default=False)] = "",
    screenshot: Annotated[
        Path | None, typer.Option("--screenshot", help="Write a picture of the window to this PNG file, and close it.", show_default=False)
    ] = None,
) -> None:
    """Open napari with the workspace, and the files in it."""
    for file in files:
        if not file.exists():
            raise FormatError(f"There is no file {file}.", hint="Check the name and the folder.")
    if sample:
        SAMPLES.get(sample)
    if screenshot is not None:
        check_output(screenshot, (".png",))
    if not any(find_spec(binding) for binding in ("PyQt5", "PyQt6", "PySide6")):
        raise MissingExtraError("No Qt is installed, so there is no window.", hint='Install it: pip install "napari-segtool[pyqt5]".')
    from napari_segtool.ui.launch import launch

    launch([str(file) for file in files], sample=sample, screenshot=screenshot)
