"""The Predict panel: what a model says about the visible slice, the stack, or files."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from napari.layers import Image
from qtpy.QtCore import Qt, QTimer, QUrl
from qtpy.QtGui import QDesktopServices
from qtpy.QtWidgets import QCheckBox, QComboBox, QFileDialog, QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from napari_segtool.core.errors import SegtoolError
from napari_segtool.core.progress import Progress
from napari_segtool.nets._pixel_size import image_pixel_um, learned_pixel_um, resampling_text, told_of
from napari_segtool.ui._align import align_labels
from napari_segtool.ui._facts import duration_text
from napari_segtool.ui._fields import guard_wheel
from napari_segtool.ui._form import form_layout
from napari_segtool.ui._panel import Panel
from napari_segtool.ui._predict_models import ModelChooser, class_names, misfit
from napari_segtool.ui._predict_show import show_prediction, show_slice
from napari_segtool.ui._predict_steps import FilesDone, Outputs, SliceReady, StackDone, files_steps, slice_steps, stack_steps
from napari_segtool.ui._predict_worker import NetworkProcess
from napari_segtool.ui._train_desk import LOOK_AFTER_MS
from napari_segtool.ui._train_devices import DeviceCombo

_SCOPES = {
    "slice": ("the visible slice", "Quick: only the slice you look at."),
    "stack": ("the whole stack", "Every slice; the one you look at comes first."),
    "files": ("files…", "Label images from the disk without opening them; the labels are written to a folder."),
}


class PredictPanel(Panel):
    """Use a model on the image, or on files."""

    name = "predict"
    title = "Predict"
    action = "Predict"
    action_help = "Say the class of every pixel, in a process beside the window."

    def build(self) -> None:
        """Model, scope, outputs, device."""
        self.process = self.session.shared(NetworkProcess)
        self.models = ModelChooser(self.session)
        self.models.desk.opened.connect(self._check_fit)
        self.scope = QComboBox()
        for key, (text, tip) in _SCOPES.items():
            self.scope.addItem(text, key)
            self.scope.setItemData(self.scope.count() - 1, tip, Qt.ItemDataRole.ToolTipRole)
        self.scope.setToolTip("What is predicted.")
        guard_wheel(self.scope)
        self.scope.activated.connect(self._scope_chosen)
        self.probabilities = QCheckBox("probabilities")
        self.probabilities.setToolTip("A map for each class: how sure the network is of it, from 0 to 1.")
        self.uncertainty = QCheckBox("uncertainty")
        self.uncertainty.setToolTip("Where the network hesitates between classes: 0 is sure, 1 is a guess.")
        self.resample = QCheckBox("to the model's pixels")
        self.resample.setToolTip(
            "Where pixels are of another size than those the model learned from, show it the planes at its own size; the result lies on the image's pixels."
        )
        self.resample.clicked.connect(self._resample_switched)
        self.close_gaps = QCheckBox("in boundaries")
        self.close_gaps.setToolTip(
            "Draw a faint boundary on, with a line as strong as the boundary is on average. Only for models whose training found that objects agree better."
        )
        outputs = QHBoxLayout()
        outputs.setSpacing(4)
        for box in (self.probabilities, self.uncertainty):
            outputs.addWidget(box)
        outputs.addStretch(1)
        self.device = DeviceCombo(self.session)
        self.device.edited.connect(self._device_chosen)
        self.free = QPushButton("Free memory")
        self.free.setToolTip("End the process that runs networks, and with it all memory it holds, on the graphics card too. It starts again when needed.")
        self.free.clicked.connect(self._free)
        device = QHBoxLayout()
        device.addWidget(self.device, 1)
        device.addWidget(self.free)
        self._files: list[str] = []
        self._folder = ""
        self._make_files()
        self.fit = QLabel()
        self.fit.setWordWrap(True)
        self.fit.setMinimumHeight(3 * self.fit.fontMetrics().lineSpacing() + 2)
        self.fit.setAlignment(Qt.AlignmentFlag.AlignTop)
        rows = form_layout()
        for text, field in (
            ("Model", self.models),
            ("Predict", self.scope),
            ("Also", outputs),
            ("Resample", self.resample),
            ("Close gaps", self.close_gaps),
            ("Device", device),
        ):
            label = QLabel(text)
            if isinstance(field, QWidget):
                label.setBuddy(field)
                label.setToolTip(field.toolTip())
            rows.addRow(label, field)
        self.body.addLayout(rows)
        self.body.addWidget(self._files_part)
        self.body.addWidget(self.fit)
        self.state_changed.connect(self._state_changed)
        self._recall()
        align_labels(self)

    def _make_files(self) -> None:
        self._files_part = QWidget()
        self.choose_files = QPushButton("Choose files…")
        self.choose_files.setToolTip("TIFF and other images that are read with their own axes and spacing.")
        self.choose_files.clicked.connect(self._ask_files)
        self.choose_folder = QPushButton("Write to…")
        self.choose_folder.setToolTip("The folder the labels are written to; without a choice, beside each image.")
        self.choose_folder.clicked.connect(self._ask_folder)
        self.files_text = QLabel()
        self.files_text.setWordWrap(True)
        row = QHBoxLayout()
        row.addWidget(self.choose_files)
        row.addWidget(self.choose_folder)
        layout = QVBoxLayout(self._files_part)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(row)
        layout.addWidget(self.files_text)
        self._show_files()

    # settings

    def _recall(self) -> None:
        kept = self.recall()
        self.scope.setCurrentIndex(max(0, self.scope.findData(str(kept.get("scope", "stack")))))
        self.probabilities.setChecked(bool(kept.get("probabilities", False)))
        self.uncertainty.setChecked(bool(kept.get("uncertainty", False)))
        self.resample.setChecked(bool(kept.get("resample", True)))
        self.close_gaps.setChecked(bool(kept.get("close_gaps", True)))
        if "device" in kept:
            self.device.set_device(str(kept["device"]))
            self.process.device = str(kept["device"])
        self._files_part.setVisible(self.scope.currentData() == "files")

    def _keep(self) -> None:
        self.remember(
            scope=self.scope.currentData(),
            probabilities=self.probabilities.isChecked(),
            uncertainty=self.uncertainty.isChecked(),
            resample=self.resample.isChecked(),
            close_gaps=self.close_gaps.isChecked(),
            device=self.device.device(),
        )

    def _scope_chosen(self, _: int) -> None:
        self._files_part.setVisible(self.scope.currentData() == "files")
        self._check_fit()

    def _resample_switched(self, _: bool) -> None:
        self._check_fit()

    def _device_chosen(self) -> None:
        self.process.device = self.device.device()

    def _ask_files(self, _: bool) -> None:
        paths, _filter = QFileDialog.getOpenFileNames(self, "Choose images", "", "Images (*.tif *.tiff *.png *.jpg *.jpeg *.bmp);;All files (*)")
        if paths:
            self.set_files(paths)

    def _ask_folder(self, _: bool) -> None:
        folder = QFileDialog.getExistingDirectory(self, "Write labels to")
        if folder:
            self.set_files(self._files, folder)

    def set_files(self, paths: list[str], folder: str | None = None) -> None:
        """Choose the files to predict, and the folder to write to (empty: beside each image)."""
        self._files = list(paths)
        self._folder = self._folder if folder is None else folder
        self._show_files()

    def _show_files(self) -> None:
        count = len(self._files)
        chosen = "No files chosen yet." if not count else Path(self._files[0]).name if count == 1 else f"{count} files"
        where = f" Labels go to {self._folder}." if self._folder else " Labels go beside each image." if count else ""
        self.files_text.setText(f"{chosen}{where}")
        self.files_text.setToolTip("\n".join(self._files[:40]))

    # hooks of the frame

    def image_changed(self, layer: Image | None) -> None:
        """Check whether the model suits the image."""
        self._check_fit()

    def became_visible(self) -> None:
        """Look for models and devices."""
        QTimer.singleShot(LOOK_AFTER_MS, self._look_around)
        self.device.set_device(self.process.device)
        self._check_fit()
        self._show_memory()

    def _look_around(self) -> None:
        if not self._released:
            self.device.look()
            self.models.desk.look()

    def became_hidden(self) -> None:
        """Remember the settings."""
        self._keep()

    def released(self) -> None:
        """Let go of the models."""
        self.models.desk.opened.disconnect(self._check_fit)
        self.models.release()

    def _check_fit(self) -> None:
        if self.message.kind == "warning" and self.state == "ready":
            self.message.clear()
        bundle, text, told = self.models.desk.bundle, "", ""
        self.close_gaps.setEnabled(bundle is None or "separator" in bundle.card)
        if bundle is not None and self.image is not None and self.scope.currentData() != "files":
            try:
                stack = self.session.stack(self.image)
                told = resampling_text(image_pixel_um(stack), learned_pixel_um(bundle.card)) if self.resample.isChecked() else ""
                text = misfit(bundle.card, stack, resampled=bool(told))
            except SegtoolError as error:
                told, text = "", error.message
        self.fit.setText(f'<span style="color:#E69F00">▲</span> {text}' if text else told)

    def _show_memory(self) -> None:
        self.free.setEnabled(self.process.running and self.state != "working")

    # work

    def start(self) -> None:
        """Predict what is chosen."""
        desk = self.models.desk
        offers = {**self.links_to("train"), "Open a model…": self.models.ask}
        if desk.chosen is None:
            return self.missing("There is no model yet. Train one, or open one from a folder.", offers)
        if desk.error is not None:
            return self.fail(desk.error, offers)
        if desk.bundle is None:
            return self.missing("The model is still being opened. Try again in a moment.")
        self._keep()
        scope = self.scope.currentData()
        outputs = Outputs(
            self.probabilities.isChecked(), self.uncertainty.isChecked(), self.process.device, self.resample.isChecked(), self.close_gaps.isChecked()
        )
        if scope == "files":
            if not self._files:
                return self.missing("Choose the files first.", {"Choose files…": partial(self._ask_files, False)})
            self.run(partial(files_steps, self.process.client, desk.chosen, tuple(self._files), self._folder, outputs), self._files_done, "Predicting")
            return None
        image = self.image
        if image is None:
            return self.missing("Open an image first.")
        self._image = image
        stack, plane = self.session.stack(image), self.plane
        steps = slice_steps if scope == "slice" else stack_steps
        job = self.run(partial(steps, self.process.client, desk.bundle, stack, plane, outputs), self._predicted, "Predicting")
        job.progressed.connect(self._peek)
        return None

    def _peek(self, progress: Progress) -> None:
        """Show the visible slice as soon as it is there."""
        if isinstance(progress, SliceReady) and self._image in self.viewer.layers and self.models.desk.bundle is not None:
            show_slice(self.viewer, progress, self._image, class_names(self.models.desk.bundle.card))

    def _predicted(self, result: StackDone) -> None:
        if self._image not in self.viewer.layers:
            return self.say("The image was removed meanwhile; its prediction was dropped.")
        names = show_prediction(self.viewer, result, self._image)
        count = len(names) - 1
        maps = f" {count} map{'s are' if count > 1 else ' is'} in the layer list, hidden: click {'an' if count > 1 else 'its'} eye." if count else ""
        told = told_of(result.prediction.history[-1].params)
        return self.done(
            " ".join(filter(None, [f"Labels in layer “{names[0]}”, in {duration_text(result.seconds)}.{maps}", told])), self.links_to("explain", "export")
        )

    def _files_done(self, result: FilesDone) -> None:
        folder = result.written[0].parent if result.written else None
        actions: dict[str, Any] = {"Show in folder": partial(_show_folder, folder)} if folder is not None else {}
        wrote = f"Wrote {len(result.written)} of {len(result.written) + len(result.failed)} label file(s)" + (f" to {folder}." if folder is not None else ".")
        if result.failed:
            first, error = result.failed[0]
            return self.fail(
                SegtoolError(f"{wrote} {Path(first).name}: {error}"), actions, details="\n\n".join(f"{path}\n{text}" for path, text in result.failed)
            )
        return self.done(wrote, actions)

    def _free(self, _: bool) -> None:
        if self.state == "working":
            return self.missing("A prediction is running. Stop it first.")
        self.run(self.process.close_steps, self._freed, "Freeing memory")
        return None

    def _freed(self, _: None) -> None:
        self.done("Memory was freed. The next prediction takes a few seconds longer.")

    def _state_changed(self, _: str) -> None:
        self._show_memory()


def _show_folder(folder: Path) -> None:
    QDesktopServices.openUrl(QUrl.fromLocalFile(str(folder)))
