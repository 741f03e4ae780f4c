"""``segtool segment METHOD IMAGE -o OUT``: one sub-command for each method."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from napari_segtool.cli._options import Axes, EntryGroup, JsonProgress, Output, Slices, Spacing, check_output, command_of, load
from napari_segtool.cli._report import follow, say
from napari_segtool.core.registry import METHODS, Entry


def add_to(app: typer.Typer) -> None:
    """Add the command to the application."""
    group = typer.Typer(cls=EntryGroup, help="Segment an image with a classical method.", no_args_is_help=True, rich_markup_mode=None)
    for entry in METHODS:
        group.command(entry.name, help=f"{entry.summary} {entry.reference}".strip())(command_of(entry.params, _work(entry), entry.name, entry.summary))
    app.add_typer(group, name="segment")


def _work(entry: Entry) -> Any:
    def work(
        image: Annotated[Path, typer.Argument(help="Image, or folder of numbered images.")],
        output: Output,
        values: dict[str, Any],
        slices: Slices = "",
        axes: Axes = "",
        spacing: Spacing = "",
        json_progress: JsonProgress = False,
    ) -> None:
        from napari_segtool import api

        check_output(output)
        stack = load(image, slices=slices, axes=axes, spacing=spacing)
        result = follow(api.segment_steps(stack, entry.name, **values), as_json=json_progress, title=entry.title)
        api.write(result, output)
        say(f"{output}: labels 0 to {int(result.labels.data.max())}, {result.labels.axes} {result.labels.shape}", as_json=json_progress, output=str(output))

    return work
