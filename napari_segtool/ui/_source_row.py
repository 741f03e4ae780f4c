"""Choose a layer whose pixels lie over the image: a mask, paint, labels, or probabilities."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from napari.layers import Image, Layer, Shapes
from napari.layers import Labels as LabelsLayer
from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QGridLayout, QLabel, QPushButton, QWidget

from napari_segtool.core.labels import as_label_array
from napari_segtool.core.stack import CHANNELS, Stack
from napari_segtool.ui._bridge import META, axes_of, data_of, fits, is_labels, label_shape_of, labels_of
from napari_segtool.ui._drawn import WITH_AREA, filled, new_region_layer, outlines_of
from napari_segtool.ui._form import caption
from napari_segtool.ui._frame import wrapping
from napari_segtool.ui._layer_watch import LayerWatch
from napari_segtool.ui._layers import LayerCombo
from napari_segtool.ui._message import LINK_COLOURS
from napari_segtool.ui._segment_steps import Key, Taken

PROBABILITY = "probability_of"
"""Note of a map of one class: the name of the prediction it belongs to; its place among the classes is noted as ``class_index``."""
_HOW_TO_DRAW = "Click the corners of a region in the picture; a double click closes it."


@dataclass(frozen=True)
class Source:
    """One kind of thing that can be chosen.

    Parameters
    ----------
    name
        As `core.given.Given` and `api.segment` call it ("paint").
    title
        Caption ("Paint").
    help
        Tooltip.
    accepts
        Says whether a layer can be it over an image.
    suits
        Says whether a layer that can be it is taken without being asked for.
    nothing
        Text of the entry for none; empty where it must be given.
    draw
        Whether a shape can be drawn for it.
    lacking
        What to do while there is none: text, and the panel that helps.
    """

    name: str
    title: str
    help: str
    accepts: Callable[[Layer, Image], bool]
    suits: Callable[[Layer], bool] = bool
    nothing: str = ""
    draw: bool = False
    lacking: tuple[str, str] = ("", "")


class SourceRow(QWidget):
    """Caption, box of layers, where it makes sense a button to draw one, and a line that says what is missing.

    The user wants to say *here*, *from this*. Empty: the line names the way to such a layer. Working: every stroke and shape counts at once.

    Parameters
    ----------
    viewer
        The viewer.
    source
        What is chosen here.
    """

    changed = Signal()
    """Another layer was chosen, by the user or because the one before is gone."""
    redrawn = Signal()
    """The pixels or shapes of the layer have changed."""
    chosen = Signal(object)
    """The layer that the user has just chosen."""
    help_wanted = Signal(str)
    """Name of the panel that the user wants to go to, to make what is missing."""

    def __init__(self, viewer: Any, source: Source, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._viewer, self.source = viewer, source
        self._needed = not source.nothing
        self._image: Image | None = None
        self._colour = LINK_COLOURS["dark"]
        self.watch = LayerWatch(viewer, self)
        self.watch.changed.connect(self._pixels_changed)
        self.combo = LayerCombo(viewer, self._accepts, nothing=source.nothing, title=layer_title)
        self.combo.setToolTip(source.help)
        self.combo.setAccessibleName(source.title)
        self.combo.setPlaceholderText("none yet")
        self.combo.chosen.connect(self._chosen)
        self.hint = wrapping(QLabel())
        self.hint.setTextInteractionFlags(Qt.TextInteractionFlag.LinksAccessibleByMouse | Qt.TextInteractionFlag.LinksAccessibleByKeyboard)
        self.hint.linkActivated.connect(self.help_wanted)
        self.hint.hide()
        self.draw_button = QPushButton("Draw…")
        self.draw_button.setToolTip("Draw a region in the picture: a polygon, or with napari's tools a rectangle or an ellipse.")
        self.draw_button.setVisible(source.draw)
        self.draw_button.clicked.connect(self._draw)
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setHorizontalSpacing(8)
        grid.setVerticalSpacing(2)
        grid.setColumnStretch(1, 1)
        self.caption = caption(source.title)
        self.caption.setToolTip(source.help)
        grid.addWidget(self.caption, 0, 0)
        grid.addWidget(self.combo, 0, 1)
        if source.draw:
            grid.addWidget(self.draw_button, 0, 2)
        grid.addWidget(self.hint, 1, 1, 1, 2)

    @property
    def layer(self) -> Layer | None:
        """The layer chosen."""
        return self.combo.layer()

    def follow(self, image: Image | None) -> None:
        """List what lies over ``image``."""
        self._image = image
        self.fill()

    def fill(self) -> None:
        """List the layers anew; where nothing is chosen that must be, the newest is taken."""
        before = self.combo.layer()
        self.combo.fill()
        if self.combo.layer() is None and self._needed:
            layers = [layer for layer in reversed(self._viewer.layers) if self._accepts(layer)]
            self.combo.set_layer(next((layer for layer in layers if self.source.suits(layer)), None))
        self._settle(before)

    def require(self, needed: bool, title: str = "") -> None:
        """Say whether a layer must be chosen here, and under which caption."""
        self._needed = needed
        self.caption.setText(title or self.source.title)
        self.combo.set_nothing("" if needed else self.source.nothing or "none")
        self.fill()

    def set_layer(self, layer: Layer | None) -> None:
        """Show a layer as chosen, without saying so, if it can be."""
        if layer is None or self._accepts(layer):
            self.combo.set_layer(layer)
            self._settle(layer)

    def taken(self) -> Taken | None:
        """Return the pixels of what is chosen, to be read later; None where nothing is."""
        layer, image = self.layer, self._image
        if layer is None or image is None:
            return None
        return taken_from(layer, image, self._viewer, self.watch.revision)

    def let_pass(self) -> None:
        """Do not speak of changes made just now: they are our own."""
        self.watch.let_pass()
        self._show_hint()

    def set_theme(self, dark: bool) -> None:
        """Take link colours that can be read."""
        self._colour = LINK_COLOURS["dark" if dark else "light"]
        self._show_hint()

    def release(self) -> None:
        """Let go of the layer."""
        self.watch.follow(None)

    def _accepts(self, layer: Layer) -> bool:
        return self._image is not None and self.source.accepts(layer, self._image)

    def _settle(self, before: Layer | None) -> None:
        self.watch.follow(self.layer)
        self._show_hint()
        if self.layer is not before:
            self.changed.emit()

    def _show_hint(self) -> None:
        words, panel = self.source.lacking if has_area(self.layer) else (_HOW_TO_DRAW, "")
        missing = bool(words) and ((self.layer is None and self._needed) or not has_area(self.layer))
        link = f' <a href="{panel}" style="color:{self._colour}">[Go to {panel.capitalize()}]</a>' if panel else ""
        self.hint.setText(f"{words}{link}" if missing else "")
        self.hint.setVisible(missing)

    def _chosen(self, layer: Layer | None) -> None:
        self.watch.follow(layer)
        self._show_hint()
        self.chosen.emit(layer)
        self.changed.emit()

    def _pixels_changed(self) -> None:
        self._show_hint()
        self.redrawn.emit()

    def _draw(self, _: bool) -> None:
        if self._image is not None:
            layer = new_region_layer(self._viewer, self._image)
            self.combo.fill()
            if layer is not self.layer:
                self.combo.set_layer(layer)
                self._chosen(layer)


def is_region(layer: Layer, image: Image) -> bool:
    """True for labels that fit the image, and for shapes."""
    return isinstance(layer, Shapes) or (is_labels(layer) and fits(layer, image))


def is_marks(layer: Layer, image: Image) -> bool:
    """True for labels that fit the image."""
    return is_labels(layer) and fits(layer, image)


def is_likelihood(layer: Layer, image: Image) -> bool:
    """True for an image with a class axis in front that fits, and for the first of the maps of a prediction."""
    if not isinstance(layer, Image) or layer is image:
        return False
    notes = layer.metadata.get(META, {})
    if PROBABILITY in notes:
        return notes.get("class_index") == 0 and tuple(data_of(layer).shape) == label_shape_of(image)
    axes = axes_of(layer) if 2 <= layer.ndim <= 5 else ""
    return axes[:1] == "C" and np.dtype(layer.dtype).kind == "f" and tuple(data_of(layer).shape[1:]) == label_shape_of(image)


def layer_title(layer: Layer) -> str:
    """Return the text of a layer in a box: a map of one class stands for all classes of its prediction."""
    return str(layer.metadata.get(META, {}).get(PROBABILITY, layer.name)) if isinstance(layer, Image) else layer.name


def taken_from(layer: Layer, image: Image, viewer: Any, revision: int) -> Taken:
    """Return the pixels of a layer over ``image`` as it is now; ``revision`` changes with them."""
    if isinstance(layer, Shapes):
        outlines, stack = outlines_of(layer, image), _bare(image)
        return Taken((id(layer), revision), lambda key: filled(outlines, stack)[key])
    if isinstance(layer, LabelsLayer):
        marks = labels_of(layer).data
        return Taken((id(layer), id(marks), revision), partial(_labels_at, marks))
    maps = [data_of(one) for one in _maps_of(layer, viewer)]
    return Taken((*(id(one) for one in maps), revision), partial(_chances_at, maps, axes_of(image).find("C", 1)))


def _labels_at(marks: Any, key: Key) -> Any:
    return as_label_array(np.array(marks[key]))


def _chances_at(maps: list[Any], wide: int, key: Key) -> Any:
    """Read maps of single classes, or one array with a class axis; ``wide`` is where the single sample stands that lies over all channels."""
    parts: tuple[Any, ...] = (*key[:wide], 0, *key[wide:]) if wide > 0 else key
    return np.stack([np.asarray(one[parts], np.float32) for one in maps]) if len(maps) > 1 else np.array(maps[0][(slice(None), *parts)], np.float32)


def _maps_of(layer: Layer, viewer: Any) -> list[Layer]:
    """Return the maps of all classes of a prediction, in the order of its classes; of an image with a class axis, the image."""
    whose = layer.metadata.get(META, {}).get(PROBABILITY)
    if whose is None:
        return [layer]
    maps = [one for one in viewer.layers if isinstance(one, Image) and one.metadata.get(META, {}).get(PROBABILITY) == whose]
    return sorted(maps, key=lambda one: int(one.metadata[META]["class_index"]))


def _bare(image: Image) -> Stack:
    """Return a stack of the image's label shape that holds no pixels of its own."""
    axes = axes_of(image)
    shape = [n for n, axis in zip(data_of(image).shape, axes, strict=True) if axis not in CHANNELS]
    return Stack(np.broadcast_to(np.uint8(0), shape), "".join(axis for axis in axes if axis not in CHANNELS))


def has_area(layer: Layer | None) -> bool:
    """True unless it is a shapes layer in which nothing with an area is drawn yet."""
    return not isinstance(layer, Shapes) or any(kind in WITH_AREA for kind in layer.shape_type)
