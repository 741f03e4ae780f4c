"""Pick a pixel of an image by a click, and show which one was picked."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from napari.layers import Image, Layer, Points
from qtpy.QtCore import QObject, Signal

from napari_segtool.ui._bridge import META, axes_of, label_shape_of, placement_of
from napari_segtool.ui._plane_layer import kept_selection, remove_layer

_STILL_PX = 4.0
MARK_PX = 14


class PixelPicker(QObject):
    """Listens for clicks on an image while it is switched on; dragging still moves the picture.

    A click while a brush or another tool is chosen belongs to that tool.

    Parameters
    ----------
    viewer
        The viewer.
    """

    picked = Signal(object)
    """Index of the pixel, one number for each axis of the image's labels."""

    def __init__(self, viewer: Any, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._image: Image | None = None
        self._mark: Layer | None = None

    @property
    def on(self) -> bool:
        """True while it listens."""
        return self._image is not None

    def switch(self, image: Image | None) -> None:
        """Listen for clicks on ``image``; ``None`` switches it off."""
        if image is self._image:
            return
        callbacks = self._viewer.mouse_drag_callbacks
        if image is None and self._clicked in callbacks:
            callbacks.remove(self._clicked)
        elif self._image is None:
            callbacks.append(self._clicked)
        self._image = image
        if image is not None:  # otherwise the click would paint
            self._viewer.layers.selection.active = image

    def show(self, pixel: tuple[int, ...]) -> None:
        """Mark the pixel in the picture."""
        image = self._image
        if image is None:
            return
        point = np.asarray(_with_channels(pixel, image), float)[None]
        if self._mark is not None and self._mark in self._viewer.layers and self._mark.ndim == point.shape[1]:
            self._mark.data = point
            return
        self.clear()
        self._mark = Points(
            point,
            name=f"{image.name} · explained pixel",
            symbol="ring",  # hollow: what matters most is often the pixel itself
            size=MARK_PX,
            face_color="#56B4E9",
            border_color="black",
            border_width=0.08,
            metadata={META: {"role": "preview"}},
            **placement_of(image),
        )
        self._mark.editable = False
        with kept_selection(self._viewer):
            self._viewer.add_layer(self._mark)

    def lift(self) -> None:
        """Put the mark over what was laid on the picture since."""
        layers = self._viewer.layers
        if self._mark is not None and self._mark in layers and layers[-1] is not self._mark:
            layers.move(layers.index(self._mark), len(layers))

    def clear(self) -> None:
        """Take the mark away."""
        layer, self._mark = self._mark, None
        remove_layer(self._viewer, layer)

    def _clicked(self, viewer: Any, event: Any) -> Iterator[None]:
        active = viewer.layers.selection.active
        if event.button != 1 or viewer.dims.ndisplay != 2 or (active is not None and active.mode != "pan_zoom"):
            return
        start = np.asarray(getattr(event, "pos", event.position), float)
        yield
        while event.type == "mouse_move":
            yield
        moved = np.asarray(getattr(event, "pos", event.position), float) - start
        image = self._image
        if image is None or np.abs(moved).max() > _STILL_PX:
            return
        pixel = pixel_at(image, event.position)
        if pixel is not None:
            self.picked.emit(pixel)


def pixel_at(image: Image, position: Any) -> tuple[int, ...] | None:
    """Return the pixel at a place of the world, one number for each axis of the image's labels; ``None`` outside."""
    place = np.asarray(image.world_to_data(position), float)
    letters = axes_of(image).replace("S", "")
    pixel = tuple(round(float(place[i])) for i, letter in enumerate(letters) if letter != "C")
    sizes = [n for i, (n, letter) in enumerate(zip(image.data.shape, letters, strict=False)) if letter != "C"]
    return pixel if all(0 <= at < n for at, n in zip(pixel, sizes, strict=True)) else None


def _with_channels(pixel: tuple[int, ...], image: Image) -> list[int]:
    """The pixel's place in a layer laid over the image, which has one sample where channels stand inside."""
    letters = axes_of(image).replace("S", "")
    rest = iter(pixel)
    places = [0 if letter == "C" else next(rest) for i, letter in enumerate(letters) if letter != "C" or i > 0]
    assert len(places) == len(label_shape_of(image))
    return places
