"""What the visible slice will look like, shown as a layer of that one slice."""

from __future__ import annotations

from typing import Any

import numpy as np
from napari.layers import Image
from napari.layers import Labels as LabelsLayer
from napari.utils.colormaps import DirectLabelColormap, label_colormap
from numpy.typing import NDArray

from napari_segtool.core.labels import OKABE_ITO
from napari_segtool.ui._bridge import META, class_colormap, notes_of, placement_of
from napari_segtool.ui._segment_steps import Preview

PALE = 0.4
"""How much of its opacity a preview keeps while it is out of date."""


class PreviewLayer:
    """The one preview layer of a panel: a single slice, laid where it belongs, that nobody can mistake for a result."""

    def __init__(self, viewer: Any) -> None:
        self._viewer = viewer
        self.layer: LabelsLayer | None = None
        self._placed: tuple[Any, ...] = ()
        self._opacity: float | None = None

    @property
    def shown(self) -> bool:
        """True while the layer is in the viewer."""
        return self.layer is not None and self.layer in self._viewer.layers

    def set_pale(self, on: bool) -> None:
        """Show that what is seen is not what is asked for any more, or that it is again."""
        if self.layer is None or on == (self._opacity is not None):
            return
        if on:
            self._opacity, self.layer.opacity = self.layer.opacity, self.layer.opacity * PALE
        else:
            self.layer.opacity, self._opacity = self._opacity, None

    def show(self, preview: Preview, like: Image, axes: str) -> None:
        """Show the labels of one plane over ``like``, whose axes are ``axes``; the user's choice of layer is kept."""
        assert preview.plane is not None
        letters = "".join(letter for i, letter in enumerate(axes.replace("S", "")) if letter != "C" or i > 0)
        plane = preview.plane.T if letters.index("Y") > letters.index("X") else preview.plane
        # Always 8 bit, colours repeating: cheap, and napari layers of 16 bit whose pixels have been replaced crash Mesa's software
        # OpenGL (on which remote desktops run) when they are removed and another labels layer is drawn.
        shown = plane.astype(np.uint8) if plane.max(initial=0) <= 255 else np.where(plane, (plane - 1) % 255 + 1, 0).astype(np.uint8)
        data = np.ascontiguousarray(shown).reshape([n if letter in "YX" else 1 for letter, n in _sizes(letters, plane)])
        placement = placement_of(like)
        offset = np.zeros(len(letters))
        offset[[i for i, letter in enumerate(letters) if letter not in "CYX"]] = preview.index
        linear = np.asarray(placement["rotate"]) @ np.asarray(placement["shear"]) @ np.diag(placement["scale"])
        placement["translate"] = tuple(np.asarray(placement["translate"]) + linear @ offset)
        placed = (id(like), letters, preview.index, tuple(placement["scale"]), placement["translate"], tuple(map(str, placement["units"])))
        largest = int(data.max(initial=0))
        if self.shown and self._placed == placed and self.layer is not None and self.layer.data.shape == data.shape:
            self.layer.data[...] = data  # a tenth of the time that new data take, and a slider may be moving
            self.layer.refresh(extent=False, thumbnail=False, highlight=False)
        else:
            self.remove()
            selected = set(self._viewer.layers.selection)
            self.layer = self._viewer.add_labels(data, name=f"{like.name} · preview", opacity=0.45, metadata={META: {"role": "preview"}}, **placement)
            notes_of(self.layer)["axes"] = letters
            self.layer.editable = False
            self._viewer.layers.selection = selected
            self._placed = placed
        few = largest <= len(OKABE_ITO)
        if few != isinstance(self.layer.colormap, DirectLabelColormap):
            self.layer.colormap = class_colormap(range(1, len(OKABE_ITO) + 1)) if few else label_colormap()

    def remove(self) -> None:
        """Take the layer away."""
        layer, self.layer, self._opacity = self.layer, None, None  # first, so that whoever hears of the removal knows it was ours
        if layer is not None and layer in self._viewer.layers:
            self._viewer.layers.remove(layer)


def _sizes(letters: str, plane: NDArray[Any]) -> list[tuple[str, int]]:
    order = [letter for letter in letters if letter in "YX"]
    return [(letter, plane.shape[order.index(letter)] if letter in "YX" else 1) for letter in letters]
