"""Curves of several trainings in one picture."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

from napari_segtool.cli._figures import _figure, _save

if TYPE_CHECKING:
    from napari_segtool.training.runs._history import RunsHistory

_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")


def draw_runs(found: RunsHistory, path: Path) -> None:
    """Draw losses on the left and the score that decides on the right; held out solid, learned dashed, a mark at the best step."""
    figure = _figure(11, 4.5)
    left, right = figure.subplots(1, 2)
    metric = next((run.metric for run in found.runs if run.metric != "loss"), "dice")
    for number, run in enumerate(found.runs):
        colour = _COLOURS[number % len(_COLOURS)]
        for axes, name in ((left, "loss"), (right, metric)):
            for column, style in ((f"validation_{name}", "-"), (f"train_{name}", "--")):
                points = [point for point in run.curves.get(column, ()) if math.isfinite(point[1])]
                if points:
                    axes.plot(*zip(*points, strict=True), style, color=colour, linewidth=1.4, label=run.name if axes is left and style == "-" else None)
        best = dict(run.curves.get(f"validation_{run.metric}", ())).get(run.best_step)
        if best is not None:
            (left if run.metric == "loss" else right).plot([run.best_step], [best], "o", color=colour, markersize=6)
    left.set(xlabel="step", ylabel="loss")
    right.set(xlabel="step", ylabel="IoU" if metric == "iou" else "Dice", ylim=(0, 1))
    if left.get_legend_handles_labels()[0]:
        left.legend(frameon=False, fontsize=8)
    right.set_title("held out: solid · learned: dashed · best: dot", fontsize=9)
    _save(figure, path)
