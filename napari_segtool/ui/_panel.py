"""The frame that every panel shares: what it works on, its settings, one button, progress, and one line that talks."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar

from napari.layers import Image, Layer
from napari.layers import Labels as LabelsLayer
from napari.utils.theme import get_theme
from qtpy.QtCore import QEvent, Qt, QTimer
from qtpy.QtGui import QDragEnterEvent, QDropEvent
from qtpy.QtWidgets import QDockWidget, QGridLayout, QLabel, QSizePolicy, QVBoxLayout, QWidget

from napari_segtool.core.errors import SegtoolError
from napari_segtool.core.labels import Labels
from napari_segtool.core.registry import SAMPLES
from napari_segtool.core.stack import Stack
from napari_segtool.ui._axes_dialog import AxesDialog
from napari_segtool.ui._bridge import fits, is_labels, is_source_image, visible_plane
from napari_segtool.ui._facts import stack_details, stack_text
from napari_segtool.ui._form import caption
from napari_segtool.ui._frame import EmptyPage, FittingScroll, line, order_focus, wrapping
from napari_segtool.ui._layers import LayerCombo
from napari_segtool.ui._message import LINK_COLOURS
from napari_segtool.ui._open import ask_and_open, open_paths, sample_steps, show_sample
from napari_segtool.ui._session import session_of, unwrapped
from napari_segtool.ui._working import WorkingWidget


class Panel(WorkingWidget):
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
    needs_image: ClassVar[bool] = True
    """Show the empty page while there is no image."""
    shows_image: ClassVar[bool] = True
    """Show the image chooser; a panel that works on files or has a chooser of its own does without."""
    labels_title: ClassVar[str] = ""
    """Caption of the labels chooser ("Labels"); without it there is none."""

    def __init__(self, napari_viewer: Any, parent: QWidget | None = None) -> None:
        self.viewer = unwrapped(napari_viewer)
        super().__init__(session_of(self.viewer), parent)
        self._released = False
        self._dock: QDockWidget | None = None
        self._in_view = False
        self._followed: Layer | None = None
        self._link_colour = LINK_COLOURS["dark"]
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

    def lacks_image(self) -> bool:
        """True while the panel needs an image and there is none."""
        return self.needs_image and self.image is None

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

    # ways on

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
        if layer is None:
            # A layer is being removed: showing widgets now would draw the canvas at once, with the layer half gone.
            QTimer.singleShot(0, self._show_parts)
        else:
            self._show_parts()
        if self._state != "working":
            self.rest()
        self.image_changed(layer)
        self._show_label_facts()

    def _show_parts(self) -> None:
        """Show what there is to do without an image, or the settings."""
        empty = self.lacks_image()
        self._empty.setVisible(empty)
        self._scroll.setVisible(not empty)
        self.button.setVisible(not empty)

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
        links = self.links_to("annotate", "segment", "train")
        links.pop(self.title, None)
        self.done(f"The sample “{title}” is open; its true labels are in a hidden layer.", links)


def _facts_label() -> QLabel:
    label = wrapping(QLabel())
    label.setTextInteractionFlags(Qt.TextInteractionFlag.LinksAccessibleByMouse | Qt.TextInteractionFlag.LinksAccessibleByKeyboard)
    return label
