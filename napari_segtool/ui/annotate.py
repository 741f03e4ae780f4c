"""The Annotate panel: paint examples of each class."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from napari.layers import Image
from napari.layers import Labels as LabelsLayer
from qtpy.QtWidgets import QHBoxLayout, QLabel, QPushButton, QRadioButton, QVBoxLayout, QWidget

from napari_segtool.core.planes import PlaneIndex
from napari_segtool.ui._bridge import class_colormap, class_names_of, fits, label_shape_of, notes_of, placement_of, step_to_plane, unpainted_is_background
from napari_segtool.ui._chips import Chips
from napari_segtool.ui._class_table import ClassTable
from napari_segtool.ui._frame import wrapping
from napari_segtool.ui._panel import Panel
from napari_segtool.ui._superpixels import SuperpixelBrush
from napari_segtool.ui._tools import PaintTools

FIRST_CLASSES = ("object", "background")
BRUSH_PX = 6
_MEANING = {
    False: "What you leave unpainted is not learned from. Paint some of every class, background too.",
    True: "What you leave unpainted is learned as background. Paint every object on the slices you touch.",
}


class AnnotatePanel(Panel):
    """Make the paint layer of an image, name its classes, and paint them."""

    name = "annotate"
    title = "Annotate"
    action = "New paint layer"
    action_help = "Make an empty layer to paint on, lying exactly over the image."
    labels_title = "Paint"

    def build(self) -> None:
        """Class table, tools, painted slices, and what unpainted means."""
        self.table = ClassTable()
        self.table.class_chosen.connect(self._choose_class)
        self.table.renamed.connect(self._rename_class)
        self.table.shown.connect(self._show_class)
        self.add_button = QPushButton("+ Class")
        self.add_button.setToolTip("Add a class to paint.")
        self.add_button.clicked.connect(self._add_class)
        self.remove_button = QPushButton("Remove")
        self.remove_button.setToolTip("Remove the chosen class, if nothing of it is painted.")
        self.remove_button.clicked.connect(self._remove_class)
        under = QHBoxLayout()
        under.addWidget(self.add_button)
        under.addWidget(self.remove_button)
        under.addStretch(1)
        self.tools = PaintTools()
        self.superpixels = SuperpixelBrush(self.session)
        self.chips = Chips("Slices painted (click to go there):", "Slices painted: none yet.")
        self.chips.clicked.connect(self._go_to_plane)
        self.not_labelled = QRadioButton("not labelled")
        self.background = QRadioButton("background")
        for button in (self.not_labelled, self.background):
            button.setToolTip("What pixels without paint tell a learner.")
            button.clicked.connect(self._set_meaning)
        switch = QHBoxLayout()
        switch.addWidget(QLabel("Unpainted means"))
        switch.addWidget(self.not_labelled)
        switch.addWidget(self.background)
        switch.addStretch(1)
        self.meaning = wrapping(QLabel())
        self.meaning.setMinimumHeight(2 * self.meaning.fontMetrics().lineSpacing() + 2)
        self.hint = wrapping(QLabel())
        self.hint.setMinimumHeight(self.hint.fontMetrics().lineSpacing() + 2)
        self._working_part = QWidget()
        inside = QVBoxLayout(self._working_part)
        inside.setContentsMargins(0, 0, 0, 0)
        inside.setSpacing(6)
        inside.addWidget(self.table)
        inside.addLayout(under)
        inside.addWidget(self.tools)
        inside.addWidget(self.superpixels)
        inside.addWidget(self.hint)
        inside.addWidget(self.chips)
        inside.addLayout(switch)
        inside.addWidget(self.meaning)
        self.body.addWidget(self._working_part)
        self._painted: LabelsLayer | None = None
        self.session.paint.changed.connect(self._counted)

    def start(self) -> None:
        """Make a paint layer for the image."""
        image = self.image
        if image is None:
            return self.missing("Open an image first.")
        names = {value: str(name) for value, name in enumerate(self.recall().get("classes", FIRST_CLASSES), start=1)}
        layer = self.viewer.add_labels(np.zeros(label_shape_of(image), np.uint8), name=f"{image.name} · paint", **placement_of(image))
        notes_of(layer).update({"role": "paint", "classes": names, "unpainted": "not labelled", "source": image.name})
        layer.brush_size = BRUSH_PX
        layer.mode = "paint"
        self.session.labels = layer
        self.viewer.layers.selection.active = layer
        self.done("Paint a few strokes of each class on a few slices.", self.links_to("train", "segment"))

    def image_changed(self, layer: Image | None) -> None:
        """Say whether there is something to paint on."""
        self.superpixels.follow(layer, self.labels)
        self._show_hint()

    def plane_changed(self) -> None:
        """Superpixels are those of the slice in view."""
        self.superpixels.plane_changed()

    def became_visible(self) -> None:
        """Let superpixels be painted, if that was switched on."""
        self.superpixels.set_in_view(True)

    def became_hidden(self) -> None:
        """Leave an ordinary brush behind."""
        self.superpixels.set_in_view(False)

    def labels_changed(self, layer: LabelsLayer | None) -> None:
        """Show the classes and tools of the paint layer."""
        if self._painted is not None:
            self._painted.events.selected_label.disconnect(self._class_selected)
        self._painted = layer
        self._working_part.setVisible(layer is not None)
        self.tools.follow(layer)
        self.superpixels.follow(self.image, layer)
        if layer is None:
            return
        layer.events.selected_label.connect(self._class_selected)
        if not class_names_of(layer):
            notes_of(layer)["classes"] = self._names_for(layer)
        self._bind_keys(layer)
        self._colour(layer)
        self.table.fill(class_names_of(layer), self._hidden(layer))
        self.table.choose(int(layer.selected_label))
        self.not_labelled.setChecked(not unpainted_is_background(layer))
        self.background.setChecked(unpainted_is_background(layer))
        self.meaning.setText(_MEANING[unpainted_is_background(layer)])
        self._counted()

    def released(self) -> None:
        """Let go of the layer."""
        self.session.paint.changed.disconnect(self._counted)
        self.tools.follow(None)
        self.superpixels.release()
        if self._painted is not None:
            self._painted.events.selected_label.disconnect(self._class_selected)
            self._painted = None

    # classes

    def _names_for(self, layer: LabelsLayer) -> dict[int, str]:
        """Names for labels that come without: those of a result of ours, or numbers."""
        given = notes_of(layer).get("class_names", ())
        if len(given) > 1:
            return {value: str(name) for value, name in enumerate(given) if value}
        largest = int(np.max(layer.data)) if layer.data.size else 0
        return {value: f"class {value}" for value in range(1, min(max(largest, 2), 20) + 1)}

    def _add_class(self, _: bool = False) -> None:
        if self._painted is None:
            return
        names = class_names_of(self._painted)
        value = next(number for number in range(1, 256) if number not in names)
        self._set_names({**names, value: f"class {value}"})
        self._choose_class(value)
        self.table.choose(value)
        self.table.edit_name(value)

    def _remove_class(self, _: bool = False) -> None:
        if self._painted is None:
            return
        names, value = class_names_of(self._painted), int(self._painted.selected_label)
        count = self.session.paint.counts.totals().get(value, 0)
        if value not in names:
            self.missing("Choose the class to remove in the table.")
        elif count:
            self.missing(f"“{names[value]}” has {count} pixels of paint. Erase them first.")
        else:
            self._set_names({number: name for number, name in names.items() if number != value})

    def _rename_class(self, value: int, name: str) -> None:
        if self._painted is None:
            return
        names = class_names_of(self._painted)
        others = {other for number, other in names.items() if number != value}
        if not name or name in others:
            self.missing("Every class needs a name of its own.")
            self.table.fill(names, self._hidden(self._painted))
        else:
            self._set_names({**names, value: name})

    def _set_names(self, names: dict[int, str]) -> None:
        assert self._painted is not None
        notes_of(self._painted)["classes"] = dict(sorted(names.items()))
        self.remember(classes=[names[value] for value in sorted(names)])
        self._bind_keys(self._painted)
        self._colour(self._painted)
        self.table.fill(class_names_of(self._painted), self._hidden(self._painted))
        self._counted()

    def _choose_class(self, value: int) -> None:
        if self._painted is None:
            return
        self._painted.selected_label = value
        if self._painted.mode in ("pan_zoom", "erase", "pick", "transform"):
            self._painted.mode = "paint"
        self.viewer.layers.selection.active = self._painted

    def _class_selected(self, event: Any = None) -> None:
        if self._painted is not None:
            self.table.choose(int(self._painted.selected_label))

    def _show_class(self, value: int, on: bool) -> None:
        if self._painted is not None:
            hidden = self._hidden(self._painted)
            notes_of(self._painted)["hidden"] = sorted(hidden - {value} if on else hidden | {value})
            self._colour(self._painted)

    def _hidden(self, layer: LabelsLayer) -> frozenset[int]:
        return frozenset(notes_of(layer).get("hidden", ()))

    def _colour(self, layer: LabelsLayer) -> None:
        layer.colormap = class_colormap(class_names_of(layer), self._hidden(layer))

    def _bind_keys(self, layer: LabelsLayer) -> None:
        # On this layer the digits choose classes; napari's tools keep their letters (P, E, F, L, Z).
        for value in class_names_of(layer):
            if value < 10:
                layer.bind_key(str(value), _selector(value), overwrite=True)

    # what is painted

    def facts_of_labels(self, layer: LabelsLayer | None) -> str:
        """Say how many slices are painted, and how much of them."""
        if layer is None:
            return "None yet: make one below."
        if self.image is not None and not fits(layer, self.image):
            return "Does not fit the image: another size."
        return self.session.paint_text()

    def _counted(self) -> None:
        counts = self.session.paint.counts
        self.table.show_counts(counts.totals())
        self.chips.show_indices(counts.planes() if counts.planes() != ((),) else ())
        self._show_label_facts()
        self._show_hint()

    def _show_hint(self) -> None:
        if self._painted is None:
            self.hint.setText("")
            return
        totals, names = self.session.paint.counts.totals(), class_names_of(self._painted)
        empty = [name for value, name in names.items() if not totals.get(value)]
        if not totals:
            text = "Nothing is painted yet: choose a class, then drag over the picture."
        elif empty:
            text = f"▲ Not painted yet: {', '.join(empty)}."
        else:
            text = "✓ Every class has paint."
        self.hint.setText(text)

    def _go_to_plane(self, index: PlaneIndex) -> None:
        if self._painted is not None:
            step_to_plane(self.viewer, self._painted, index)

    def _set_meaning(self, _: bool) -> None:
        if self._painted is not None:
            background = self.background.isChecked()
            notes_of(self._painted)["unpainted"] = "background" if background else "not labelled"
            self.meaning.setText(_MEANING[background])


def _selector(value: int) -> Callable[[LabelsLayer], None]:
    # A function with a name: napari asks every bound key for it, and with a partial among them no key of the layer works at all.
    def select_class(layer: LabelsLayer) -> None:
        layer.selected_label = value
        if layer.mode in ("pan_zoom", "erase", "pick"):
            layer.mode = "paint"

    return select_class
