"""A chooser of layers that follows the viewer, silent when code sets it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from napari.layers import Layer
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QComboBox, QSizePolicy, QWidget
from superqt.utils import signals_blocked

from napari_segtool.ui._fields import guard_wheel


class LayerCombo(QComboBox):
    """Choose one of the viewer's layers that ``accepts`` lets in.

    Parameters
    ----------
    viewer
        The viewer whose layers are listed.
    accepts
        Says whether a layer is listed.
    nothing
        Text of an entry for no layer ("New labels"); without it there is no such entry.
    title
        Returns the text of a layer's entry; its name, where it is left out.
    """

    chosen = Signal(object)
    """The layer the user has just chosen, or ``None``."""

    def __init__(
        self,
        viewer: Any,
        accepts: Callable[[Layer], bool],
        *,
        nothing: str = "",
        title: Callable[[Layer], str] | None = None,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._title = title or _name_of
        self._viewer, self._accepts, self._nothing = viewer, accepts, nothing
        self._listed: list[Layer | None] = []
        self.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.setMinimumContentsLength(10)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        guard_wheel(self)
        self.activated.connect(self._activated)
        self.fill()

    def layer(self) -> Layer | None:
        """Return the layer shown as chosen."""
        position = self.currentIndex()
        return self._listed[position] if 0 <= position < len(self._listed) else None

    def set_layer(self, layer: Layer | None) -> None:
        """Show ``layer`` as chosen, without saying so."""
        if layer not in self._listed:
            self.fill()
        with signals_blocked(self):
            self.setCurrentIndex(self._listed.index(layer) if layer in self._listed else -1)

    def set_nothing(self, text: str) -> None:
        """Change the entry for no layer; empty takes it out."""
        if text != self._nothing:
            self._nothing = text
            self.fill()

    def fill(self) -> None:
        """List the layers anew; the choice stays if it still can."""
        before = self.layer()
        self._listed = [layer for layer in self._viewer.layers if self._accepts(layer)]
        if self._nothing:
            self._listed.insert(0, None)
        with signals_blocked(self):
            self.clear()
            for layer in self._listed:
                self.addItem(self._title(layer) if layer is not None else self._nothing)
            self.setCurrentIndex(self._listed.index(before) if before in self._listed else 0 if self._nothing else -1)

    def _activated(self, _: int) -> None:
        self.chosen.emit(self.layer())


def _name_of(layer: Layer) -> str:
    return layer.name
