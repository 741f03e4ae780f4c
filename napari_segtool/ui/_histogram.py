"""The histogram of the visible slice, with lines to drag where the method has thresholds to set."""

from __future__ import annotations

from typing import Any

import numpy as np
from qtpy.QtCore import QTimer, Signal
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_segtool.ui._bars import Bars

HEIGHT_PX = 100


class HistogramView(QWidget):
    """Bars of the grey values of a slice. Its place is reserved; the plotting library is loaded when it is first shown."""

    dragged = Signal(float, float)
    """Lower and upper grey value, as the user drags a line."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setFixedHeight(HEIGHT_PX)
        self.setToolTip("Grey values of the visible slice.")
        self._layout = QVBoxLayout(self)
        self._layout.setContentsMargins(0, 0, 0, 0)
        self._plot: Any = None
        self._bars: Any = None
        self._lines: list[Any] = []
        self._marks: list[Any] = []
        self._draggable = False
        self._text, self._fill = "#999999", "#999999"
        self._wanted: tuple[Bars, tuple[float, float] | None, bool] | None = None
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self._draw)

    def show_bars(self, bars: Bars, ends: tuple[float, float] | None, *, marks: bool = True) -> None:
        """Show a histogram, with two lines to drag at ``ends`` (grey values), or else, with ``marks``, the borders of its classes as thin lines."""
        self._wanted = (bars, ends, marks)
        self._timer.start(0)

    def clear(self) -> None:
        """Show nothing."""
        self._wanted = None
        if self._plot is not None:
            self._bars.setOpts(height=[])
            self._set_marks(())
            self._set_lines(None)

    def set_colour(self, text: str) -> None:
        """Follow the theme."""
        self._text = text
        if self._plot is not None:
            self._plot.setBackground(None)
            axis = self._plot.getAxis("bottom")
            axis.setPen(text)
            axis.setTextPen(text)

    @property
    def marks(self) -> tuple[float, ...]:
        """Grey values of the thin lines: the thresholds that the method has found."""
        return tuple(float(mark.value()) for mark in self._marks)

    @property
    def ends(self) -> tuple[float, float]:
        """Grey values of the two lines."""
        low, high = sorted(float(line.value()) for line in self._lines)
        return low, high

    def _make(self) -> None:
        import pyqtgraph

        self._plot = pyqtgraph.PlotWidget(background=None)
        self._plot.setMenuEnabled(False)
        self._plot.hideButtons()
        self._plot.setMouseEnabled(x=False, y=False)
        self._plot.hideAxis("left")
        self._plot.setFrameShape(self._plot.Shape.NoFrame)
        self._bars = pyqtgraph.BarGraphItem(x=[], height=[], width=1.0, pen=None, brush=self._fill)
        self._plot.addItem(self._bars)
        self._layout.addWidget(self._plot)
        self.set_colour(self._text)

    def _draw(self) -> None:
        if self._wanted is None:
            return
        if self._plot is None:
            self._make()
        bars, ends, marks = self._wanted
        width = (bars.highest - bars.lowest) / len(bars.counts)
        heights = np.sqrt(bars.counts)  # so that small peaks beside a large one are seen
        self._bars.setOpts(x=bars.lowest + (np.arange(len(heights)) + 0.5) * width, height=heights, width=width)
        self._plot.setXRange(bars.lowest, bars.highest, padding=0.02)
        self._plot.setYRange(0, max(1.0, float(heights.max())), padding=0.02)
        self._set_lines(ends)
        self._set_marks(bars.borders if marks and ends is None else ())

    def _set_lines(self, ends: tuple[float, float] | None) -> None:
        import pyqtgraph

        if ends is None:
            for line in self._lines:
                self._plot.removeItem(line)
            self._lines = []
            return
        if not self._lines:
            for _ in ends:
                line = pyqtgraph.InfiniteLine(angle=90, movable=True, pen=pyqtgraph.mkPen("#E69F00", width=2), hoverPen=pyqtgraph.mkPen("#F0E442", width=4))
                line.sigDragged.connect(self._line_dragged)
                self._plot.addItem(line)
                self._lines.append(line)
        for line, value in zip(self._lines, ends, strict=True):
            if not line.moving:
                line.setValue(value)
            line.setBounds((self._wanted[0].lowest, self._wanted[0].highest) if self._wanted is not None else None)

    def _set_marks(self, values: tuple[float, ...]) -> None:
        import pyqtgraph

        for mark in self._marks:
            self._plot.removeItem(mark)
        self._marks = [pyqtgraph.InfiniteLine(value, angle=90, pen=pyqtgraph.mkPen("#E69F00", width=1)) for value in values]
        for mark in self._marks:
            self._plot.addItem(mark)

    def _line_dragged(self, _: Any) -> None:
        self.dragged.emit(*self.ends)
