"""``segtool network NAME``: what a network is made of, how far it looks and how much memory it takes, before it is trained."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated

import typer

from napari_segtool.cli._options import Settings, parse_settings
from napari_segtool.core.errors import ParameterError
from napari_segtool.core.registry import NETWORKS
from napari_segtool.nets._drawing import DrawnBlock, DrawnLayer, NetworkDrawing


def add_to(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("network", help="Show what a network is made of, its receptive field, its parameters and the memory it takes.")(show)


def show(
    name: Annotated[str, typer.Argument(help="See: segtool list networks.")] = "unet",
    settings: Settings = [],  # noqa: B006
    patch: Annotated[str, typer.Option("--patch", help="Pixels of a patch: Y,X or Z,Y,X, which makes it 3-D.", show_default=False)] = "",
    batch: Annotated[int, typer.Option("--batch", help="Patches that are learned from at once.")] = 1,
    channels: Annotated[int, typer.Option("--channels", help="Channels of the images.")] = 1,
    classes: Annotated[int, typer.Option("--classes", help="Classes to tell apart.")] = 2,
    neighbours: Annotated[int, typer.Option("--neighbours", help="2.5-D: slices on each side that the network is shown too.")] = 0,
    layers: Annotated[bool, typer.Option("--layers", help="Every single layer.")] = False,
    json_output: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Show what a network is made of."""
    from napari_segtool import api

    sides = _sides(patch)
    drawing = api.describe_network(
        name,
        channels=channels,
        classes=classes,
        spatial=3 if len(sides) == 3 and sides[0] > 1 else 2,
        patch_px=sides,
        batch=batch,
        neighbours=neighbours,
        **parse_settings(settings, NETWORKS.get(name).params, show),
    )
    if json_output:
        typer.echo(json.dumps(drawing.record(), ensure_ascii=False, indent=2))
        return
    for line in lines_of(drawing, layers=layers):
        typer.echo(line)


def lines_of(drawing: NetworkDrawing, *, layers: bool = False) -> list[str]:
    """Return the table as lines of text."""
    rows: Sequence[DrawnBlock | DrawnLayer] = drawing.layers if layers else drawing.blocks
    cells = [("", "shape", "parameters", "")]
    cells += [("input", _times(rows[0].shape_in), "", "")]
    cells += [(row.name, _times(row.shape_out), f"{row.parameters:,}" if row.parameters else "", _what(row, drawing)) for row in rows]
    widths = [max(len(row[column]) for row in cells) for column in range(3)]
    table = [f"{a.ljust(widths[0])}  {b.rjust(widths[1])}  {c.rjust(widths[2])}  {d}".rstrip() for a, b, c, d in cells]
    field = drawing.receptive_field
    measured = f", measured {_times(field.measured_px)}" if all(field.measured_px) and field.stated_px else ""
    patches = f"{drawing.batch} patch{'es' if drawing.batch > 1 else ''} of {_times(drawing.patch_px)} pixels"
    return [
        f"{drawing.title}: {drawing.channels} channel(s), {drawing.classes} classes, {drawing.spatial}-D, for {patches}",
        "",
        *table,
        "",
        f"receptive field  {_times(field.px)} pixels{measured}",
        f"parameters       {drawing.parameters:,}",
        f"memory           {_memory(drawing.training_bytes)} to train a step, {_memory(drawing.prediction_bytes)} to predict, in float32",
    ]


def _what(row: DrawnBlock | DrawnLayer, drawing: NetworkDrawing) -> str:
    if isinstance(row, DrawnLayer):
        return row.kind
    joined = [skip.source for skip in drawing.skips if skip.target == row.name]
    return row.summary + (f"; with {', '.join(joined)}" if joined else "")


def _sides(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(word) for word in text.replace("x", ",").split(",")) if text else ()
    except ValueError:
        raise ParameterError(f"{text!r} is not the size of a patch.", hint="Give pixels between commas, for example --patch 256,256.") from None


def _times(sizes: Sequence[int]) -> str:
    return " × ".join(str(n) for n in sizes)


def _memory(count: int) -> str:
    return f"{count / 1e9:.2f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"
