"""``segtool segment METHOD IMAGE -o OUT``: one sub-command for each method."""

from __future__ import annotations

import typer

from napari_segtool.cli._per_entry import MakeSteps, add_group
from napari_segtool.core.registry import METHODS
from napari_segtool.core.result import Segmentation


def add_to(app: typer.Typer) -> None:
    """Add the command to the application."""
    add_group(app, "segment", "Segment an image with a classical method.", METHODS, _verb, _outcome)


def _verb() -> MakeSteps:
    from napari_segtool import api

    return api.segment_steps


def _outcome(result: Segmentation) -> str:
    return f"labels 0 to {int(result.labels.data.max())}, {result.labels.axes} {result.labels.shape}"
