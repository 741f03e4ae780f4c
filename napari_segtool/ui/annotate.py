"""The Annotate panel: paint examples of each class."""

from __future__ import annotations

from napari_segtool.ui._panel import Panel


class AnnotatePanel(Panel):
    """Make the paint layer of an image and paint its classes."""

    name = "annotate"
    title = "Annotate"
    action = "New paint layer"
