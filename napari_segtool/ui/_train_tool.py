"""Windows in which something is looked at before a training; they do not block the viewer's."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar

from qtpy.QtWidgets import QDialog, QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from napari_segtool.core.errors import SegtoolError
from napari_segtool.ui._session import Session
from napari_segtool.ui._train_adviser import Adviser
from napari_segtool.ui._train_order import Missing, Order
from napari_segtool.ui._working import WorkingWidget

Find = Callable[[], "Order | Missing"]
"""Returns what would be trained now, or what is missing; may raise `SegtoolError`."""
TakeOver = Callable[[dict[str, Any]], object]
"""Puts values into the settings of the panel."""
SETTLED_MS = 350
"""After a change of settings, what is shown is asked for anew when nothing has changed for so long."""


class Tool(WorkingWidget):
    """What such a window holds: a look at what is about to be trained, a button to look again, and a line that says what is seen.

    Parameters
    ----------
    session
        Runs the work.
    """

    title: ClassVar[str] = ""
    size_px: ClassVar[tuple[int, int]] = (900, 600)

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(session, parent)
        self.adviser = session.shared(Adviser)
        self._find: Find = _nobody
        self._take_over: TakeOver = _nowhere
        self.extra = QHBoxLayout()
        """Buttons beside the main one."""
        self.page = QVBoxLayout()
        """What is looked at."""
        self.message.setMinimumWidth(200)
        self.button.setAutoDefault(False)
        bottom = QHBoxLayout()
        bottom.addWidget(self.message, 1)
        bottom.addLayout(self.extra)
        bottom.addWidget(self.button)
        layout = QVBoxLayout(self)
        layout.addLayout(self.page, 1)
        layout.addWidget(self.bar)
        layout.addLayout(bottom)
        self.build()
        self.rest()

    def build(self) -> None:
        """Fill `page` and `extra`."""

    def look(self, order: Order) -> None:
        """Work on what is about to be trained."""

    def closed(self) -> None:
        """Take back what was put into the viewer; the window was closed."""

    def settings_changed(self) -> None:
        """Something of what would be trained is not as it was shown."""

    def add_button(self, text: str, tip: str, action: Callable[[], object]) -> QPushButton:
        """Put a button beside the main one."""
        button = QPushButton(text)
        button.setToolTip(tip)
        button.setMinimumHeight(30)
        button.setAutoDefault(False)
        button.clicked.connect(partial(self._pressed, action))
        self.extra.addWidget(button)
        return button

    def _pressed(self, action: Callable[[], object], _: bool = False) -> None:
        self.guarded(action)

    def open_on(self, find: Find, take_over: TakeOver) -> None:
        """Look at what ``find`` returns now; ``take_over`` is told values that are liked."""
        self._find, self._take_over = find, take_over
        if self.job is None:
            self.guarded(self.start)

    def start(self) -> None:
        """Look, or say what is missing."""
        found = self._find()
        if isinstance(found, Missing):
            return self.missing(found.text)
        return self.look(found)

    def settings(self) -> Order | None:
        """Return what would be trained now, if nothing is missing."""
        try:
            found = self._find()
        except SegtoolError:
            return None
        return None if isinstance(found, Missing) else found

    def take_over(self, values: dict[str, Any]) -> None:
        """Put values into the settings of the panel."""
        self._take_over(values)

    def leave(self) -> None:
        """Stop, since nobody looks any more."""
        if self.job is not None:
            self.job.cancel()
        self.closed()


class ToolWindow(QDialog):
    """The window of one tool."""

    def __init__(self, tool: Tool) -> None:
        window = tool.session.viewer.window._qt_window
        super().__init__(window)
        self.tool = tool
        self.setWindowTitle(tool.title)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(tool)
        self.resize(min(tool.size_px[0], round(0.8 * window.width())), min(tool.size_px[1], round(0.85 * window.height())))
        tool.session.closing.connect(self._end)

    def hideEvent(self, event: Any) -> None:  # noqa: N802
        """Stop when the window is closed."""
        super().hideEvent(event)
        self.tool.leave()

    def _end(self) -> None:
        self.tool._find, self.tool._take_over = _nobody, _nowhere
        self.close()


class ToolWindows:
    """The windows of one viewer, one for each kind of tool, made when first opened; get it with ``session.shared(ToolWindows)``."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._windows: dict[type[Tool], ToolWindow] = {}
        session.closing.connect(self._forget)

    def show(self, kind: type[Tool], find: Find, take_over: TakeOver) -> Tool:
        """Open a tool, or bring it to the front, and let it look."""
        if kind not in self._windows:
            self._windows[kind] = ToolWindow(kind(self._session))
        window = self._windows[kind]
        window.show()
        window.raise_()
        window.tool.open_on(find, take_over)
        return window.tool

    def _forget(self) -> None:
        self._windows.clear()

    def settings_changed(self) -> None:
        """Tell those that are open that the settings are others now."""
        for window in self._windows.values():
            if window.isVisible():
                window.tool.settings_changed()


def _nobody() -> Missing:
    return Missing("The panel was closed.")


def _nowhere(_: dict[str, Any]) -> None:
    return None
