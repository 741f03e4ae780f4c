"""Deletion and insertion curves, drawn small: what the score does as the picture is covered or shown in the map's order."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QPointF, QRectF, QSize, Qt
from qtpy.QtGui import QColor, QPainter, QPen, QPolygonF
from qtpy.QtWidgets import QSizePolicy, QWidget

from napari_segtool.core.trust import Curve

MAP, CHANCE = "#E69F00", "#999999"
_MARGIN_PX = 3
_HEIGHT_PX = 66


class SmallCurve(QWidget):
    """One curve in the map's order and one in a random order, on one scale.

    Parameters
    ----------
    title
        Written over them ("Covered").
    """

    def __init__(self, title: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._title = title
        self._curve: Curve | None = None
        self._chance: Curve | None = None
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setAccessibleName(title)

    def show_curves(self, curve: Curve, chance: Curve) -> None:
        """Draw these."""
        self._curve, self._chance = curve, chance
        self.update()

    def sizeHint(self) -> QSize:  # noqa: N802
        """Return the size for two beside each other."""
        return QSize(120, _HEIGHT_PX + self.fontMetrics().height())

    def minimumSizeHint(self) -> QSize:  # noqa: N802
        """Return the same: less would show nothing."""
        return self.sizeHint()

    def paintEvent(self, event: Any) -> None:  # noqa: N802
        """Draw a frame, the title, both lines."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        text = self.palette().text().color()
        high = self.fontMetrics().height()
        painter.setPen(text)
        painter.drawText(QRectF(0, 0, self.width(), high), Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter, self._title)
        frame = QRectF(0.5, high + 0.5, self.width() - 1, self.height() - high - 1)
        faint = QColor(text)
        faint.setAlpha(90)
        painter.setPen(QPen(faint, 1))
        painter.drawRect(frame)
        if self._curve is not None and self._chance is not None:
            area = frame.adjusted(_MARGIN_PX, _MARGIN_PX, -_MARGIN_PX, -_MARGIN_PX)
            scores = [score for curve in (self._curve, self._chance) for score in curve.scores if score == score]
            low, top = min(scores, default=0.0), max(scores, default=1.0)
            for curve, colour, width in ((self._chance, CHANCE, 1.2), (self._curve, MAP, 2.0)):
                painter.setPen(QPen(QColor(colour), width))
                painter.drawPolyline(polyline(curve, area, low, top))
        painter.end()


def polyline(curve: Curve, area: QRectF, low: float, top: float) -> QPolygonF:
    """Return a curve's points in an area: fractions from left to right, scores from bottom (``low``) to ``top``."""
    span = (top - low) or 1.0
    return QPolygonF(
        [
            QPointF(area.left() + at * area.width(), area.bottom() - (score - low) / span * area.height())
            for at, score in zip(curve.fractions, curve.scores, strict=True)
            if score == score
        ]
    )
