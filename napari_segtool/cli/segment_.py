"""``segtool segment METHOD IMAGE -o OUT``: one sub-command for each method."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from napari_segtool.cli._options import Axes, JsonProgress, Output, Slices, Spacing, check_labels_fit, check_output, load
from napari_segtool.cli._per_entry import add_group
from napari_segtool.cli._report import follow, say
from napari_segtool.core.given import INPUTS, inputs_of
from napari_segtool.core.registry import METHODS, Entry

_Links = list[str]
_Filters = Annotated[_Links, typer.Option("--filter", help="Filter to apply first, as NAME or NAME:key=value,key=value; may be repeated.", show_default=False)]
_Then = Annotated[_Links, typer.Option("--then", help="Post-processing to apply afterwards, written likewise; may be repeated.", show_default=False)]
_Mask = Annotated[Path | None, typer.Option("--mask", help="Labels of the same size; work goes on only where they are not 0.", show_default=False)]
_Paint = Annotated[Path | None, typer.Option("--paint", help="Paint of the same size: 0 not labelled, 1, 2, … classes.", show_default=False)]
_Labels = Annotated[Path | None, typer.Option("--labels", help="Labels of the same size to start from.", show_default=False)]
_Probabilities = Annotated[Path | None, typer.Option("--probabilities", help="Probabilities, class axis first, as predict writes them.", show_default=False)]


def add_to(app: typer.Typer) -> None:
    """Add the command to the application."""
    add_group(app, "segment", "Segment an image with a classical method.", METHODS, _work, _not_used)


def _not_used(entry: Entry) -> set[str]:
    return set(INPUTS) - set(inputs_of(entry))


def _work(entry: Entry) -> Callable[..., None]:
    def work(
        image: Annotated[Path, typer.Argument(help="Image, or folder of numbered images.")],
        output: Output,
        values: dict[str, Any],
        slices: Slices = "",
        axes: Axes = "",
        spacing: Spacing = "",
        filters: _Filters = [],  # noqa: B006 (typer copies it)
        then: _Then = [],  # noqa: B006
        mask: _Mask = None,
        paint: _Paint = None,
        labels: _Labels = None,
        probabilities: _Probabilities = None,
        json_progress: JsonProgress = False,
    ) -> None:
        from napari_segtool import api

        check_output(output)
        stack = load(image, slices=slices, axes=axes, spacing=spacing)
        check_labels_fit(output, stack)
        marks = {"mask": mask, "paint": paint, "labels": labels, "probabilities": probabilities}
        given: dict[str, Any] = {name: api.trimmed(path, stack, slices) for name, path in marks.items() if path is not None}
        steps = api.segment_steps(stack, entry.name, filters=filters, then=then, **given, **values)
        result = follow(steps, as_json=json_progress, title=entry.title)
        api.write(result, output)
        say(f"{output}: labels 0 to {int(result.labels.data.max())}, {result.labels.axes} {result.labels.shape}", as_json=json_progress, output=str(output))

    return work
