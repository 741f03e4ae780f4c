"""What all panels of one viewer share: the chosen image and paint, their stacks, the work going on."""

from __future__ import annotations

import atexit
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from napari.layers import Image, Layer
from napari.layers import Labels as LabelsLayer
from psygnal import Signal
from qtpy.QtCore import QCoreApplication, QEvent, QObject, Qt
from qtpy.QtWidgets import QWidget

from napari_segtool.core.stack import SPATIAL, Stack, check_axes, check_spacing
from napari_segtool.ui._bridge import axes_of, data_of, fits, is_paint_like, is_source_image, notes_of, stack_of
from napari_segtool.ui._jobs import Job, MakeSteps
from napari_segtool.ui._memory import Memory
from napari_segtool.ui._paint_watch import PaintWatch

JOIN_S = 3.0
T = TypeVar("T")


class Session:
    """State of one viewer, handed to every panel; panels talk to each other only through it.

    Parameters
    ----------
    viewer
        A napari ``Viewer``, or a ``ViewerModel`` in tests.
    memory
        Where values are kept between sessions.
    """

    image_changed = Signal(object)
    """The chosen image layer, or ``None``; also when its axes or spacing were corrected."""
    labels_changed = Signal(object)
    """The chosen paint or labels layer, or ``None``."""
    layers_changed = Signal()
    """Layers were added, removed, renamed or reordered: fill the choosers again."""
    runs_changed = Signal()
    closing = Signal()
    """The viewer is closing: end threads and processes, and disconnect."""

    def __init__(self, viewer: Any, memory: Memory | None = None) -> None:
        self.viewer = viewer
        self.memory = memory or Memory()
        self.guards: list[Callable[[], bool]] = []
        """Asked when the window is about to close; one that returns False keeps it open."""
        self.closed = False
        self._image: Image | None = None
        self._labels: LabelsLayer | None = None
        self._runs: list[Path] = []
        self._stacks: weakref.WeakKeyDictionary[Layer, tuple[Any, tuple[Any, ...], Stack]] = weakref.WeakKeyDictionary()
        self._jobs: set[Job] = set()
        self.paint = PaintWatch(viewer)
        """Counts of the paint in `labels`, live."""
        self.labels_changed.connect(self.paint.follow)
        self._shared: dict[Any, Any] = {}
        events = viewer.layers.events
        events.inserted.connect(self._layers_changed)
        events.removed.connect(self._layers_changed)
        events.reordered.connect(self._layers_changed)
        events.renamed.connect(self._layers_changed)
        self._choose_again()

    # what is worked on

    @property
    def image(self) -> Image | None:
        """The image layer that all panels work on."""
        return self._image

    @image.setter
    def image(self, layer: Image | None) -> None:
        if layer is not self._image:
            self._image = layer
            self.image_changed.emit(layer)
            if layer is not None and (self._labels is None or not fits(self._labels, layer)):
                self.labels = self._paint_for(layer)

    @property
    def labels(self) -> LabelsLayer | None:
        """The paint (or dense labels) that panels learn from."""
        return self._labels

    @labels.setter
    def labels(self, layer: LabelsLayer | None) -> None:
        if layer is not self._labels:
            self._labels = layer
            self.labels_changed.emit(layer)

    def stack(self, layer: Layer) -> Stack:
        """Return the layer as a `Stack`; the same object, with its memo, as long as data, axes and spacing stay the same."""
        data = data_of(layer)
        facts = (tuple(layer.scale), tuple(str(unit) for unit in layer.units), axes_of(layer), layer.name)
        kept = self._stacks.get(layer)
        if kept is not None and kept[0] is data and kept[1] == facts:
            return kept[2]
        stack = stack_of(layer)
        self._stacks[layer] = (data, facts, stack)
        return stack

    def forget_stack(self, layer: Layer) -> None:
        """Drop what was derived from the layer's pixels; for pixels that were changed in place."""
        self._stacks.pop(layer, None)

    def correct(self, layer: Layer, axes: str, spacing_um: tuple[float, ...]) -> None:
        """Set axes and spacing of an image, and of the layers that lie over it, where the file said nothing or nonsense.

        Parameters
        ----------
        axes
            One letter for each dimension of the layer (``S`` of RGB may be left out).
        spacing_um
            Spacing along Z, Y, X in µm; ``()`` if unknown.

        Raises
        ------
        AxesError, SpacingError
            If they do not fit; then nothing is changed.
        """
        letters = axes.upper().replace("S", "")
        colour = "S" if isinstance(layer, Image) and layer.rgb else ""
        check_axes(letters + colour, tuple(data_of(layer).shape), layer.name)
        spacing = check_spacing(spacing_um, letters, layer.name)
        mates = [other for other in self.viewer.layers if other is not layer and other.ndim == layer.ndim and tuple(other.scale) == tuple(layer.scale)]
        for other in [layer, *mates]:
            shown = iter(spacing)
            other.scale = [next(shown) if spacing and letter in SPATIAL else 1.0 for letter in letters]
            other.units = ["micrometer" if spacing and letter in SPATIAL else "pixel" for letter in letters]
            other.axis_labels = [letter.lower() for letter in letters]
            notes_of(other)["axes"] = letters
        if layer is self._image:
            self.image_changed.emit(layer)

    def paint_text(self) -> str:
        """Return the facts line of the chosen paint ("3 slices · 1.0 % of them painted")."""
        counts = self.paint.counts
        planes = len(counts.planes())
        if not planes:
            return "nothing painted yet"
        where = "" if counts.planes() == ((),) else f"{planes} slice{'s' if planes > 1 else ''} · "
        return f"{where}{100 * counts.fraction():.2g} % {'of them ' if where else ''}painted"

    # work

    def start(self, make_steps: MakeSteps, name: str) -> Job:
        """Make a `Job` that ends with the viewer; connect its signals, then call its ``start``."""
        job = Job(make_steps, name)
        self._jobs.add(job)
        job.finished.connect(self._tidy)
        return job

    def shared(self, kind: Callable[[Session], T]) -> T:
        """Return the one object of this kind that the panels of the viewer share; made at the first call. It ends with `closing`."""
        if kind not in self._shared:
            self._shared[kind] = kind(self)
        return self._shared[kind]

    @property
    def runs(self) -> tuple[Path, ...]:
        """Run folders of this session, newest first."""
        return tuple(self._runs)

    def add_run(self, folder: Path) -> None:
        """Put a run folder at the top of the list."""
        self._runs = [folder, *(run for run in self._runs if run != folder)]
        self.runs_changed.emit()

    def remove_run(self, folder: Path) -> None:
        """Take a run folder off the list."""
        self._runs = [run for run in self._runs if run != folder]
        self.runs_changed.emit()

    def close(self) -> None:
        """End everything; called when the viewer has closed."""
        if self.closed:
            return
        self.closed = True
        atexit.unregister(self.close)
        self.closing.emit()
        for job in self._jobs:
            job.cancel()
        until = time.monotonic() + JOIN_S
        for job in list(self._jobs):
            job.wait(max(0.0, until - time.monotonic()))
        self._jobs.clear()
        events = self.viewer.layers.events
        for emitter in (events.inserted, events.removed, events.reordered, events.renamed):
            emitter.disconnect(self._layers_changed)
        self.paint.follow(None)
        self._image = self._labels = None
        self._stacks.clear()
        self._shared.clear()

    def _tidy(self) -> None:
        self._jobs = {job for job in self._jobs if job.running}

    def _layers_changed(self, event: Any = None) -> None:
        self._choose_again()
        self.layers_changed.emit()

    def _choose_again(self) -> None:
        layers = list(self.viewer.layers)
        if self._image is None or self._image not in layers:
            self.image = next((layer for layer in layers if is_source_image(layer)), None)
        if self._labels is None or self._labels not in layers:
            self.labels = self._paint_for(self._image)

    def _paint_for(self, image: Image | None) -> LabelsLayer | None:
        """The newest labels a user would paint on over ``image``; a result or a truth is only ever chosen by hand."""
        return next((layer for layer in reversed(self.viewer.layers) if is_paint_like(layer) and (image is None or fits(layer, image))), None)


class _Keeper(QObject):
    """Child of the main window that holds its session, and ends it with the window."""

    NAME = "napari-segtool session"

    def __init__(self, viewer: Any, window: QObject) -> None:
        super().__init__(window)
        self.setObjectName(self.NAME)
        self.session = Session(viewer)
        self._closing = False
        window.installEventFilter(self)
        application = QCoreApplication.instance()
        assert application is not None
        application.aboutToQuit.connect(self.session.close)
        atexit.register(self.session.close)  # for a script that ends without closing its viewer; Qt's objects are still whole then

    def eventFilter(self, window: QObject, event: QEvent) -> bool:  # noqa: N802
        """Ask the guards before the window closes, and end the session once it has."""
        if event.type() == QEvent.Type.Close and not self.session.closed:
            self._closing = all(guard() for guard in list(self.session.guards))
            if not self._closing:
                event.ignore()
                return True
            if isinstance(window, QWidget) and not window.isVisible():  # no Hide will follow
                self.session.close()
        elif event.type() in (QEvent.Type.Hide, QEvent.Type.DeferredDelete) and self._closing:
            self.session.close()
        return False


def unwrapped(viewer: Any) -> Any:
    """Return the viewer itself where napari handed out a proxy of it."""
    return getattr(viewer, "__wrapped__", viewer)


def session_of(viewer: Any) -> Session:
    """Return the one session of the viewer; made at the first call."""
    viewer = unwrapped(viewer)
    window = viewer.window._qt_window
    keeper = window.findChild(_Keeper, _Keeper.NAME, Qt.FindChildOption.FindDirectChildrenOnly)
    return (keeper or _Keeper(viewer, window)).session
