"""Seeds clicked in the picture: a points layer whose points carry a label and its colour."""

from __future__ import annotations

from typing import Any

import numpy as np
from napari.layers import Image, Points
from qtpy.QtCore import QObject, Signal
from qtpy.QtWidgets import QHBoxLayout, QLabel, QPushButton, QSpinBox, QVBoxLayout, QWidget

from napari_segtool.core.labels import class_colour
from napari_segtool.core.stack import Stack
from napari_segtool.ui._bridge import META, notes_of, placement_of
from napari_segtool.ui._fields import guard_wheel
from napari_segtool.ui._swatch import swatch

SIZE_PX = 10


class SeedLayer(QObject):
    """The points layer of an image's seeds; made when first asked for, found again by its image."""

    changed = Signal()

    def __init__(self, viewer: Any, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self.layer: Points | None = None

    def follow(self, image: Image | None) -> None:
        """Look for the seeds of ``image``."""
        self._let_go()
        if image is not None:
            self._take(next((layer for layer in self._viewer.layers if isinstance(layer, Points) and notes_of(layer).get("seeds_of") == image.name), None))

    def make(self, image: Image, label: int) -> None:
        """Make the layer if there is none, choose it, and let clicks add seeds of ``label``."""
        if self.layer is None or self.layer not in self._viewer.layers:
            self._let_go()
            placement = placement_of(image)
            layer = self._viewer.add_points(
                np.empty((0, len(placement["scale"]))),
                name=f"{image.name} · seeds",
                size=SIZE_PX,
                features={"label": np.empty(0, int)},
                border_color="white",
                metadata={META: {"role": "seeds", "seeds_of": image.name}},
                **placement,
            )
            self._take(layer)
        assert self.layer is not None
        self.set_label(label)
        self.layer.mode = "add"
        self._viewer.layers.selection.active = self.layer

    def set_label(self, label: int) -> None:
        """Choose the label of the next seeds."""
        if self.layer is not None:
            self.layer.selected_data = set()  # or the points that are selected would change too
            self.layer.feature_defaults = {"label": label}
            self.layer.current_face_color = class_colour(label)

    def clear(self) -> None:
        """Remove all seeds."""
        if self.layer is not None:
            self.layer.data = np.empty((0, self.layer.ndim))

    def text(self, stack: Stack) -> str:
        """Return the seeds as ``z,y,x:label; …`` in the order of the stack's label axes; those outside are left out."""
        layer = self.layer
        if layer is None or layer not in self._viewer.layers:
            return ""
        axes = stack.axes.replace("S", "")
        letters = [letter for i, letter in enumerate(axes) if letter != "C" or i > 0]
        order = [letters.index(letter) for letter in stack.label_axes]
        places = np.rint(np.asarray(layer.data)[:, order]).astype(int)
        labels = layer.features["label"].to_numpy()
        inside = ((places >= 0) & (places < np.array(stack.label_shape))).all(axis=1)
        return "; ".join(f"{','.join(map(str, place))}:{int(label)}" for place, label, good in zip(places, labels, inside, strict=True) if good)

    def count(self) -> int:
        """Return how many seeds there are."""
        return len(self.layer.data) if self.layer is not None and self.layer in self._viewer.layers else 0

    def release(self) -> None:
        """Disconnect from the layer; the layer stays."""
        self._let_go()

    def _take(self, layer: Points | None) -> None:
        self.layer = layer
        if layer is not None:
            layer.events.data.connect(self._moved)

    def _let_go(self) -> None:
        if self.layer is not None:
            self.layer.events.data.disconnect(self._moved)
        self.layer = None

    def _moved(self, event: Any) -> None:
        if str(getattr(event, "action", "changed")).rsplit(".", 1)[-1].lower() in ("added", "removed", "changed"):
            self.changed.emit()


class SeedControls(QWidget):
    """Place seeds, choose their label, and clear them."""

    def __init__(self, seeds: SeedLayer, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._seeds = seeds
        self._image: Image | None = None
        self.place = QPushButton("Place seeds")
        self.place.setToolTip("Then click in the picture: each click is a seed that a region grows from.")
        self.place.clicked.connect(self._place)
        self.label = QSpinBox()
        self.label.setRange(1, 999)
        self.label.setPrefix("label ")
        self.label.setToolTip("Label of the next seeds. Seeds of one label grow into one object.")
        guard_wheel(self.label)
        self.label.valueChanged.connect(self._labelled)
        self.colour = QLabel()
        self.clear_button = QPushButton("Clear")
        self.clear_button.setToolTip("Remove all seeds.")
        self.clear_button.clicked.connect(self._clear)
        self.said = QLabel()
        row = QHBoxLayout()
        row.setSpacing(6)
        row.addWidget(self.place, 1)
        row.addWidget(self.colour)
        row.addWidget(self.label)
        row.addWidget(self.clear_button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        layout.addLayout(row)
        layout.addWidget(self.said)
        self._seeds.changed.connect(self.show_count)
        self._labelled(1)
        self.show_count()

    def follow(self, image: Image | None) -> None:
        """Work on the seeds of ``image``."""
        self._image = image
        self._seeds.follow(image)
        self.show_count()

    def show_count(self) -> None:
        """Say how many seeds there are."""
        count = self._seeds.count()
        self.said.setText("No seed yet: place one in each object." if not count else f"{count} seed{'s' if count > 1 else ''}.")
        self.clear_button.setEnabled(count > 0)

    def _place(self, _: bool) -> None:
        if self._image is not None:
            self._seeds.make(self._image, self.label.value())

    def _labelled(self, label: int) -> None:
        self.colour.setPixmap(swatch(class_colour(label)).pixmap(14, 14))
        self._seeds.set_label(label)

    def _clear(self, _: bool) -> None:
        self._seeds.clear()
