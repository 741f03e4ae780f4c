"""How long the panels take to open, in a fresh napari with a stack open: ``python benchmarks/open_panels.py``.

Wanted: each below 0.3 s. Prints seconds for the first opening (imports included) and for opening again after closing.
"""

from __future__ import annotations

import os
import tempfile
import time

folder = tempfile.mkdtemp()
os.environ["NAPARI_CONFIG"], os.environ["SEGTOOL_CONFIG"] = f"{folder}/napari.yaml", f"{folder}/segtool.json"

import napari
import numpy as np
from qtpy.QtWidgets import QApplication

from napari_segtool.ui.workspace import PANELS, open_workspace, show_panel


def main() -> None:
    """Open every panel by itself, then all at once."""
    viewer = napari.Viewer()
    viewer.add_image(np.random.default_rng(0).integers(0, 255, (20, 512, 512), np.uint8), name="stack")
    QApplication.processEvents()
    for round_name in ("first", "again"):
        for entry in PANELS:
            begun = time.perf_counter()
            panel = show_panel(viewer, entry.name)
            QApplication.processEvents()
            print(f"{round_name:6} {entry.title:10} {time.perf_counter() - begun:6.3f} s")
            viewer.window.remove_dock_widget(panel.parent())
            QApplication.processEvents()
    begun = time.perf_counter()
    open_workspace(viewer)
    QApplication.processEvents()
    print(f"all at once       {time.perf_counter() - begun:6.3f} s")
    viewer.close()


if __name__ == "__main__":
    main()
