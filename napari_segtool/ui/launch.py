"""``segtool gui``: napari with the workspace, the files asked for, and a picture of it where one is wanted."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

SETTLE_MS = 2500


def launch(files: Sequence[str] = (), *, sample: str = "", screenshot: Path | None = None) -> None:
    """Open napari with the workspace and run it until the window is closed.

    Parameters
    ----------
    files
        Images to open.
    sample
        Bundled sample to open; empty for none.
    screenshot
        Write a picture of the window here, and close it.
    """
    import napari
    from qtpy.QtCore import QTimer

    from napari_segtool import api
    from napari_segtool.ui._open import open_paths, show_sample
    from napari_segtool.ui.workspace import open_workspace

    viewer = napari.Viewer(title="napari · SegTool")
    open_workspace(viewer)
    if sample:
        show_sample(viewer, *api.sample(sample))
    open_paths(viewer, files)
    if screenshot is not None:
        viewer.window._qt_window.showMaximized()
        QTimer.singleShot(SETTLE_MS, functools.partial(_photograph, viewer, screenshot))
    napari.run()


def _photograph(viewer: Any, path: Path) -> None:
    viewer.window.screenshot(str(path), canvas_only=False, flash=False)
    viewer.close()
