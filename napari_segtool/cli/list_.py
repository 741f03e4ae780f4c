"""``segtool list KIND``: what there is, with its parameters."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from napari_segtool.core import registry
from napari_segtool.core.errors import ParameterError
from napari_segtool.core.params import describe
from napari_segtool.core.registry import Entry

KINDS = {
    "methods": registry.METHODS,
    "filters": registry.FILTERS,
    "learners": registry.LEARNERS,
    "networks": registry.NETWORKS,
    "losses": registry.LOSSES,
    "augmentations": registry.AUGMENTATIONS,
    "explainers": registry.EXPLAINERS,
    "metrics": registry.METRICS,
    "samples": registry.SAMPLES,
}


def add_to(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("list", help=f"List {', '.join(KINDS)}.")(show)


def show(
    kind: Annotated[str, typer.Argument(help=" | ".join(KINDS))],
    json_output: Annotated[bool, typer.Option("--json", help="As JSON, with all parameters.")] = False,
) -> None:
    """List what there is of one kind."""
    if kind not in KINDS:
        raise ParameterError(f"There is no list of {kind!r}.", hint=f"Choose one of: {', '.join(KINDS)}.")
    if json_output:
        typer.echo(json.dumps([record(entry) for entry in KINDS[kind]], ensure_ascii=False, indent=2))
        return
    width = max((len(entry.name) for entry in KINDS[kind]), default=0)
    for entry in KINDS[kind]:
        typer.echo(f"{entry.name.ljust(width)}  {entry.summary}")


def record(entry: Entry) -> dict[str, Any]:
    """JSON-ready description of an entry."""
    return {
        "name": entry.name,
        "title": entry.title,
        "summary": entry.summary,
        "family": entry.family,
        "dimensions": list(entry.dimensions),
        "reference": entry.reference,
        "params": [
            {
                "name": field.name,
                "option": field.option,
                "kind": field.kind,
                "default": field.default,
                "help": field.help,
                "unit": field.unit,
                "minimum": field.minimum,
                "maximum": field.maximum,
                "choices": list(field.choices),
                "advanced": field.advanced,
            }
            for field in describe(entry.params)
        ],
    }
