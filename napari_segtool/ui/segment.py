"""The Segment panel: segment without learning."""

from __future__ import annotations

from functools import partial
from typing import Any

from napari.layers import Image
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QCheckBox, QWidget

from napari_segtool.core.errors import SegtoolError
from napari_segtool.core.params import describe
from napari_segtool.core.registry import METHODS, Entry
from napari_segtool.core.result import Segmentation
from napari_segtool.ui._bridge import add_labels
from napari_segtool.ui._entry_combo import EntryCombo
from napari_segtool.ui._form import ParamsForm
from napari_segtool.ui._frame import order_focus
from napari_segtool.ui._histogram import HistogramView
from napari_segtool.ui._jobs import LatestJob
from napari_segtool.ui._panel import Panel
from napari_segtool.ui._preview import Bars, Preview, PreviewLayer, preview_steps
from napari_segtool.ui._seeds import SeedControls, SeedLayer

FAMILIES = ("threshold", "clustering", "edges", "regions")
FOLLOW_S = 0.5
"""A preview that takes no longer than this is shown while a slider moves on; the next one, of the newest settings, follows at once."""
REMEMBER_AFTER_MS = 800
WITH_HISTOGRAM = ("threshold", "clustering")


class SegmentPanel(Panel):
    """Choose a method, see what it makes of the visible slice, and apply it to the stack."""

    name = "segment"
    title = "Segment"
    action = "Apply to stack"
    action_help = "Segment every slice with the settings above, into a labels layer."

    def build(self) -> None:
        """Method chooser, histogram, seeds, form and preview switch."""
        remembered = self.recall()
        self.chooser = EntryCombo(METHODS, FAMILIES, "Method")
        self.chooser.choose(str(remembered.get("method", "otsu")))
        self.chooser.chosen.connect(self._method_chosen)
        self.histogram = HistogramView()
        self.histogram.dragged.connect(self._line_dragged)
        self.seeds = SeedLayer(self.viewer, self)
        self.seeds.changed.connect(self._seeds_changed)
        self.seed_controls = SeedControls(self.seeds)
        self._place = QWidget()
        self._forms: dict[str, ParamsForm] = {}
        self.preview_switch = QCheckBox("Preview on the visible slice")
        self.preview_switch.setToolTip("Show at once what the settings do to the slice you see.")
        self.preview_switch.setChecked(bool(remembered.get("preview", True)))
        self.preview_switch.clicked.connect(self._preview_switched)
        self.body.addWidget(self.chooser)
        self.body.addWidget(self.histogram)
        self.body.addWidget(self.seed_controls)
        self.body.addWidget(self._place)
        self.body.addWidget(self.preview_switch)
        self._preview_layer = PreviewLayer(self.viewer)
        self._latest = LatestJob("preview", self)
        self._latest.returned.connect(self._preview_ready)
        self._latest.failed.connect(self._preview_failed)
        self._paused = False
        self._said_by_preview = False
        self._patience_s = 0.0
        self._bars: Bars | None = None
        self._soon = QTimer(self)  # several changes of one moment make one request
        self._soon.setSingleShot(True)
        self._soon.timeout.connect(self._ask)
        self._remember_soon = QTimer(self)  # a slider that moves does not write a file at every step
        self._remember_soon.setSingleShot(True)
        self._remember_soon.timeout.connect(self._remember_forms)
        self.viewer.layers.events.removed.connect(self._layer_removed)
        self._show_form()

    # hooks of the frame

    def start(self) -> None:
        """Apply the method to the whole stack."""
        entry, image = self.chooser.entry(), self.image
        if image is None or entry is None:
            return self.missing("Open an image first.")
        stack, values = self.session.stack(image), self._values(entry)
        entry.params.build(**values)
        if "seeds" in entry.traits and not self.seeds.text(stack):
            return self.missing("There is no seed yet: click “Place seeds”, then in the picture.")
        from napari_segtool import api

        self._pause_preview()
        self._said_by_preview = False
        self.run(partial(api.segment_steps, stack, entry.name, **values), partial(self._show_result, image, entry), entry.title)

    def image_changed(self, layer: Image | None) -> None:
        """Preview anew."""
        self.seed_controls.follow(layer)
        self._preview_layer.remove()
        self.histogram.clear()
        self._bars = None
        self._paused = False
        self._wish()

    def plane_changed(self) -> None:
        """Preview the slice that came into view."""
        self._wish()

    def became_visible(self) -> None:
        """Preview."""
        self._wish()

    def became_hidden(self) -> None:
        """Take the preview away."""
        self._hide_preview()
        if self._remember_soon.isActive():
            self._remember_soon.stop()
            self._remember_forms()

    def _hide_preview(self) -> None:
        self._latest.cancel()
        self._soon.stop()
        self._preview_layer.remove()

    def released(self) -> None:
        """Disconnect."""
        self.viewer.layers.events.removed.disconnect(self._layer_removed)
        self.seeds.release()

    # settings

    @property
    def form(self) -> ParamsForm:
        """The form of the method chosen."""
        entry = self.chooser.entry()
        assert entry is not None
        if entry.name not in self._forms:
            form = ParamsForm(entry.params, parent=self)
            form.set_values(self.session.memory.recall(f"segment.{entry.name}"))
            form.changed.connect(self._edited)
            self._forms[entry.name] = form
            self.body.insertWidget(self.body.indexOf(self._place), form)
            order_focus(self)
        return self._forms[entry.name]

    def _show_form(self) -> None:
        entry = self.chooser.entry()
        if entry is None:
            return
        form = self.form
        for other in self._forms.values():
            other.setVisible(other is form)
        self.histogram.setVisible(entry.family in WITH_HISTOGRAM)
        self.seed_controls.setVisible("seeds" in entry.traits)

    def _method_chosen(self, name: str) -> None:
        self.remember(method=name)
        self._show_form()
        self._preview_layer.remove()
        self._settings_changed()

    def _edited(self, _: str) -> None:
        self._remember_soon.start(REMEMBER_AFTER_MS)
        self._settings_changed(FOLLOW_S)

    def _settings_changed(self, patience_s: float = 0.0) -> None:
        self._paused = False
        if self.state != "working":
            self.rest()
            self.message.clear()
        self._wish(patience_s)

    def _remember_forms(self) -> None:
        for name, form in self._forms.items():
            points = {info.name for info in describe(form.params_class) if info.kind == "points"}
            self.session.memory.remember(f"segment.{name}", {key: value for key, value in form.values().items() if key not in points})

    def _values(self, entry: Entry) -> dict[str, Any]:
        values = self.form.values()
        if self.image is not None:
            for info in describe(entry.params):
                if info.kind == "points":
                    values[info.name] = self.seeds.text(self.session.stack(self.image))
        return values

    # threshold lines

    def _ends(self, bars: Bars) -> tuple[float, float] | None:
        values = self.form.values()
        if "lower" not in values or "upper" not in values or values.get("grey_values") or values.get("per_slice"):
            return None
        span = bars.highest - bars.lowest
        return bars.lowest + span * values["lower"] / 100, bars.lowest + span * values["upper"] / 100

    def _line_dragged(self, low: float, high: float) -> None:
        if self._bars is None:
            return
        span = self._bars.highest - self._bars.lowest
        self.form.set_values({"lower": 100 * (low - self._bars.lowest) / span, "upper": 100 * (high - self._bars.lowest) / span})
        self._edited("lower")

    # seeds

    def _seeds_changed(self) -> None:
        self._settings_changed()

    # preview

    def _preview_switched(self, on: bool) -> None:
        self.remember(preview=on)
        self._paused = False
        if on:
            self._wish()
        else:
            self._hide_preview()

    def _pause_preview(self) -> None:
        """Take the preview away until a setting is changed: the result of the whole stack lies there now."""
        self._paused = True
        self._hide_preview()

    def _wish(self, patience_s: float = 0.0) -> None:
        """Ask for a preview at the end of this turn of the event loop; without patience, whatever is under way is out of date at once."""
        wanted = self.preview_switch.isChecked() and not self._paused and self.in_view and self.image is not None
        if wanted:
            if not patience_s:
                self._latest.cancel()
            self._patience_s = patience_s
            self._soon.start(0)

    def _ask(self) -> None:
        entry, image = self.chooser.entry(), self.image
        if entry is None or image is None or not self.in_view:
            return
        try:
            stack, values = self.session.stack(image), self._values(entry)
            entry.params.build(**values)
        except SegtoolError as error:
            return self._preview_failed(error)
        if "seeds" in entry.traits and not self.seeds.count():
            self._preview_layer.remove()
            return None
        self._latest.submit(partial(preview_steps, stack, entry.name, values, self.plane, entry.family in WITH_HISTOGRAM), patience_s=self._patience_s)
        return None

    def _preview_ready(self, preview: Preview) -> None:
        if self.image is None or not self.in_view:
            return
        self._preview_layer.show(preview, self.image, self.session.stack(self.image).axes)
        if preview.bars is not None:
            self._bars = preview.bars
            self.histogram.show_bars(preview.bars, self._ends(preview.bars))
        if self._said_by_preview:
            self._said_by_preview = False
            self.message.clear()

    def _preview_failed(self, error: BaseException) -> None:
        self._preview_layer.remove()
        if self.state == "working":
            return
        self._said_by_preview = True
        if isinstance(error, SegtoolError):
            self.missing(str(error))
        else:
            self.fail(error)

    def _layer_removed(self, event: Any) -> None:
        if self._preview_layer.layer is not None and event.value is self._preview_layer.layer:
            self._preview_layer.layer = None
            self._paused = True  # the user took it away; it comes back with the next change of a setting

    # result

    def _show_result(self, image: Image, entry: Entry, result: Segmentation) -> None:
        if image not in self.viewer.layers:
            return self.missing("The image was closed meanwhile; the result was dropped.")
        layer = add_labels(self.viewer, result, image, f"{image.name} · {entry.title}")
        largest = int(layer.data.max(initial=0))
        what = (
            f"up to {largest} regions in a slice"
            if entry.family == "edges"
            else f"labels 1 to {largest}"
            if entry.family == "regions"
            else f"{largest + 1} classes"
        )
        self.done(f"Labels in layer “{layer.name}”: {what}.", self.links_to("export", "annotate", "train"))
        return None

    def theme_changed(self, dark: bool, text_colour: str) -> None:
        """Draw the axis of the histogram in the colour of text."""
        self.histogram.set_colour(text_colour)
