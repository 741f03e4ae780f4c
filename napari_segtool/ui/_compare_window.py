"""The window around a comparison."""

from __future__ import annotations

from typing import Any, ClassVar

from qtpy.QtWidgets import QDialog, QVBoxLayout

from napari_segtool.ui._session import Session
from napari_segtool.ui._working import WorkingWidget


class ComparisonWindow(QDialog):
    """Holds a comparison; it does not block the viewer's window. One of each kind for each viewer.

    Parameters
    ----------
    session
        Of the viewer, with which it ends.
    """

    title: ClassVar[str] = ""
    size_px: ClassVar[tuple[int, int]]
    makes: ClassVar[type[WorkingWidget]]
    """The comparison; its ``release`` ends it with the viewer."""

    def __init__(self, session: Session) -> None:
        window = session.viewer.window._qt_window
        super().__init__(window)
        self.setWindowTitle(self.title)
        self.comparison: Any = self.makes(session)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.comparison)
        self.resize(min(self.size_px[0], round(0.8 * window.width())), min(self.size_px[1], round(0.9 * window.height())))
        session.closing.connect(self._end)

    def hideEvent(self, event: Any) -> None:  # noqa: N802
        """Stop when the window is closed."""
        super().hideEvent(event)
        if self.comparison.job is not None:
            self.comparison.stop()

    def _end(self) -> None:
        self.comparison.release()
        self.close()
