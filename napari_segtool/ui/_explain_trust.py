"""Can it be trusted? The verdict on the map that is shown, in plain words; curves and numbers below."""

from __future__ import annotations

import html
import re

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from napari_segtool.core.trust import Likeness, TrustReport
from napari_segtool.ui._explain_curves import CHANCE, MAP, SmallCurve
from napari_segtool.ui._fold import Fold
from napari_segtool.ui._frame import wrapping

GOOD, CARE, BAD = "#009E73", "#E69F00", "#D55E00"
_SHORT = {
    "randomisation": "depends on what was learned",
    "deletion": "covering it matters",
    "insertion": "showing it suffices",
    "repeatability": "comes out the same",
}


class TrustSection(QWidget):
    """One button, one verdict; with its curves and numbers after it.

    The user wants to know whether the map may be read. Before: the button. Working: progress at the foot. Done: a sentence that says
    read it, read it with care, or don't; each check that failed says why.
    """

    wanted = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.report: TrustReport | None = None
        self.button = QPushButton("Can it be trusted?")
        self.button.setToolTip(
            "Check the map that is shown: does it change when the network's weights are randomised, does covering what it points at change the answer, "
            "does it come out the same again? Takes as long as a dozen maps."
        )
        self.button.clicked.connect(self._clicked)
        self.verdict = wrapping(QLabel())
        self.verdict.setTextFormat(Qt.TextFormat.RichText)
        self.verdict.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.covered, self.shown = SmallCurve("Covering it"), SmallCurve("Showing it")
        legend = QLabel(f'<span style="color:{MAP}">●</span> in the map\'s order &nbsp; <span style="color:{CHANCE}">●</span> in a random order')
        self.curves = QWidget()
        pair = QHBoxLayout()
        pair.setSpacing(8)
        pair.addWidget(self.covered)
        pair.addWidget(self.shown)
        inside = QVBoxLayout(self.curves)
        inside.setContentsMargins(0, 2, 0, 0)
        inside.setSpacing(2)
        inside.addLayout(pair)
        inside.addWidget(legend)
        self.numbers = wrapping(QLabel())
        self.numbers.setTextFormat(Qt.TextFormat.RichText)
        self.numbers.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.fold = Fold("Numbers")
        self.fold.button.setToolTip("What was measured by each check.")
        content = QVBoxLayout()
        content.addWidget(self.numbers)
        self.fold.setContentLayout(content)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        for widget in (self.button, self.verdict, self.curves, self.fold):
            layout.addWidget(widget)
        self.forget()

    def forget(self) -> None:
        """Say nothing: another map is shown, which was not checked."""
        self.report = None
        for widget in (self.verdict, self.curves, self.fold):
            widget.hide()

    def show_report(self, report: TrustReport) -> None:
        """Say what came out."""
        self.report = report
        self.verdict.setText(verdict_html(report))
        self.covered.show_curves(report.deletion, report.random_deletion)
        self.shown.show_curves(report.insertion, report.random_insertion)
        measure = "class's probability" if report.measure == "probability" else "class's score"
        for curve, doing, good in ((self.covered, "covered", "fall faster"), (self.shown, "shown", "rise faster")):
            curve.setToolTip(
                f"The {measure} where it is asked about, as more and more of the picture is {doing}, what the map calls important first. "
                f"A map that points at what the model uses makes it {good} than a random order."
            )
        self.numbers.setText(numbers_html(report))
        for widget in (self.verdict, self.curves, self.fold):
            widget.show()

    def _clicked(self, _: bool) -> None:
        self.wanted.emit()


def headline(report: TrustReport) -> tuple[str, str]:
    """Return the verdict in a few words, and its colour."""
    if report.verdict("randomisation").passed is False:
        return "Don't read this map.", BAD
    if not report.trusted:
        return "Read this map with care.", CARE
    if all(verdict.passed for verdict in report.verdicts):
        return "This map passes all checks.", GOOD
    return "Nothing speaks against this map, but not everything could be checked.", CARE


def verdict_html(report: TrustReport) -> str:
    """Say in plain words whether a map can be trusted: failures in full, what passed in short."""
    words, colour = headline(report)
    mark = {GOOD: "✓", CARE: "▲", BAD: "✕"}[colour]
    lines = [f'<b><span style="color:{colour}">{mark}</span> {words}</b>']
    lines += [f"✕ {html.escape(_plain(verdict.words), quote=False)}" for verdict in report.verdicts if verdict.passed is False]
    unknown = {verdict.check: verdict.words for verdict in report.verdicts if verdict.passed is None}
    if "deletion" in unknown:
        unknown.pop("insertion", None)  # it is unknown for the same reason
    lines += [f"? {html.escape(words, quote=False)}" for words in unknown.values()]
    passed = [_SHORT[verdict.check] for verdict in report.verdicts if verdict.passed]
    if passed:
        lines.append(f"✓ {', '.join(passed)}")
    return "<br>".join(lines)


def numbers_html(report: TrustReport) -> str:
    """Return all numbers as small tables, and each verdict in full."""
    rows = [
        ("Covering, area", report.deletion.area, report.random_deletion.area),
        ("Showing, area", report.insertion.area, report.random_insertion.area),
    ]
    parts = ["<table cellspacing=0 cellpadding=2><tr><td></td><td align=right>map</td><td align=right>&nbsp;random</td></tr>"]
    parts += [f"<tr><td>{name}</td><td align=right>{_number(own)}</td><td align=right>{_number(chance)}</td></tr>" for name, own, chance in rows]
    parts.append("</table>Likeness to the map of a network with random weights<table cellspacing=0 cellpadding=2>")
    parts.append("<tr><td>layers</td><td align=right>&nbsp;rank</td><td align=right>&nbsp;signed</td><td align=right>&nbsp;SSIM</td></tr>")
    parts += [_likeness_row(likeness, "to ") for likeness in report.cascading]
    parts += [_likeness_row(likeness, "only ") for likeness in report.independent]
    parts.append("</table>")
    parts.append(f"Asked twice it differs by {_number(report.difference)}; rank correlation under noise {_number(report.steadiness)}.")
    parts += [
        f"<br>{'✕' if verdict.passed is False else '?' if verdict.passed is None else '✓'} {html.escape(verdict.words, quote=False)}"
        for verdict in report.verdicts
    ]
    return "".join(parts)


def _likeness_row(likeness: Likeness, how: str) -> str:
    first, last = likeness.layers[0], likeness.layers[-1]
    named = f"{how}{first}" if how == "to " else f"{how}{first}" + (f" … {last}" if last != first else "")
    values = (likeness.rank, likeness.signed_rank, likeness.ssim)
    return f"<tr><td>{html.escape(named)}</td>" + "".join(f"<td align=right>&nbsp;{_number(value)}</td>" for value in values) + "</tr>"


def _number(value: float) -> str:
    return "–" if value != value else f"{value:.2f}"


def _plain(words: str) -> str:
    """A verdict without its numbers, which stand below."""
    return re.sub(r" \((?:rank correlation|area)[^)]*\)", "", words)
