"""The Segment panel: segment without learning."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from napari.layers import Image
from napari.layers import Labels as LabelsLayer
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QCheckBox, QHBoxLayout, QLabel, QPushButton

from napari_segtool.core.errors import SegtoolError
from napari_segtool.core.given import inputs_of
from napari_segtool.core.planes import PlaneIndex, evolved_plane
from napari_segtool.core.progress import Evolution, Progress
from napari_segtool.core.registry import Entry
from napari_segtool.ui._bars import Bars
from napari_segtool.ui._form import ParamsForm
from napari_segtool.ui._frame import order_focus
from napari_segtool.ui._jobs import MakeSteps
from napari_segtool.ui._live_preview import LivePreview
from napari_segtool.ui._panel import Panel
from napari_segtool.ui._segment_result import Goal, Outcome, found_text, result_steps, show_new, write_into
from napari_segtool.ui._segment_settings import SegmentSettings
from napari_segtool.ui._segment_steps import Bench, Plan, Preview, preview_steps
from napari_segtool.ui._threshold_lines import dragged, ends_of, finds_thresholds, shows_histogram
from napari_segtool.ui._write_into import Written

FOLLOW_S = 0.5
"""A preview that takes no longer than this is shown while a slider moves on, marked as old; the next one, of the newest settings, follows at once."""
_MARKED_MS = 200


class SegmentPanel(Panel):
    """Choose a method, see what it makes of the visible slice, and apply it to the stack.

    Empty: the way to a picture. Not ready: the line under what is missing says how to mend it, and so does the button. Working: the preview is
    marked while it is not that of the settings; methods that evolve are seen evolving. Done: what was found, in which layer, how to take it
    back, and the way on. Failed: why, in plain words, and the picture behind the filters all the same.
    """

    name = "segment"
    title = "Segment"
    action = "Apply to stack"
    action_help = "Segment with the settings above, into a labels layer."

    def build(self) -> None:
        """Settings, and the preview switch."""
        remembered = self.recall()
        self.settings = SegmentSettings(self.session, remembered)
        self.chooser = self.settings.chooser
        self.preview_switch = QCheckBox("Preview on the visible slice")
        self.preview_switch.setToolTip("Show at once what the settings do to the slice you see.")
        self.preview_switch.setChecked(bool(remembered.get("preview", True)))
        self.following = QLabel()
        self.following.setToolTip("While something stands here, the preview is not yet that of the settings above.")
        row = QHBoxLayout()
        row.addWidget(self.preview_switch)
        row.addStretch(1)
        row.addWidget(self.following)
        self.body.addWidget(self.settings)
        self.body.addLayout(row)
        self.compare_button = QPushButton("Compare on this slice…")
        self.compare_button.setToolTip("See what several methods make of the visible slice, side by side, and take one over.")
        self.compare_button.clicked.connect(self._compare)
        self.body.addWidget(self.compare_button)
        self.preview = LivePreview(self.viewer, self._request, self)
        self._bench = Bench()
        self._paused = self._said_by_preview = False
        self._running: tuple[Image, Plan] | None = None
        self._bars: Bars | None = None
        self._written: list[Written] = []
        self._calm_soon = QTimer(self)  # a mark that comes and goes with every move of a slider could not be read
        self._calm_soon.setSingleShot(True)
        self._calm_soon.setInterval(_MARKED_MS)
        self._calm_soon.timeout.connect(self.following.clear)
        self.settings.edited.connect(self._edited)
        self.settings.changed.connect(self._settings_changed)
        self.settings.redrawn.connect(self._redrawn)
        self.settings.method_chosen.connect(self._method_chosen)
        self.settings.relaid.connect(self._order_focus)
        self.settings.help_wanted.connect(self._go_to)
        self.settings.show_filtered.clicked.connect(self._switched)
        self.settings.histogram.dragged.connect(self._line_dragged)
        self.preview_switch.clicked.connect(self._switched)
        self.preview.ready.connect(self._preview_ready)
        self.preview.failed.connect(self._preview_failed)
        self.preview.behind_changed.connect(self._show_behind)
        self.viewer.layers.events.removed.connect(self._layer_removed)

    # hooks of the frame

    def start(self) -> None:
        """Apply everything to the stack or the slice."""
        image, settings = self.image, self.settings
        if image is None:
            return self.missing("Open an image first.")
        lacking = settings.lacking()
        if lacking is not None:
            text, panel = lacking
            return self.missing(text, {f"Go to {panel.capitalize()}": self.go_to(panel)} if panel else {})
        stack, entry, target = self.session.stack(image), settings.entry, settings.output.target
        plan = settings.plan(stack, self.plane)
        goal = None if target is None else Goal.of(target, settings.output.where, image)
        self._pause_preview()
        self._said_by_preview, self._running = False, (image, plan)
        self.run(partial(result_steps, stack, plan, goal), partial(self._show_result, image, entry, plan, goal), entry.title)
        return None

    def image_changed(self, layer: Image | None) -> None:
        """Preview anew."""
        self.preview.hide()
        self._bars, self._bench = None, Bench()
        self.settings.follow(layer)
        self._paused = False
        self._show_action()
        self._wish()

    def labels_changed(self, layer: LabelsLayer | None) -> None:
        """Start from the paint that is chosen elsewhere."""
        self.settings.take_paint(layer)
        self._wish()

    def plane_changed(self) -> None:
        """Preview the slice that came into view."""
        self._wish()

    def became_visible(self) -> None:
        """Preview."""
        self._wish()

    def became_hidden(self) -> None:
        """Take the preview away."""
        self.preview.hide()
        self._remember()

    def reset_choices(self, event: Any = None) -> None:
        """Fill the choosers again."""
        super().reset_choices(event)
        if not self._released:
            self.settings.fill()

    def released(self) -> None:
        """Disconnect."""
        self.viewer.layers.events.removed.disconnect(self._layer_removed)
        self._written = []
        self.settings.release()

    def theme_changed(self, dark: bool, text_colour: str) -> None:
        """Take colours that can be read."""
        self.settings.set_theme(dark, text_colour)

    def fail(self, error: BaseException, actions: Any = None, *, details: str = "") -> None:
        """Say what went wrong; where paint is involved, offer the way to it."""
        super().fail(error, actions or self._ways_out(error), details=details)

    # settings

    @property
    def form(self) -> ParamsForm:
        """The form of the method chosen."""
        return self.settings.form

    def choose(self, name: str, values: Mapping[str, Any] | None = None) -> None:
        """Choose a method, with settings, as if the user had."""
        self.settings.choose(name, values or {})

    def _compare(self, _: bool) -> None:
        from napari_segtool.ui.compare import show_comparison, subject_of

        show_comparison(self.session, partial(subject_of, self), self.choose)

    def _method_chosen(self) -> None:
        self.preview.labels.remove()
        self._remember()

    def _edited(self) -> None:
        self._settings_changed(FOLLOW_S)

    def _switched(self, _: bool) -> None:
        self._paused = False
        self.preview.hide()
        self._wish()

    def _settings_changed(self, patience_s: float = 0.0) -> None:
        self._paused = False
        self._show_action()
        if self.state != "working":
            self.rest()
            self.message.clear()
        self._wish(patience_s)

    def _redrawn(self) -> None:
        """Follow what is painted or drawn; what the panel says of the last result stays true."""
        self._paused = False
        if self.message.kind == "warning":
            self.message.clear()
        self._wish()

    def _remember(self) -> None:
        self.remember(preview=self.preview_switch.isChecked(), **self.settings.record())

    def _order_focus(self) -> None:
        order_focus(self)

    def _show_action(self) -> None:
        output = self.settings.output
        self.action = "Apply" if output.scope.isHidden() else "Apply to this slice" if output.one_slice else "Apply to stack"
        if self.state != "working":
            self.button.setText(self.action)

    def _ways_out(self, error: BaseException) -> dict[str, Any]:
        painted = isinstance(error, SegtoolError) and "paint" in inputs_of(self.settings.entry)
        return {"Go to Annotate": self.go_to("annotate")} if painted else {}

    def _go_to(self, panel: str) -> None:
        self.go_to(panel)()

    def _line_dragged(self, low: float, high: float) -> None:
        if self._bars is not None:
            self.form.set_values(dragged(self.settings.entry, self.form.values(), self._bars, low, high))
            self.settings.forms.tell_edited()

    # preview

    def _pause_preview(self) -> None:
        """Take the preview away until a setting is changed: the result lies there now."""
        self._paused = True
        self.preview.hide()

    def _wish(self, patience_s: float = 0.0) -> None:
        wanted = self.preview_switch.isChecked() or self.settings.shows_filtered
        if wanted and not self._paused and self.in_view and self.image is not None:
            try:
                axes = self.session.stack(self.image).axes
            except SegtoolError as error:
                return self._preview_failed(error)
            self.preview.wish(self.image, axes, patience_s)
        return None

    def _request(self) -> tuple[MakeSteps, PlaneIndex] | None:
        image, settings = self.image, self.settings
        if image is None or not self.in_view:
            return None
        stack, plane = self.session.stack(image), self.plane
        able = self.preview_switch.isChecked() and settings.lacking() is None
        if not able and not settings.shows_filtered:
            return None
        try:
            plan = settings.plan(stack, plane) if able else settings.filters_alone(plane)
        except SegtoolError as error:
            self._preview_failed(error)
            return None
        wanted = {"histogram": shows_histogram(settings.entry), "filtered": settings.shows_filtered}
        return partial(preview_steps, self._bench, stack, plan, plane, **wanted), plane

    def _preview_ready(self, preview: Preview) -> None:
        entry = self.settings.entry
        if preview.bars is not None:
            self._bars = preview.bars
            self.settings.histogram.show_bars(preview.bars, ends_of(entry, self.form.values(), preview.bars), marks=finds_thresholds(entry))
        if self._said_by_preview:
            self._said_by_preview = False
            self.message.clear()

    def _preview_failed(self, error: BaseException) -> None:
        if self.state == "working":
            return
        self._said_by_preview = True
        if isinstance(error, SegtoolError):
            self.missing(str(error), self._ways_out(error))
        else:
            self.fail(error)

    def _show_behind(self) -> None:
        if self.preview.behind:
            self._calm_soon.stop()
            part = self.preview.progress.fraction if self.preview.progress is not None else 0.0
            self.following.setText(f"following… {part:.0%}" if 0 < part < 1 else "following…")
        else:
            self._calm_soon.start()

    def _job_progressed(self, progress: Progress) -> None:
        super()._job_progressed(progress)
        if self._running is None or not self._paused or not self.in_view or not isinstance(progress, Evolution):
            return
        image, plan = self._running
        if image is not self.image or plan.only not in (None, self.plane):
            return
        stack = self.session.stack(image)
        seen = progress.labels if plan.only is not None else evolved_plane(progress, stack, self.plane)
        if seen is not None:
            self.preview.show_evolution(seen if seen.ndim == 2 else seen[0], self.plane, image, stack.axes)

    def _job_finished(self) -> None:
        super()._job_finished()
        self._running = None
        if self._paused:  # what was seen evolving; a preview of settings chosen meanwhile stays
            self.preview.hide()

    def _layer_removed(self, event: Any) -> None:
        self._written = [one for one in self._written if one.layer is not event.value]
        if self.preview.labels.layer is not None and event.value is self.preview.labels.layer:
            self.preview.labels.layer = None
            self._paused = True  # the user took it away; it comes back with the next change of a setting

    # result

    def _show_result(self, image: Image, entry: Entry, plan: Plan, goal: Goal | None, outcome: Outcome) -> None:
        if image not in self.viewer.layers:
            return self.missing("The image was closed meanwhile; the result was dropped.")
        largest = int(outcome.segmentation.data.max(initial=0))
        words, links = found_text(entry, plan.then, largest), self.links_to("export", "annotate", "train")
        written = write_into(goal, outcome) if goal is not None and goal.layer in self.viewer.layers else None
        if written is not None:
            self._written.append(written)
            self.settings.let_pass()
            self.viewer.layers.selection.active = written.layer
            self.done(written.text, {"Undo": partial(self._undo, written), **links} if written.pixels else links)
            return None
        layer = show_new(self.viewer, outcome, image, entry, plan)
        apology = "" if goal is None else f"“{goal.layer.name}” cannot take this result, so it has a layer of its own. "
        self.done(f"{apology}Labels in layer “{layer.name}”: {words}.", links)
        if not largest:
            self.missing(f"{words.capitalize()} (layer “{layer.name}”).")
        return None

    def _undo(self, written: Written) -> None:
        written.undo()
        self.say(f"Taken back in layer “{written.layer.name}”.")
