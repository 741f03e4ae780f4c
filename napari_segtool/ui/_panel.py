"""The frame that every panel shares: what it works on, its settings, one button, progress, and one line that talks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, ClassVar, Literal

from napari.layers import Image, Layer
from napari.layers import Labels as LabelsLayer
from napari.utils.theme import get_theme
from qtpy.QtCore import QEvent, Qt, Signal
from qtpy.QtGui import QDragEnterEvent, QDropEvent
from qtpy.QtWidgets import QDockWidget, QGridLayout, QLabel, QProgressBar, QPushButton, QSizePolicy, QVBoxLayout, QWidget

from napari_segtool.core.errors import SegtoolError
from napari_segtool.core.labels import Labels
from napari_segtool.core.progress import Progress
from napari_segtool.core.registry import SAMPLES
from napari_segtool.core.stack import Stack
from napari_segtool.ui._axes_dialog import AxesDialog
from napari_segtool.ui._bridge import fits, is_labels, is_source_image, visible_plane
from napari_segtool.ui._facts import progress_text, stack_details, stack_text
from napari_segtool.ui._form import caption
from napari_segtool.ui._frame import EmptyPage, FittingScroll, line, order_focus, wrapping
from napari_segtool.ui._jobs import Job, MakeSteps
from napari_segtool.ui._layers import LayerCombo
from napari_segtool.ui._message import LINK_COLOURS, DetailsDialog, Kind, MessageLine, full_text, plain_words
from napari_segtool.ui._open import ask_and_open, open_paths, sample_steps, show_sample
from napari_segtool.ui._session import session_of, unwrapped

State = Literal["empty", "ready", "working", "done", "failed"]


class Panel(QWidget):
    """Base of every panel. A panel fills `body` in `build`, and does its work in `start` through `run`.

    Parameters
    ----------
    napari_viewer
        The viewer; napari passes it because of this name.

    Notes
    -----
    Hooks to override: `build`, `start`, `stop`, `image_changed`, `labels_changed`, `plane_changed`, `became_visible`,
    `became_hidden`, `released`, `facts_of_labels`.
    """

    name: ClassVar[str] = ""
    """Name in code and memory ("segment")."""
    title: ClassVar[str] = ""
    """Name of the tab ("Segment")."""
    action: ClassVar[str] = "Start"
    """Text of the primary button; it reads Stop while work goes on."""
    action_help: ClassVar[str] = ""
    needs_image: ClassVar[bool] = True
    """Show the empty page while there is no image."""
    shows_image: ClassVar[bool] = True
    """Show the image chooser; a panel that works on files or has a chooser of its own does without."""
    labels_title: ClassVar[str] = ""
    """Caption of the labels chooser ("Labels"); without it there is none."""

    state_changed = Signal(str)

    def __init__(self, napari_viewer: Any, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.viewer = unwrapped(napari_viewer)
        self.session = session_of(self.viewer)
        self.job: Job | None = None
        self._state: State = "empty"
        self._released = False
        self._dock: QDockWidget | None = None
        self._in_view = False
        self._followed: Layer | None = None
        self._details = ""
        self._link_colour = LINK_COLOURS["dark"]
        self._on_result: Callable[[Any], object] | None = None
        self.setObjectName(f"segtool-{self.name}")
        self.setAcceptDrops(True)
        self._make_frame()
        self.build()
        self._scroll._fit()
        order_focus(self)
        self._listen()
        self._follow_image(self.session.image)
        self._follow_labels(self.session.labels)

    # hooks

    def build(self) -> None:
        """Add the settings to ``self.body``."""

    def start(self) -> None:
        """Do the panel's work; the primary button was clicked."""

    def stop(self) -> None:
        """Stop the work going on; the button was clicked while it read Stop."""
        if self.job is not None:
            self.message.say("Stopping…")
            self.job.cancel()

    def image_changed(self, layer: Image | None) -> None:
        """Another image was chosen, or its axes, spacing or pixels changed."""

    def labels_changed(self, layer: LabelsLayer | None) -> None:
        """Another labels layer was chosen."""

    def plane_changed(self) -> None:
        """The viewer shows another slice; called only while the panel is visible."""

    def became_visible(self) -> None:
        """The panel's tab was raised."""

    def became_hidden(self) -> None:
        """Another tab covers the panel, or it was closed: take previews away and remember values."""

    def released(self) -> None:
        """The panel was closed for good, or the viewer closes: disconnect what the panel connected itself."""

    def theme_changed(self, dark: bool, text_colour: str) -> None:
        """The window's theme is now a dark or a light one; also called once after `build`."""

    def facts_of_labels(self, layer: LabelsLayer | None) -> str:
        """Return the facts line under the labels chooser."""
        if layer is None:
            return ""
        return "" if self.image is None or fits(layer, self.image) else "does not fit the image"

    # what it works on

    @property
    def image(self) -> Image | None:
        """The chosen image layer."""
        return self.session.image

    @property
    def labels(self) -> LabelsLayer | None:
        """The chosen labels layer."""
        return self.session.labels

    @property
    def plane(self) -> tuple[int, ...]:
        """Index of the plane of the image that the viewer shows."""
        assert self.image is not None
        return visible_plane(self.viewer, self.image)

    @property
    def in_view(self) -> bool:
        """True while the panel can be seen: it is open and its tab is on top."""
        return self._in_view

    @property
    def state(self) -> State:
        """One of ``empty``, ``ready``, ``working``, ``done``, ``failed``."""
        return self._state

    # what a panel says

    def say(self, text: str, actions: Mapping[str, Callable[[], object]] | None = None, kind: Kind = "info") -> None:
        """Write the message line, with a link for each action (``{"Go to Annotate": …}``)."""
        self.message.say(text, actions, kind)

    def missing(self, text: str, actions: Mapping[str, Callable[[], object]] | None = None) -> None:
        """Say what is missing before the work can start, and how to mend it."""
        self.message.say(text, actions, "warning")

    def done(self, text: str, actions: Mapping[str, Callable[[], object]] | None = None) -> None:
        """Say what came out, and the way on."""
        self._set_state("done")
        self.message.say(text, actions, "good")

    def fail(self, error: BaseException, actions: Mapping[str, Callable[[], object]] | None = None, *, details: str = "") -> None:
        """Say what went wrong in plain words; Details opens the full text."""
        self._set_state("failed")
        self._details = details or full_text(error)
        offers = dict(actions or {})
        if details or not isinstance(error, SegtoolError):
            offers["Details"] = self.show_details
        self.message.say(plain_words(error), offers, "bad")

    def show_details(self) -> None:
        """Open the full text of the last error."""
        DetailsDialog(self._details, self).show()

    def show_progress(self, progress: Progress, seconds_left: float = float("nan")) -> None:
        """Show how far the work has come and how long it still takes."""
        known = progress.total > 0
        self.bar.setRange(0, 1000 if known else 0)
        self.bar.setValue(round(progress.fraction * 1000))
        self.bar.setFormat(progress_text(progress, seconds_left) or "Working…")

    def working(self, what: str = "Working…") -> None:
        """Show that work goes on: the button reads Stop, the progress bar appears."""
        self._set_state("working")
        self.bar.setRange(0, 0)
        self.bar.setFormat(what)
        self.message.say("")

    def rest(self) -> None:
        """Show that nothing goes on and nothing is to be reported."""
        self._set_state("ready" if self.image is not None or not self.needs_image else "empty")

    def go_to(self, name: str) -> Callable[[], None]:
        """Return an action that raises another panel's tab, for links in the message line."""
        viewer = self.viewer

        def go() -> None:
            from napari_segtool.ui.workspace import show_panel

            show_panel(viewer, name)

        return go

    def links_to(self, *names: str) -> dict[str, Callable[[], None]]:
        """Return links to other panels by title, those that exist, for the message line."""
        from napari_segtool.ui.workspace import PANELS

        titles = {entry.name: entry.title for entry in PANELS}
        return {titles[name]: self.go_to(name) for name in names if name in titles}

    # work

    def run(self, make_steps: MakeSteps, on_result: Callable[[Any], object], what: str) -> Job:
        """Run long work off the GUI thread, with progress, Stop, and every error reported in the message line.

        Parameters
        ----------
        make_steps
            Called in the thread; it must not touch layers or widgets.
        on_result
            Called on the GUI thread with the result; it says what came out (`done`).
        what
            What is being done, for the progress bar ("Otsu").
        """
        job = self.session.start(make_steps, what)
        self.job = job
        self.working(f"{what}…")
        job.progressed.connect(self._job_progressed)
        job.returned.connect(self._job_returned)
        job.failed.connect(self.fail)
        job.cancelled.connect(self._job_cancelled)
        job.finished.connect(self._job_finished)
        self._on_result = on_result
        return job.start()

    def _job_progressed(self, progress: Progress) -> None:
        if self.job is not None:
            self.show_progress(progress, self.job.clock.seconds_left)

    def _job_returned(self, result: Any) -> None:
        on_result, self._on_result = self._on_result, None
        assert on_result is not None
        try:
            on_result(result)
        except Exception as error:
            self.fail(error)
        if self._state == "working":
            self.rest()

    def _job_cancelled(self) -> None:
        self.rest()
        self.message.say("Stopped; nothing was changed.")

    def _job_finished(self) -> None:
        self.job = self._on_result = None
        if self._state == "working":
            self.rest()

    # memory

    def recall(self) -> dict[str, Any]:
        """Return what this panel remembered."""
        return self.session.memory.recall(self.name)

    def remember(self, **values: Any) -> None:
        """Keep JSON-ready values for the next time the panel opens."""
        self.session.memory.remember(self.name, values)

    # napari and Qt

    def reset_choices(self, event: Any = None) -> None:
        """Fill the choosers again; napari calls this when layers come and go."""
        if self._released:
            return
        self.image_combo.fill()
        self.image_combo.set_layer(self.session.image)
        if self.labels_combo is not None:
            self.labels_combo.fill()
            self.labels_combo.set_layer(self.session.labels)
            self._show_label_facts()

    def showEvent(self, event: Any) -> None:  # noqa: N802
        """Bring the choosers up to date."""
        super().showEvent(event)
        self.reset_choices()
        self._set_in_view(self._dock is None or not self.visibleRegion().isEmpty())

    def hideEvent(self, event: Any) -> None:  # noqa: N802
        """Take previews away."""
        super().hideEvent(event)
        self._set_in_view(False)

    def _set_in_view(self, on: bool) -> None:
        # Qt moves the dock of a covered tab out of sight but calls it visible, so visibility is learned from the dock.
        if on == self._in_view or self._released:
            return
        self._in_view = on
        if on:
            self.reset_choices()
            self.became_visible()
        else:
            self.became_hidden()

    def event(self, event: QEvent) -> bool:
        """Notice when napari takes the panel out of its dock for good."""
        if event.type() == QEvent.Type.ParentChange:
            parent = self.parent()
            if isinstance(parent, QDockWidget):
                self._dock = parent
                parent.visibilityChanged.connect(self._set_in_view)
            elif parent is None and self._dock is not None:
                self.release()
        return super().event(event)

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:  # noqa: N802
        """Accept files."""
        if event.mimeData().hasUrls():
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:  # noqa: N802
        """Open the files dropped on the panel with our reader, so that axes and spacing are kept."""
        paths = [url.toLocalFile() for url in event.mimeData().urls() if url.isLocalFile()]
        self.guarded(lambda: open_paths(self.viewer, paths))

    def guarded(self, action: Callable[[], object]) -> None:
        """Do something quick, and report an error in the message line instead of raising it."""
        try:
            action()
        except Exception as error:
            self.fail(error)

    def release(self) -> None:
        """Stop work, remember values, and disconnect from everything; the panel is of no further use."""
        if self._released:
            return
        self.became_hidden()
        self._released, self._in_view = True, False
        if self.job is not None:
            self.job.cancel()
        self._follow_pixels(None)
        session = self.session
        session.image_changed.disconnect(self._follow_image)
        session.labels_changed.disconnect(self._follow_labels)
        session.layers_changed.disconnect(self.reset_choices)
        session.closing.disconnect(self.release)
        self.viewer.dims.events.point.disconnect(self._plane_moved)
        self.viewer.events.theme.disconnect(self._theme_changed)
        self.released()

    # making

    def _make_frame(self) -> None:
        self.image_combo = LayerCombo(self.viewer, is_source_image)
        self.image_combo.setToolTip("The image this panel works on.")
        self.image_combo.setAccessibleName("Image")
        self.image_combo.chosen.connect(self._image_chosen)
        self.facts = _facts_label()
        self.facts.linkActivated.connect(self._correct)
        grid = QGridLayout()
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setHorizontalSpacing(8)
        grid.setVerticalSpacing(2)
        grid.setColumnStretch(1, 1)
        grid.addWidget(caption("Image"), 0, 0)
        grid.addWidget(self.image_combo, 0, 1)
        grid.addWidget(self.facts, 1, 1)
        self.labels_combo: LayerCombo | None = None
        self.label_facts = _facts_label()
        if self.labels_title:
            self.labels_combo = LayerCombo(self.viewer, is_labels)
            self.labels_combo.setAccessibleName(self.labels_title)
            self.labels_combo.chosen.connect(self._labels_chosen)
            grid.addWidget(caption(self.labels_title), 2, 0)
            grid.addWidget(self.labels_combo, 2, 1)
            grid.addWidget(self.label_facts, 3, 1)
        inner = QWidget()
        inside = QVBoxLayout(inner)
        inside.setContentsMargins(0, 0, 4, 0)
        inside.setSpacing(8)
        heading = QWidget()
        heading.setLayout(grid)
        rule = line()
        inside.addWidget(heading)
        inside.addWidget(rule)
        for widget in (heading, rule):
            widget.setVisible(self.shows_image)
        self.body = QVBoxLayout()
        self.body.setSpacing(6)
        inside.addLayout(self.body)
        inside.addStretch(1)
        self._scroll = FittingScroll(inner)
        self.button = QPushButton(self.action)
        self.button.setToolTip(self.action_help)
        self.button.setMinimumHeight(30)
        self.button.setAutoDefault(True)
        self.button.clicked.connect(self._clicked)
        self.bar = QProgressBar()
        self.bar.setTextVisible(True)
        self.bar.setFixedHeight(18)
        policy = self.bar.sizePolicy()
        policy.setRetainSizeWhenHidden(True)
        self.bar.setSizePolicy(policy)
        self.bar.hide()
        self.message = MessageLine()
        self._empty = EmptyPage({entry.name: entry.title for entry in SAMPLES})
        self._empty.open_wanted.connect(self._open_wanted)
        self._empty.sample_wanted.connect(self._sample_wanted)
        column = QVBoxLayout(self)
        column.setContentsMargins(8, 8, 8, 8)
        column.setSpacing(6)
        for widget in (self._empty, self._scroll, self.button, self.bar, self.message):
            column.addWidget(widget)
        column.addStretch(1)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Expanding)

    def _listen(self) -> None:
        session = self.session
        session.image_changed.connect(self._follow_image)
        session.labels_changed.connect(self._follow_labels)
        session.layers_changed.connect(self.reset_choices)
        session.closing.connect(self.release)
        self.viewer.dims.events.point.connect(self._plane_moved)
        self.viewer.events.theme.connect(self._theme_changed)
        self._theme_changed()

    def _follow_image(self, layer: Image | None) -> None:
        self.image_combo.set_layer(layer)
        self._follow_pixels(layer)
        self._show_facts(layer)
        empty = layer is None and self.needs_image
        self._empty.setVisible(empty)
        self._scroll.setVisible(not empty)
        self.button.setVisible(not empty)
        if self._state != "working":
            self.rest()
        self.image_changed(layer)
        self._show_label_facts()

    def _follow_labels(self, layer: LabelsLayer | None) -> None:
        if self.labels_combo is not None:
            self.labels_combo.set_layer(layer)
        self._show_label_facts()
        self.labels_changed(layer)

    def _follow_pixels(self, layer: Layer | None) -> None:
        if self._followed is not None:
            self._followed.events.data.disconnect(self._pixels_changed)
        self._followed = layer
        if layer is not None:
            layer.events.data.connect(self._pixels_changed)

    def _pixels_changed(self, event: Any = None) -> None:
        self._show_facts(self.image)
        self.image_changed(self.image)

    def _show_facts(self, layer: Image | None) -> None:
        if layer is None:
            self.facts.setText("")
            return
        try:
            stack = self.session.stack(layer)
        except SegtoolError as error:
            self.facts.setText(f'{error.message} <a href="correct" style="color:{self._link_colour}">[Correct…]</a>')
            return
        self.facts.setText(f'{stack_text(stack)} <a href="correct" style="color:{self._link_colour}">[Correct…]</a>')
        self.facts.setToolTip(stack_details(stack))

    def _theme_changed(self, event: Any = None) -> None:
        theme = get_theme(self.viewer.theme)
        dark = sum(theme.background.as_rgb_tuple()[:3]) < 3 * 128
        self._link_colour = LINK_COLOURS["dark" if dark else "light"]
        self.message.set_theme(dark)
        self._show_facts(self.image)
        self.theme_changed(dark, theme.text.as_hex())

    def _show_label_facts(self) -> None:
        if self.labels_combo is not None:
            self.label_facts.setText(self.facts_of_labels(self.labels))

    def _plane_moved(self, event: Any = None) -> None:
        if self._in_view and self.image is not None:
            self.plane_changed()

    def _image_chosen(self, layer: Image | None) -> None:
        self.session.image = layer

    def _labels_chosen(self, layer: LabelsLayer | None) -> None:
        self.session.labels = layer

    def _clicked(self, _: bool) -> None:
        self.stop() if self._state == "working" else self.guarded(self.start)

    def _correct(self, _: str) -> None:
        if self.image is not None:
            AxesDialog(self.session, self.image, self).open()

    def _open_wanted(self) -> None:
        self.guarded(lambda: ask_and_open(self.viewer, self))

    def _sample_wanted(self, key: str) -> None:
        title = SAMPLES.get(key).title
        self.run(partial(sample_steps, key), partial(self._show_sample, title), f"Making {title}")

    def _show_sample(self, title: str, sample: tuple[Stack, Labels]) -> None:
        show_sample(self.viewer, *sample)
        self.done(f"The sample “{title}” is open, with its true labels.")

    def _set_state(self, state: State) -> None:
        if state == self._state:
            return
        self._state = state
        self.button.setText("Stop" if state == "working" else self.action)
        self.bar.setVisible(state == "working")
        self.state_changed.emit(state)


def _facts_label() -> QLabel:
    label = wrapping(QLabel())
    label.setTextInteractionFlags(Qt.TextInteractionFlag.LinksAccessibleByMouse | Qt.TextInteractionFlag.LinksAccessibleByKeyboard)
    return label
