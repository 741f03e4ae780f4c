"""Find learning rate: a short training while the rate grows, drawn as a curve, with a suggestion."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
from napari.utils.theme import get_theme
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLabel

from napari_segtool.core.progress import Progress, Steps
from napari_segtool.ui._frame import wrapping
from napari_segtool.ui._train_desk import TrainingDesk
from napari_segtool.ui._train_order import Order
from napari_segtool.ui._train_tool import Tool

STEPS = 100
EACH, SMOOTH, SUGGESTED = "#999999", "#E69F00", "#009E73"


class Rates(Tool):
    """The loss over the learning rate, as it grows; the suggestion as a line."""

    title = "Find learning rate"
    action = "Test again"
    action_help = f"Train {STEPS} steps from the first weights while the rate grows. Nothing of it is kept."
    size_px = (760, 500)

    def build(self) -> None:
        """What is seen, and the plot."""
        about = (
            f"A short training of {STEPS} steps in which the learning rate grows from step to step: at first nothing happens, then the loss falls, and in the "
            "end it breaks. A good rate lies where it falls fastest. Nothing of this training is kept."
        )
        self.page.addWidget(wrapping(QLabel(about)))
        self.suggestion = math.nan
        self._rates: list[float] = []
        self._losses: list[float] = []
        self._smooth: list[float] = []
        self._plot: Any = None
        self._place = QLabel("The curve appears here.")
        self._place.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self._place.setEnabled(False)
        self.page.addWidget(self._place, 1)
        self.use_button = self.add_button("Use it", "Set this learning rate in the Train panel.", self._use)
        self.use_button.setEnabled(False)

    @property
    def drawn(self) -> int:
        """Number of points drawn."""
        return len(self._rates)

    def look(self, order: Order) -> None:
        """Test; not while a training runs, which would take the machine from both."""
        if self.session.shared(TrainingDesk).busy:
            return self.missing("A training is running: test when it has ended.")
        self._rates, self._losses, self._smooth = [], [], []
        self.suggestion = math.nan
        self.use_button.setEnabled(False)
        self.use_button.setText("Use it")
        job = self.run(partial(_with_plot, partial(self.adviser.ask_steps, "rates", order, count=STEPS)), self._arrived, "Testing learning rates")
        job.progressed.connect(self._heard)
        self._draw()
        return None

    def settings_changed(self) -> None:
        """Say that this was tested with other settings."""
        if self.job is None and self._rates:
            self.say("The settings have changed since: another rate may suit them.")

    def _heard(self, progress: Progress) -> None:
        point = progress.metrics
        if "learning_rate" in point and (not self._rates or point["learning_rate"] > self._rates[-1]):
            self._rates.append(point["learning_rate"])
            self._losses.append(point["loss"])
            self._smooth.append(point["smoothed"])
            self._draw()

    def _arrived(self, found: Mapping[str, Any]) -> None:
        self._rates, self._losses, self._smooth = (list(found[name]) for name in ("rates", "losses", "smoothed"))
        self.suggestion = math.nan if found["suggestion"] is None else float(found["suggestion"])
        self._draw()
        if math.isnan(self.suggestion):
            self.rest()
            return self.missing("The loss never fell clearly, so no rate can be told from it. Check the labels, or keep the rate that is set.")
        self.use_button.setText(f"Use {self.suggestion:g}")
        self.use_button.setEnabled(True)
        broke = "" if found["diverged"] is None else f" From {float(found['diverged']):.1g} on it breaks."
        return self.done(f"The loss falls fastest near {self.suggestion:g}.{broke}")

    def _use(self) -> None:
        self.take_over({"learning_rate": self.suggestion})
        self.say(f"The learning rate is {self.suggestion:g} now, in the Train panel.", kind="good")

    def _draw(self) -> None:
        if self._plot is None:
            if not self._rates:
                return
            self._plot = _RatePlot()
            self.page.replaceWidget(self._place, self._plot.widget)
            self._place.hide()
        self._plot.set_theme(self.session.viewer.theme)
        self._plot.draw(self._rates, self._losses, self._smooth, self.suggestion)


def _with_plot(make_steps: Any) -> Steps[Any]:
    import pyqtgraph  # noqa: F401  here, so that the curve does not stall the window when it first appears

    return (yield from make_steps())


class _RatePlot:
    """The pyqtgraph side of it."""

    def __init__(self) -> None:
        import pyqtgraph

        self.widget = pyqtgraph.PlotWidget()
        self.widget.setMenuEnabled(False)
        self.widget.setMouseEnabled(x=False, y=False)
        self.widget.hideButtons()
        self.widget.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self._item = self.widget.getPlotItem()
        self._item.setLogMode(x=True, y=False)
        self._item.getAxis("bottom").setLabel("learning rate")
        self._item.getAxis("left").setLabel("loss")
        self._item.getAxis("left").enableAutoSIPrefix(False)
        self._each = self._item.plot(pen=pyqtgraph.mkPen(EACH, width=1))
        self._smooth = self._item.plot(pen=pyqtgraph.mkPen(SMOOTH, width=3))
        self._mark = pyqtgraph.InfiniteLine(
            angle=90, pen=pyqtgraph.mkPen(SUGGESTED, width=2, style=Qt.PenStyle.DotLine), label="", labelOpts={"color": SUGGESTED, "position": 0.93}
        )
        self._item.addItem(self._mark, ignoreBounds=True)
        self._mark.hide()

    def draw(self, rates: list[float], losses: list[float], smooth: list[float], suggestion: float) -> None:
        self._each.setData(rates, losses)
        self._smooth.setData(rates, smooth)
        shown = not math.isnan(suggestion)
        self._mark.setVisible(shown)
        if shown:
            self._mark.setValue(math.log10(suggestion))
            self._mark.label.setFormat(f"{suggestion:g}")
        if rates:
            self._item.setXRange(-6, 0, padding=0.02)
            low, high = min(smooth), max(smooth[: max(1, int(np.argmin(smooth)) + 1)])
            self._item.setYRange(max(0.0, low - 0.2 * (high - low)), high + 0.5 * max(high - low, 0.1 * high))

    def set_theme(self, theme: str) -> None:
        colours = get_theme(theme)
        self.widget.setBackground(colours.background.as_hex())
        for side in ("left", "bottom"):
            self._item.getAxis(side).setPen(colours.text.as_hex())
            self._item.getAxis(side).setTextPen(colours.text.as_hex())
