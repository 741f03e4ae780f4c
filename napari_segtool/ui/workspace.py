"""The workspace: all panels as tabs at the right of the window, in the order of work."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import QDockWidget, QTabBar, QTabWidget

from napari_segtool.ui._session import session_of, unwrapped

DISPLAY_NAME = "SegTool"
WIDTH_PX = 360


@dataclass(frozen=True)
class PanelEntry:
    """One panel of the workspace: its name in code, the name in the manifest and on its tab, and what it is for."""

    name: str
    title: str
    purpose: str

    @property
    def command(self) -> str:
        """Id of the manifest command that opens it."""
        return f"napari-segtool.{self.name}"

    @property
    def dock_name(self) -> str:
        """Name napari gives its dock."""
        return f"{self.title} ({DISPLAY_NAME})"


PANELS = (
    PanelEntry("annotate", "Annotate", "Paint examples of each class"),
    PanelEntry("segment", "Segment", "Segment without learning"),
    PanelEntry("train", "Train", "Learn from paint or masks"),
    PanelEntry("predict", "Predict", "Use a model"),
    PanelEntry("explain", "Explain", "See which pixels decided"),
    PanelEntry("export", "Export", "Write the result to a file"),
)
"""The panels in the order of work; each has a command of the same name in the manifest."""


STRIP = PanelEntry("start", "Workspace", "The order of work")
"""The strip at the top; a command of its own, so that the Plugins menu opens the workspace."""


def open_workspace(viewer: Any) -> None:
    """Open all panels as tabs at the right, and the strip that names the order of work unless the user has closed it."""
    viewer = unwrapped(viewer)
    if not session_of(viewer).memory.recall("workspace").get("strip_closed"):
        _widget(viewer, STRIP)
    open_panels(viewer)


def open_panels(viewer: Any) -> None:
    """Open all panels as tabs at the right, or bring back those that are hidden, and raise the first."""
    viewer = unwrapped(viewer)
    window = viewer.window._qt_window
    docks = [_dock(viewer, entry, PANELS) for entry in PANELS]
    for dock in docks[1:]:
        if dock not in window.tabifiedDockWidgets(docks[0]):
            window.tabifyDockWidget(docks[0], dock)
    QTimer.singleShot(0, partial(_narrow_tabs, window))
    window.setTabPosition(Qt.DockWidgetArea.RightDockWidgetArea, QTabWidget.TabPosition.North)
    window.resizeDocks([docks[0]], [WIDTH_PX], Qt.Orientation.Horizontal)
    docks[0].show()
    docks[0].raise_()


def open_workspace_command() -> None:
    """Open the workspace of the current viewer; for napari's menus."""
    import napari

    open_workspace(napari.current_viewer())


def show_panel(viewer: Any, name: str) -> Any:
    """Raise the tab of the panel called ``name``, opening it if need be, and return the panel."""
    viewer = unwrapped(viewer)
    entry = next(entry for entry in PANELS if entry.name == name)
    dock = _dock(viewer, entry, PANELS)
    dock.show()
    dock.raise_()
    return dock.widget()


def panels_open(viewer: Any) -> bool:
    """True if all panels of the workspace are open."""
    return all(panel_of(viewer, entry.name) is not None for entry in PANELS)


def panel_of(viewer: Any, name: str) -> Any | None:
    """Return the panel called ``name`` if it is open."""
    entry = next(entry for entry in PANELS if entry.name == name)
    return unwrapped(viewer).window.dock_widgets.get(entry.dock_name)


def _dock(viewer: Any, entry: PanelEntry, panels: tuple[PanelEntry, ...]) -> QDockWidget:
    """Return the panel's dock, opened through napari's command registry so that the menus toggle the same one."""
    fresh = entry.dock_name not in viewer.window.dock_widgets
    dock = _dock_of(_widget(viewer, entry))
    if fresh:
        dock.setWindowTitle(entry.title)  # the tab's text; six names with "(SegTool)" would not fit
        _join(viewer, dock, panels)
    dock.show()
    return dock


def _widget(viewer: Any, entry: PanelEntry) -> Any:
    """Return the widget of a command of ours, which is run if it has not been yet."""
    if entry.dock_name not in viewer.window.dock_widgets:
        from napari._app_model import get_app_model

        get_app_model().commands.execute_command(entry.command).result()
    return viewer.window.dock_widgets[entry.dock_name]


def _dock_of(widget: Any) -> QDockWidget:
    parent = widget.parent()
    while not isinstance(parent, QDockWidget):
        parent = parent.parent()
    return parent


def _join(viewer: Any, dock: QDockWidget, panels: tuple[PanelEntry, ...]) -> None:
    """Tab a panel that was just opened with those that are open already."""
    window = viewer.window._qt_window
    for other in panels:
        widget = viewer.window.dock_widgets.get(other.dock_name)
        if widget is not None and _dock_of(widget) is not dock and not _dock_of(widget).isFloating():
            window.tabifyDockWidget(_dock_of(widget), dock)
            break
    QTimer.singleShot(0, partial(_narrow_tabs, window))


def _narrow_tabs(window: Any) -> None:
    """Make six names fit into the width of the panels, instead of cutting each of them."""
    ours = {entry.title for entry in PANELS}
    for bar in window.findChildren(QTabBar):
        if ours & {bar.tabText(i) for i in range(bar.count())}:
            bar.setExpanding(False)
            bar.setElideMode(Qt.TextElideMode.ElideNone)
            bar.setStyleSheet("QTabBar::tab { padding: 3px 3px; }")
