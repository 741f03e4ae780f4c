"""Choose what is asked about: a pixel, an object, a region or a whole class; and which class, rather than which."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from napari.layers import Image, Layer
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QComboBox, QHBoxLayout, QLabel, QRadioButton, QSizePolicy, QVBoxLayout, QWidget

from napari_segtool.core.planes import PlaneIndex
from napari_segtool.core.stack import Stack
from napari_segtool.ui._bridge import fits, labels_of, notes_of
from napari_segtool.ui._explain_asked import Kind, Wish
from napari_segtool.ui._explain_marks import holds_objects, holds_region, is_thin, marks_on, numbers_classes, plane_under
from napari_segtool.ui._fields import guard_wheel
from napari_segtool.ui._form import caption, form_layout
from napari_segtool.ui._source_row import Source, SourceRow, has_area

_KINDS: tuple[tuple[Kind, str, str], ...] = (
    ("pixel", "pixel", "Click in the picture: why does that pixel get the class? Each click asks anew."),
    ("object", "object", "Click an object of a labels layer: why does it get the class? Each click asks anew."),
    ("region", "region", "What you drew: shapes, or paint, on the visible slice."),
    ("class", "class", "All pixels of the visible slice that are given the class."),
)
_OBJECTS = Source(
    "objects",
    "Objects of",
    "Labels whose objects can be clicked. Where the numbers are classes, an object is one piece of a class on the slice.",
    holds_objects,
    lambda layer: notes_of(layer).get("role") != "paint",
    lacking=("No labels yet: predict this slice first, then click an object.", "predict"),
)
_REGION = Source(
    "region",
    "Drawn in",
    "Shapes, or labels that you painted: every pixel of them on the visible slice is asked about.",
    holds_region,
    lambda layer: notes_of(layer).get("role") in ("region", "paint"),
    draw=True,
    lacking=("Nothing is drawn yet: draw a region.", ""),
)
NOBODY = "— (any other)"


class TargetChooser(QWidget):
    """Four ways to point, and two classes.

    The user wants to say *why this, here*. Empty: the line under the way says what to click or draw. Chosen: `wish` is the question.

    Parameters
    ----------
    viewer
        Whose layers are pointed at.
    """

    changed = Signal()
    """The user chose another way to point, or another layer."""
    asked_anew = Signal()
    """The user chose another class: what is shown is about something else now."""
    drawn = Signal()
    """The user drew or changed the region that is asked about."""
    help_wanted = Signal(str)
    """Name of the panel that makes what is missing."""

    def __init__(self, viewer: Any, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.buttons: dict[Kind, QRadioButton] = {}
        ways = QHBoxLayout()
        ways.setSpacing(2)
        ways.addWidget(QLabel("Why a"))
        for kind, title, tip in _KINDS:
            button = QRadioButton(title)
            button.setToolTip(tip)
            button.clicked.connect(self._way_chosen)
            self.buttons[kind] = button
            ways.addWidget(button)
        ways.addStretch(1)
        self.objects, self.region = SourceRow(viewer, _OBJECTS), SourceRow(viewer, _REGION)
        self.region.draw_button.setToolTip("Draw a polygon in the picture; napari's tools make rectangles and ellipses too.")
        self.class_box, self.against_box = QComboBox(), QComboBox()
        self.class_box.setToolTip("The class that is explained.")
        self.against_box.setToolTip(
            "Explain the difference of two classes: what speaks for the first rather than for this one; what speaks for both falls out."
        )
        rows = form_layout()
        for text, box in (("is class", self.class_box), ("rather than", self.against_box)):
            box.setAccessibleName(text.capitalize())
            box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
            box.setMinimumContentsLength(8)
            box.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
            guard_wheel(box)
            label = caption(text)
            label.setBuddy(box)
            label.setToolTip(box.toolTip())
            rows.addRow(label, box)
        self.class_box.activated.connect(self._class_chosen)
        self.against_box.activated.connect(self._against_chosen)
        for row in (self.objects, self.region):
            row.help_wanted.connect(self.help_wanted)
            row.chosen.connect(self._layer_chosen)
        self.region.redrawn.connect(self._region_changed)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addLayout(ways)
        layout.addWidget(self.objects)
        layout.addWidget(self.region)
        layout.addLayout(rows)
        self.choose("pixel")

    @property
    def kind(self) -> Kind:
        """The way chosen."""
        return next((kind for kind, button in self.buttons.items() if button.isChecked()), "pixel")

    @property
    def clicks(self) -> bool:
        """True where a click in the picture says what is meant."""
        return self.kind in ("pixel", "object")

    def choose(self, kind: str) -> None:
        """Show a way as chosen, without saying so."""
        button = next((button for name, button in self.buttons.items() if name == kind), self.buttons["pixel"])
        button.setChecked(True)
        self._show_row()

    def follow(self, image: Image | None) -> None:
        """List the layers over another image."""
        self.objects.follow(image)
        self.region.follow(image)

    def fill(self) -> None:
        """List the layers anew."""
        self.objects.fill()
        self.region.fill()

    def set_classes(self, names: Mapping[int, str]) -> None:
        """Offer the classes of a model; those chosen stay where it has them too."""
        before = self.class_box.currentText(), self.against_box.currentText()
        self.class_box.clear()
        self.against_box.clear()
        self.against_box.addItem(NOBODY, -1)
        for value, name in names.items():
            self.class_box.addItem(name, value)
            self.against_box.addItem(name, value)
        for box, text in zip((self.class_box, self.against_box), before, strict=True):
            box.setCurrentIndex(max(0, box.findText(text)) if box.count() else -1)
        self._part()

    def wish(self, image: Image, stack: Stack, plane: PlaneIndex, point: tuple[int, ...] | None, *, volumes: bool) -> Wish | str:
        """Return the question as things stand, or say what is missing.

        Parameters
        ----------
        plane
            The visible slice.
        point
            The pixel clicked last.
        volumes
            Whether the model sees volumes.
        """
        kind = self.kind
        sides = dict(zip(stack.axes, stack.shape, strict=True))
        known: dict[str, Any] = {
            "class_value": int(self.class_box.currentData()),
            "against": int(self.against_box.currentData()),
            "axes": stack.label_axes,
            "size": (sides["Y"], sides["X"]),
        }
        if kind == "class":
            return Wish(kind, plane, **known)
        if kind == "pixel" and point is None:
            return "Click a pixel in the picture first: the question is why it gets its class."
        row = self.objects if kind == "object" else self.region
        layer = row.layer
        if kind != "pixel" and layer is None:
            return "There are no labels whose objects could be clicked: predict this slice first." if kind == "object" else "Draw a region first."
        if kind == "object" and point is None:
            return "Click an object in the picture first: the question is why it gets its class."
        if kind == "region" and not has_area(layer):
            return "Draw a region first: click its corners in the picture; a double click closes it."
        if kind != "region":
            assert point is not None
            plane = tuple(at for at, axis in zip(point, stack.label_axes, strict=True) if axis not in "YX")
        if kind == "pixel" or layer is None:
            return Wish("pixel", plane, point=point or (), **known)
        marks = marks_on(layer, image, stack, plane)
        if marks is None:
            return f"“{layer.name}” lies on slice {', '.join(map(str, plane_under(layer, image)))}. Go there, or choose other labels."
        pieces = numbers_classes(layer)
        whole = volumes and kind == "object" and not pieces and not is_thin(layer, image) and fits(layer, image)
        return Wish(kind, plane, point=point or (), marks=marks, pieces=pieces, volume=labels_of(layer).data if whole else None, **known)

    def set_theme(self, dark: bool) -> None:
        """Take link colours that can be read."""
        self.objects.set_theme(dark)
        self.region.set_theme(dark)

    def release(self) -> None:
        """Let go of the layers."""
        self.objects.release()
        self.region.release()

    def _show_row(self) -> None:
        self.objects.setVisible(self.kind == "object")
        self.region.setVisible(self.kind == "region")

    def _way_chosen(self, _: bool) -> None:
        self._show_row()
        self.changed.emit()

    def _layer_chosen(self, _: Layer | None) -> None:
        self.changed.emit()

    def _region_changed(self) -> None:
        if self.kind == "region" and has_area(self.region.layer):
            self.drawn.emit()

    def _class_chosen(self, _: int) -> None:
        self._part()
        self.asked_anew.emit()

    def _against_chosen(self, _: int) -> None:
        self.asked_anew.emit()

    def _part(self) -> None:
        """A class is not explained against itself."""
        own = self.class_box.currentData()
        model = self.against_box.model()
        for row in range(self.against_box.count()):
            item = model.item(row)
            item.setEnabled(self.against_box.itemData(row) != own)
        if own is not None and self.against_box.currentData() == own:
            self.against_box.setCurrentIndex(0)
