"""The network drawn in a window of its own: a click on a block chooses it among the layers of the Explain panel."""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from napari.utils.theme import get_theme
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QDialog, QHBoxLayout, QLabel, QVBoxLayout, QWidget

from napari_segtool.core.apart import Apart
from napari_segtool.core.errors import ModelError
from napari_segtool.core.progress import Progress, Steps, drain
from napari_segtool.core.result import ModelBundle
from napari_segtool.nets._drawing import NetworkDrawing
from napari_segtool.ui._explain_layers import LayerNames, layer_text
from napari_segtool.ui._facts import count_text
from napari_segtool.ui._frame import wrapping
from napari_segtool.ui._message import plain_words
from napari_segtool.ui._session import Session
from napari_segtool.ui._train_drawing import DrawingView
from napari_segtool.ui._working import WorkingWidget

SIZE_PX = (1040, 480)

Choose = Callable[[str], object]
"""Told the name of the layer that was clicked."""


class LayerDrawing(WorkingWidget):
    """The drawing of a model's network, above it what it is, below it what a click did.

    Parameters
    ----------
    session
        Runs the work.
    names
        The layers that can be chosen, by the names that blocks of the drawing have too; the drawing follows their model.
    choose
        Told which was clicked.
    """

    action = "Draw again"
    action_help = "Describe the network anew."

    def __init__(self, session: Session, names: LayerNames, choose: Choose, parent: QWidget | None = None) -> None:
        super().__init__(session, parent)
        self.drawing: NetworkDrawing | None = None
        self._names, self._choose = names, choose
        self._drawn: ModelBundle | None = None
        self._asked: ModelBundle | None = None
        self.summary = wrapping(QLabel())
        self.summary.setTextFormat(Qt.TextFormat.RichText)
        self.view = DrawingView()
        self.view.clicked.connect(self._clicked_on)
        self.message.setMinimumWidth(200)
        self.button.setAutoDefault(False)
        bottom = QHBoxLayout()
        bottom.addWidget(self.message, 1)
        bottom.addWidget(self.button)
        layout = QVBoxLayout(self)
        layout.addWidget(self.summary)
        layout.addWidget(self.view, 1)
        layout.addWidget(self.bar)
        layout.addLayout(bottom)
        names.changed.connect(self._names_changed)
        self.rest()

    def look(self) -> None:
        """Draw the model's network, if it is not drawn yet."""
        if self._names.bundle is self._drawn and self.drawing is not None:
            self._show()
        elif self.job is None:
            self.guarded(self.start)

    def start(self) -> None:
        """Describe the network in a process of its own."""
        self._asked = bundle = self._names.bundle
        if bundle is not self._drawn:
            self._clear()
        if bundle is None or not bundle.card.get("network"):
            return self.missing("Choose a model that is a network, in the Explain panel.")
        self.run(partial(described_steps, dict(bundle.card)), partial(self._arrived, bundle), "Drawing the network")
        return None

    def leave(self) -> None:
        """Stop, since nobody looks any more."""
        self._asked = None
        if self.job is not None:
            self.job.cancel()

    def release(self) -> None:
        """End with the panel."""
        self.leave()
        self._names.changed.disconnect(self._names_changed)
        self._choose = _nobody

    def _arrived(self, bundle: ModelBundle, drawing: NetworkDrawing) -> None:
        self.drawing, self._drawn = drawing, bundle
        if bundle is self._names.bundle:
            self._show()

    def _job_finished(self) -> None:
        super()._job_finished()
        if self.isVisible() and self._asked is not self._names.bundle:  # another model was chosen meanwhile, or the window was closed and opened
            self.guarded(self.start)

    def _names_changed(self) -> None:
        if self.isVisible():
            self.look()

    def _clear(self) -> None:
        self.drawing = self._drawn = None
        self.view.clear()
        self.summary.clear()

    def _show(self) -> None:
        """Draw in the colours of the theme, with hands over what can be chosen."""
        drawing, names = self.drawing, self._names
        assert drawing is not None
        theme = get_theme(self.session.viewer.theme)
        self.view.show_drawing(drawing, theme.text.as_hex(), theme.background.as_hex(), links=[layer.name for layer in names.layers])
        self.summary.setText(_summary_of(drawing))
        if names.error is not None:
            self.missing(plain_words(names.error))
        elif names.layers:
            self.done("Click a box or an arrow to see what that layer makes of the slice; rest the mouse on it to see what it is made of.")
        else:
            self.done("The layers are being looked into; they can be clicked in a moment.")

    def _clicked_on(self, name: str) -> None:
        layer = next((layer for layer in self._names.layers if layer.name == name), None)
        if layer is None:
            return self.missing(f"“{name}” is not among the layers that can be shown: poolings and what gives the classes are left out.")
        self.guarded(partial(self._choose, name))
        return self.say(f"Chosen: {layer_text(layer)}. Its feature maps become a layer of the viewer.", kind="good")


class LayerWindow(QDialog):
    """The window of the drawing; it does not block the viewer's."""

    def __init__(self, session: Session, names: LayerNames, choose: Choose) -> None:
        window = session.viewer.window._qt_window
        super().__init__(window)
        self.setWindowTitle("Layers of the network")
        self.picture = LayerDrawing(session, names, choose)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.picture)
        self.resize(min(SIZE_PX[0], round(0.8 * window.width())), min(SIZE_PX[1], round(0.85 * window.height())))

    def bring(self) -> None:
        """Show the window, or bring it to the front, and draw."""
        self.show()
        self.raise_()
        self.picture.look()

    def hideEvent(self, event: Any) -> None:  # noqa: N802
        """Stop when the window is closed."""
        super().hideEvent(event)
        self.picture.leave()

    def release(self) -> None:
        """End with the panel."""
        self.picture.release()
        self.close()


def described_steps(card: Mapping[str, Any]) -> Steps[NetworkDrawing]:
    """Describe the network of a model card in a process of its own, which ends with the answer: torch is never loaded into the window's."""
    with Apart() as apart:
        work = apart.steps(drawing_of, card)
        while True:
            try:
                next(work)
            except StopIteration as end:
                return end.value
            yield Progress(0, 0, "loading the network library")


def drawing_of(card: Mapping[str, Any]) -> NetworkDrawing:
    """Describe the network of a model card, for a patch of usual size.

    Raises
    ------
    ModelError
        If the card does not say what the network is.
    """
    from napari_segtool import api

    try:
        settings = {
            "channels": int(card["channels"]),
            "classes": len(card["classes"]),
            "spatial": int(card["spatial"]),
            "neighbours": int(card.get("neighbours", 0)),
            **card.get("network_params", {}),
        }
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(f"The model card does not say what the network is: {error}.", hint="Train it again, or copy the folder again.") from None
    return drain(api.describe_network_steps(str(card["network"]), **settings))


def _summary_of(drawing: NetworkDrawing) -> str:
    patch, field = ("×".join(map(str, sides)) for sides in (drawing.patch_px, drawing.receptive_field.px))
    return (
        f"<b>{html.escape(drawing.title)}</b>, {drawing.spatial}-D: <b>{count_text(drawing.parameters)}</b> parameters. "
        f"For one pixel it sees {field} px around it. Sizes in the hints are those of a patch of {patch} px."
    )


def _nobody(_: str) -> None:
    return None
