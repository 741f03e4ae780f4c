"""Choose an explainer, the layer it looks at by its real name, and its settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QComboBox, QGridLayout, QPushButton, QSizePolicy, QVBoxLayout, QWidget

from napari_segtool.core.params import Params, describe
from napari_segtool.core.registry import EXPLAINERS, Entry
from napari_segtool.ui._entry_combo import EntryCombo
from napari_segtool.ui._explain_layers import LayerNames, layer_text
from napari_segtool.ui._fields import guard_wheel
from napari_segtool.ui._form import ParamsForm, caption, form_layout

LAYER = "layer"
AUTO = "auto"
FIRST = "gradcam"
FAMILIES = ("perturbation", "activations", "gradients")


class ExplainerSettings(QWidget):
    """The explainer with one line on what it shows, and what can be set of it.

    Parameters
    ----------
    names
        The layers of the network.
    """

    chosen = Signal()
    """The user chose another explainer."""
    changed = Signal()
    """The user changed a setting."""
    compare_wanted = Signal()

    def __init__(self, names: LayerNames, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._names = names
        self._values: dict[str, dict[str, Any]] = {}
        self._form_of = ""
        self.form: ParamsForm | None = None
        self.explainer = EntryCombo(EXPLAINERS, FAMILIES, "By")
        self.explainer.box.setMinimumContentsLength(5)
        self.explainer.chosen.connect(self._chosen)
        self.compare_button = QPushButton("Compare…")
        self.compare_button.setToolTip("Ask several explainers the same question and see their maps side by side; choose the one to keep.")
        self.compare_button.clicked.connect(self._compare)
        row = self.explainer.layout()
        assert isinstance(row, QGridLayout)
        row.addWidget(self.explainer.summary, 1, 0, 1, 3)
        row.addWidget(self.compare_button, 2, 0, 1, 3)
        self.layer_box = QComboBox()
        self.layer_box.setAccessibleName("Layer")
        self.layer_box.setToolTip("Which layer of the network is looked at: the deepest sees widest, the last ones (up…) are finer and nearer to the decision.")
        self.layer_box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.layer_box.setMinimumContentsLength(10)
        self.layer_box.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        guard_wheel(self.layer_box)
        self.layer_box.activated.connect(self._layer_chosen)
        self._layer_row = QWidget()
        form = form_layout()
        label = caption("Layer")
        label.setToolTip(self.layer_box.toolTip())
        label.setBuddy(self.layer_box)
        form.addRow(label, self.layer_box)
        self._layer_row.setLayout(form)
        self._place = QVBoxLayout()
        self._place.setContentsMargins(0, 0, 0, 0)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addWidget(self.explainer)
        layout.addWidget(self._layer_row)
        layout.addLayout(self._place)
        names.changed.connect(self._fill_layers)
        self.restore(FIRST, {})

    @property
    def entry(self) -> Entry:
        """The explainer chosen."""
        entry = self.explainer.entry()
        assert entry is not None
        return entry

    def params(self) -> Params:
        """Return its settings, or raise `ParameterError`."""
        return self.entry.params.build(**self._now())

    def values(self) -> dict[str, dict[str, Any]]:
        """Return the settings of every explainer that was touched, by name, JSON-ready."""
        return {**self._values, self._form_of: self._now()} if self._form_of else dict(self._values)

    def restore(self, name: str, values: Mapping[str, Mapping[str, Any]]) -> None:
        """Show an explainer with remembered settings, without saying so."""
        self._values = {str(key): dict(its) for key, its in values.items()}
        self._form_of = ""
        self.explainer.choose(name)
        self._make_form()

    def choose(self, name: str, params: Mapping[str, Any]) -> None:
        """Show an explainer with these settings, without saying so."""
        self._values = {**self.values(), name: dict(params)}
        self._form_of = ""
        self.explainer.choose(name)
        self._make_form()

    def _now(self) -> dict[str, Any]:
        if self.form is None:
            return {}
        values = self.form.values()
        if LAYER in values:
            values[LAYER] = self.layer_box.currentData() or AUTO
        return values

    def _make_form(self) -> None:
        entry = self.entry
        if self.form is not None:
            self._place.removeWidget(self.form)
            self.form.hide()
            self.form.deleteLater()
        self._form_of = entry.name
        self.form = ParamsForm(entry.params, hidden={LAYER})
        kept = self._values.get(entry.name, {})
        self.form.set_values(kept)
        self.form.fold.button.setToolTip("Settings that rarely need another value.")
        self.form.changed.connect(self._form_changed)
        self._place.addWidget(self.form)
        self._layer_row.setVisible(any(field.name == LAYER for field in describe(entry.params)))
        self._fill_layers(str(kept.get(LAYER, AUTO)))

    def _fill_layers(self, wanted: str = "") -> None:
        wanted = wanted or str(self.layer_box.currentData() or AUTO)
        self.layer_box.clear()
        looking = "deepest (looking for others…)" if self._names.busy and not self._names.layers else "deepest (automatic)"
        self.layer_box.addItem(looking, AUTO)
        for layer in self._names.layers:
            self.layer_box.addItem(layer_text(layer), layer.name)
        if not self._names.layers and wanted != AUTO:
            self.layer_box.addItem(wanted, wanted)  # remembered; whether the network has it is not known yet
        self.layer_box.setCurrentIndex(max(0, self.layer_box.findData(wanted)))

    def _chosen(self, _: str) -> None:
        if self.form is not None:
            self._values[self._form_of] = self._now()
        self._make_form()
        self.chosen.emit()

    def _form_changed(self, _: str) -> None:
        self.changed.emit()

    def _layer_chosen(self, _: int) -> None:
        self.changed.emit()

    def _compare(self, _: bool) -> None:
        self.compare_wanted.emit()
