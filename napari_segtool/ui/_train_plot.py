"""The pyqtgraph side of the curves: losses on the left axis, scores on the right, one set of lines for each run."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyqtgraph
from napari.utils.theme import get_theme
from numpy.typing import NDArray
from qtpy.QtCore import Qt

from napari_segtool.core.labels import OKABE_ITO
from napari_segtool.ui._train_history import History

STEP, LOSS, DICE, IOU = "#999999", "#E69F00", "#56B4E9", "#009E73"
_DECIDES = {"dice": DICE, "iou": IOU, "loss": LOSS}
"""Colour of what says which step was best."""
MOST_POINTS = 800
_MOST_MEDIANS = 3
"""Losses above so many medians of what validations measure are left off the axis."""


@dataclass(frozen=True)
class Line:
    """One line of a run: which numbers it shows, and how."""

    name: str
    colour: str
    width: float
    style: Any = Qt.PenStyle.SolidLine
    marked: bool = False


_LOSSES = (Line("losses", f"{STEP}80", 1), Line("train_losses", LOSS, 1), Line("check_losses", LOSS, 2, marked=True))
_SCORES = (
    Line("train_dices", DICE, 1),
    Line("train_ious", IOU, 1),
    Line("dices", DICE, 2, marked=True),
    Line("ious", IOU, 2, marked=True),
)
_STEPS, _MEASURED = ("losses",), ("train_losses", "check_losses")
_SCORED = tuple(line.name for line in _SCORES)


def run_colour(number: int) -> str:
    """Return the colour of a run among several."""
    return OKABE_ITO[number % len(OKABE_ITO)]


def lines_of(history: History, number: int, count: int, losses: bool, scores: bool) -> tuple[Line, ...]:
    """Return the lines that are drawn of run ``number`` of ``count``: all of a single one, the telling ones of several.

    The loss of each step stands on another scale, so it stands beside those of other runs only where nothing else is known.
    """
    if count == 1:
        return (*(_LOSSES if losses else ()), *(_SCORES if scores else ()))
    colour, dash = run_colour(number), Qt.PenStyle.DashLine
    both = losses and scores
    drawn = []
    if losses:
        thin = Line("train_losses", colour, 1) if history.checked else Line("losses", colour, 1, Qt.PenStyle.DotLine)
        drawn += [*([] if both else [thin]), Line("check_losses", colour, 2, marked=True)]
    if scores:
        drawn += [Line("dices", colour, 2, dash if both else Qt.PenStyle.SolidLine, True), *([] if both else [Line("ious", colour, 1.5, dash)])]
    return tuple(drawn)


def thinned(steps: Sequence[int], values: Sequence[float]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return at most about ``MOST_POINTS`` of the points, the last among them."""
    stride = max(1, len(values) // MOST_POINTS)
    first = (len(values) - 1) % stride if values else 0
    return np.asarray(steps[first : len(values) : stride], float), np.asarray(values[first::stride], float)


def highest_loss(steps: Iterable[NDArray[np.float64]], measured: Iterable[NDArray[np.float64]]) -> float:
    """Return where the axis of losses ends, NaN without a loss; what validations measure is given four fifths of it, whatever the steps say.

    A few values far above the others, as before anything was learned, are left off.

    Examples
    --------
    >>> highest_loss([np.array([9.0, 8.0])], [np.array([1.0, 1.0])])
    1.25
    >>> highest_loss([], [np.array([7.0, 1.0, 0.5, 0.5, 0.4])])
    1.5
    """
    held = list(measured)
    of_steps, of_measured = _quantile(steps, 0.98), min(_quantile(held, 0.98), _MOST_MEDIANS * _quantile(held, 0.5))
    return of_steps if math.isnan(of_measured) else float(np.fmin(np.fmax(of_steps, of_measured), 1.25 * of_measured))


class Plot:
    """A plot of one or several runs.

    Parameters
    ----------
    theme
        Name of napari's theme.
    """

    def __init__(self, theme: str) -> None:
        self.widget = pyqtgraph.PlotWidget()
        self.widget.setMenuEnabled(False)
        self.widget.setMouseEnabled(x=False, y=False)
        self.widget.hideButtons()
        self.widget.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self._left = self.widget.getPlotItem()
        self._left.layout.setContentsMargins(0, 8, 0, 4)  # the uppermost numbers stick out, and so does the word below
        self._left.showAxis("right")
        self._right = pyqtgraph.ViewBox(enableMenu=False)
        self._right.setMouseEnabled(False, False)
        self._left.scene().addItem(self._right)
        self._left.getAxis("right").linkToView(self._right)
        self._right.setXLink(self._left)
        self._left.vb.sigResized.connect(self._fit)
        for side, text in (("bottom", "step"), ("left", "loss"), ("right", "score")):
            self._left.getAxis(side).setLabel(text)
            self._left.getAxis(side).enableAutoSIPrefix(False)
        self._items: dict[tuple[int, str], Any] = {}
        self._marks: list[Any] = []
        self.points = 0
        self.set_theme(theme)

    def draw(self, histories: Sequence[History], *, losses: bool, scores: bool) -> None:
        """Draw these runs; lines of others are taken away."""
        for side, shown, width in (("left", losses, 44), ("right", scores, 48)):
            self._left.getAxis(side).setStyle(showValues=shown)
            self._left.getAxis(side).setWidth(width if shown else 8)
            self._left.getAxis(side).showLabel(shown)
        drawn: dict[tuple[int, str], NDArray[np.float64]] = {}
        for number, history in enumerate(histories):
            for line in lines_of(history, number, len(histories), losses, scores):
                steps = history.steps if line.name == "losses" else history.checked
                points = thinned(steps, getattr(history, line.name))
                if not np.isfinite(points[1]).any():  # pyqtgraph warns of a line without a point
                    continue
                self._item(number, line).setData(*points)
                drawn[number, line.name] = points[1]
        for key, item in self._items.items():
            if key not in drawn:
                item.setData([], [])
        self._mark(histories)
        self._set_ranges(histories, drawn)
        self.points = len(histories[0].steps)
        self._fit()

    def set_theme(self, theme: str) -> None:
        """Draw in the colours of another theme of napari."""
        colours = get_theme(theme)
        text = colours.text.as_hex()
        self.widget.setBackground(colours.background.as_hex())
        for side in ("left", "right", "bottom"):
            axis = self._left.getAxis(side)
            axis.setPen(text)
            axis.setTextPen(text)

    def _item(self, number: int, line: Line) -> Any:
        key = (number, line.name)
        if key not in self._items:
            item = pyqtgraph.PlotDataItem(connect="finite")
            self._items[key] = item
            if "losses" in line.name:
                self._left.addItem(item)
            else:
                self._right.addItem(item)
        item = self._items[key]
        item.setPen(pyqtgraph.mkPen(line.colour, width=line.width, style=line.style))
        item.setSymbol("o" if line.marked else None)
        item.setSymbolSize(4)
        item.setSymbolPen(None)
        item.setSymbolBrush(line.colour)
        return item

    def _mark(self, histories: Sequence[History]) -> None:
        """A dotted line where each run was best."""
        while len(self._marks) < len(histories):
            mark = pyqtgraph.InfiniteLine(angle=90)
            self._left.addItem(mark, ignoreBounds=True)
            self._marks.append(mark)
        for number, mark in enumerate(self._marks):
            peak = histories[number].peak if number < len(histories) else -1
            mark.setVisible(peak >= 0)
            if peak >= 0:
                colour = _DECIDES.get(histories[number].metric, DICE) if len(histories) == 1 else run_colour(number)
                mark.setPen(pyqtgraph.mkPen(colour, width=1.5, style=Qt.PenStyle.DotLine))
                mark.setValue(histories[number].checked[peak])

    def _set_ranges(self, histories: Sequence[History], drawn: Mapping[tuple[int, str], NDArray[np.float64]]) -> None:
        steps, losses, scores = ([values for (_, name), values in drawn.items() if name in names] for names in (_STEPS, _MEASURED, _SCORED))
        high = highest_loss(steps, losses)
        if not math.isnan(high):
            self._left.setYRange(0, max(1e-6, high * 1.1), padding=0)
        low = _quantile(scores, 0.1)
        self._right.setYRange(0 if math.isnan(low) else max(0.0, math.floor(10 * low - 1) / 10), 1, padding=0.02)
        last = max(max([*history.steps[-1:], *history.checked[-1:], 1]) for history in histories)
        self._left.setXRange(0, last, padding=0.02)

    def _fit(self) -> None:
        self._right.setGeometry(self._left.vb.sceneBoundingRect())
        self._right.linkedViewChanged(self._left.vb, self._right.XAxis)


def _quantile(parts: Iterable[NDArray[np.float64]], share: float) -> float:
    values = np.concatenate([np.empty(0), *parts])
    values = values[np.isfinite(values)]
    return float(np.quantile(values, share)) if values.size else math.nan
