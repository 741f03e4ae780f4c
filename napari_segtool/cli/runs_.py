"""``segtool runs FOLDER…``: compare trainings."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_segtool.cli._options import check_output

if TYPE_CHECKING:
    from napari_segtool.training.runs._history import RunHistory, RunsHistory

_WIDEST = 28


def add_to(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("runs", help="Compare trainings: what was best in each, and the settings in which they differ.")(runs)


def runs(
    folders: Annotated[list[Path], typer.Argument(help="Run folders, or folders of runs.", show_default=False)],
    as_json: Annotated[bool, typer.Option("--json", help="Write curves, scores and settings as JSON.")] = False,
    plot: Annotated[Path | None, typer.Option("--plot", help="Draw the curves of all runs into this picture (PNG, PDF or SVG).", show_default=False)] = None,
) -> None:
    """Compare trainings."""
    from napari_segtool import api

    found = api.runs_history(folders)
    if plot is not None:
        from napari_segtool.cli._runs_figure import draw_runs

        check_output(plot, ())
        draw_runs(found, plot)
    typer.echo(json.dumps(found.record(), ensure_ascii=False) if as_json else "\n".join(table(found)))


def table(found: RunsHistory) -> list[str]:
    """Write runs as lines of a table, the best first, and below it the settings in which they differ."""
    order = sorted(range(len(found.runs)), key=lambda number: _rank(found.runs[number]))
    head = ["run", "state", "best", "at step", "steps", "minutes"]
    rows = [head, *(_row(found.runs[number]) for number in order)]
    lines = _aligned(rows)
    if found.differing:
        names = ["differing", *(found.runs[number].name for number in order)]
        lines += ["", *_aligned([names, *([name, *(_short(values[number]) for number in order)] for name, values in found.differing.items())])]
    return lines


def _row(run: RunHistory) -> list[str]:
    best = "–" if math.isnan(run.best) else f"{ {'dice': 'Dice', 'iou': 'IoU'}.get(run.metric, run.metric) } {run.best:.4f}"
    return [run.name, run.state, best, str(run.best_step), str(run.steps), f"{run.seconds / 60:.1f}"]


def _rank(run: RunHistory) -> tuple[str, float]:
    worth = math.inf if math.isnan(run.best) else run.best if run.metric == "loss" else -run.best
    return run.metric, worth


def _aligned(rows: list[list[str]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(word.ljust(width) for word, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _short(value: object) -> str:
    text = "–" if value is None else str(value)
    return text if len(text) <= _WIDEST else text[: _WIDEST - 1] + "…"
