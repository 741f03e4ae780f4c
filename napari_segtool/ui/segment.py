"""The Segment panel: segment without learning."""

from __future__ import annotations

from napari_segtool.ui._panel import Panel


class SegmentPanel(Panel):
    """Choose a method, see it on the visible slice, and apply it to the stack."""

    name = "segment"
    title = "Segment"
    action = "Apply to stack"
