"""The curves of a training, or of several to compare: losses, scores, where each was best, and how it stands in a sentence."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QHBoxLayout, QLabel, QPushButton, QSizePolicy, QStackedWidget, QVBoxLayout, QWidget

from napari_segtool.ui._train_history import History
from napari_segtool.ui._train_standing import reached, standing_text

if TYPE_CHECKING:
    from napari_segtool.ui._train_plot import Plot

HEIGHT_PX, LOW_PX = 170, 130
MOST_RUNS = 6
LINES, MOST_LINES = 3, 3
"""Lines of text that are reserved, and runs that are named where there is little room."""
_KEY_TIP = (
    "Thick: held-out pixels; thin: pixels that are learned from, by the same measures. Where only the thin lines go on improving, it learns by heart.\n"
    "Each step: what training makes smaller, on augmented patches and with what else the loss adds up; only its fall tells something."
)
_PLACEHOLDER = "The curves appear here while it learns: the loss should fall, Dice and IoU should rise."


class Curves(QWidget):
    """Plot of one run, or of several to compare. Its place is reserved before there is anything to draw.

    pyqtgraph is loaded at the first curve.

    Parameters
    ----------
    theme
        Name of napari's theme.
    """

    def __init__(self, theme: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self._plot: Plot | None = None
        self._compact = False
        self._runs: list[tuple[str, History]] = []
        self._differing: Mapping[str, Sequence[Any]] = {}
        self.losses = _switch(
            "Loss", "Show how wrong it is on held-out pixels; it should fall. Thin: on what it learns from; where only that falls, it learns by heart."
        )
        self.scores = _switch(
            "Score", "Show Dice and IoU of held-out pixels; 1 is perfect. Thin: of what it learns from; where only that rises, it learns by heart."
        )
        for switch in (self.losses, self.scores):
            switch.clicked.connect(self._switched)
        self.switches = QWidget()
        """Stands where the board puts it; hidden while there is nothing to draw."""
        row = QHBoxLayout(self.switches)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(4)
        for switch in (self.losses, self.scores):
            row.addWidget(switch)
        self.switches.hide()
        self.legend = QLabel()
        self.legend.setTextFormat(Qt.TextFormat.RichText)
        self.legend.setWordWrap(True)
        self.legend.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.legend.setAlignment(Qt.AlignmentFlag.AlignTop)
        self._line_px = self.legend.fontMetrics().lineSpacing()
        self._set_lines(LINES)
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
        self._stack.setToolTip("Dotted: where it was best by what decides. Dice and IoU say how well held-out pixels are told apart; 1 is perfect.")

    @property
    def drawn(self) -> int:
        """Number of points in the curve of each step's loss shown first; 0 while nothing is drawn."""
        return 0 if self._plot is None else self._plot.points

    def set_compact(self, on: bool) -> None:
        """Be lower, and take no place while there is nothing to draw, for a window that has little room."""
        if on != self._compact:
            self._compact = on
            self._stack.setFixedHeight(LOW_PX if on else HEIGHT_PX)
            self._reserve()

    def show_runs(self, runs: Sequence[tuple[str, History]], differing: Mapping[str, Sequence[Any]] | None = None) -> None:
        """Draw these runs, by title; at most six. With none, the place is kept empty.

        ``differing`` are the settings in which they differ, with the value of each run.
        """
        self._runs = [(title, history) for title, history in runs if history.steps or history.checked][:MOST_RUNS]
        self._differing = differing or {}
        self._draw()

    def set_theme(self, theme: str) -> None:
        """Draw in the colours of another theme of napari."""
        self._theme = theme
        if self._plot is not None:
            self._plot.set_theme(theme)

    def shown(self) -> list[str]:
        """Return what is shown, to be remembered: "loss", "score"."""
        return [name for name, switch in (("loss", self.losses), ("score", self.scores)) if switch.isChecked()]

    def restore(self, shown: Sequence[str]) -> None:
        """Show what was remembered."""
        for name, switch in (("loss", self.losses), ("score", self.scores)):
            switch.setChecked(name in shown or not shown)

    def _switched(self, _: bool) -> None:
        if not self.losses.isChecked() and not self.scores.isChecked():
            other = self.scores if self.sender() is self.losses else self.losses
            other.setChecked(True)
        self._draw()

    def _draw(self) -> None:
        if not self._runs:
            self._stack.setCurrentIndex(0)
            self.legend.setText("")
            self._set_lines(LINES)
            self._reserve()
            return
        if self._plot is None:
            from napari_segtool.ui._train_plot import Plot

            self._plot = Plot(self._theme)
            self._stack.addWidget(self._plot.widget)
        self._stack.setCurrentIndex(1)
        self._plot.draw([history for _, history in self._runs], losses=self.losses.isChecked(), scores=self.scores.isChecked())
        lines = self._single() if len(self._runs) == 1 else self._table()
        self.legend.setText("<br>".join(lines))
        self._set_lines(max(LINES, len(lines)))
        self.legend.setFixedHeight(max(self.legend.height(), self.legend.heightForWidth(self.width())))
        self._reserve()

    def _set_lines(self, count: int) -> None:
        self.legend.setFixedHeight(count * (self._line_px + 1) + 4)

    def _reserve(self) -> None:
        drawn = self._stack.currentIndex() == 1
        self.setVisible(not self._compact or drawn)
        self.switches.setVisible(drawn)

    def _single(self) -> list[str]:
        history = self._runs[0][1]
        text = standing_text(history)
        self.legend.setToolTip(f"{_KEY_TIP}\n{text}".strip())
        measured = (*history.train_losses, *history.train_dices, *history.train_ious)
        return [self._key(not all(map(math.isnan, measured))), html.escape(text)]

    def _key(self, learned: bool) -> str:
        """Name the colours; ``learned``: thin lines of what is learned from are drawn."""
        from napari_segtool.ui._train_plot import DICE, IOU, LOSS, STEP

        losses = ((LOSS, "loss"),) if self.losses.isChecked() else ()
        scores = ((DICE, "Dice"), (IOU, "IoU")) if self.scores.isChecked() else ()
        steps = ((STEP, "each step"),) if self.losses.isChecked() else ()
        keys = [f'<span style="color:{colour}">●</span>&nbsp;{name.replace(" ", "&nbsp;")}' for colour, name in (*losses, *scores, *steps)]
        return " &nbsp;".join([*keys, *(["thin:&nbsp;learned"] if learned else [])])

    def _table(self) -> list[str]:
        """One line for each run, with its colour, its name and what it reached; then in what they differ."""
        from napari_segtool.ui._train_plot import run_colour

        most = MOST_LINES if self._compact else MOST_RUNS
        metrics, lines, full = self.legend.fontMetrics(), [], []
        for number, (title, history) in enumerate(self._runs):
            score = _reached(history)
            room = max(self.width(), 240) - metrics.horizontalAdvance(f"●   {score}") - 20
            name = metrics.elidedText(title, Qt.TextElideMode.ElideLeft, max(60, room))
            lines.append(f'<span style="color:{run_colour(number)}">●</span>&nbsp;{html.escape(name)}&nbsp; {score}')
            full.append(f"{title}: {score}")
        if len(lines) > most:
            lines = [*lines[: most - 1], f"and {len(lines) - most + 1} more"]
        told = self._differences()
        self.legend.setToolTip("\n".join([*full, told]))
        return [*lines, html.escape(metrics.elidedText(told, Qt.TextElideMode.ElideRight, max(self.width(), 240) - 8))]

    def _differences(self) -> str:
        how = "solid: loss, dashed: Dice, of held-out pixels" if self.losses.isChecked() and self.scores.isChecked() else ""
        how = how or ("thick: held-out pixels, thin: learned pixels" if self.losses.isChecked() else "solid: Dice, dashed: IoU")
        told = [f"{name.replace('_', ' ')} {' / '.join(map(_value, values))}" for name, values in self._differing.items()]
        return f"They differ in {'; '.join(told)} ({how})" if told else f"{how[:1].upper()}{how[1:]}"


def _reached(history: History) -> str:
    peak = history.peak
    if peak < 0:
        return "not scored"
    return " · ".join(reached(history, peak)[:2])


def _value(value: Any) -> str:
    return "–" if value is None or value == "" else f"{value:g}" if isinstance(value, float) else str(value)


def _switch(text: str, tip: str) -> QPushButton:
    button = QPushButton(text)
    button.setCheckable(True)
    button.setChecked(True)
    button.setToolTip(tip)
    button.setSizePolicy(QSizePolicy.Policy.Maximum, QSizePolicy.Policy.Fixed)
    return button
