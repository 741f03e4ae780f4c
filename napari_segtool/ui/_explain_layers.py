"""The layers of the chosen network by their real names, found in the warm process, which is then ready for the first question."""

from __future__ import annotations

from functools import partial

from qtpy.QtCore import QObject, Signal

from napari_segtool.core.inside import Layer
from napari_segtool.core.result import ModelBundle
from napari_segtool.ui._jobs import LatestJob
from napari_segtool.ui._predict_worker import NetworkProcess


class LayerNames(QObject):
    """Asks once for each model.

    Attributes
    ----------
    layers : tuple of Layer
        The blocks of the network, in the order they work; empty until they are known.
    error : Exception or None
        Why they cannot be known.
    """

    changed = Signal()

    def __init__(self, process: NetworkProcess, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._process = process
        self._bundle: ModelBundle | None = None
        self.layers: tuple[Layer, ...] = ()
        self.error: BaseException | None = None
        self._job = LatestJob("layers", self)
        self._job.returned.connect(self._found)
        self._job.failed.connect(self._failed)

    @property
    def bundle(self) -> ModelBundle | None:
        """The model whose layers these are."""
        return self._bundle

    @property
    def busy(self) -> bool:
        """True while they are looked for."""
        return self._job.busy

    def follow(self, bundle: ModelBundle | None) -> None:
        """Find the layers of another model."""
        if bundle is self._bundle:
            return
        self._bundle, self.layers, self.error = bundle, (), None
        self._job.cancel()
        self.changed.emit()
        if bundle is not None and bundle.card.get("network"):
            self._job.submit(partial(self._process.client.inside_steps, "layers", bundle, device=self._process.device))

    def cancel(self) -> None:
        """Stop looking."""
        self._job.cancel()

    def _found(self, layers: tuple[Layer, ...]) -> None:
        self.layers = layers
        self.changed.emit()

    def _failed(self, error: BaseException) -> None:
        self.error = error
        self.changed.emit()


def layer_text(layer: Layer) -> str:
    """Return a layer's line in a list.

    Examples
    --------
    >>> layer_text(Layer("up.0", 16, (2, 2), 100))
    'up.0 · 16 features · each 2 px'
    """
    step = max(layer.scale_px[-2:])
    return f"{layer.name} · {layer.features} feature{'s' if layer.features > 1 else ''} · {'every pixel' if step == 1 else f'each {step} px'}"
