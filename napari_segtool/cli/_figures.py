"""Pictures of the demo: what went in, what came out, and how training went."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_segtool.core.labels import class_colour
from napari_segtool.core.planes import read_plane
from napari_segtool.core.result import Prediction, Segmentation
from napari_segtool.core.stack import Stack

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def overview(
    stack: Stack,
    paint: NDArray[Any],
    truth: NDArray[Any],
    classical: Mapping[str, Segmentation],
    prediction: Prediction,
    maps: Mapping[str, Stack],
    painted: int,
    shown: int,
    path: Path,
) -> None:
    """Write a grid of the painted slice and of one unpainted slice with truth, results and saliency."""
    figure = _figure(14, 7.4)
    axes = figure.subplots(2, 4).ravel()
    here, there = _grey(stack, painted), _grey(stack, shown)
    _show(axes[0], here, f"paint on slice {painted}", marks=paint[painted])
    _show(axes[1], there, f"slice {shown}, never painted")
    _show(axes[2], there, "truth", marks=np.searchsorted(np.unique(truth), truth[shown]) + 1, alpha=0.55)
    _show(axes[3], there, "U-Net", marks=np.asarray(prediction.labels.data)[shown], alpha=0.55)
    for axis, (name, result) in zip(axes[4:6], classical.items(), strict=True):
        _show(axis, there, name, marks=np.asarray(result.labels.data)[shown] + 1, alpha=0.55)
    for axis, (name, overlay) in zip(axes[6:8], maps.items(), strict=True):
        _show(axis, there, f"why class 1: {name}")
        values = np.abs(np.asarray(overlay.data, np.float32)).reshape(there.shape)
        axis.imshow(values, cmap="magma", alpha=0.65, vmin=0, vmax=float(np.quantile(values, 0.995)) or 1.0)
    _save(figure, path)


def curves(run: Path, path: Path) -> None:
    """Write the loss and validation curves of a run."""
    events = [json.loads(line) for line in (run / "events.jsonl").read_text(encoding="utf-8").splitlines()]
    figure = _figure(8, 4)
    left = figure.subplots()
    for kind, name, title, colour in (("step", "loss", "loss", "#0072B2"), ("validation", "loss", "held out", "#D55E00")):
        points = [(event["step"], event[name]) for event in events if event["kind"] == kind and event.get(name) is not None]
        if points:
            left.plot(*zip(*points, strict=True), color=colour, label=title, linewidth=1.2)
    left.set(xlabel="step", ylabel="loss")
    left.legend(loc="upper left", frameon=False)
    points = [(event["step"], event["dice"]) for event in events if event["kind"] == "validation" and event.get("dice") is not None]
    if points:
        right = left.twinx()
        right.plot(*zip(*points, strict=True), color="#009E73", label="Dice, held out", linewidth=1.6)
        right.set(ylabel="Dice", ylim=(0, 1))
        right.legend(loc="upper right", frameon=False)
    _save(figure, path)


def _figure(width: float, height: float) -> Figure:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _save(figure: Figure, path: Path) -> None:
    figure.savefig(path)


def _grey(stack: Stack, index: int) -> NDArray[np.float32]:
    plane = read_plane(stack, (index,)).astype(np.float32)
    return plane if plane.ndim == 2 else np.asarray(plane.mean(axis=0), np.float32)


def _show(axis: Any, picture: NDArray[Any], title: str, marks: NDArray[Any] | None = None, alpha: float = 0.9) -> None:
    axis.imshow(picture, cmap="gray")
    axis.set_title(title, fontsize=10)
    axis.set_axis_off()
    if marks is not None:
        from matplotlib.colors import to_rgba

        largest = int(marks.max())
        table = np.array([(0, 0, 0, 0), *(to_rgba(class_colour(value), alpha) for value in range(1, largest + 1))])
        axis.imshow(table[marks], interpolation="nearest")
