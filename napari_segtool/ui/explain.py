"""The Explain panel: which pixels made the model decide, for a pixel or for a whole class of the visible slice."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from napari.layers import Image
from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import QComboBox, QHBoxLayout, QLabel, QRadioButton, QSlider, QVBoxLayout, QWidget

from napari_segtool.core.errors import SegtoolError
from napari_segtool.core.registry import EXPLAINERS
from napari_segtool.core.stack import Stack
from napari_segtool.core.target import Target
from napari_segtool.ui._align import align_labels
from napari_segtool.ui._bridge import step_to_plane
from napari_segtool.ui._entry_combo import EntryCombo
from napari_segtool.ui._explain_look import limits_of, overlay_colormap
from napari_segtool.ui._explain_pick import PixelPicker
from napari_segtool.ui._fields import guard_wheel
from napari_segtool.ui._form import ParamsForm, form_layout
from napari_segtool.ui._frame import order_focus
from napari_segtool.ui._jobs import LatestJob
from napari_segtool.ui._panel import Panel
from napari_segtool.ui._plane_layer import maps_over, show_plane_map
from napari_segtool.ui._predict_models import ModelChooser, class_names, misfit
from napari_segtool.ui._predict_steps import plane_of
from napari_segtool.ui._predict_worker import NetworkProcess
from napari_segtool.ui._train_desk import LOOK_AFTER_MS


class ExplainPanel(Panel):
    """Ask a model why."""

    name = "explain"
    title = "Explain"
    action = "Explain"
    action_help = "Show which pixels speak for the class, in an overlay on the visible slice."

    def build(self) -> None:
        """Model, target, class, explainer; below, how the overlay looks."""
        self.process = self.session.shared(NetworkProcess)
        self.models = ModelChooser(self.session)
        self.models.desk.opened.connect(self._model_opened)
        self.picker = PixelPicker(self.viewer, self)
        self.picker.picked.connect(self._picked)
        self._latest = LatestJob("explain", self)
        self._latest.returned.connect(self._explained)
        self._latest.failed.connect(self._explain_failed)
        self._pixel: tuple[int, ...] | None = None
        self._overlay: Image | None = None
        self._asked: tuple[Image, str] | None = None
        self._signed = False
        self.at_pixel = QRadioButton("a clicked pixel")
        self.at_pixel.setToolTip("Click in the picture: why does that pixel get the class? Each click asks anew.")
        self.whole = QRadioButton("whole class")
        self.whole.setToolTip("All pixels of the visible slice that are given the class.")
        for button in (self.at_pixel, self.whole):
            button.clicked.connect(self._target_chosen)
        target = QHBoxLayout()
        target.setSpacing(4)
        target.addWidget(self.at_pixel)
        target.addWidget(self.whole)
        target.addStretch(1)
        self.class_box = QComboBox()
        self.class_box.setToolTip("The class that is explained.")
        self.class_box.setAccessibleName("Class")
        guard_wheel(self.class_box)
        self.class_box.activated.connect(self._class_chosen)
        self.explainer = EntryCombo(EXPLAINERS)
        self.explainer.chosen.connect(self._explainer_chosen)
        rows = form_layout()
        for text, field in (("Model", self.models), ("Explain", target), ("Why class", self.class_box), ("By", self.explainer)):
            label = QLabel(text)
            if isinstance(field, QWidget):
                label.setBuddy(field)
                label.setToolTip(field.toolTip())
            rows.addRow(label, field)
        self._form_place = QVBoxLayout()
        self.form: ParamsForm | None = None
        self._form_of = ""
        self._values: dict[str, dict[str, Any]] = {}
        self.body.addLayout(rows)
        self.body.addLayout(self._form_place)
        self._make_looks()
        self._recall()
        self._model_opened()
        align_labels(self)

    def _make_looks(self) -> None:
        self.opacity = _slider("How strongly the overlay covers the picture.", 70)
        self.opacity.setAccessibleName("Opacity")
        self.threshold = _slider("Leave out what is weaker than this part of the strongest.", 10)
        self.threshold.setAccessibleName("Hide below")
        self.opacity.valueChanged.connect(self._look)
        self.threshold.valueChanged.connect(self._look)
        self.opacity_text, self.threshold_text = QLabel(), QLabel()
        for label in (self.opacity_text, self.threshold_text):
            label.setFixedWidth(label.fontMetrics().horizontalAdvance("100 %"))
            label.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        rows = form_layout()
        for text, slider, value in (("Opacity", self.opacity, self.opacity_text), ("Hide below", self.threshold, self.threshold_text)):
            label, row = QLabel(text), QHBoxLayout()
            label.setBuddy(slider)
            label.setToolTip(slider.toolTip())
            row.addWidget(slider, 1)
            row.addWidget(value)
            rows.addRow(label, row)
        self._below = QWidget()
        self._below.setLayout(rows)
        rows.setContentsMargins(0, 4, 0, 0)
        column = self.layout()
        column.insertWidget(column.indexOf(self.message) + 1, self._below)
        self._look()

    # settings

    def _recall(self) -> None:
        kept = self.recall()
        self._values = {str(name): dict(values) for name, values in kept.get("params", {}).items()}
        self.explainer.choose(str(kept.get("explainer", "gradcam")))
        self.opacity.setValue(int(kept.get("opacity", 70)))
        self.threshold.setValue(int(kept.get("threshold", 10)))
        (self.whole if kept.get("target") == "class" else self.at_pixel).setChecked(True)
        self._make_form()

    def _keep(self) -> None:
        if self.form is not None:
            self._values[self._form_of] = self.form.values()
        self.remember(
            explainer=self._form_of,
            params=self._values,
            opacity=self.opacity.value(),
            threshold=self.threshold.value(),
            target="class" if self.whole.isChecked() else "pixel",
        )

    def _make_form(self) -> None:
        entry = self.explainer.entry()
        if self.form is not None:
            self._values[self._form_of] = self.form.values()
            self._form_place.removeWidget(self.form)
            self.form.hide()
            self.form.deleteLater()
            self.form = None
        if entry is None:
            return
        self._form_of = entry.name
        self.form = ParamsForm(entry.params)
        self.form.set_values(self._values.get(entry.name, {}))
        self.form.fold.button.setToolTip("Settings that rarely need another value.")
        self.form.changed.connect(self._again)
        self._form_place.addWidget(self.form)
        align_labels(self)

    # hooks of the frame

    def image_changed(self, layer: Image | None) -> None:
        """Ask about the new image from now on."""
        self._pixel = None
        self.picker.clear()
        self._aim()
        self._below.setVisible(layer is not None)

    def became_visible(self) -> None:
        """Look for models; listen for clicks."""
        QTimer.singleShot(LOOK_AFTER_MS, self._look_around)
        self._aim()

    def _look_around(self) -> None:
        if not self._released:
            self.models.desk.look()

    def became_hidden(self) -> None:
        """Stop listening for clicks, and remember the settings."""
        self.picker.switch(None)
        self.picker.clear()
        self._keep()

    def released(self) -> None:
        """Let go of the models."""
        self._latest.cancel()
        self.models.desk.opened.disconnect(self._model_opened)
        self.models.release()

    def _aim(self) -> None:
        """Listen for clicks where a pixel is asked for."""
        listening = self.in_view and self.at_pixel.isChecked() and self.models.desk.bundle is not None
        self.picker.switch(self.image if listening else None)
        if not self.at_pixel.isChecked():
            self.picker.clear()
        if listening and self.image is not None and self._pixel is None and self.state == "ready":
            self.say("Click a pixel in the picture.")

    def _model_opened(self) -> None:
        bundle, before = self.models.desk.bundle, self.class_box.currentText()
        self.class_box.clear()
        if bundle is not None:
            for value, name in class_names(bundle.card).items():
                self.class_box.addItem(name, value)
            self.class_box.setCurrentIndex(max(0, self.class_box.findText(before)))
        if self.message.kind == "warning" and self.state == "ready":
            self.message.clear()
        self._aim()

    # asking

    def _target_chosen(self, _: bool) -> None:
        if self.state == "ready":
            self.message.clear()
        self._aim()

    def _class_chosen(self, _: int) -> None:
        self._again()

    def _explainer_chosen(self, _: str) -> None:
        self._make_form()
        order_focus(self)
        self._again()

    def _again(self, _: str = "") -> None:
        """Ask again after a setting was changed, if there is an answer that it changes."""
        if self._overlay is not None and self._overlay in self.viewer.layers:
            self.guarded(self.start)

    def _picked(self, pixel: tuple[int, ...]) -> None:
        self._pixel = pixel
        self.picker.show(pixel)
        self.guarded(self.start)

    def start(self) -> None:
        """Ask the model about the pixel that was clicked, or about the class."""
        desk, image = self.models.desk, self.image
        offers = {**self.links_to("train"), "Open a model…": self.models.ask}
        if desk.chosen is None:
            return self.missing("There is no model to explain yet. Train one, or open one from a folder.", offers)
        if desk.error is not None:
            return self.fail(desk.error, offers)
        if desk.bundle is None:
            return self.missing("The model is still being opened. Try again in a moment.")
        if image is None:
            return self.missing("Open an image first.")
        if self.form is None:
            return self.missing("There is no explainer installed.")
        pixel = self._pixel if self.at_pixel.isChecked() else None
        if self.at_pixel.isChecked() and pixel is None:
            return self.missing("Click a pixel in the picture first: the question is why it gets its class.")
        stack = self.session.stack(image)
        unfit = misfit(desk.bundle.card, stack)
        if unfit.endswith("cannot be used on it."):
            return self.missing(unfit, offers)
        self._keep()
        value = int(self.class_box.currentData())
        target = Target(value, point=pixel) if pixel is not None else Target(value, plane=self.plane)
        client, params = self.process.client, self.form.params().model_dump(mode="json")
        entry = self.explainer.entry()
        assert entry is not None
        self._asked = (image, self.class_box.currentText())
        self.working("looking inside… (the first time takes a few seconds)" if not self.process.running else "looking inside…")
        self._latest.submit(partial(client.explain_steps, desk.bundle, stack, entry.name, target, device=self.process.device, **params))
        return None

    def stop(self) -> None:
        """Forget the question."""
        if self.job is not None:
            super().stop()
            return
        self._latest.cancel()
        self.rest()
        self.say("Stopped; nothing was changed.")

    def _explained(self, overlay: Stack) -> None:
        assert self._asked is not None
        image, name = self._asked
        if image not in self.viewer.layers:
            self.rest()
            return self.say("The image was removed meanwhile; its explanation was dropped.")
        values = plane_of(overlay.data, overlay.axes)
        plane = tuple(overlay.memo["plane"])
        self._signed, limits = limits_of(values)
        looks = {
            "colormap": overlay_colormap(self._signed, self.threshold.value() / 100),
            "contrast_limits": limits,
            "opacity": self.opacity.value() / 100,
            "blending": "translucent_no_depth",
        }
        notes = {"axes": overlay.axes, "history": [step.as_dict() for step in overlay.memo["history"]]}
        self._overlay = show_plane_map(self.viewer, values, plane, image, f"{image.name} · {_title(overlay, image)}", notes=notes, **looks)
        for layer in maps_over(self.viewer, image):
            layer.visible = layer is self._overlay  # maps cover each other
        if plane != self.plane:
            step_to_plane(self.viewer, image, plane)
        note = str(overlay.memo.get("note", ""))
        pixel = self._pixel if self.at_pixel.isChecked() else None
        axes = self.session.stack(image).label_axes.lower()
        what = "all its pixels on this slice" if pixel is None else "pixel " + ", ".join(f"{axis} {at}" for axis, at in zip(axes, pixel, strict=True))
        meaning = "Red speaks for it, blue against it." if self._signed else "Bright pixels matter most." if np.any(values) else "Nothing speaks for it here."
        return self.done(f"Why “{name}”: {what}. {meaning} {note}".strip(), self.links_to("export"))

    def _explain_failed(self, error: BaseException) -> None:
        notes = "\n".join(getattr(error, "__notes__", ()))
        self.fail(error, {"Try again": self.start}, details=notes if isinstance(error, SegtoolError) else "")

    # looks

    def _look(self, _: int = 0) -> None:
        self.opacity_text.setText(f"{self.opacity.value()} %")
        self.threshold_text.setText(f"{self.threshold.value()} %")
        layer = self._overlay
        if layer is not None and layer in self.viewer.layers:
            layer.opacity = self.opacity.value() / 100
            layer.colormap = overlay_colormap(self._signed, self.threshold.value() / 100)


def _title(overlay: Stack, image: Image) -> str:
    return overlay.name.removeprefix(image.name).strip(" ·") or "explanation"


def _slider(tip: str, value: int) -> QSlider:
    slider = QSlider(Qt.Orientation.Horizontal)
    slider.setRange(0, 100)
    slider.setValue(value)
    slider.setToolTip(tip)
    guard_wheel(slider)
    return slider
