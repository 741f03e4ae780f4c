"""What will be written for a layer: kind, dtype, axes, spacing, dialect, and what opens it. No Qt here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from napari.layers import Image, Layer
from napari.layers import Labels as LabelsLayer

from napari_segtool.core.labels import Labels, Paint, smallest_dtype
from napari_segtool.core.progress import Steps
from napari_segtool.core.result import Segmentation, Step
from napari_segtool.core.stack import Stack
from napari_segtool.ui._bridge import META, labels_of, notes_of, paint_of, spacing_of, stack_of
from napari_segtool.ui._facts import size_text, spacing_text

_OPENS = {
    "imagej": "Fiji ✓  napari ✓  ITK-SNAP ✓",
    "ome": "Fiji ✓ (Bio-Formats)  napari ✓",
    "shaped": "Fiji ✓ (as a plain stack)  napari ✓",
}
_LARGEST_SCANNED = 2**26


@dataclass(frozen=True)
class ExportPlan:
    """What the file will hold.

    Parameters
    ----------
    kind
        In words: "Label TIFF", "Paint TIFF", "Image TIFF".
    facts
        Dtype, axes, size and spacing, in one line.
    opens
        Programs that open it.
    steps
        Number of steps of the recipe; 0 where there is none.
    """

    kind: str
    facts: str
    opens: str
    steps: int


def exportable(layer: Layer) -> bool:
    """True for layers that can be written: labels, paint, images, and maps of ours."""
    return isinstance(layer, (Image, LabelsLayer)) and layer.metadata.get(META, {}).get("role") != "preview"


def history_of(layer: Layer) -> tuple[Step, ...]:
    """Return the recipe that made the layer; empty where it was painted or loaded."""
    return tuple(Step.from_dict(record) for record in notes_of(layer).get("history", ()))


def plan_export(layer: Layer, path: str = "") -> ExportPlan:
    """Say what would be written for the layer."""
    from napari_segtool.io._write import dialect_of

    stack = _as_stack(layer)
    dtype = _written_dtype(layer, stack)
    dialect = dialect_of(stack.axes, stack.shape, dtype, path)
    facts = f"{dtype.name} · {stack.axes} · {size_text(stack)} · {spacing_text(stack.spacing_um)}"
    kind = "Image TIFF" if not isinstance(layer, LabelsLayer) else "Paint TIFF" if _is_paint(layer) else "Label TIFF"
    return ExportPlan(kind, facts, _OPENS[dialect], len(notes_of(layer).get("history", ())))


def frozen_result(layer: Layer, recipe: bool) -> tuple[Segmentation | Paint | Stack, tuple[float, ...], tuple[Step, ...]]:
    """Return what to write, read from the layer on the GUI thread; the pixels are shared, not copied."""
    history = history_of(layer) if recipe else ()
    spacing = spacing_of(layer)
    if not isinstance(layer, LabelsLayer):
        return stack_of(layer), spacing, history
    if _is_paint(layer):
        return paint_of(layer), spacing, history
    labels = labels_of(layer)
    return Segmentation(Labels(labels.data, labels.axes, labels.class_names), spacing, history, layer.name), spacing, history


def write_steps(result: Any, spacing: tuple[float, ...], history: tuple[Step, ...], path: Path) -> Steps[Path]:
    """Write what `frozen_result` returned; to be run off the GUI thread."""
    from napari_segtool.io._write import write_result

    write_result(result, path, spacing_um=spacing, history=history)
    return path
    yield


def default_file_name(layer: Layer) -> str:
    """Return a file name made from the layer's, without what file systems refuse."""
    clean = "".join("_" if letter in '<>:"/\\|?*' or ord(letter) < 32 else letter for letter in layer.name).replace(" · ", "_").strip(" .")
    return f"{clean.replace(' ', '_') or 'labels'}.tif"


def _is_paint(layer: LabelsLayer) -> bool:
    return notes_of(layer).get("role") == "paint"


def _as_stack(layer: Layer) -> Stack:
    if isinstance(layer, LabelsLayer):
        labels = labels_of(layer)
        return Stack(labels.data, labels.axes, spacing_of(layer), layer.name)
    return stack_of(layer)


def _written_dtype(layer: Layer, stack: Stack) -> np.dtype[Any]:
    if not isinstance(layer, LabelsLayer):
        return np.dtype(stack.data.dtype).newbyteorder("=")
    small = np.dtype(stack.data.dtype)
    if small.itemsize > 1 and int(np.prod(stack.shape)) <= _LARGEST_SCANNED:
        return smallest_dtype(max(0, int(np.max(stack.data, initial=0))))
    return np.dtype(f"uint{8 * small.itemsize}") if small.itemsize <= 4 else np.dtype("uint32")
