"""``segtool filter FILTER IMAGE -o OUT``: one sub-command for each filter."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from napari_segtool.cli._options import Axes, JsonProgress, Output, Slices, Spacing, check_image_fits, check_output, load
from napari_segtool.cli._per_entry import add_group
from napari_segtool.cli._report import follow, say
from napari_segtool.core.registry import FILTERS, Entry


def add_to(app: typer.Typer) -> None:
    """Add the command to the application."""
    add_group(app, "filter", "Filter an image.", FILTERS, _work)


def _work(entry: Entry) -> Callable[..., None]:
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
        check_image_fits(output, stack)
        result = follow(api.apply_filter_steps(stack, entry.name, **values), as_json=json_progress, title=entry.title)
        api.write(result, output)
        say(f"{output}: {result.axes} {result.shape} {result.data.dtype}", as_json=json_progress, output=str(output))

    return work
