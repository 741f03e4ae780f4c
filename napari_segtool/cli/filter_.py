"""``segtool filter FILTER IMAGE -o OUT``: one sub-command for each filter."""

from __future__ import annotations

import typer

from napari_segtool.cli._per_entry import MakeSteps, add_group
from napari_segtool.core.registry import FILTERS
from napari_segtool.core.stack import Stack


def add_to(app: typer.Typer) -> None:
    """Add the command to the application."""
    add_group(app, "filter", "Filter an image.", FILTERS, _verb, _outcome)


def _verb() -> MakeSteps:
    from napari_segtool import api

    return api.apply_filter_steps


def _outcome(result: Stack) -> str:
    return f"{result.axes} {result.shape} {result.data.dtype}"
