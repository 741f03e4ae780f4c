"""What to learn from and how: the settings of the Train panel, the few that matter in sight and the rest folded."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.layers import Image, Layer
from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QComboBox, QLabel, QPushButton, QSpinBox, QVBoxLayout, QWidget

from napari_segtool.core.errors import ParameterError
from napari_segtool.core.params import Params, describe
from napari_segtool.core.registry import LEARNERS
from napari_segtool.ui._align import align_labels
from napari_segtool.ui._bridge import data_of, is_source_image, label_shape_of
from napari_segtool.ui._entry_combo import EntryCombo
from napari_segtool.ui._fields import guard_wheel
from napari_segtool.ui._fold import Fold
from napari_segtool.ui._form import form_layout
from napari_segtool.ui._layers import LayerCombo
from napari_segtool.ui._session import Session
from napari_segtool.ui._train_budget import Budget
from napari_segtool.ui._train_devices import DeviceCombo
from napari_segtool.ui._train_folder import RunCard
from napari_segtool.ui._train_marks import LabelsAre
from napari_segtool.ui._train_pairs import OtherPairs
from napari_segtool.ui._train_plan import plan_text
from napari_segtool.ui._train_start import StartFrom
from napari_segtool.ui._train_topics import TopicForm

if TYPE_CHECKING:
    from napari_segtool.training.configure._proposal import Proposal

_MEANINGS = {
    "paint": ("paint: 0 is not labelled", "Strokes: pixels with value 0 say nothing, and are not learned from."),
    "mask": ("mask: 0 is a class too", "Every pixel is labelled: value 0 is a class of its own, such as background."),
}
_MORE = "Also learn from other images"


class TrainSettings(QWidget):
    """Labels are paint or mask, learner, time, device, the plan in one line, other images, and everything else.

    Parameters
    ----------
    session
        Whose layers are listed.
    """

    meaning_chosen = Signal(str)
    """The user said what the labels are: "paint" or "mask"."""
    rebuilt = Signal()
    """There is a form of settings that was not there before."""
    edited = Signal()
    """The user changed something of what is to be learned from, or how."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.meaning = QComboBox()
        for key, (text, tip) in _MEANINGS.items():
            self.meaning.addItem(text, key)
            self.meaning.setItemData(self.meaning.count() - 1, tip, Qt.ItemDataRole.ToolTipRole)
        self.meaning.setToolTip("What the value 0 means in these labels. It is guessed; correct it if it is wrong.")
        self.meaning.setAccessibleName("Labels are")
        guard_wheel(self.meaning)
        self.others = OtherPairs(session.viewer)
        self.more = Fold(_MORE)
        self.more.button.setToolTip("Learn from several images, each with its labels, at once.")
        inside = QVBoxLayout()
        inside.addWidget(self.others)
        self.more.setContentLayout(inside)
        self.learner = EntryCombo(LEARNERS)
        self.learner.summary.hide()  # it stands in the tooltip too, and room is short here
        self.start = StartFrom()
        self._cards: tuple[RunCard, ...] = ()
        self.budget = Budget()
        self.device = DeviceCombo(session)
        self.advanced = Fold("Advanced")
        self.advanced.button.setToolTip("Everything else that can be set: network, patches, augmentation, optimiser.")
        self._form_place = QVBoxLayout()
        self.advanced.setContentLayout(self._form_place)
        self.seed = QSpinBox()
        self.seed.setRange(0, 2**31 - 1)
        self.seed.setToolTip("Seed of all random numbers: where the weights begin, and which patches are drawn.")
        self.seed.setAccessibleName("Seed")
        guard_wheel(self.seed)
        self._image: Layer | None = None
        self._proposal: Proposal | None = None
        self.weights = LayerCombo(session.viewer, self._may_weigh, nothing="none: all count alike")
        self.weights.setToolTip(
            "How much each pixel counts, by where its label comes from or how sure you are of it: an image layer as large as the labels. "
            "2 counts like two pixels, 0 not at all."
        )
        self.weights.setAccessibleName("Weights")
        self.reset = QPushButton("Back to the defaults")
        self.reset.setToolTip("Set everything under Advanced as it came: what is on auto is chosen from the images again.")
        self.reset.clicked.connect(self._reset)
        self.plan = QLabel()
        self.plan.setWordWrap(True)
        self.plan.setToolTip("What the training will do, in short. What is not set is worked out soon after you leave image, labels and settings as they are.")
        self.plan.setMinimumHeight(2 * self.plan.fontMetrics().lineSpacing())
        self.plan.setAlignment(Qt.AlignmentFlag.AlignTop)
        self._form: TopicForm | None = None
        self._form_of = ""
        self._values: dict[str, dict[str, Any]] = {}
        rows = form_layout()
        named = (("Labels are", self.meaning), ("Learner", self.learner), ("Time", self.budget), ("Device", self.device), ("Start from", self.start))
        for text, field in named:
            _add(rows, text, field)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(6)
        layout.addLayout(rows)
        layout.addWidget(self.plan)
        layout.addWidget(self.more)
        layout.addWidget(self.advanced)
        self.meaning.activated.connect(self._meaning_activated)
        self.others.changed.connect(self._others_changed)
        self.learner.chosen.connect(self._learner_chosen)
        self.start.edited.connect(self._edited)
        self.advanced.button.toggled.connect(self._unfolded)
        self.budget.edited.connect(self._edited)
        self.weights.chosen.connect(self._edited)
        self.device.edited.connect(self._edited)

    @property
    def labels_are(self) -> LabelsAre:
        """What the labels are taken for."""
        return self.meaning.currentData()

    def show_meaning(self, labels_are: LabelsAre) -> None:
        """Show what the labels are taken for, without saying so."""
        self.meaning.setCurrentIndex(self.meaning.findData(labels_are))

    @property
    def learner_name(self) -> str:
        """Name of the learner that is chosen; empty if there is none."""
        entry = self.learner.entry()
        return entry.name if entry is not None else ""

    @property
    def form(self) -> TopicForm | None:
        """The learner's settings; made when they are first looked at, since they are many and mostly folded."""
        entry = self.learner.entry()
        if self._form is None and entry is not None:
            self._form_of = entry.name
            self._form = TopicForm(entry.params)
            self._form.set_values(self._values.get(entry.name, {}))
            self._lay_form(self._form)
        return self._form

    def fill(self, chosen: Layer | None) -> None:
        """List the other images that can be learned from too, and those that can weigh pixels."""
        self._image = chosen
        self.others.fill(chosen)
        self.weights.fill()
        self._others_changed()

    def offer(self, cards: tuple[RunCard, ...]) -> None:
        """List the runs whose models can be gone on from."""
        self._cards = cards
        self.start.offer(cards, self.learner_name)
        self._show_plan()

    def take_over(self, values: Mapping[str, Any]) -> None:
        """Show settings that were proposed, as if the user had made them."""
        form = self.form
        if form is not None:
            form.set_values(values)
            self.advanced.unfold()
            self._edited()

    def params(self) -> Params | None:
        """Return the learner's settings as a parameter set, whether or not their form was looked at; None without a learner.

        Raises
        ------
        ParameterError
            If one is not allowed.
        """
        entry = self.learner.entry()
        if entry is None:
            return None
        try:
            return entry.params.build(**self._params())
        except ParameterError:
            if self._form is not None or self.form is None:
                raise
            return self.form.params()  # what was remembered is no longer allowed: the form leaves it out

    def show_proposal(self, proposal: Proposal | None) -> None:
        """Say in the plan what was worked out for what is chosen now; with None only what is set."""
        self._proposal = proposal
        self._show_plan()

    def restore(self, kept: Mapping[str, Any]) -> None:
        """Show what was remembered."""
        self._values = {str(name): dict(values) for name, values in kept.get("params", {}).items()}
        self.learner.choose(str(kept.get("learner", "unet")))
        self.start.choose(Path(str(kept["start"])) if kept.get("start") else None)
        self.budget.set_budget(minutes=float(kept.get("minutes", 0)), steps=int(kept.get("steps", 0)))
        if "device" in kept:
            self.device.set_device(str(kept["device"]))
        self.seed.setValue(int(kept.get("seed", 0)))
        self._drop_form()
        self.advanced.unfold(bool(kept.get("unfolded", False)))

    def record(self) -> dict[str, Any]:
        """Return what is to be remembered, JSON-ready."""
        if self._form is not None:
            self._values[self._form_of] = self._form.values()
        return {
            "learner": self.learner_name,
            "params": self._values,
            "device": self.device.device(),
            "seed": self.seed.value(),
            "start": str(self.start.model or ""),
            "unfolded": self.advanced.unfolded,
            **self.budget.record(),
        }

    def _lay_form(self, form: TopicForm) -> None:
        rows = form.fold.content.layout()
        _add(rows, "Weights", self.weights)
        _add(rows, "Seed", self.seed)
        rows.addRow(self.reset)
        for widget in (self.weights, self.seed, self.reset):
            widget.show()
        form.fold.button.setToolTip(self.advanced.button.toolTip())
        form.fold.button.hide()  # all of it is folded already, under our own heading
        form.fold.unfold()
        form.fold.show()
        form.fold.content.layout().setContentsMargins(0, 0, 0, 0)
        form.changed.connect(self._edited)
        self._form_place.addWidget(form)
        align_labels(form, folded_too=True)
        self.rebuilt.emit()

    def _drop_form(self) -> None:
        """Forget the form of another learner; its values are kept."""
        if self._form is not None:
            self._values[self._form_of] = self._form.values()
            for widget in (self.weights, self.seed, self.reset):
                widget.setParent(None)
            self._form_place.removeWidget(self._form)
            self._form.hide()
            self._form.deleteLater()
            self._form = None
        if self.advanced.unfolded:
            self._unfolded(True)
        self._show_plan()

    def _unfolded(self, on: bool) -> None:
        if on and self.form is not None:
            self.form.show()

    def _learner_chosen(self, _: str) -> None:
        self._drop_form()
        self.offer(self._cards)
        self.edited.emit()

    def _reset(self, _: bool) -> None:
        if self._form is not None:
            self._form.reset()
            self._edited()

    def _edited(self, _: object = None) -> None:
        self._show_plan()
        self.edited.emit()

    def _may_weigh(self, layer: Layer) -> bool:
        image = self._image
        alike = isinstance(layer, Image) and not layer.rgb and layer is not image and is_source_image(layer)
        return alike and image is not None and tuple(data_of(layer).shape) == label_shape_of(image)

    def _params(self) -> dict[str, Any]:
        entry = self.learner.entry()
        if self._form is not None or entry is None:
            return {} if self._form is None else self._form.values()
        defaults = {info.name: info.default for info in describe(entry.params)}
        return {**defaults, **self._values.get(entry.name, {})}

    def _meaning_activated(self, _: int) -> None:
        self.meaning_chosen.emit(self.labels_are)

    def _others_changed(self, *_: object) -> None:
        count = len(self.others.pairs())
        self.more.set_title(f"{_MORE} ({count})" if count else _MORE)
        self._show_plan()

    def _show_plan(self) -> None:
        images = 1 + len(self.others.pairs())
        parts = [
            plan_text(self._params(), minutes=self.budget.minutes, steps=self.budget.steps, proposal=self._proposal),
            f"from {images} images" if images > 1 else "",
            f"going on from “{self.start.title}”" if self.start.model else "",
        ]
        self.plan.setText("Plan: " + ", ".join(part for part in parts if part))


def _add(layout: Any, text: str, field: QWidget) -> None:
    label = QLabel(text)
    label.setToolTip(field.toolTip())
    label.setBuddy(field)
    layout.addRow(label, field)
