"""The live preview of the Segment panel: asked for at every move, answered by the newest, and never old without saying so."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from napari.layers import Image
from numpy.typing import NDArray
from qtpy.QtCore import QObject, QTimer, Signal

from napari_segtool.core.planes import PlaneIndex
from napari_segtool.core.progress import Evolution, Progress, Steps
from napari_segtool.ui._filtered_layer import FilteredLayer
from napari_segtool.ui._jobs import LatestJob, MakeSteps
from napari_segtool.ui._preview import PreviewLayer
from napari_segtool.ui._segment_steps import Preview

PALE_AFTER_MS = 250
"""A preview that has been out of date for so long turns pale; quicker answers would only make it flicker."""

Request = Callable[[], tuple[MakeSteps, PlaneIndex] | None]


class LivePreview(QObject):
    """Makes previews off the GUI thread and shows them as layers of the visible slice.

    While a slider is dragged, an answer to where it stood a moment ago is shown on the way, which is what makes the preview follow.
    Such an answer, and every other that does not belong to the present settings, is marked: `behind` is told at once, and the layer
    turns pale after a quarter of a second. Answers for another slice, method or image are not shown at all.

    Parameters
    ----------
    viewer
        The viewer.
    request
        Called at the end of a turn of the event loop in which something changed; returns the work and the plane
        that it is about, or None where there is nothing to show.
    """

    ready = Signal(object)
    """A `Preview` has just been shown."""
    failed = Signal(object)
    behind_changed = Signal()

    def __init__(self, viewer: Any, request: Request, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._request = request
        self.labels = PreviewLayer(viewer)
        self.filtered = FilteredLayer(viewer, self)
        self.behind = False
        """True while what is shown is not of the present settings."""
        self.progress: Progress | None = None
        """How far the preview has come that is worked on."""
        self._wished = 0
        self._patience_s = 0.0
        self._like: tuple[Image, str] | None = None
        self._index: PlaneIndex = ()
        self._latest = LatestJob("preview", self)
        self._latest.returned.connect(self._answered)
        self._latest.failed.connect(self._failed)
        self._latest.progressed.connect(self._progressed)
        self._soon = QTimer(self)  # several changes of one moment make one request
        self._soon.setSingleShot(True)
        self._soon.timeout.connect(self._ask)
        self._pale_soon = QTimer(self)
        self._pale_soon.setSingleShot(True)
        self._pale_soon.setInterval(PALE_AFTER_MS)
        self._pale_soon.timeout.connect(self._turn_pale)

    @property
    def busy(self) -> bool:
        """True while an answer is still to come."""
        return self._latest.busy or self._soon.isActive()

    def wish(self, like: Image, axes: str, patience_s: float = 0.0) -> None:
        """Ask for a preview over ``like``, of those axes; without patience, whatever is under way is out of date at once."""
        if not patience_s:
            self._latest.cancel()
        self._like = (like, axes)
        self._wished += 1
        self._patience_s = patience_s
        self._set_behind(True)
        self._soon.start(0)

    def hide(self) -> None:
        """Take the layers away and forget what was asked."""
        self._latest.cancel()
        self._soon.stop()
        self._set_behind(False)
        self.labels.remove()
        self.filtered.remove()

    def wait(self, timeout_s: float = 5.0) -> bool:
        """Block until the thread has ended; for closing time and tests."""
        return self._latest.wait(timeout_s)

    def _ask(self) -> None:
        request = self._request()
        if request is None:
            self.hide()
            return
        make_steps, self._index = request
        self._latest.submit(partial(_numbered, make_steps, self._wished), patience_s=self._patience_s)

    def _answered(self, answer: tuple[int, Preview]) -> None:
        number, preview = answer
        if self._like is None:
            return
        like, axes = self._like
        if number == self._wished:
            self._set_behind(False)
        if preview.plane is not None:
            self.labels.show(preview, like, axes)
        else:
            self.labels.remove()
        if preview.filtered is not None:
            self.filtered.show(preview.filtered, preview.index, like)
        else:
            self.filtered.remove()
        if preview.error is not None:
            self.failed.emit(preview.error)
        else:
            self.ready.emit(preview)

    def _failed(self, error: BaseException) -> None:
        self._set_behind(False)
        self.labels.remove()
        self.filtered.remove()
        self.failed.emit(error)

    def _progressed(self, progress: Progress) -> None:
        self.progress = progress
        self.behind_changed.emit()
        overtaken = self._soon.isActive() or self._latest.overtaken
        if self._like is not None and not overtaken and isinstance(progress, Evolution) and progress.labels is not None:
            self.show_evolution(progress.labels, self._index, *self._like)

    def show_evolution(self, plane: NDArray[Any], index: PlaneIndex, like: Image, axes: str) -> None:
        """Show what a plane looks like on the way to its labels."""
        self._pale_soon.stop()
        self.labels.set_pale(False)
        self.labels.show(Preview(plane, index), like, axes)

    def _set_behind(self, on: bool) -> None:
        self.progress = None
        if on and not self.behind:
            self._pale_soon.start()
        elif not on:
            self._pale_soon.stop()
            self.labels.set_pale(False)
        if on != self.behind:
            self.behind = on
            self.behind_changed.emit()

    def _turn_pale(self) -> None:
        self.labels.set_pale(True)


def _numbered(make_steps: MakeSteps, number: int) -> Steps[tuple[int, Preview]]:
    return number, (yield from make_steps())
