"""The trainings of one viewer: started, followed, stopped, listed. It outlives the panel, which only shows it."""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from napari.layers import Layer
from qtpy.QtCore import QObject, Signal

from napari_segtool.core.errors import SegtoolError
from napari_segtool.core.progress import Progress, Steps
from napari_segtool.core.settings import worker_threads
from napari_segtool.ui._bridge import is_source_image, visible_plane
from napari_segtool.ui._jobs import Job
from napari_segtool.ui._plane_layer import remove_layer, show_plane_labels
from napari_segtool.ui._session import Session
from napari_segtool.ui._train_child import Child
from napari_segtool.ui._train_close import Answer, ask_closing
from napari_segtool.ui._train_folder import RunCard, delete_run, list_runs, rename_run, runs_folder
from napari_segtool.ui._train_history import History, read_history
from napari_segtool.ui._train_order import Order, make_run
from napari_segtool.ui._train_watch import Ending, Preview, Watch, Word
from napari_segtool.ui._window_settings import window_settings

LOOK_AFTER_MS = 100
"""Searches for runs and devices begin when a panel is on the screen: even beside the GUI thread they would delay it."""


class TrainingDesk(QObject):
    """The trainings of one viewer; get it with ``session.shared(TrainingDesk)``.

    Attributes
    ----------
    history : History
        Of the training that is followed, or was last.
    folder : Path or None
        Its run folder.
    cards : tuple of RunCard
        The run list, newest first.
    """

    begun = Signal()
    """A training was started or found running."""
    advanced = Signal()
    """`history` has grown."""
    ended = Signal(object)
    """The training is over, with an `Ending`."""
    failed = Signal(object)
    """A run could not be made or started; nothing is running."""
    runs_changed = Signal()
    deleted = Signal(object)
    not_deleted = Signal(object)

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.session = session
        self._settings = session.shared(window_settings)
        self.history = History()
        self.folder: Path | None = None
        self.cards: tuple[RunCard, ...] = ()
        self.ask_closing: Callable[[Any], Answer] = ask_closing
        self._watch: Watch | None = None
        self._making: Job | None = None
        self._layers: tuple[Callable[[], Layer | None], ...] = ()
        self._listing = self._list_again = self._looked = self._fresh = False
        self.previewing = True
        self._preview: Layer | None = None
        session.viewer.dims.events.point.connect(self._ask_preview)
        session.closing.connect(self._closing)
        session.guards.append(self._may_close)
        session.runs_changed.connect(self.refresh)

    # starting

    @property
    def busy(self) -> bool:
        """True from the order until the training has ended."""
        return self._making is not None or self._watch is not None

    @property
    def making(self) -> bool:
        """True while the images are copied into the run folder."""
        return self._making is not None

    @property
    def asked(self) -> Word | None:
        """What was asked of the training: to stop and keep, or to cancel."""
        return None if self._watch is None else self._watch.asked

    def order(self, order: Order) -> None:
        """Make a run folder beside the GUI thread, then train it."""
        root, threads = runs_folder(self._settings), worker_threads(self._settings)
        self.history, self.folder, self._fresh = History(), None, True
        self._layers = tuple(weakref.ref(layer) for layer in order.layers)
        self._make(partial(make_run, order, root, threads), "copying the images")

    def resume(self, folder: Path) -> None:
        """Go on with a run from its last checkpoint."""
        card = next((card for card in self.cards if card.folder == folder), None)
        self._layers = self._find_layers(card.images) if card is not None else ()
        self.history, self.folder, self._fresh = History(), folder, False
        self._make(partial(_open_layers, folder), "opening the run")

    def adopt(self) -> None:
        """Follow a training that was left running, if there is one and none is followed yet; looked for once for each viewer."""
        if not self._looked:
            self._looked = True
            self.refresh()

    def _make(self, make_steps: Callable[[], Steps[Path]], what: str) -> None:
        self._drop_preview()
        self._making = job = self.session.start(make_steps, what)
        job.returned.connect(self._made)
        job.failed.connect(self._not_made)
        job.cancelled.connect(self._not_made)
        job.start()
        self.begun.emit()

    def _made(self, folder: Path) -> None:
        self._making = None
        self._follow(folder, None)
        self.session.add_run(folder)

    def _not_made(self, error: BaseException | None = None) -> None:
        self._making = None
        self.failed.emit(error)

    # following

    def _follow(self, folder: Path, child: Child | None) -> None:
        self.folder = folder
        self._watch = watch = Watch(folder, child, worker_threads(self._settings), fresh=self._fresh and child is None)
        job = self.session.start(watch.steps, "training")
        job.progressed.connect(self._heard)
        job.returned.connect(self._over)
        job.failed.connect(self._lost)
        job.start()
        self._ask_preview()

    def _heard(self, _: Progress | None = None) -> None:
        watch = self._watch
        if watch is None:
            return
        grown = False
        while watch.news:
            news = watch.news.popleft()
            if isinstance(news, Preview):
                self._show_preview(news)
            else:
                self.history.take(news)
                grown = True
        if grown:
            self.advanced.emit()

    def _over(self, ending: Ending) -> None:
        self._heard()
        self._watch = None
        if self.history.phase not in ("done", "stopped"):
            self._drop_preview()
        self.ended.emit(ending)
        if ending.refused and self.folder is not None:
            gone, self.folder = self.folder, None
            self.session.remove_run(gone)
        self.refresh()

    def _lost(self, error: BaseException) -> None:
        self._heard()
        self._watch = None
        self.failed.emit(error)
        self.refresh()

    def ask(self, word: Word) -> None:
        """End the training: ``"stop"`` keeps the best weights, ``"cancel"`` keeps nothing new. The run can be resumed."""
        if self._making is not None:
            self._making.cancel()
        elif self._watch is not None:
            self._watch.ask(word)

    # previews

    def set_previewing(self, on: bool) -> None:
        """Show what the network says of the visible slice while it learns, or do not."""
        self.previewing = on
        if on:
            self._ask_preview()
        else:
            self._drop_preview()

    def _ask_preview(self, event: Any = None) -> None:
        if self._watch is None or not self.previewing:
            return
        layer = self._layer_in_view()
        if layer is not None:
            self._watch.look_at(self._number_of(layer), visible_plane(self.session.viewer, layer))

    def _layer_in_view(self) -> Layer | None:
        """The chosen image, if the training learns from it, else the first that it learns from."""
        if self._number_of(self.session.image) >= 0:
            return self.session.image
        return next((layer for layer in map(self._layer_of, range(len(self._layers))) if layer is not None), None)

    def _show_preview(self, preview: Preview) -> None:
        layer = self._layer_of(preview.image)
        if layer is None or not self.previewing or self._watch is None:
            return
        viewer = self.session.viewer
        with contextlib.suppress(SegtoolError):  # its axes were corrected meanwhile, and it no longer fits
            self._preview = show_plane_labels(viewer, preview.labels, preview.plane, layer, f"{layer.name} · preview", self._watch.classes)

    def _drop_preview(self) -> None:
        layer, self._preview = self._preview, None
        remove_layer(self.session.viewer, layer)

    def _layer_of(self, number: int) -> Layer | None:
        layer = self._layers[number]() if 0 <= number < len(self._layers) else None
        return layer if layer in self.session.viewer.layers else None

    def _number_of(self, layer: Layer | None) -> int:
        """Position of the layer among the run's images, -1 if it is none of them."""
        return next((number for number, kept in enumerate(self._layers) if layer is not None and kept() is layer), -1)

    # the list

    def refresh(self) -> None:
        """Read the run list anew, beside the GUI thread."""
        if self._listing:
            self._list_again = True
            return
        self._listing = True
        root = runs_folder(self._settings)
        job = self.session.start(partial(_list_steps, root, self.session.runs, self.cards), "run list")
        job.returned.connect(self._listed)
        job.finished.connect(self._list_finished)
        job.start()

    def _listed(self, cards: tuple[RunCard, ...]) -> None:
        self.cards = cards
        running = next((card for card in cards if card.state == "training"), None)
        if running is not None and not self.busy:
            child = Child(running.folder)
            if child.alive:
                self.history = History()
                self._layers = self._find_layers(running.images)
                self._follow(running.folder, child)
                self.begun.emit()
        self.runs_changed.emit()

    def _list_finished(self) -> None:
        self._listing = False
        if self._list_again:
            self._list_again = False
            self.refresh()

    def rename(self, folder: Path, title: str) -> None:
        """Call a run ``title``; raises `StorageError`."""
        rename_run(folder, title)
        self.refresh()

    def delete(self, folder: Path) -> None:
        """Delete a run beside the GUI thread; `deleted` or `not_deleted` follows."""
        job = self.session.start(partial(_delete_steps, folder), "deleting")
        job.returned.connect(self._deleted)
        job.failed.connect(self.not_deleted)
        job.start()

    def _deleted(self, folder: Path) -> None:
        self.session.remove_run(folder)
        self.deleted.emit(folder)

    def _find_layers(self, names: Sequence[str]) -> tuple[Callable[[], Layer | None], ...]:
        layers = {layer.name: layer for layer in self.session.viewer.layers if is_source_image(layer)}
        found = [layers.get(name) for name in names]
        return tuple(weakref.ref(layer) if layer is not None else _nothing for layer in found)

    # closing

    def _closing(self) -> None:
        self.session.viewer.dims.events.point.disconnect(self._ask_preview)

    def _may_close(self) -> bool:
        watch = self._watch
        if watch is None or not watch.alive:
            return True
        if watch.asked is not None:  # it is ending already
            watch.ask_now(watch.asked)
            return True
        answer = self.ask_closing(self.session.viewer.window._qt_window)
        if answer == "stop":
            watch.ask_now("stop")
        return answer != "stay"


def _nothing() -> None:
    return None


def _open_layers(folder: Path) -> Steps[Path]:
    import pyqtgraph  # noqa: F401  here, so that the curves do not stall the window when they first appear

    from napari_segtool.training.runs._run import open_run

    yield Progress(0, 0, "opening the run")
    return open_run(folder).folder


def _list_steps(root: Path, more: Sequence[Path], known: Sequence[RunCard]) -> Steps[tuple[RunCard, ...]]:
    return list_runs(root, more, known)
    yield


def _delete_steps(folder: Path) -> Steps[Path]:
    delete_run(folder)
    return folder
    yield


def history_steps(folder: Path) -> Steps[History]:
    """Read the curves of a run; to be run beside the GUI thread."""
    import pyqtgraph  # noqa: F401

    return read_history(folder)
    yield
