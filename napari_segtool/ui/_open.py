"""Ways into the viewer: files through our reader, and samples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from qtpy.QtWidgets import QFileDialog, QWidget

from napari_segtool.core.labels import Labels
from napari_segtool.core.progress import Steps
from napari_segtool.core.stack import Stack
from napari_segtool.ui._io import layer_of_labels, layer_of_stack, read_paths

FILTER = "Images (*.tif *.tiff *.TIF *.TIFF *.png *.jpg *.jpeg);;All files (*)"


def ask_and_open(viewer: Any, parent: QWidget) -> None:
    """Ask for files and open them."""
    paths, _ = QFileDialog.getOpenFileNames(parent, "Open a stack", "", FILTER)
    open_paths(viewer, paths)


def open_paths(viewer: Any, paths: Sequence[str]) -> list[Any]:
    """Open files with our reader, which keeps axes and spacing; returns the new layers."""
    return [layer for data, meta, kind in read_paths(list(paths)) for layer in _added(viewer, data, meta, kind)] if paths else []


def sample_steps(name: str) -> Steps[tuple[Stack, Labels]]:
    """Make a sample; to be run off the GUI thread."""
    from napari_segtool import api

    return api.sample(name)
    yield


def show_sample(viewer: Any, stack: Stack, labels: Labels) -> None:
    """Add a sample's image and its true labels to the viewer; the labels are hidden at first."""
    data, meta, kind = layer_of_stack(stack)
    image = _added(viewer, data, meta, kind)[0]
    data, meta, kind = layer_of_labels(labels, stack)
    _added(viewer, data, {**meta, "visible": False}, kind)
    viewer.layers.selection.active = image
    viewer.reset_view()


def _added(viewer: Any, data: Any, meta: dict[str, Any], kind: str) -> list[Any]:
    layer = viewer.add_labels(data, **meta) if kind == "labels" else viewer.add_image(data, **meta)
    return layer if isinstance(layer, list) else [layer]
