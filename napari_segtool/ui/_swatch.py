"""A small square of a class's colour."""

from __future__ import annotations

from qtpy.QtGui import QColor, QIcon, QPixmap


def swatch(colour: str, size_px: int = 14) -> QIcon:
    """Return an icon filled with ``colour`` (``#RRGGBB``)."""
    pixmap = QPixmap(size_px, size_px)
    pixmap.fill(QColor(colour))
    icon = QIcon(pixmap)
    for mode in (QIcon.Mode.Disabled, QIcon.Mode.Selected, QIcon.Mode.Active):
        icon.addPixmap(pixmap, mode)
    return icon
