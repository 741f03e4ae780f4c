"""The strip at the top of the workspace: the order of work at a glance, each step a way to its tab."""

from __future__ import annotations

from typing import Any

from napari.settings import get_settings
from qtpy.QtCore import QEvent, QTimer
from qtpy.QtWidgets import QDockWidget, QHBoxLayout, QLabel, QPushButton, QSizePolicy, QToolButton, QWidget

from napari_segtool.ui._open import ask_and_open
from napari_segtool.ui._session import session_of, unwrapped

MEMORY = "workspace"
STEPS = (
    ("", "Sample or own stack", "Open an image, or load a sample."),
    ("annotate", "Paint", "Paint a few strokes of each class."),
    ("segment", "Segment", "Try the methods that need no learning."),
    ("train", "Train", "Let a network learn from your paint."),
    ("predict", "Predict", "Let it segment the rest."),
    ("explain", "Look inside", "See what the network looks at."),
    ("export", "Export", "Write the labels to a file."),
)


class StartStrip(QWidget):
    """Shown the first time the workspace opens. Opened by itself, from napari's Plugins menu, it opens the workspace.

    Parameters
    ----------
    napari_viewer
        The viewer; napari passes it because of this name.
    """

    def __init__(self, napari_viewer: Any, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        from napari_segtool.ui.workspace import PANELS, STRIP

        self.viewer = unwrapped(napari_viewer)
        # Where napari is about to dock it: at the right it would push the panels aside. A place the user chose is kept.
        get_settings().application.plugin_widget_positions.setdefault(STRIP.dock_name, "top")
        self.memory = session_of(self.viewer).memory
        self._dock: QDockWidget | None = None
        there = {entry.name for entry in PANELS}
        row = QHBoxLayout(self)
        row.setContentsMargins(8, 4, 8, 4)
        row.setSpacing(4)
        row.addWidget(QLabel("The order of work:"))
        self.buttons: dict[str, QPushButton] = {}
        for name, title, help_text in STEPS:
            if name and name not in there:
                continue
            if self.buttons:
                row.addWidget(QLabel("→"))
            button = QPushButton(title)
            button.setObjectName(name)
            button.setToolTip(help_text)
            button.clicked.connect(self._go)
            row.addWidget(button)
            self.buttons[name] = button
        row.addStretch(1)
        self.close_button = QToolButton()
        self.close_button.setText("✕")
        self.close_button.setToolTip("Close this strip. Plugins ▸ SegTool ▸ Workspace brings it back.")
        self.close_button.setAccessibleName("Close this strip")
        self.close_button.clicked.connect(self._dismiss)
        row.addWidget(self.close_button)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self._settle)

    def event(self, event: QEvent) -> bool:
        """Open the panels once docked; remember when the user closes the strip."""
        if event.type() == QEvent.Type.ParentChange:
            parent = self.parent()
            if isinstance(parent, QDockWidget):
                self._dock = parent
                self._timer.start(0)
            elif parent is None and self._dock is not None:
                self._dock = None
                self.memory.remember(MEMORY, {"strip_closed": True})
        return super().event(event)

    def _settle(self) -> None:
        from napari_segtool.ui.workspace import open_panels, panels_open

        if self._dock is not None:
            self.memory.remember(MEMORY, {"strip_closed": False})
        if not panels_open(self.viewer):
            open_panels(self.viewer)

    def _go(self, _: bool) -> None:
        from napari_segtool.ui.workspace import PANELS, show_panel

        sender = self.sender()
        name = sender.objectName() if sender is not None else ""
        if name:
            show_panel(self.viewer, name)
        elif session_of(self.viewer).image is None:
            show_panel(self.viewer, PANELS[0].name)  # its empty page offers both
        else:
            ask_and_open(self.viewer, self)

    def _dismiss(self, _: bool = False) -> None:
        QTimer.singleShot(0, self._undock)  # not from within our own button's click: the dock is deleted

    def _undock(self) -> None:
        if self._dock is not None:
            self.viewer.window.remove_dock_widget(self._dock)
