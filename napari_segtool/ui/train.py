"""The Train panel: learn from paint or masks, watch it learn, stop, resume, compare."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from napari.layers import Image
from napari.layers import Labels as LabelsLayer
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QCheckBox, QComboBox, QHBoxLayout, QLabel, QPushButton, QSizePolicy, QSpinBox, QVBoxLayout, QWidget

from napari_segtool.core.errors import SegtoolError
from napari_segtool.core.progress import Progress
from napari_segtool.core.registry import LEARNERS
from napari_segtool.ui._align import align_labels
from napari_segtool.ui._bridge import fits, labels_of, notes_of, paint_of
from napari_segtool.ui._entry_combo import EntryCombo
from napari_segtool.ui._facts import duration_text
from napari_segtool.ui._fields import guard_wheel
from napari_segtool.ui._fold import Fold
from napari_segtool.ui._form import ParamsForm, form_layout
from napari_segtool.ui._panel import Panel
from napari_segtool.ui._train_budget import Budget
from napari_segtool.ui._train_curves import Curves
from napari_segtool.ui._train_desk import Order, TrainingDesk, history_steps
from napari_segtool.ui._train_devices import DeviceCombo
from napari_segtool.ui._train_history import History
from napari_segtool.ui._train_marks import guess_labels_are, mask_text, missing_class, names_for
from napari_segtool.ui._train_pairs import OtherPairs
from napari_segtool.ui._train_runs import RunList
from napari_segtool.ui._train_watch import Ending

TALL_PX = 800
_MEANINGS = {
    "paint": ("paint: 0 is not labelled", "Strokes: pixels with value 0 say nothing, and are not learned from."),
    "mask": ("mask: 0 is a class too", "Every pixel is labelled: value 0 is a class of its own, such as background."),
}


class TrainPanel(Panel):
    """Train a network on the open layers, in a process of its own, and watch it."""

    name = "train"
    title = "Train"
    action = "Train"
    action_help = "Copy the images into a run folder and learn from them in the background. The window stays usable."
    labels_title = "Labels"

    def build(self) -> None:
        """Settings above the button; curves and runs below the message."""
        self.desk = self.session.shared(TrainingDesk)
        self._chosen: tuple[Path, ...] = ()
        self._histories: dict[Path, History] = {}
        self.labels_combo.setToolTip("What it learns from: paint strokes, or a mask of the whole image.")
        self._make_settings()
        self._make_below()
        self._recall()
        self.desk.begun.connect(self._begun)
        self.desk.advanced.connect(self._advanced)
        self.desk.ended.connect(self._ended)
        self.desk.failed.connect(self._failed)
        self.desk.runs_changed.connect(self._show_runs)
        self.desk.deleted.connect(self._deleted)
        self.desk.not_deleted.connect(self._not_deleted)
        self.session.paint.changed.connect(self._marks_changed)
        self.state_changed.connect(self._follow_state)

    # making

    def _make_settings(self) -> None:
        rows = form_layout()
        self.meaning = QComboBox()
        for key, (text, tip) in _MEANINGS.items():
            self.meaning.addItem(text, key)
            self.meaning.setItemData(self.meaning.count() - 1, tip, Qt.ItemDataRole.ToolTipRole)
        self.meaning.setToolTip("What the value 0 means in these labels. It is guessed; correct it if it is wrong.")
        self.meaning.setAccessibleName("Labels are")
        guard_wheel(self.meaning)
        self.meaning.activated.connect(self._meaning_chosen)
        _add(rows, "Labels are", self.meaning)
        self.others = OtherPairs(self.viewer)
        self.more = Fold("Also learn from other images")
        self.more.button.setToolTip("Learn from several images, each with its labels, at once.")
        inside = QVBoxLayout()
        inside.addWidget(self.others)
        self.more.setContentLayout(inside)
        self.others.changed.connect(self._others_changed)
        self.learner = EntryCombo(LEARNERS)
        self.learner.chosen.connect(self._learner_chosen)
        self.budget = Budget()
        self.device = DeviceCombo(self.session)
        self.plan = QLabel()
        self.plan.setWordWrap(True)
        self.plan.setToolTip("What the training will do, in short.")
        self.advanced = Fold("Advanced")
        self.advanced.button.setToolTip("Everything else that can be set: network, patches, augmentation, optimiser.")
        self._form_place = QVBoxLayout()
        self.advanced.setContentLayout(self._form_place)
        self.seed = QSpinBox()
        self.seed.setRange(0, 2**31 - 1)
        self.seed.setToolTip("Seed of all random numbers: where the weights begin, and which patches are drawn.")
        guard_wheel(self.seed)
        self.form: ParamsForm | None = None
        self._values: dict[str, dict[str, Any]] = {}
        _add(rows, "Learner", self.learner)
        _add(rows, "Time", self.budget)
        _add(rows, "Device", self.device)
        self.body.addLayout(rows)
        self.body.addWidget(self.more)
        self.body.addWidget(self.advanced)
        self.body.addWidget(self.plan)
        self.learner.summary.setMinimumHeight(3 * self.learner.summary.fontMetrics().lineSpacing() + 2)
        self.budget.edited.connect(self._show_plan)

    def _make_below(self) -> None:
        self.stop_button = QPushButton("Stop and keep")
        self.stop_button.setToolTip("End the training now and keep its best result so far.")
        self.stop_button.clicked.connect(self._stop_and_keep)
        self.cancel_button = QPushButton("Cancel")
        self.cancel_button.setToolTip("End the training now. Its run stays in the list and can be resumed.")
        self.cancel_button.clicked.connect(self._cancel)
        self._stop_row = QWidget()
        buttons = QHBoxLayout(self._stop_row)
        buttons.setContentsMargins(0, 0, 0, 0)
        for button in (self.stop_button, self.cancel_button):
            button.setMinimumHeight(30)
            buttons.addWidget(button)
        self._stop_row.hide()
        self.preview = QCheckBox("Preview on the visible slice")
        self.preview.setToolTip("While it learns, show what it says of the slice you look at, in a layer of its own.")
        self.preview.clicked.connect(self._preview_clicked)
        self.curves = Curves(self.viewer.theme)
        self.runs = RunList()
        self.runs.chosen.connect(self._runs_chosen)
        self.runs.resume_wanted.connect(self._resume)
        self.runs.renamed.connect(self._rename)
        self.runs.delete_wanted.connect(self._ask_delete)
        self.runs.predict_wanted.connect(self._predict)
        self.run_fold = Fold("Runs")
        self.run_fold.button.setToolTip("Trainings of this computer: resume, rename, delete, compare.")
        self.run_fold.button.clicked.connect(self._runs_folded)
        listed = QVBoxLayout()
        listed.addWidget(self.runs)
        self.run_fold.setContentLayout(listed)
        listed.setContentsMargins(0, 0, 0, 0)
        self._below = QWidget()
        self._below.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
        inside = QVBoxLayout(self._below)
        inside.setContentsMargins(0, 0, 0, 0)
        inside.setSpacing(6)
        inside.addWidget(self.preview)
        inside.addWidget(self.curves)
        inside.addWidget(self.run_fold)
        column = self.layout()
        column.insertWidget(column.indexOf(self.button) + 1, self._stop_row)
        column.insertWidget(column.indexOf(self.message) + 1, self._below)

    # settings

    def _recall(self) -> None:
        kept = self.recall()
        self._values = {str(name): dict(values) for name, values in kept.get("params", {}).items()}
        self.learner.choose(str(kept.get("learner", "unet")))
        self.budget.set_budget(minutes=float(kept.get("minutes", 0)), steps=int(kept.get("steps", 0)))
        if "device" in kept:
            self.device.set_device(str(kept["device"]))
        self.seed.setValue(int(kept.get("seed", 0)))
        self.preview.setChecked(bool(kept.get("preview", True)))
        self.desk.set_previewing(self.preview.isChecked())
        self._make_form()
        align_labels(self)
        self.advanced.unfold(bool(kept.get("unfolded", False)))
        self._runs_unfolded: bool | None = kept.get("runs_unfolded")
        self.run_fold.unfold(self._runs_unfolded is not False)

    def _keep(self) -> None:
        if self.form is not None:
            self._values[self._form_of] = self.form.values()
        self.remember(
            learner=self._learner_name(),
            params=self._values,
            device=self.device.device(),
            seed=self.seed.value(),
            preview=self.preview.isChecked(),
            unfolded=self.advanced.unfolded,
            **({} if self._runs_unfolded is None else {"runs_unfolded": self._runs_unfolded}),
            **self.budget.record(),
        )

    def _learner_name(self) -> str:
        entry = self.learner.entry()
        return entry.name if entry is not None else ""

    def _make_form(self) -> None:
        entry = self.learner.entry()
        if self.form is not None:
            self._values[self._form_of] = self.form.values()
            self.seed.setParent(None)
            self._form_place.removeWidget(self.form)
            self.form.hide()
            self.form.deleteLater()
            self.form = None
        if entry is None:
            return
        self._form_of = entry.name
        self.form = ParamsForm(entry.params)
        self.form.set_values(self._values.get(entry.name, {}))
        _add(self.form.fold.content.layout(), "Seed", self.seed)
        self.form.fold.button.setToolTip(self.advanced.button.toolTip())
        self.form.fold.button.hide()  # all of it is folded already, under our own heading
        self.form.fold.unfold()
        self.form.fold.show()
        self.form.fold.content.layout().setContentsMargins(0, 0, 0, 0)
        self.form.changed.connect(self._show_plan)
        self._form_place.addWidget(self.form)
        align_labels(self.form)
        self._show_plan()

    def _learner_chosen(self, _: str) -> None:
        self._make_form()

    def _show_plan(self, _: str = "") -> None:
        values = self.form.values() if self.form is not None else {}
        images = 1 + len(self.others.pairs())
        patch, kind = values.get("patch_px"), values.get("dimensions", "")
        parts = [
            f"{kind} patches {patch}×{patch}".strip() if patch else "",
            f"batch {values['batch']}" if "batch" in values else "",
            f"{self.budget.minutes:g} min" if self.budget.minutes else f"{self.budget.steps} steps",
            f"from {images} images" if images > 1 else "",
        ]
        self.plan.setText("Plan: " + ", ".join(part for part in parts if part))

    def _meaning_chosen(self, _: int) -> None:
        if self.labels is not None:
            notes_of(self.labels)["labels_are"] = self.meaning.currentData()
        self._show_label_facts()

    def _others_changed(self) -> None:
        count = len(self.others.pairs())
        self.more.set_title(f"Also learn from other images ({count})" if count else "Also learn from other images")
        self._show_plan()

    def _preview_clicked(self, on: bool) -> None:
        self.desk.set_previewing(on)

    # hooks of the frame

    def image_changed(self, layer: Image | None) -> None:
        """List the other images."""
        self.others.fill(layer)
        self._others_changed()
        self._show_below()

    def labels_changed(self, layer: LabelsLayer | None) -> None:
        """Guess what the labels are."""
        self._marks_changed()

    def reset_choices(self, event: Any = None) -> None:
        """Fill the choosers again, those of other images too."""
        super().reset_choices(event)
        if not self._released:
            self.others.fill(self.image)
            self._others_changed()

    def became_visible(self) -> None:
        """Look for a training that was left running, and for runs made elsewhere."""
        self.device.look()
        self.desk.adopt()
        self._marks_changed()
        self._show_runs()
        self._sync()

    def became_hidden(self) -> None:
        """Remember the settings."""
        self._keep()

    def released(self) -> None:
        """Let go of the desk, which goes on."""
        for signal, slot in (
            (self.desk.begun, self._begun),
            (self.desk.advanced, self._advanced),
            (self.desk.ended, self._ended),
            (self.desk.failed, self._failed),
            (self.desk.runs_changed, self._show_runs),
            (self.desk.deleted, self._deleted),
            (self.desk.not_deleted, self._not_deleted),
        ):
            signal.disconnect(slot)
        self.session.paint.changed.disconnect(self._marks_changed)

    def theme_changed(self, dark: bool, text_colour: str) -> None:
        """Draw the curves in the colours of the theme."""
        self.curves.set_theme(self.viewer.theme)

    def facts_of_labels(self, layer: LabelsLayer | None) -> str:
        """Say how much is labelled."""
        if layer is None:
            return "None yet: paint a few strokes first."
        if self.image is not None and not fits(layer, self.image):
            return "Does not fit the image: another size."
        return self.session.paint_text() if self.meaning.currentData() == "paint" else mask_text(layer, self.session.paint.counts)

    def _marks_changed(self) -> None:
        if self.message.kind == "warning" and self.state == "ready":
            self.message.clear()  # what was missing may be there now
        if self.labels is not None:
            self.meaning.setCurrentIndex(self.meaning.findData(guess_labels_are(self.labels, self.session.paint.counts)))
        self._show_label_facts()

    # training

    def start(self) -> None:
        """Make a run of what is chosen and train it."""
        image, labels, counts = self.image, self.labels, self.session.paint.counts
        to_annotate = self.links_to("annotate")
        if image is None:
            return self.missing("Open an image first.")
        if labels is None:
            return self.missing("There is nothing to learn from yet. Paint a few strokes of each class.", to_annotate)
        if not fits(labels, image):
            return self.missing(f"The labels “{labels.name}” do not fit the image: they have another size. Choose those that were painted on it.", to_annotate)
        labels_are = self.meaning.currentData()
        lacking = "" if self.session.paint.busy else missing_class(labels, counts, labels_are)
        if lacking:
            return self.missing(lacking, to_annotate)
        if self.form is None:
            return self.missing("There is nothing that could learn: no learner is installed.")
        self._keep()
        marks = paint_of if labels_are == "paint" else labels_of
        layers = [(image, labels), *self.others.pairs()]
        order = Order(
            pairs=tuple((self.session.stack(each), marks(its_labels)) for each, its_labels in layers),
            layers=tuple(each for each, _ in layers),
            learner=self._form_of,
            params=self.form.params(),
            labels_are=labels_are,
            class_names=names_for(labels, labels_are),
            minutes=self.budget.minutes,
            steps=self.budget.steps,
            seed=self.seed.value(),
            device=self.device.device(),
        )
        self.desk.order(order)
        return None

    def stop(self) -> None:
        """Stop a sample being made, or keep the training's best."""
        if self.job is not None:
            super().stop()
        else:
            self._stop_and_keep()

    def _stop_and_keep(self, _: bool = False) -> None:
        self._ask("stop", "Stopping: its best result is scored once more and kept…")

    def _cancel(self, _: bool = False) -> None:
        self._ask("cancel", "Cancelling…")

    def _ask(self, word: str, text: str) -> None:
        self.desk.ask(word)  # type: ignore[arg-type]
        self._stop_row.setEnabled(False)
        self.bar.setRange(0, 0)
        self.bar.setFormat("stopping")
        self.say(text)

    def _resume(self, folder: Path) -> None:
        if self.desk.busy:
            return self.missing("Another training is running. Stop it first.")
        self._chosen = ()
        self.desk.resume(folder)
        return None

    # what the desk says

    def _sync(self) -> None:
        """Show a training that began while the panel was closed, or that it found running."""
        if self.desk.busy and self.state != "working":
            self._begun()
            self._advanced()

    def _begun(self) -> None:
        found = self.desk.folder is not None and not self.desk.making
        self.working("looking at the run…" if found else "opening the run…" if self.desk.folder is not None else "copying the images…")
        self._stop_row.setEnabled(True)
        self._chosen = ()
        self.runs.choose(())
        self._show_curves()
        self._show_below()
        if found:
            self.say("A training that was left running goes on.")

    def _advanced(self) -> None:
        history = self.desk.history
        if self.state == "working" and self.desk.asked is None:
            self._show_state(history)
        if not self._chosen or self.desk.folder in self._chosen:
            self._show_curves()
        self._update_line()

    def _update_line(self) -> None:
        history, folder = self.desk.history, self.desk.folder
        card = self.runs.card(folder) if folder is not None else None
        if card is not None and self.desk.busy:
            self.runs.update_card(replace(card, state="training", dice=history.best_dice, seconds=history.seconds, step=history.step))

    def _show_state(self, history: History) -> None:
        if history.phase == "new":
            self.bar.setRange(0, 0)
            self.bar.setFormat("loading the network library…")
            return
        if history.step == 0 or not history.steps:
            self.bar.setRange(0, 0)
            self.bar.setFormat("preparing the first step…")
        else:
            self.show_progress(Progress(history.fraction, 1.0, f"step {history.step}"), history.seconds_left)
        text = f"Learning: {history.plan}." if history.plan else ""
        if not math.isnan(history.best_dice):
            text = f"{text} {_scores(history)}"
        if history.messages:
            self.say(f"{history.messages[-1]}\n{text}".strip(), kind="warning")
        else:
            self.say(text)

    def _ended(self, ending: Ending) -> None:
        history, folder = self.desk.history, self.desk.folder
        if folder is None:
            return self.rest()
        self._show_curves()
        resume = {"Resume": partial(self._resume, folder)}
        spent = f"{history.step} steps, {duration_text(history.seconds)}"
        if ending.text:
            return self.fail(SegtoolError(ending.text, hint=ending.hint), resume, details=ending.details)
        if history.phase in ("done", "stopped"):
            head = "Learned" if history.phase == "done" else "Stopped and kept"
            more = {} if history.phase == "done" else resume
            notes = f"\n{history.messages[-1]}" if history.messages else ""
            return self.done(f"{head} ({spent}). {_scores(history)}{notes}", {**self.links_to("predict", "explain"), **more})
        if history.phase == "failed":
            return self.fail(SegtoolError(history.text, hint=history.hint), resume)
        self.rest()
        learned = f"The run stays in the list, at step {history.step}." if history.step else "It had not learned anything yet; the run stays in the list."
        return self.say(f"Cancelled. {learned}", resume)

    def _failed(self, error: BaseException | None) -> None:
        if error is None:
            self.rest()
            return self.say("Cancelled; nothing was kept.")
        return self.fail(error, self.links_to("annotate"))

    # curves and runs

    def _show_curves(self) -> None:
        if self._chosen:
            histories = [(self._title_of(folder), self._history_of(folder)) for folder in self._chosen]
            self.curves.show_runs([(title, history) for title, history in histories if history is not None])
        else:
            self.curves.show_runs([(self._title_of(self.desk.folder), self.desk.history)])

    def _history_of(self, folder: Path) -> History | None:
        return self.desk.history if folder == self.desk.folder else self._histories.get(folder)

    def _title_of(self, folder: Path | None) -> str:
        card = self.runs.card(folder) if folder is not None else None
        return card.title if card is not None else folder.name if folder is not None else ""

    def _runs_chosen(self, folders: tuple[Path, ...]) -> None:
        self._chosen = folders
        for folder in folders:
            if self._history_of(folder) is None:
                job = self.session.start(partial(_named_history, folder), "curves")
                job.returned.connect(self._history_read)
                job.start()
        self._show_curves()

    def _history_read(self, read: tuple[Path, History]) -> None:
        self._histories[read[0]] = read[1]
        self._show_curves()

    def _show_runs(self) -> None:
        self._histories.clear()
        self.runs.show_cards(self.desk.cards)
        self.run_fold.set_title(f"Runs ({len(self.desk.cards)})" if self.desk.cards else "Runs")
        self._update_line()
        self._show_below()

    def _rename(self, folder: Path, title: str) -> None:
        self.guarded(partial(self.desk.rename, folder, title))

    def _ask_delete(self, folder: Path) -> None:
        actions = {"Delete it": partial(self.desk.delete, folder), "Keep it": self.message.clear}
        self.missing(f"Delete the run “{self._title_of(folder)}” with its model? This cannot be undone.", actions)

    def _deleted(self, folder: Path) -> None:
        self.say("The run was deleted.")
        if folder == self.desk.folder:
            self.curves.show_runs([])

    def _not_deleted(self, error: BaseException) -> None:
        self.missing(str(error))

    def _predict(self, folder: Path) -> None:
        self.session.add_run(folder)
        self.go_to("predict")()

    # looks

    def _show_below(self) -> None:
        self._below.setVisible(self.image is not None or self.desk.busy or bool(self.desk.cards))

    def resizeEvent(self, event: Any) -> None:  # noqa: N802
        """Leave the settings room on a low screen: the curves become lower, and wait for something to draw."""
        super().resizeEvent(event)
        low = self.height() < TALL_PX
        self.curves.set_compact(low)
        if self._runs_unfolded is None:
            self.run_fold.unfold(not low)

    def _runs_folded(self, on: bool) -> None:
        self._runs_unfolded = on

    def _follow_state(self, state: str) -> None:
        training = state == "working" and self.desk.busy
        self.button.setVisible(not training and self.image is not None)
        self._stop_row.setVisible(training)


def _scores(history: History) -> str:
    if math.isnan(history.best_dice):
        return "Nothing was held out to score it on."
    each = {name: dice for name, dice in history.class_dices.items() if not math.isnan(dice)}
    listed = ", ".join(f"{name} {dice:.2f}" for name, dice in list(each.items())[:4])
    return f"Dice on held-out pixels: {history.best_dice:.3f}" + (f" ({listed})." if 1 < len(each) <= 4 else ".")


def _named_history(folder: Path) -> Any:
    history = yield from history_steps(folder)
    return folder, history


def _add(layout: Any, text: str, field: QWidget) -> None:
    label = QLabel(text)
    label.setToolTip(field.toolTip())
    label.setBuddy(field)
    layout.addRow(label, field)
