"""``segtool evaluate PREDICTION TRUTH``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from napari_segtool.cli._options import Axes, Slices, Spacing, check_output, load
from napari_segtool.core.result import Scores


def add_to(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("evaluate", help="Score a prediction against the truth: Dice, IoU, pixel error, and the ISBI 2012 V_Rand and V_Info.")(evaluate)


def evaluate(
    prediction: Annotated[Path, typer.Argument(help="Predicted labels.")],
    truth: Annotated[Path, typer.Argument(help="True labels.")],
    probabilities: Annotated[
        Path | None, typer.Option("--probabilities", help="Predicted probabilities: V_Rand and V_Info become the best over thresholds.", show_default=False)
    ] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Also write the scores as JSON here.", show_default=False)] = None,
    slices: Slices = "",
    axes: Axes = "",
    spacing: Spacing = "",
) -> None:
    """Score a prediction against the truth."""
    from napari_segtool import api
    from napari_segtool.io._write import write_text

    if json_file is not None:
        check_output(json_file, ())
    guess, actual = load(prediction, spacing=spacing), load(truth, axes=axes, spacing=spacing)
    scores = api.evaluate(guess, actual, probabilities=probabilities, slices=slices)
    if json_file is not None:
        write_text(json.dumps(scores.as_dict(), indent=2, ensure_ascii=False) + "\n", json_file)
    typer.echo(table(scores))


def table(scores: Scores) -> str:
    """Write scores as a small table of text; undefined scores are a dash."""
    columns = list(next(iter(scores.classes.values()), {}))
    width = max([5, *(len(name) for name in scores.classes)])
    lines = ["class".ljust(width) + "".join(column.rjust(11) for column in columns)]
    lines += [name.ljust(width) + "".join(_number(values[column]).rjust(11) for column in columns) for name, values in scores.classes.items()]
    lines += [f"{name} {_number(value)}" for name, value in scores.overall.items()]
    return "\n".join(lines)


def _number(value: float) -> str:
    return "–" if value != value else f"{value:.4f}"
