"""The Export panel: write a result to a file."""

from __future__ import annotations

from napari_segtool.ui._panel import Panel


class ExportPanel(Panel):
    """Write labels with their axes, spacing and recipe."""

    name = "export"
    title = "Export"
    action = "Export…"
