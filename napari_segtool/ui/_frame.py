"""Pieces of the common frame of every panel: a scroll area that is as tall as it needs, and the page shown before there is an image."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from qtpy.QtCore import QEvent, QObject, QSize, Qt, Signal
from qtpy.QtGui import QResizeEvent
from qtpy.QtWidgets import QFrame, QLabel, QLayout, QPushButton, QScrollArea, QSizePolicy, QVBoxLayout, QWidget


class FittingScroll(QScrollArea):
    """Scroll area as tall as its content where there is room, with a scroll bar where there is not."""

    def __init__(self, inner: QWidget, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Maximum)
        self.setWidget(inner)
        inner.installEventFilter(self)
        self._fit()

    def sizeHint(self) -> QSize:  # noqa: N802
        """Return the size of the content."""
        inner = self.widget()
        if inner is None:
            return super().sizeHint()
        # As tall as the text is beside a scroll bar: Qt would else keep a bar that only the bar's own width calls for.
        width = max(self.width() - self.verticalScrollBar().sizeHint().width(), inner.minimumSizeHint().width())
        height = inner.heightForWidth(width) if inner.hasHeightForWidth() else inner.sizeHint().height()
        border = self.height() - self.maximumViewportSize().height()  # the theme's, which frameWidth does not know of
        return QSize(inner.sizeHint().width(), height + border)

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: N802
        """Ask for another height when the width changes, since text wraps."""
        super().resizeEvent(event)
        if event.oldSize().width() != event.size().width():
            self.updateGeometry()

    def minimumSizeHint(self) -> QSize:  # noqa: N802
        """Return a few lines: the rest is scrolled."""
        return QSize(self.minimumWidth(), 80)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:  # noqa: N802
        """Follow the content when it grows or shrinks."""
        if event.type() == QEvent.Type.LayoutRequest and watched is self.widget():
            self._fit()
        return super().eventFilter(watched, event)

    def _fit(self) -> None:
        inner = self.widget()
        if inner is not None:
            self.setMinimumWidth(inner.minimumSizeHint().width() + self.verticalScrollBar().sizeHint().width())
            self.updateGeometry()


class EmptyPage(QWidget):
    """What a panel shows while there is no image: how to get one."""

    open_wanted = Signal()
    sample_wanted = Signal(str)

    def __init__(self, samples: dict[str, str], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(8, 16, 8, 8)
        layout.setSpacing(8)
        text = QLabel("Open a stack (drag it here), or load a sample to try things on.")
        text.setWordWrap(True)
        layout.addWidget(text)
        opener = QPushButton("Open a stack…")
        opener.setToolTip("Choose a TIFF, or a picture; axes and spacing are read from the file.")
        opener.clicked.connect(self._open)
        layout.addWidget(opener)
        for key, title in samples.items():
            button = QPushButton(title)
            button.setObjectName(key)
            button.setToolTip(f"Make the sample “{title}”, with its true labels.")
            button.clicked.connect(self._sample)
            layout.addWidget(button)
        layout.addStretch(1)

    def _open(self, _: bool) -> None:
        self.open_wanted.emit()

    def _sample(self, _: bool) -> None:
        sender = self.sender()
        if sender is not None:
            self.sample_wanted.emit(sender.objectName())


def wrapping(label: QLabel, vertical: QSizePolicy.Policy = QSizePolicy.Policy.Preferred) -> QLabel:
    """Let a label wrap, take any width, and be as tall as its text then needs."""
    label.setWordWrap(True)
    policy = QSizePolicy(QSizePolicy.Policy.Expanding, vertical)
    policy.setHeightForWidth(True)  # a policy set anew forgets what setWordWrap had said
    label.setSizePolicy(policy)
    label.setMinimumWidth(1)
    return label


def order_focus(panel: QWidget) -> None:
    """Let Tab walk through the panel in reading order, whatever order its parts were made in."""
    parts = list(_reading_order(panel))
    for before, after in itertools.pairwise(parts):
        QWidget.setTabOrder(before, after)


def _reading_order(widget: QWidget) -> Iterator[QWidget]:
    inner = widget.widget() if isinstance(widget, QScrollArea) else None
    if inner is not None:
        yield from _reading_order(inner)
    elif widget.layout() is not None:
        yield from _in_layout(widget.layout())
    elif widget.focusPolicy() & Qt.FocusPolicy.TabFocus:
        yield widget


def _in_layout(layout: QLayout) -> Iterator[QWidget]:
    for position in range(layout.count()):
        item = layout.itemAt(position)
        if item is not None and item.widget() is not None:
            yield from _reading_order(item.widget())
        elif item is not None and item.layout() is not None:
            yield from _in_layout(item.layout())


def line() -> QFrame:
    """Return a thin horizontal line."""
    frame = QFrame()
    frame.setFrameShape(QFrame.Shape.HLine)
    frame.setFixedHeight(1)
    return frame
