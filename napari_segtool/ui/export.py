"""The Export panel: write a result to a file."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from napari.layers import Image, Layer
from napari.layers import Labels as LabelsLayer
from qtpy.QtCore import QUrl
from qtpy.QtGui import QDesktopServices
from qtpy.QtWidgets import QApplication, QCheckBox, QFileDialog, QHBoxLayout, QLabel, QLineEdit, QPushButton

from napari_segtool.core.errors import SegtoolError
from napari_segtool.ui._bridge import notes_of
from napari_segtool.ui._export_plan import default_file_name, exportable, frozen_result, plan_export, write_steps
from napari_segtool.ui._form import caption, form_layout
from napari_segtool.ui._frame import wrapping
from napari_segtool.ui._layers import LayerCombo
from napari_segtool.ui._panel import Panel


class ExportPanel(Panel):
    """Write labels, paint or images with their axes, spacing and recipe."""

    name = "export"
    title = "Export"
    action = "Export"
    action_help = "Write the file. It appears whole or not at all."
    needs_image = False
    shows_image = False

    def build(self) -> None:
        """What, as what, where, and whether with the recipe."""
        self.layer_combo = LayerCombo(self.viewer, exportable)
        self.layer_combo.setToolTip("The layer to write.")
        self.layer_combo.setAccessibleName("Layer to export")
        self.layer_combo.chosen.connect(self._layer_chosen)
        self.kind, self.holds, self.opens = QLabel(), QLabel(), QLabel()
        for label in (self.holds, self.opens):
            wrapping(label)
        self.path = QLineEdit()
        self.path.setPlaceholderText("folder/name.tif")
        self.path.setToolTip("File to write; .tif or .ome.tif.")
        self.path.setAccessibleName("File to write")
        self.path.textEdited.connect(self._path_edited)
        browse = QPushButton("Browse…")
        browse.setToolTip("Choose where to write.")
        browse.clicked.connect(self._browse)
        where = QHBoxLayout()
        where.setSpacing(4)
        where.addWidget(self.path, 1)
        where.addWidget(browse)
        self.recipe = QCheckBox("Include the recipe")
        self.recipe.setChecked(bool(self.recall().get("recipe", True)))
        self.recipe.clicked.connect(self._recipe_switched)
        self.recipe_note = wrapping(QLabel())
        form = form_layout()
        form.addRow(caption("Layer"), self.layer_combo)
        form.addRow("As", self.kind)
        form.addRow("Holds", self.holds)
        form.addRow("Opens in", self.opens)
        form.addRow("File", where)
        self.body.addLayout(form)
        self.body.addWidget(self.recipe)
        self.body.addWidget(self.recipe_note)
        self._path_is_ours = True
        self._chosen: Layer | None = None
        self._last: Path | None = None
        self._choose_newest()

    def start(self) -> None:
        """Write the layer, unless a file of that name is there already."""
        layer, text = self.layer_combo.layer(), self.path.text().strip()
        if layer is None:
            return self.missing("There is no layer to write yet.", self.links_to("segment", "predict"))
        if not text:
            return self.missing("Say where to write it.", {"Browse…": self._browse})
        if Path(text).expanduser().exists():
            return self.missing(f"“{Path(text).name}” exists already.", {"Replace it": self._export, "Choose another name": self._browse})
        return self._export()

    def image_changed(self, layer: Image | None) -> None:
        """Nothing: the panel has its own choice of layer."""

    def labels_changed(self, layer: LabelsLayer | None) -> None:
        """Nothing: the panel has its own choice of layer."""

    def became_visible(self) -> None:
        """Show the newest result."""
        self._choose_newest()

    def reset_choices(self, event: Any = None) -> None:
        """Fill the chooser again, and offer the newest result."""
        super().reset_choices(event)
        if not self._released and hasattr(self, "layer_combo"):
            self.layer_combo.fill()
            self._choose_newest()

    # what

    def offer(self, layer: Layer) -> None:
        """Choose a layer as if the user had, if it can be written."""
        if exportable(layer) and layer in self.viewer.layers:
            self.layer_combo.fill()
            self.layer_combo.set_layer(layer)
            self._layer_chosen(layer)

    def _choose_newest(self) -> None:
        """Choose the result made last, else the newest labels, else the newest layer, unless the user has chosen one."""
        layers = [layer for layer in self.viewer.layers if exportable(layer)]

        def rank(layer: Layer) -> tuple[bool, bool]:
            return notes_of(layer).get("role") == "result", isinstance(layer, LabelsLayer)

        if self._chosen is None or self._chosen not in layers:
            self._chosen = None
            self.layer_combo.set_layer(max(reversed(layers), key=rank, default=None))
        self._show_plan()

    def _layer_chosen(self, layer: Layer | None) -> None:
        self._chosen = layer
        self._path_is_ours = self._path_is_ours or not self.path.text().strip()
        self._show_plan()

    def _show_plan(self) -> None:
        layer = self.layer_combo.layer()
        if layer is None:
            self.kind.setText("—")
            self.holds.setText("Nothing to write yet.")
            self.opens.setText("—")
            self.recipe.setEnabled(False)
            self.recipe_note.setText("")
            return
        if self._path_is_ours:
            self.path.setText(str(self._folder() / default_file_name(layer)))
        try:
            plan = plan_export(layer, self.path.text())
        except SegtoolError as error:
            self.kind.setText("—")
            self.holds.setText(str(error))
            self.opens.setText("—")
            return
        self.kind.setText(plan.kind)
        self.holds.setText(plan.facts)
        self.opens.setText(plan.opens)
        self.recipe.setEnabled(plan.steps > 0)
        steps = f"{plan.steps} step{'s' if plan.steps > 1 else ''}"
        self.recipe_note.setText(
            f"The recipe ({steps}) lets the result be made again from other images." if plan.steps else "This layer was painted or loaded, so it has no recipe."
        )

    # where

    def _folder(self) -> Path:
        return Path(str(self.recall().get("folder", Path.home())))

    def _path_edited(self, _: str) -> None:
        self._path_is_ours = False
        self._show_plan()

    def _browse(self, _: bool = False) -> None:
        path, _filter = QFileDialog.getSaveFileName(self, "Export to", self.path.text(), "TIFF (*.tif *.tiff)", options=QFileDialog.Option.DontConfirmOverwrite)
        if path:
            self.path.setText(path if path.lower().endswith((".tif", ".tiff")) else f"{path}.tif")
            self._path_is_ours = False
            self._show_plan()

    def _recipe_switched(self, on: bool) -> None:
        self.remember(recipe=on)

    # writing

    def _export(self) -> None:
        layer = self.layer_combo.layer()
        if layer is None:
            return
        path = Path(self.path.text().strip()).expanduser()
        result, spacing, history = frozen_result(layer, self.recipe.isChecked())
        self.run(partial(write_steps, result, spacing, history, path), self._written, f"Writing {path.name}")

    def _written(self, path: Path) -> None:
        self._last = path.resolve()
        self.remember(folder=str(self._last.parent))
        self.done(f"Written: {self._last}", {"Show in folder": self._show_in_folder, "Copy path": self._copy_path})

    def _show_in_folder(self) -> None:
        if self._last is not None:
            QDesktopServices.openUrl(QUrl.fromLocalFile(str(self._last.parent)))

    def _copy_path(self) -> None:
        if self._last is not None:
            QApplication.clipboard().setText(str(self._last))
