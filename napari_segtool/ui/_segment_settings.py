"""Everything that is chosen in the Segment panel, in the order of work, and what of it is still missing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from napari.layers import Image
from napari.layers import Labels as LabelsLayer
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QCheckBox, QVBoxLayout, QWidget

from napari_segtool.core.params import describe
from napari_segtool.core.planes import PlaneIndex
from napari_segtool.core.registry import FILTERS, METHODS, Entry
from napari_segtool.core.stack import Stack
from napari_segtool.ui._chain_editor import ChainEditor
from napari_segtool.ui._entry_combo import EntryCombo
from napari_segtool.ui._form import ParamsForm
from napari_segtool.ui._histogram import HistogramView
from napari_segtool.ui._method_forms import MethodForms
from napari_segtool.ui._seeds import SeedControls, SeedLayer
from napari_segtool.ui._segment_inputs import REFINES, WITHIN, InputRows
from napari_segtool.ui._segment_output import OutputRows
from napari_segtool.ui._segment_steps import MASK, Plan
from napari_segtool.ui._session import Session
from napari_segtool.ui._source_row import SourceRow, has_area
from napari_segtool.ui._threshold_lines import shows_histogram

FAMILIES = ("threshold", "clustering", "edges", "regions", "watershed", "contours", "objects", REFINES)
FILTER_FAMILIES = ("intensity", "denoise", "speckle", "edges", "ridges", "morphology")
_MOST_SHOWN = 30


class SegmentSettings(QWidget):
    """From top to bottom: where to look, filters before, the method with what it needs, post-processing after it, where the result goes.

    Silent when code fills it.

    Parameters
    ----------
    session
        The viewer's session.
    remembered
        What `record` returned the last time.
    """

    edited = Signal()
    """A number was changed, perhaps one of many while a slider moves."""
    changed = Signal()
    """Something else was chosen."""
    redrawn = Signal()
    """Seeds, paint, shapes or labels that take part were changed."""
    method_chosen = Signal()
    relaid = Signal()
    """Widgets were added or moved: the order of Tab has changed."""
    help_wanted = Signal(str)
    """Name of the panel where the user can make what is missing."""

    def __init__(self, session: Session, remembered: Mapping[str, Any], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.within = SourceRow(session.viewer, WITHIN)
        self.prepare = ChainEditor("Prepare", "Filters that the picture passes before the method, in this order.", FILTERS, FILTER_FAMILIES, "Add a filter…")
        self.show_filtered = QCheckBox("Show the filtered picture")
        self.show_filtered.setToolTip("Show the visible slice as the method gets it.")
        self.prepare.extra.addWidget(self.show_filtered)
        self.chooser = EntryCombo(METHODS, FAMILIES, "Method")
        self.chooser.box.setMaxVisibleItems(_MOST_SHOWN)
        self.histogram = HistogramView()
        self.seeds = SeedLayer(session.viewer, self)
        self.seed_controls = SeedControls(self.seeds)
        self.inputs = InputRows(session)
        self.forms = MethodForms(session.memory, "segment")
        finishing = [entry for entry in METHODS if entry.family == REFINES and not entry.traits & {"paint", "probabilities", "seeds"}]
        self.then = ChainEditor("Then", "What is done to the labels afterwards, in this order.", finishing, (), "Add a step…")
        self.output = OutputRows(session.viewer)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(6)
        for part in (self.within, self.prepare, self.chooser, self.histogram, self.seed_controls, self.inputs, self.forms, self.then, self.output):
            layout.addWidget(part)
        self.chooser.choose(str(remembered.get("method", "otsu")))
        self.show_filtered.setChecked(bool(remembered.get("filtered", True)))
        self.prepare.restore(remembered.get("prepare", ()))
        self.then.restore(remembered.get("then", ()))
        self.output.restore(remembered.get("output", {}))
        self._connect()
        self._show_method()

    def _connect(self) -> None:
        self.chooser.chosen.connect(self._method_chosen)
        self.forms.edited.connect(self.edited)
        self.forms.made.connect(self.relaid)
        for chain in (self.prepare, self.then):
            chain.edited.connect(self.edited)
            chain.rebuilt.connect(self.relaid)
            chain.rebuilt.connect(self.changed)
        for emitter in (self.within.changed, self.inputs.changed, self.output.scope_changed):
            emitter.connect(self.changed)
        for emitter in (self.within.redrawn, self.inputs.redrawn, self.seeds.changed):
            emitter.connect(self.redrawn)
        for emitter in (self.within.help_wanted, self.inputs.help_wanted):
            emitter.connect(self.help_wanted)

    # what is chosen

    @property
    def entry(self) -> Entry:
        """The method chosen."""
        entry = self.chooser.entry()
        assert entry is not None
        return entry

    @property
    def form(self) -> ParamsForm:
        """The form of the method chosen."""
        return self.forms.form(self.entry)

    @property
    def shows_filtered(self) -> bool:
        """True where the filtered picture is to be seen, and there is a filter."""
        return self.show_filtered.isChecked() and bool(self.prepare.links())

    def choose(self, name: str, values: Mapping[str, Any]) -> None:
        """Choose a method, with settings, as if the user had."""
        self.chooser.choose(name)
        self.form.set_values(values)
        self._method_chosen(name)

    def values(self, stack: Stack) -> dict[str, Any]:
        """Return the settings of the method, with the seeds clicked in the picture.

        Raises
        ------
        ParameterError
            If a setting is not allowed.
        """
        entry = self.entry
        values = self.form.values()
        for info in describe(entry.params):
            if info.kind == "points":
                values[info.name] = self.seeds.text(stack)
        entry.params.build(**values)
        return values

    def plan(self, stack: Stack, plane: PlaneIndex) -> Plan:
        """Return everything chosen; ``plane`` is the one in view.

        Raises
        ------
        ParameterError
            If a setting is not allowed.
        """
        beside = self.inputs.taken(self.entry)
        mask = self.within.taken()
        if mask is not None:
            beside[MASK] = mask
        return Plan(self.entry.name, self.values(stack), self.prepare.links(), self.then.links(), beside, self._only(plane))

    def filters_alone(self, plane: PlaneIndex) -> Plan:
        """Return the plan of showing the filtered picture and nothing else."""
        return Plan("", {}, self.prepare.links(), only=self._only(plane))

    def lacking(self) -> tuple[str, str] | None:
        """Return what is missing before the method can start, and the panel that helps; None where nothing is."""
        if "seeds" in self.entry.traits and not self.seeds.count():
            return "There is no seed yet: click “Place seeds”, then in the picture.", ""
        if not has_area(self.within.layer):
            return "The region to work in is still empty: draw a polygon, a rectangle or an ellipse, or choose the whole picture.", ""
        return self.inputs.lacking(self.entry)

    # what it follows

    def follow(self, image: Image | None) -> None:
        """Work on ``image``."""
        self.seed_controls.follow(image)
        for part in (self.within, self.inputs, self.output):
            part.follow(image)
        self.histogram.clear()

    def fill(self) -> None:
        """List the layers anew."""
        for part in (self.within, self.inputs, self.output):
            part.fill()

    def take_paint(self, layer: LabelsLayer | None) -> None:
        """Start from the paint that is chosen elsewhere."""
        self.inputs.take_paint(layer)

    def set_theme(self, dark: bool, text_colour: str) -> None:
        """Take colours that can be read."""
        self.histogram.set_colour(text_colour)
        self.within.set_theme(dark)
        self.inputs.set_theme(dark)

    def let_pass(self) -> None:
        """Do not speak of changes of layers made just now: they are our own."""
        self.within.let_pass()
        self.inputs.let_pass()

    def record(self) -> dict[str, Any]:
        """Return what is to be remembered, ready for JSON; the forms remember for themselves."""
        self.forms.flush()
        chains = {"prepare": self.prepare.record(), "then": self.then.record()}
        return {"method": self.entry.name, "filtered": self.show_filtered.isChecked(), "output": self.output.record(), **chains}

    def release(self) -> None:
        """Let go of all layers."""
        for part in (self.seeds, self.within, self.inputs):
            part.release()

    def _only(self, plane: PlaneIndex) -> PlaneIndex | None:
        return plane if self.output.one_slice else None

    def _method_chosen(self, _: str) -> None:
        self._show_method()
        self.method_chosen.emit()
        self.changed.emit()

    def _show_method(self) -> None:
        entry = self.entry
        self.forms.show_for(entry)
        self.histogram.setVisible(shows_histogram(entry))
        self.seed_controls.setVisible("seeds" in entry.traits)
        self.inputs.show_for(entry)
