"""The curves of a training: losses on the left axis, Dice on the right, a mark at the best step."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from napari.utils.theme import get_theme
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLabel, QSizePolicy, QStackedWidget, QVBoxLayout, QWidget

from napari_segtool.ui._train_history import History

HEIGHT_PX, LOW_PX = 170, 130
LOSS, CHECK, DICE = "#999999", "#E69F00", "#56B4E9"
_PLACEHOLDER = "The curves appear here while it learns: the loss should fall, the Dice should rise."


class Curves(QWidget):
    """Plot of one run, or of two to compare: the second is dashed. Its place is reserved before there is anything to draw.

    pyqtgraph is loaded at the first curve.

    Parameters
    ----------
    theme
        Name of napari's theme.
    """

    def __init__(self, theme: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self._plot: _Plot | None = None
        self._compact = False
        self.legend = QLabel()
        self.legend.setTextFormat(Qt.TextFormat.RichText)
        self.legend.setWordWrap(True)
        self.legend.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.legend.setFixedHeight(2 * self.legend.fontMetrics().height() + 8)
        self.legend.setAlignment(Qt.AlignmentFlag.AlignTop)
        self._stack = QStackedWidget()
        self._stack.setFixedHeight(HEIGHT_PX)
        empty = QLabel(_PLACEHOLDER)
        empty.setWordWrap(True)
        empty.setAlignment(Qt.AlignmentFlag.AlignCenter)
        empty.setEnabled(False)
        self._stack.addWidget(empty)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addWidget(self.legend)
        layout.addWidget(self._stack)
        self.setToolTip("Loss: how wrong it is, on what it learns from and on what is held out. Dice: how well held-out pixels are told apart; 1 is perfect.")

    @property
    def drawn(self) -> int:
        """Number of points in the training-loss curve shown first; 0 while nothing is drawn."""
        return 0 if self._plot is None else self._plot.points

    def set_compact(self, on: bool) -> None:
        """Be lower, and take no place while there is nothing to draw, for a window that has little room."""
        if on != self._compact:
            self._compact = on
            self._stack.setFixedHeight(LOW_PX if on else HEIGHT_PX)
            self._reserve()

    def _reserve(self) -> None:
        self.setVisible(not self._compact or self._stack.currentIndex() == 1)

    def show_runs(self, runs: Sequence[tuple[str, History]]) -> None:
        """Draw these runs, by title; at most two. With none, the place is kept empty."""
        runs = [(title, history) for title, history in runs if history.steps or history.checked][:2]
        if not runs:
            self._stack.setCurrentIndex(0)
            self.legend.setText("")
            self._reserve()
            return
        if self._plot is None:
            self._plot = _Plot(self._theme)
            self._stack.addWidget(self._plot.widget)
        self._stack.setCurrentIndex(1)
        self._plot.draw([history for _, history in runs])
        self.legend.setText(f"{_colours()}<br>{html.escape(self._explain(runs))}")
        self._reserve()

    def _explain(self, runs: Sequence[tuple[str, History]]) -> str:
        if len(runs) > 1:
            first, second = (self._fitting(title, 0.5, "dashed: ") for title, _ in runs)
            return f"solid: {first} · dashed: {second}"
        title, history = runs[0]
        if math.isnan(history.best_dice):
            return self._fitting(title, 1.0, "")
        return f"best: Dice {history.best_dice:.3f} at step {history.best_step} (dotted line)"

    def _fitting(self, title: str, share: float, caption: str) -> str:
        """As much of the end of a title, where its time stands, as fits into a part of the line."""
        metrics = self.legend.fontMetrics()
        room = share * max(self.width(), 240) - metrics.horizontalAdvance(f"{caption} · ")
        return metrics.elidedText(title, Qt.TextElideMode.ElideLeft, int(room))

    def set_theme(self, theme: str) -> None:
        """Draw in the colours of another theme of napari."""
        self._theme = theme
        if self._plot is not None:
            self._plot.set_theme(theme)


class _Plot:
    """The pyqtgraph side of it."""

    def __init__(self, theme: str) -> None:
        import pyqtgraph

        self._graph = pyqtgraph
        self.widget = pyqtgraph.PlotWidget()
        self.widget.setMenuEnabled(False)
        self.widget.setMouseEnabled(x=False, y=False)
        self.widget.hideButtons()
        self.widget.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self._left = self.widget.getPlotItem()
        self._left.layout.setContentsMargins(0, 8, 0, 0)  # the uppermost numbers stick out
        self._left.showAxis("right")
        self._right = pyqtgraph.ViewBox(enableMenu=False)
        self._right.setMouseEnabled(False, False)
        self._left.scene().addItem(self._right)
        self._left.getAxis("right").linkToView(self._right)
        self._right.setXLink(self._left)
        self._right.setYRange(0, 1, padding=0.02)
        self._left.vb.sigResized.connect(self._fit)
        self._left.getAxis("bottom").setLabel("step")
        self._left.getAxis("left").setLabel("loss")
        self._left.getAxis("right").setLabel("Dice")
        for side, width in (("left", 44), ("right", 38)):
            self._left.getAxis(side).setWidth(width)
            self._left.getAxis(side).enableAutoSIPrefix(False)
        self._left.getAxis("bottom").enableAutoSIPrefix(False)
        self._curves = [self._curve_set(dashed) for dashed in (False, True)]
        self._best = [pyqtgraph.InfiniteLine(angle=90) for _ in range(2)]
        for number, mark in enumerate(self._best):
            style = Qt.PenStyle.DotLine if number == 0 else Qt.PenStyle.DashDotLine
            mark.setPen(pyqtgraph.mkPen(DICE, width=1.5, style=style))
            self._left.addItem(mark, ignoreBounds=True)
        self.points = 0
        self.set_theme(theme)

    def draw(self, histories: Sequence[History]) -> None:
        for number, (loss, check, dice) in enumerate(self._curves):
            history = histories[number] if number < len(histories) else History()
            loss.setData(history.steps, history.losses)
            check.setData(history.checked, history.check_losses)
            dice.setData(history.checked, history.dices)
            self._best[number].setVisible(not math.isnan(history.best_dice))
            self._best[number].setValue(history.best_step)
        losses = np.array([value for history in histories for value in [*history.losses, *history.check_losses]])
        losses = losses[np.isfinite(losses)]
        if losses.size:
            self._left.setYRange(0, max(1e-6, float(np.quantile(losses, 0.98)) * 1.1), padding=0)
        last = max(max([*history.steps[-1:], *history.checked[-1:], 1]) for history in histories)
        self._left.setXRange(0, last, padding=0.02)
        self.points = len(histories[0].steps)
        self._fit()

    def set_theme(self, theme: str) -> None:
        colours = get_theme(theme)
        text = colours.text.as_hex()
        self.widget.setBackground(colours.background.as_hex())
        for side in ("left", "right", "bottom"):
            axis = self._left.getAxis(side)
            axis.setPen(text)
            axis.setTextPen(text)
        self._left.getAxis("right").setTextPen(DICE)

    def _curve_set(self, dashed: bool) -> tuple[Any, Any, Any]:
        style = Qt.PenStyle.DashLine if dashed else Qt.PenStyle.SolidLine
        pens = [self._graph.mkPen(colour, width=width, style=style) for colour, width in ((LOSS, 1), (CHECK, 2), (DICE, 2))]
        loss = self._left.plot(pen=pens[0], connect="finite")
        check = self._left.plot(pen=pens[1], symbol="o", symbolSize=4, symbolBrush=CHECK, symbolPen=None, connect="finite")
        dice = self._graph.PlotDataItem(pen=pens[2], symbol="o", symbolSize=4, symbolBrush=DICE, symbolPen=None, connect="finite")
        self._right.addItem(dice)
        return loss, check, dice

    def _fit(self) -> None:
        self._right.setGeometry(self._left.vb.sceneBoundingRect())
        self._right.linkedViewChanged(self._left.vb, self._right.XAxis)


def _colours() -> str:
    named = ((LOSS, "training loss"), (CHECK, "validation loss"), (DICE, "Dice"))
    return " &nbsp; ".join(f'<span style="color:{colour}">●</span> {name}' for colour, name in named)
