"""``segtool doctor [FILE…]``: what is installed, and what is odd about a file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

MARKS = {"ok": "✓", "note": "·", "warning": "!", "problem": "✗"}


def add_to(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("doctor", help="Report the environment, the GPU, and the axes, spacing and values of files. Exit code 2 if there is a problem.")(doctor)


def doctor(files: Annotated[list[Path], typer.Argument(help="Images to look at.", show_default=False)] = []) -> None:  # noqa: B006
    """Report the environment, and what is odd about files."""
    from napari_segtool.doctor import examine

    findings = examine(files)
    for finding in findings:
        typer.echo(f"{MARKS[finding.level]} {finding.subject}: {finding.message}")
        if finding.hint:
            typer.echo(f"    {finding.hint}")
    if any(finding.level == "problem" for finding in findings):
        raise typer.Exit(2)
