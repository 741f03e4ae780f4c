"""What a method is given beside the image: paint, labels to start from, probabilities."""

from __future__ import annotations

from typing import Any

from napari.layers import Image, Layer
from napari.layers import Labels as LabelsLayer
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_segtool.core.given import INPUTS, inputs_of
from napari_segtool.core.registry import Entry
from napari_segtool.ui._bridge import META, is_paint_like
from napari_segtool.ui._segment_steps import MASK, Taken
from napari_segtool.ui._session import Session
from napari_segtool.ui._source_row import Source, SourceRow, has_area, is_likelihood, is_marks, is_region

REFINES = "refine"


def _is_result(layer: Layer) -> bool:
    return layer.metadata.get(META, {}).get("role") == "result"


WITHIN = Source(
    MASK,
    "Within",
    "Work only where this layer is not 0, or inside what is drawn: nothing outside is found, nor does it count.",
    is_region,
    nothing="the whole picture",
    draw=True,
)
_SOURCES = (
    Source(
        "paint",
        "Paint",
        "Strokes of each class, which the method starts from.",
        is_marks,
        suits=is_paint_like,
        lacking=("Paint at least one stroke for each class.", "annotate"),
    ),
    Source(
        "labels",
        "Start from",
        "Labels, or drawn shapes, which the method starts from.",
        is_region,
        suits=_is_result,
        draw=True,
        lacking=("Run another method first and choose its labels here, or draw a shape.", ""),
    ),
    Source(
        "probabilities",
        "Probabilities",
        "Probability of each class, as a model predicts it.",
        is_likelihood,
        lacking=("Predict with “probabilities” switched on, or open a file with the class axis first.", "predict"),
    ),
)


class InputRows(QWidget):
    """A row for each input that the chosen method works with. Silent when code fills it.

    Parameters
    ----------
    session
        Its paint is what the other panels paint on and learn from.
    """

    changed = Signal()
    """Something that the method works with was chosen anew."""
    redrawn = Signal()
    """The pixels of something that the method works with have changed."""
    help_wanted = Signal(str)

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._entry: Entry | None = None
        self.rows = {source.name: SourceRow(session.viewer, source) for source in _SOURCES}
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        for row in self.rows.values():
            row.changed.connect(self._changed)
            row.redrawn.connect(self._redrawn)
            row.help_wanted.connect(self.help_wanted)
            layout.addWidget(row)
        self.rows["paint"].chosen.connect(self._paint_chosen)

    def show_for(self, entry: Entry) -> None:
        """Show what the method works with."""
        self._entry = entry
        used = inputs_of(entry)
        for name, row in self.rows.items():
            title = "Labels" if name == "labels" and entry.family == REFINES else ""
            row.require(name in entry.traits, title)
            row.setVisible(name in used)
        self.setVisible(bool(used))

    def follow(self, image: Image | None) -> None:
        """List what lies over ``image``."""
        for row in self.rows.values():
            row.follow(image)
        self.take_paint(self._session.labels)

    def fill(self) -> None:
        """List the layers anew."""
        for row in self.rows.values():
            row.fill()

    def take_paint(self, layer: LabelsLayer | None) -> None:
        """Show the paint that the other panels work with."""
        if layer is not None and is_paint_like(layer):
            self.rows["paint"].set_layer(layer)

    def taken(self, entry: Entry) -> dict[str, Taken]:
        """Return what the method is given, by name."""
        found = {name: self.rows[name].taken() for name in inputs_of(entry)}
        return {name: taken for name, taken in found.items() if taken is not None}

    def lacking(self, entry: Entry) -> tuple[str, str] | None:
        """Return what is missing before the method can start, and the panel that helps; None where nothing is."""
        for name in INPUTS:
            if name not in entry.traits:
                continue
            row = self.rows[name]
            if row.layer is None:
                return row.source.lacking
            if not has_area(row.layer):
                return f"Nothing is drawn in “{row.layer.name}” yet: draw a polygon, a rectangle or an ellipse.", ""
            if name == "paint" and self._unpainted(row.layer):
                return f"Nothing is painted in “{row.layer.name}” yet. {row.source.lacking[0]}", "annotate"
        used = [self.rows[name].layer for name in inputs_of(entry)]
        if entry.family == REFINES and used and all(layer is None for layer in used):
            return "There is nothing to refine yet: choose labels above, or probabilities that a model predicted.", "predict"
        return None

    def let_pass(self) -> None:
        """Do not speak of changes made just now: they are our own."""
        for row in self.rows.values():
            row.let_pass()

    def set_theme(self, dark: bool) -> None:
        """Take link colours that can be read."""
        for row in self.rows.values():
            row.set_theme(dark)

    def release(self) -> None:
        """Let go of all layers."""
        for row in self.rows.values():
            row.release()

    def _unpainted(self, layer: Any) -> bool:
        watch = self._session.paint
        return watch.layer is layer and not watch.busy and not watch.counts.planes()

    def _changed(self) -> None:
        if self._counts(self.sender()):
            self.changed.emit()

    def _redrawn(self) -> None:
        if self._counts(self.sender()):
            self.redrawn.emit()

    def _counts(self, row: object) -> bool:
        return self._entry is not None and isinstance(row, SourceRow) and row.source.name in inputs_of(self._entry)

    def _paint_chosen(self, layer: LabelsLayer | None) -> None:
        if layer is not None:
            self._session.labels = layer
