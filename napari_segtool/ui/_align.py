"""One left column for all rows of a panel, though they stand in several layouts."""

from __future__ import annotations

from qtpy.QtWidgets import QFormLayout, QGridLayout, QLabel, QLayout, QWidget

from napari_segtool.ui._fold import Fold


def align_labels(panel: QWidget, *, folded_too: bool = False) -> None:
    """Make the captions of a panel's rows equally wide, so that their fields begin at one line; what is folded lines up by itself."""
    folded = set() if folded_too else {widget for fold in panel.findChildren(Fold) for widget in fold.findChildren(QWidget)}
    rows = [widget for widget in (panel, *panel.findChildren(QWidget)) if widget.layout() is not None and widget not in folded]
    captions = [caption for widget in rows for caption in _captions(widget.layout())]
    width = max((caption.sizeHint().width() for caption in captions), default=0)
    for caption in captions:
        caption.setMinimumWidth(width)


def _captions(layout: QLayout) -> list[QLabel]:
    found: list[QLabel] = []
    for index in range(layout.count()):
        item = layout.itemAt(index)
        if item.layout() is not None:
            found += _captions(item.layout())
            continue
        widget, caption = item.widget(), False
        if isinstance(layout, QGridLayout):
            caption = layout.getItemPosition(index)[1] == 0
        elif isinstance(layout, QFormLayout):
            caption = layout.getItemPosition(index)[1] == QFormLayout.ItemRole.LabelRole
        if caption and isinstance(widget, QLabel) and not widget.wordWrap():
            found.append(widget)
    return found
