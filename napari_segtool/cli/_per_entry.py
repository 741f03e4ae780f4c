"""A command with one sub-command for each entry of a registry: IMAGE in, one file out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from napari_segtool.cli._options import Axes, EntryGroup, JsonProgress, Output, Slices, Spacing, check_output, command_of, load
from napari_segtool.cli._report import follow, say
from napari_segtool.core.progress import Steps
from napari_segtool.core.registry import Entry, Registry

MakeSteps = Callable[..., Steps[Any]]
"""Called with the stack, the entry's name and its parameters; its result can be written."""


def add_group(app: typer.Typer, name: str, help: str, registry: Registry, make_steps: Callable[[], MakeSteps], outcome: Callable[[Any], str]) -> None:
    """Add ``segtool NAME ENTRY IMAGE -o OUT [--PARAM VALUE…]``.

    Parameters
    ----------
    make_steps
        Returns the verb's generator; called when a sub-command runs, so that help stays quick.
    outcome
        Says in a few words what came out.
    """
    group = typer.Typer(cls=EntryGroup, help=help, no_args_is_help=True, rich_markup_mode=None)
    for entry in registry:
        command = command_of(entry.params, _work(entry, make_steps, outcome), entry.name, entry.summary)
        group.command(entry.name, help=f"{entry.summary} {entry.reference}".strip())(command)
    app.add_typer(group, name=name)


def _work(entry: Entry, make_steps: Callable[[], MakeSteps], outcome: Callable[[Any], str]) -> Callable[..., None]:
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
        result = follow(make_steps()(stack, entry.name, **values), as_json=json_progress, title=entry.title)
        api.write(result, output)
        say(f"{output}: {outcome(result)}", as_json=json_progress, output=str(output))

    return work
